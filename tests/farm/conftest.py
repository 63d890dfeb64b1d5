"""Laboratories: memcached nodes of a test's own, gone after it. And histories to be judged."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.farm.laboratory import Laboratory
from tests.farm.script import Script
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


@pytest.fixture
def script() -> Script:
    """A session that logged in with ``s/1`` from 0 to 1."""
    script = Script()
    script.add("login", 0, 1, value="s/1")
    return script
