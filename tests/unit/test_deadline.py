"""The time for the next of several steps, on a clock of the test's own."""

import math

import pytest

from sharedsession.backends.wire.deadline import Deadline
from sharedsession.testing import ManualEnvironment


@pytest.mark.parametrize(("passed", "left"), [(0.0, 1.0), (1.0, 1.0), (1.5, 0.5), (2.0, 0.0), (9.0, 0.0)])
def test_a_step_has_its_own_time_until_all_of_it_is_up(passed: float, left: float) -> None:
    """Two seconds in all, one for a step."""
    environment = ManualEnvironment()
    deadline = Deadline(environment.monotonic, 1.0, environment.monotonic() + 2.0)
    environment.advance(passed)
    assert deadline.left() == left
    assert deadline.step == 1.0


def test_where_only_the_end_matters() -> None:
    """The step has no time of its own."""
    environment = ManualEnvironment()
    assert Deadline(environment.monotonic, math.inf, 5.0).require() == 5.0


def test_to_require_time_that_is_up_is_an_error() -> None:
    """So that a step is not begun that cannot end in time."""
    environment = ManualEnvironment()
    deadline = Deadline(environment.monotonic, 1.0, 2.0)
    assert deadline.require() == 1.0
    environment.advance(2.0)
    with pytest.raises(TimeoutError):
        deadline.require()
