"""The file of secrets: rotated without a restart, and never able to take a running farm down."""

import logging
import os
import tempfile
from pathlib import Path

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
        self.path.chmod(0o600)
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


@pytest.mark.parametrize(
    ("secrets", "count"), [([A, B], "2 secrets are in force now"), ([B], "1 secret is in force now")]
)
def test_a_rotation_is_seen_where_nobody_has_configured_a_log(file, clock, caplog, secrets, count):
    """Which file, whose, and which secrets by their public names, which all web nodes must agree on: never a secret."""
    machine_key = file.load(app_name="shop")
    file.write("\n".join(map(str, secrets)))
    clock.now += 1
    names = machine_key().fingerprints()
    (record,) = caplog.records
    assert (record.event, record.levelno) == ("keys_reloaded", logging.WARNING)
    said = record.getMessage()
    assert said.startswith(f"session key_file {str(file.path)!r} of application 'shop' has changed: {count}")
    assert f"the first one signs ({', '.join(names)})" in said
    assert len(names) == len(secrets)
    assert str(A) not in said
    assert str(B) not in said


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


# -- who else may use it


@pytest.fixture
def open_directory():
    """A directory that other users of this machine can look into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


@pytest.fixture
def open_file(open_directory, clock):
    """A key file that others would reach if its mode let them."""
    found = File(open_directory / "farm.key", clock)
    found.write(f"{A}\n")
    return found


def named(caplog):
    """What the log says of files that others can use."""
    return [record.getMessage() for record in caplog.records if record.event == "file_open_to_others"]


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602, 0o622])
def test_a_file_that_others_can_change_is_refused(open_file, mode):
    """Whoever can add a line signs sessions: an error at start-up, with the fix."""
    open_file.path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {open_file.path}"):
        open_file.load()


@pytest.mark.parametrize("mode", [0o666, 0o660])
def test_a_directory_that_lets_no_others_through_protects_it(file, caplog, mode):
    """Its mode is named all the same: the file may be moved."""
    file.path.parent.chmod(0o700)
    file.path.chmod(mode)
    assert file.load()().fingerprints() == names(A)
    (line,) = named(caplog)
    assert "may be changed" in line
    assert f"chmod 600 {file.path}" in line


def test_a_file_that_others_can_read_is_named_once(open_file, clock, caplog):
    """One line at start-up, none at each request, and one more if its rights change."""
    open_file.path.chmod(0o644)
    get = open_file.load()
    for _ in range(5):
        clock.now += 1.0
        assert get().fingerprints() == names(A)
    (line,) = named(caplog)
    assert "may be read" in line
    assert f"chmod 600 {open_file.path}" in line


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_of_owner_and_group_is_not_named(open_file, caplog, mode):
    """A group that may read, and not write, is the web node's."""
    open_file.path.chmod(mode)
    assert open_file.load()().fingerprints() == names(A)
    assert named(caplog) == []


def test_rights_that_change_while_it_runs_take_nothing_down(open_file, clock, caplog):
    """A file that others can change from now on is not read again, and the log says why."""
    get = open_file.load()
    open_file.write(f"{B}\n")
    open_file.path.chmod(0o666)
    clock.now += 1.0
    assert get().fingerprints() == names(A)
    (record,) = [record for record in caplog.records if record.event == "keys_not_reloaded"]
    assert f"chmod 600 {open_file.path}" in record.getMessage()
    open_file.path.chmod(0o600)
    clock.now += 1.0
    assert get().fingerprints() == names(B)


def test_development_names_what_it_would_refuse(open_file, caplog):
    """On a machine that serves no visitors."""
    open_file.path.chmod(0o666)
    assert open_file.load(development=True)().fingerprints() == names(A)
    assert len(named(caplog)) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(open_file):
    """Its owner could change it; root's own file is read."""
    os.chown(open_file.path, 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        open_file.load()
    os.chown(open_file.path, 0, -1)
    assert open_file.load()().fingerprints() == names(A)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="the kubelet is root")
def test_a_secret_that_kubernetes_mounts_is_not_named(open_directory, clock, caplog):
    """Root's, mode 0644, behind a link that the kubelet turns to the next version: so secrets are mounted."""
    version = open_directory / "..2026_01_01"
    version.mkdir()
    (version / "farm.key").write_text(f"{A}\n")
    (version / "farm.key").chmod(0o644)
    (open_directory / "..data").symlink_to(version.name)
    mounted = open_directory / "mounted.key"
    mounted.symlink_to("..data/farm.key")
    found = Settings.load({"key_file": mounted, "backend": "memory://"}, {})
    (open_directory / "..data").unlink()
    assert found.machine_key().fingerprints() == names(A)
    assert named(caplog) == []
