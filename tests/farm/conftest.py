"""Laboratories: memcached nodes of a test's own, gone after it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.farm.laboratory import Laboratory
from tests.support.binaries import MissingServerError, binary


@pytest.fixture
def laboratory() -> Iterator[Callable[..., Laboratory]]:
    """Makes a `Laboratory` with its arguments."""
    try:
        binary("memcached")
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Laboratory(*args, **options))
