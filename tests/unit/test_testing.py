"""`sharedsession.testing`: a clock to turn, chance that repeats, and no pytest where none is asked for."""

import subprocess
import sys
from typing import Any

import pytest

from sharedsession.testing import ManualEnvironment, memory_backend


def test_both_clocks_stand_still_until_they_are_moved() -> None:
    """And then move together."""
    environment = ManualEnvironment(start=1000.0)
    before = environment.clock(), environment.monotonic()
    assert before == (environment.clock(), environment.monotonic())
    assert before[0] == 1000.0
    environment.advance(2.5)
    assert (environment.clock() - before[0], environment.monotonic() - before[1]) == (2.5, 2.5)


def test_sleep_moves_the_clocks() -> None:
    """Without waiting."""
    environment = ManualEnvironment()
    environment.sleep(3600)
    assert environment.monotonic() == 3600


def test_time_does_not_go_back() -> None:
    """A monotonic clock would not be one."""
    with pytest.raises(ValueError, match="forward"):
        ManualEnvironment().advance(-1)


def test_a_seed_repeats_the_random_bytes() -> None:
    """In their order, whatever their sizes; another seed gives others, and without one they never repeat."""

    def drawn(seed: int | None) -> list[bytes]:
        environment = ManualEnvironment(seed=seed)
        return [environment.random_bytes(size) for size in (16, 16, 32)]

    assert drawn(1) == drawn(1)
    assert [len(each) for each in drawn(1)] == [16, 16, 32]
    assert len({*drawn(1), *drawn(2), *drawn(None), *drawn(None)}) == 12


def test_records_expire_by_the_clock_of_the_environment() -> None:
    """At their time, without waiting."""
    environment = ManualEnvironment()
    backend = memory_backend(environment)
    backend.add("k", b"1", 60, 1.0)
    environment.advance(59.9)
    found: Any = backend.get("k", None, 1.0)
    assert found.value == b"1"
    environment.advance(0.1)
    assert backend.get("k", None, 1.0) is None


def test_pytest_is_imported_by_the_contract_suite_only() -> None:
    """The rest is of use to any test runner."""
    program = "import sys, sharedsession.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
