"""``genkey --rotate``: a key file goes from one secret to the next in three steps, and is never half a file."""

import json
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from sharedsession import ConfigurationError, MachineKey
from sharedsession.cli.__main__ import main
from sharedsession.environment import Environment
from sharedsession.keys import rotate

A, B, C = (MachineKey.generate() for _ in range(3))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key file with one secret."""
    path = tmp_path / "farm.key"
    path.write_text(f"{A}\n")
    return path


def secrets(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_three_calls_change_the_secret(file, capsys):
    """One step a call; each says what was done and what comes next, and no secret."""
    said = []
    held = [secrets(file)]
    for _ in range(3):
        assert main(["genkey", "--rotate", str(file), "--force"]) == 0
        held.append(secrets(file))
        said.append(capsys.readouterr().out)
    new = held[3][0]
    assert held == [[A], [A, new], [new, A], [new]]
    assert new != A
    MachineKey(new)
    assert [text.partition(":")[0] for text in said] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    assert all("every web node" in text and "up to a second" in text for text in said)
    assert [number for number, text in enumerate(said, 1) if "absolute timeout" in text] == [2]
    assert not any(secret in text for text in said for secret in (A, new))


def test_the_old_secret_stays_until_no_session_needs_it(file, capsys, monkeypatch):
    """The third step waits for the absolute timeout of the environment, and says until when."""
    monkeypatch.setenv("SHAREDSESSION_ABSOLUTE_TIMEOUT", "3600")
    began = 1_800_000_000.0
    for _ in range(2):
        rotate(file, environment=Environment(clock=lambda: began))
    before = file.read_bytes()
    with pytest.raises(
        ConfigurationError, match=r"may live until 2027-01-15 09:00 UTC, the absolute timeout \(3600 s\)"
    ):
        rotate(file, keep_old_for=3600, environment=Environment(clock=lambda: began + 3599))
    assert main(["genkey", "--rotate", str(file), "--json"]) == 2
    assert "--force" in json.loads(capsys.readouterr().out)["error"]
    assert file.read_bytes() == before
    assert rotate(file, keep_old_for=3600, environment=Environment(clock=lambda: began + 3600)) == 3


def test_without_an_absolute_timeout_the_old_secret_is_dropped_by_force_alone(file, capsys, monkeypatch):
    """A session may need it as long as it is used."""
    monkeypatch.setenv("SHAREDSESSION_ABSOLUTE_TIMEOUT", "none")
    for _ in range(2):
        assert main(["genkey", "--rotate", str(file)]) == 0
    capsys.readouterr()
    assert main(["genkey", "--rotate", str(file)]) == 2
    assert "without an absolute_timeout" in capsys.readouterr().err
    assert main(["genkey", "--rotate", str(file), "--force"]) == 0


@pytest.mark.parametrize(
    "mark", ["# rotation, step 2 of 3 is done", "# rotation, step 2 of 3 was done at 2026-99-99T00:00:00Z:"]
)
def test_without_a_time_in_the_file_that_of_its_last_change_counts(file, mark):
    """It is no earlier than the second step."""
    file.write_text(f"{mark}\n{B}\n{A}\n")
    changed = file.stat().st_mtime
    with pytest.raises(ConfigurationError, match="too early"):
        rotate(file, keep_old_for=60, environment=Environment(clock=lambda: changed + 59))
    assert rotate(file, keep_old_for=60, environment=Environment(clock=lambda: changed + 61)) == 3


def test_the_application_knows_its_absolute_timeout(file, tmp_path, monkeypatch):
    """``--app``, as for the other commands."""
    (tmp_path / "rotating_shop.py").write_text(
        "from sharedsession import SessionManager\n"
        f"shop = SessionManager.from_settings(secret_key={A!r}, backend='memory://', absolute_timeout=0.001)"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert [main(["genkey", "--rotate", str(file), "--app", "rotating_shop:shop"]) for _ in range(2)] == [0, 0]
    file.write_text(re.sub("at 2[^:]*:", "at 2026-01-01T00:", file.read_text()))
    assert main(["genkey", "--rotate", str(file), "--app", "rotating_shop:shop"]) == 0


def test_the_next_rotation_begins_anew(file):
    """After the third step the file is as one that ``genkey`` made."""
    assert [rotate(file) for _ in range(6)] == [1, 2, 3, 1, 2, 3]
    assert file.read_text() == f"{secrets(file)[0]}\n"


def test_the_file_alone_says_which_step_is_next(file, tmp_path):
    """A copy of it, on another machine, goes on where the last one stopped."""
    rotate(file)
    copy = tmp_path / "copy"
    copy.write_bytes(file.read_bytes())
    assert rotate(copy) == 2
    assert rotate(file) == 2
    assert copy.read_bytes() == file.read_bytes()


def test_a_program_reads_the_step_as_json(file, capsys):
    """Same facts as for people."""
    assert main(["genkey", "--json", "--rotate", str(file)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["step"], answer["of"]) == (1, 3)
    assert answer.keys() == {"step", "of", "done", "next"}


def test_comments_stay(file):
    """What people wrote into the file is still there after a rotation."""
    file.write_text(f"# of the shop; ask Ada\n\n{A}\n")
    for _ in range(3):
        rotate(file)
        assert file.read_text().startswith("# of the shop; ask Ada\n")
    assert file.read_text().count("#") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no secret"),
        ("# nothing\n", "no secret"),
        (f"{A}\n{B}\n", "# rotation, step 1"),
        (f"# rotation, step 1\n# rotation, step 2\n{A}\n{B}\n", "by hand"),
        (f"# rotation, step 3 of 3\n{A}\n{B}\n", "by hand"),
        (f"{A}\n{B}\n{C}\n", "three or more"),
        (f"# rotation, step 2 of 3\n{A}\n{B}\n{C}\n", "three or more"),
        ("hunter2\n", "secret_key"),
        (f"# rotation, step 1 of 3\n{A}\nchangeme\n", "secret_key"),
    ],
    ids=range(9),  # a secret has no place in a name, and each process makes its own
)
def test_nonsense_is_refused_and_left_as_it_is(file, capsys, text, said):
    """One line, exit code 2, no secret in it; the file is untouched."""
    file.write_text(text)
    assert main(["genkey", "--rotate", str(file)]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert str(file) in err
    assert not any(line in err for line in text.splitlines() if line and not line.startswith("#"))
    assert file.read_text() == text
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_no_file_is_refused(tmp_path, capsys):
    """A wrong path makes no new file."""
    assert main(["genkey", "--rotate", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_secrets_of_an_unknown_step_go_on_as_a_line_says(file):
    """A rotation that was begun by hand is finished by the command."""
    file.write_text(f"# rotation, step 1\n{A}\n{B}\n")
    assert rotate(file) == 2
    assert secrets(file) == [B, A]


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o644, 0o600), (0o640, 0o640), (0o440, 0o640)])
def test_only_the_owner_reads_the_file(file, before, after):
    """The new file is closed to the world, whatever the old one was; a group that alone had it keeps it."""
    file.chmod(before)
    rotate(file)
    assert mode(file) == after


def test_the_new_file_is_closed_before_anything_is_in_it(file, monkeypatch):
    """Nobody finds a secret in a file that others may read, not for a moment."""
    modes = []

    def fchmod(descriptor: int, wanted: int) -> None:
        found = os.fstat(descriptor)
        modes.append((stat.S_IMODE(found.st_mode), found.st_size, wanted))

    monkeypatch.setattr(os, "fchmod", fchmod)
    rotate(file)
    assert modes == [(0o600, 0, 0o600)]


def test_a_link_stays_a_link(file):
    """Secrets that are mounted under a link are changed where they are."""
    link = file.with_name("link")
    link.symlink_to(file)
    rotate(link)
    assert link.is_symlink()
    assert len(secrets(file)) == 2


def test_the_owner_stays(file):
    """Run as root, it leaves the file to the web node's user."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(file, 12345, 23456)
    rotate(file)
    assert (file.stat().st_uid, file.stat().st_gid) == (12345, 23456)


def test_a_step_that_fails_changes_nothing(file, monkeypatch, capsys):
    """A full disk: the old file is there, and nothing beside it."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert main(["genkey", "--rotate", str(file)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert secrets(file) == [A]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_two_at_a_time_are_refused(file, capsys):
    """Nobody copies a secret to the nodes that somebody else's step has just thrown away."""
    beside = file.with_name(".farm.key.rotating")
    beside.touch()
    assert main(["genkey", "--rotate", str(file)]) == 2
    assert str(beside) in capsys.readouterr().err
    assert secrets(file) == [A]


def test_a_crowd_makes_one_step_each(file):
    """However many call at a time: each step is made from the one before, and every other call is refused."""
    steps, refused = [], []

    def call() -> None:
        try:
            steps.append(rotate(file))
        except ConfigurationError:
            refused.append(1)

    crowd = [threading.Thread(target=call) for _ in range(12)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert sorted(steps) == sorted(n % 3 + 1 for n in range(len(steps)))
    assert len(steps) + len(refused) == 12
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_whoever_reads_meanwhile_sees_a_whole_file(file):
    """A reader in a loop finds one or two secrets at every moment, each whole."""
    over, seen = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            seen.append(secrets(file))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(60):
        rotate(file)
    over.set()
    reader.join()
    assert seen
    assert all(len(found) in (1, 2) and {len(secret) for secret in found} == {64} for found in seen)


def test_a_note_of_a_time_without_an_end_keeps_the_old_secret(file):
    """Somebody wrote it by hand: what it is told to wait for is later than any date."""
    for _ in range(2):
        rotate(file)
    file.write_text(re.sub(r"\d{4}-[\d:T-]+Z", "9999-12-31T23:59:59Z", file.read_text()))
    with pytest.raises(ConfigurationError, match="may live until 9999-12-31"):
        rotate(file, keep_old_for=3600)
