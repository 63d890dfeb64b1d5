"""The guard over instruction counts: pure arithmetic on counts and a recorded file."""

from pathlib import Path

import pytest

from benchmarks import guard, instructions
from benchmarks.counted import Path as CountedPath

BARE, STRAIGHT, OURS = 10_000, 60_000, 160_000


def counts(**changed: int) -> dict[str, int]:
    """What one run counted; ours adds three times what the straight line adds."""
    found = {
        path: BARE if "bare" in path else STRAIGHT if "straight" in path else OURS for path in instructions.GUARDED
    }
    return found | {name.replace("_", " "): number for name, number in changed.items()}


def test_a_ratio_is_what_is_added_over_what_the_straight_line_adds():
    """Of each named path, and of no other."""
    assert guard.ratios(counts()) == dict.fromkeys(guard.NAMED, 3.0)


@pytest.mark.parametrize("path", guard.NAMED)
def test_a_path_that_grew_is_found(path: str):
    """Six percent more are too much, on any of the paths, and on that one only."""
    grown = guard.ratios(counts(**{path.replace(" ", "_"): OURS + 9_000}))
    found = guard.changes(guard.ratios(counts()), grown)
    assert [change.path for change in found if change.is_too_much] == [path]
    assert "GREW" in guard.report(found)


def test_a_little_more_and_any_less_pass():
    """Four percent more are noise; less is welcome."""
    now = guard.ratios(counts(asgi_read=OURS + 6_000, wsgi_write=OURS - 90_000))
    assert not any(change.is_too_much for change in guard.changes(guard.ratios(counts()), now))


def test_a_faster_machine_changes_no_ratio():
    """All counts of a run grow alike where the interpreter is another build: that is no growth of ours."""
    other = {path: number * 9 // 10 for path, number in counts().items()}
    assert guard.ratios(other) == guard.ratios(counts())


def test_without_a_record_nothing_is_too_much():
    """An interpreter that nobody recorded passes."""
    assert not any(change.is_too_much for change in guard.changes({}, guard.ratios(counts())))


def test_a_record_leaves_those_of_other_interpreters(tmp_path: Path):
    """What is written is found again, beside what was there."""
    file = tmp_path / "records.json"
    file.write_text('{"another": {"asgi read": 1.0}}')
    guard.record({"asgi read": 2.5}, file)
    assert guard.load(file) == {"another": {"asgi read": 1.0}, guard.interpreter(): {"asgi read": 2.5}}


def test_a_check_fails_when_a_path_grew(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The exit code is that of a failure, and the output names the path."""
    monkeypatch.setattr(guard, "load", lambda: {guard.interpreter(): guard.ratios(counts())})
    monkeypatch.setattr(instructions, "measured", lambda *_: counts(asgi_write=2 * OURS))
    assert instructions.main(["--check"]) == 1
    assert "asgi write" in capsys.readouterr().out
    monkeypatch.setattr(instructions, "measured", lambda *_: counts())
    assert instructions.main(["--check"]) == 0


def test_a_name_says_what_is_counted():
    """Colour, kind, store and request."""
    ours, straight = "sharedsession", "straight-line floor"
    assert CountedPath.named("asgi read") == ("asgi", "ASGI", ours, "memcached", "read")
    assert CountedPath.named("wsgi ring write") == ("wsgi", "WSGI", ours, "ring", "write")
    assert CountedPath.named("asgi redis straight read") == ("asgi", "ASGI", straight, "redis", "read")
    assert CountedPath.named("asgi untouched").name == f"{ours}, autoload=False"


def test_a_path_knows_what_must_be_answered():
    """A counter that each write raises; the bare application forgets."""
    write = CountedPath.named("wsgi write")
    assert (write.answer(7), CountedPath.named("wsgi bare write").answer(7)) == (b"7", b"1")
    assert (CountedPath.named("wsgi read").answer(7), CountedPath.named("asgi untouched").answer(7)) == (b"0", b"-")
