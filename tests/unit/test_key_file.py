"""The file of secrets: rotated without a restart, and never able to take a running farm down."""

import logging
import os

import pytest

from sharedsession import ConfigurationError, MachineKey, Settings
from sharedsession.environment import Environment
from tests.support.node import Node

A, B = MachineKey.generate(), MachineKey.generate()


class Clock:
    """The clock that tells a `KeyFile` when to look at its file again."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock():
    """A clock of the test's own."""
    return Clock()


class File:
    """A key file that never has the same time of change twice."""

    def __init__(self, path, clock) -> None:
        self.path, self._changes = path, 0
        self.environment = Environment(monotonic=clock.monotonic)

    def write(self, text: str) -> None:
        """Puts new content there, as an editor does."""
        self._changes += 1
        self.path.write_text(text)
        os.utime(self.path, (0, 1_000_000 + self._changes))

    def load(self, **keywords):
        """The callable that gives the machine key of now."""
        given = {"key_file": self.path, "backend": "memory://", **keywords}
        return Settings.load(given, {}, environment=self.environment).machine_key


@pytest.fixture
def file(tmp_path, clock):
    """A file with one secret."""
    found = File(tmp_path / "keys", clock)
    found.write(f"{A}\n")
    return found


def names(*secret_list):
    """The fingerprints of these secrets."""
    return MachineKey(list(secret_list)).fingerprints()


@pytest.mark.parametrize(
    "text", [f"{B}\n{A}\n", f"{B}\r\n{A}", f"# newest\n\n  {B}  \n#old\n\t{A}\n\n", f"{B}\n{A}\n{B}\n"], ids=range(4)
)
def test_the_file_has_one_secret_a_line_newest_first(file, text):
    """Empty lines, comments, blanks and the line ends of other systems do not matter."""
    file.write(text)
    assert file.load()().fingerprints() == names(B, A)


def test_the_same_secret_as_keyword_and_in_a_file_is_the_same_key(file):
    """A farm may move from one way to the other without logging anybody out."""
    token = MachineKey(A).new_identity(os.urandom(16)).token.encode()
    assert file.load()().verify(token)


def test_a_change_is_in_force_a_second_later(file, clock):
    """The file is looked at once a second at most, whatever the traffic."""
    key = file.load()
    file.write(f"{B}\n{A}\n")
    clock.now += 0.9
    assert key().fingerprints() == names(A)
    clock.now += 0.2
    assert key().fingerprints() == names(B, A)
    clock.now += 60
    assert key() is key()


@pytest.mark.parametrize("damage", ["", "\n# nothing\n", "hunter2\n", f"{A}\nchangeme\n", "password" * 5], ids=range(5))
def test_a_damaged_file_leaves_the_secrets_read_before_in_force(file, clock, caplog, damage):
    """The mistake is logged without any of the file's content, and the mend is taken up."""
    key = file.load()
    file.write(damage)
    clock.now += 1
    assert key().fingerprints() == names(A)
    (record,) = caplog.records
    assert (record.event, record.levelno) == ("keys_not_reloaded", logging.WARNING)
    assert not [line for line in damage.split() if line[:5] in record.message and line != "#"]
    file.write(f"{B}\n")
    clock.now += 1
    assert key().fingerprints() == names(B)


def test_a_file_that_is_gone_leaves_the_secrets_read_before_in_force(file, clock, caplog):
    """An editor that writes a new file, or a volume that is away for a moment, logs nobody out."""
    key = file.load()
    file.path.unlink()
    clock.now += 1
    assert key().fingerprints() == names(A)
    assert "key_file" in caplog.text
    file.write(f"{B}\n{A}\n")
    clock.now += 1
    assert key().fingerprints() == names(B, A)


@pytest.mark.parametrize("content", ["", "# nothing\n", "hunter2\n", f"{A}\nchangeme\n"], ids=range(4))
def test_a_bad_file_at_the_start_is_an_error_that_names_the_setting(file, content):
    """Whoever gave a file must be told of the file, and never shown what is in it."""
    file.write(content)
    with pytest.raises(ConfigurationError, match="key_file") as caught:
        file.load()
    assert A not in str(caught.value)


def test_a_missing_file_is_an_error_with_the_mend(tmp_path):
    """The message says how to make one."""
    with pytest.raises(ConfigurationError, match=r"^key_file .*nothing.*genkey"):
        Settings.load({"key_file": str(tmp_path / "nothing"), "backend": "memory://"}, {})


def test_the_file_is_of_its_application(file):
    """``app_name`` separates what a file gives like what a keyword gives."""
    assert file.load(app_name="shop")().fingerprints() == MachineKey(A, app_name="shop").fingerprints()


def test_a_weak_secret_passes_in_development_only(file):
    """As anywhere else."""
    file.write("dev\n")
    assert file.load(development=True)().fingerprints()
    with pytest.raises(ConfigurationError):
        file.load()


def test_a_key_that_is_dropped_in_the_middle_of_a_request_breaks_nothing(file, clock):
    """A request that has begun ends well, and saves; for the next one, the session is over."""
    manager = Node.of(file.environment, key_file=file.path, backend="memory://")
    first = manager.open([])
    first["a"] = 1
    token = manager.commit(first).token.encode()
    running, lazy, leaving = manager.open([token]), manager.open([token]), manager.open([token])
    running["b"] = 2
    file.write(f"{B}\n")
    clock.now += 1
    running.save()
    running["c"] = 3
    assert manager.commit(running).token is None
    assert not running.modified
    assert not manager.observer.counters["write_dropped"]
    assert manager.read(token) == {}
    assert dict(lazy) == {}
    leaving.destroy()
    assert manager.commit(leaving).clear
