"""The short run: each target with its seeds and the same few thousand mutations of them, every time."""

import itertools
import logging
from collections.abc import Iterator

import pytest

from tests.fuzz.mutation import mutations
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """What the library logs of damaged input is expected."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_law_holds_for_whatever_comes(target: Target) -> None:
    """For seeds, and for what is nearly one: `python -m tests.fuzz` tries millions more."""
    for data in itertools.islice(mutations(target, "short"), target.tries):
        try:
            target.run(data)
        except Exception as error:
            shown = repr(data) if len(data) < 500 else f"{data[:500]!r}... ({len(data)} bytes)"
            pytest.fail(f"{target.name}({shown}): {type(error).__name__}: {error}")


def test_each_target_says_its_law() -> None:
    """In one sentence, as the first line of its function."""
    assert all(target.law.endswith(".") for target in TARGETS.values())
