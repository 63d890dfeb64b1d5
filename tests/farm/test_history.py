"""The judge of the laboratory: it acquits what is allowed, and catches each kind of crime, planted here."""

import threading

import pytest

from tests.farm.script import NEVER, Script
from tests.support.history import ENDED, History, Outcome


def test_a_peaceful_life_is_acquitted(script: Script) -> None:
    """Each read sees the last write, and after the logout nothing."""
    script.read(1, 2, "s/1")
    script.add("write", 2, 3, value="s/2")
    script.read(3, 4, "s/2")
    script.add("logout", 4, 5)
    script.read(5, 6, ENDED)
    assert script.verdict == []


def test_a_lost_session_is_caught(script: Script) -> None:
    """Ended, and nobody logged out."""
    script.read(1, 2, ENDED)
    assert script.verdict == ["lost"]


def test_a_session_lost_before_its_logout_is_caught(script: Script) -> None:
    """A logout that began later is no excuse."""
    script.read(1, 2, ENDED)
    script.add("logout", 3, 4)
    assert script.verdict == ["lost"]


def test_a_loss_that_a_write_finds_is_caught(script: Script) -> None:
    """Not only reads look."""
    script.add("write", 1, 2, Outcome.FAILED, "s/2").saw(ENDED)
    assert script.verdict == ["lost"]


def test_a_revived_session_is_caught(script: Script) -> None:
    """Alive after the answer to the logout."""
    script.add("logout", 1, 2)
    script.read(3, 4, "s/1")
    assert script.verdict == ["revived"]


def test_a_session_that_was_seen_ended_and_then_alive_is_caught(script: Script) -> None:
    """Even if nobody knows whether the logout took place: once seen, it did."""
    script.add("logout", 1, NEVER, Outcome.UNKNOWN)
    script.read(2, 3, ENDED)
    script.read(4, 5, "s/1")
    assert script.verdict == ["revived"]


def test_a_look_during_the_logout_may_see_either(script: Script) -> None:
    """It began before the answer."""
    script.add("logout", 1, 3)
    script.read(2, 4, "s/1")
    script.read(2, 4, ENDED)
    assert script.verdict == []


def test_an_unknown_logout_may_have_happened_or_not(script: Script) -> None:
    """Alive is fine, and so is ended afterwards."""
    script.add("logout", 1, 2, Outcome.UNKNOWN)
    script.read(3, 4, "s/1")
    script.read(4, 5, ENDED)
    assert script.verdict == []


def test_a_failed_logout_is_no_excuse(script: Script) -> None:
    """It had no effect, so the session was lost."""
    script.add("logout", 1, 2, Outcome.FAILED)
    script.read(3, 4, ENDED)
    assert script.verdict == ["lost"]


def test_a_value_rolled_back_is_caught(script: Script) -> None:
    """A later write had been answered before the look began."""
    script.add("write", 1, 2, value="s/2")
    script.read(3, 4, "s/1")
    assert script.verdict == ["rolled back"]


def test_an_unanswered_write_that_comes_back_after_a_newer_one_is_caught(script: Script) -> None:
    """A late write must lose against what came in between."""
    script.add("write", 1, 2, Outcome.UNKNOWN, "s/2")
    script.add("write", 3, 4, value="s/3")
    script.read(5, 6, "s/2")
    assert script.verdict == ["rolled back"]


def test_an_unknown_write_may_be_seen_or_not(script: Script) -> None:
    """Old or new."""
    script.add("write", 1, 2, Outcome.UNKNOWN, "s/2")
    script.read(3, 4, "s/1")
    script.read(4, 5, "s/2")
    assert script.verdict == []


def test_of_two_writes_at_once_either_may_win(script: Script) -> None:
    """They overlap."""
    script.add("write", 1, 4, value="s/2")
    script.add("write", 2, 3, value="s/3")
    script.read(5, 6, "s/2")
    assert script.verdict == []


def test_a_failed_write_that_is_seen_is_caught(script: Script) -> None:
    """It was said to have had no effect."""
    script.add("write", 1, 2, Outcome.FAILED, "s/2")
    script.read(3, 4, "s/2")
    assert script.verdict == ["mixed up"]


@pytest.mark.parametrize("seen", ["t/1", "s/9", ""])
def test_a_value_of_somebody_else_is_caught(script: Script, seen: str) -> None:
    """Another session's, one nobody wrote, an empty one."""
    script.read(2, 3, seen)
    assert script.verdict == ["mixed up"]


def test_a_value_from_the_future_is_caught(script: Script) -> None:
    """It was seen before it was written."""
    script.read(1, 2, "s/2")
    script.add("write", 3, 4, value="s/2")
    assert script.verdict == ["mixed up"]


def test_faults_of_an_answer_are_told(script: Script) -> None:
    """A cookie or an exception where there should be none."""
    script.add("read", 1, 2).faults.append(("cookie", "503 with 1 Set-Cookie"))
    assert script.verdict == ["cookie"]


def test_sessions_are_judged_apart() -> None:
    """A logout of one excuses nothing in another, and values are never the same."""
    history = History()
    one, two = history.begin("one", "login"), history.begin("two", "login")
    assert one.value != two.value
    one.ok()
    two.ok()
    history.begin("two", "logout").ok()
    look = history.begin("one", "read")
    look.saw(ENDED)
    look.ok("web")
    assert [(found.kind, found.session) for found in history.violations()] == [("lost", "one")]
    assert "lost: read by web" in history.report(history.violations())


def test_many_threads_may_write_one_history() -> None:
    """Nothing is left out, no value is given twice."""
    history = History()

    def work() -> None:
        for _ in range(200):
            history.begin("s", "write").ok()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert history.count("write") == len({op.value for op in history.operations}) == 1600
    assert history.count("read") == history.count(outcome=Outcome.UNKNOWN) == 0
