"""A file with one secret a line, newest first; read again when it changes, so that secrets rotate without a restart.

A file that cannot be read or holds a bad secret never takes a running farm down: the secrets read before stay in force.
The same for a file that another user can change, who could add a secret and sign sessions with it. A reader sees the
whole old file or the whole new one, also while `rotate` changes it.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError
from sharedsession.file_rights import FileRights, rights_of
from sharedsession.keys.machine_key import MachineKey
from sharedsession.keys.typed import bytes_of, is_utf_16
from sharedsession.observe import Observer

_LOOK_EVERY = 1.0
_MARK = "# rotation, step {} of 3 was done at {:%Y-%m-%dT%H:%M:%SZ}: `sharedsession genkey --rotate` makes the next one"
_MARKED = re.compile(rb"# rotation, step (\d)(?: of 3 was done at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ))?")


class KeyFile:
    """The secrets in a file.

    Args:
        path: of the file; empty lines and lines that begin with ``#`` do not count.
        app_name: of the farm.
        development: allows weak secrets, and files that another user can change.
        named: what a setting is called in errors and log records.
        environment: where the clock comes from.

    Attributes:
        path: as given.
        rights: what others may do with the file that was read last.

    Raises:
        ConfigurationError: the file cannot be read, holds no secret or a weak one, or another user can change it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        app_name: str,
        development: bool,
        named: Callable[[str], str] = str,
        environment: Environment = REAL,
    ) -> None:
        self.path = Path(path)
        self._app_name = app_name
        self._development = development
        self._setting = f"{named('key_file')} {str(self.path)!r}"
        self._named = named
        self._observer = Observer(environment=environment)
        self._monotonic = environment.monotonic
        self._remarked: str | None = None
        self._looked = self._monotonic()
        self._stamp = self._look()
        self._key = self._read()

    def __call__(self) -> MachineKey:
        """Returns the machine key of now. The file is looked at once a second at most."""
        now = self._monotonic()
        if now >= self._looked + _LOOK_EVERY:
            self._looked = now
            self._refresh()
        return self._key

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._key, self._stamp = self._read(), stamp
                self._observer.event("keys_reloaded", self._in_force())
        except ConfigurationError as error:
            self._observer.event("keys_not_reloaded", f"session {error}; the secrets read before stay in force")

    def _in_force(self) -> str:
        """Returns which secrets are in force now, by their public names: the same on all web nodes that agree."""
        names = self._key.fingerprints()
        count = "1 secret is" if len(names) == 1 else f"{len(names)} secrets are"
        return (
            f"session {self._setting} of application {self._app_name!r} has changed: {count} in force now, "
            f"the first one signs ({', '.join(names)})"
        )

    def _look(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise self._unreadable(error) from None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid

    def _read(self) -> MachineKey:
        try:
            with self.path.open("rb") as file:
                self.rights = rights_of(self.path, os.fstat(file.fileno()))
                content = file.read()
        except OSError as error:
            raise self._unreadable(error) from None
        self._check(self.rights)
        try:
            found, _ = _parsed(content)
            return MachineKey(found, app_name=self._app_name, development=self._development)
        except ConfigurationError as error:
            error.rename(lambda name: "its secret" if name == "secret_key" else self._named(name))
            raise ConfigurationError(f"{self._setting}: {error}") from None

    def _check(self, rights: FileRights) -> None:
        if rights.fault and not self._development:
            raise ConfigurationError(
                f"{self._setting} {rights.fault}, who could sign sessions: let it belong to root or to the "
                f"web node's user (chown), then chmod 600 {self.path}"
            )
        problem = rights.fault or rights.problem
        if problem and problem != self._remarked:
            self._observer.event("file_open_to_others", f"session {self._setting} {problem}: chmod 600 {self.path}")
        self._remarked = problem

    def _unreadable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"{self._setting} cannot be read ({error.strerror}): "
            "make it with `sharedsession genkey --out FILE` and let the web node's user read it"
        )


def rotate(path: str | os.PathLike[str], *, keep_old_for: float | None = 0.0, environment: Environment = REAL) -> int:
    """Takes a key file one step further: ``[A]``, ``[A, B]``, ``[B, A]``, ``[B]``.

    Args:
        path: of the file. A comment line in it tells which step was the last, and when that was.
        keep_old_for: seconds after the second step before the third one may be made: the absolute timeout, after which
            no session needs the old secret. ``None``: sessions may need it for ever.
        environment: where the clock comes from.

    Returns:
        The step that was made: 1 added a secret that only verifies, 2 made it the first, 3 dropped the old one.

    Raises:
        ConfigurationError: the file holds no secret, a weak one, three or more, or two of an unknown step; or the third
            step would come too early.
        OSError: the file cannot be read, or not be replaced; nothing was changed.
    """
    target = Path(path).resolve()  # a link stays a link
    now = datetime.fromtimestamp(environment.clock(), UTC)
    with _replacing(target) as file:
        try:
            secrets, comments = _parsed(target.read_bytes())
            step, new = _next_step(secrets, comments)
            MachineKey(new)
            if step == 3:
                _check_that_old_is_unused(_second_step(target, comments), now, keep_old_for)
        except ConfigurationError as error:
            raise ConfigurationError(f"{str(path)!r} was left as it is: {error}") from None
        kept = [line for line in comments if not _MARKED.match(line)]
        mark = [_MARK.format(step, now).encode()] if step < 3 else []
        file.write(b"\n".join([*kept, *mark, *new, b""]))
    return step


def _second_step(path: Path, comments: Sequence[bytes]) -> datetime:
    """Returns when the second step was made; without a note of it, when the file was changed last."""
    noted = [mark[2] for mark in map(_MARKED.match, comments) if mark and mark[2]]
    with suppress(ValueError, IndexError):
        return datetime.fromisoformat(noted[0].decode())
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _check_that_old_is_unused(since: datetime, now: datetime, keep_old_for: float | None) -> None:
    if keep_old_for is None:
        raise ConfigurationError(
            "without an absolute_timeout, a session that is used needs the old secret for ever: set one and wait that "
            "long, or log such visitors out with --force"
        )
    try:
        until = since + timedelta(seconds=keep_old_for)
    except OverflowError:  # the note was written by hand
        until = datetime.max.replace(tzinfo=UTC)
    if now < until:
        raise ConfigurationError(
            f"step 3 comes too early. A session that the old secret signed may live until {until:%Y-%m-%d %H:%M} UTC, "
            f"the absolute timeout ({keep_old_for:.12g} s) after step 2: run this again then, or log such visitors out "
            "with --force"
        )


def _parsed(content: bytes) -> tuple[list[bytes], list[bytes]]:
    """Returns the secrets, each once, and the comments.

    Raises:
        ConfigurationError: the file is UTF-16.
    """
    if is_utf_16(content):
        raise ConfigurationError("it is UTF-16: write it as UTF-8 (in PowerShell: `| Out-File -Encoding ascii FILE`)")
    lines = [line for line in map(bytes_of, content.splitlines()) if line]
    secrets = dict.fromkeys(line for line in lines if not line.startswith(b"#"))
    return list(secrets), [line for line in lines if line.startswith(b"#")]


def _next_step(secrets: Sequence[bytes], comments: Sequence[bytes]) -> tuple[int, list[bytes]]:
    """Returns which step is next, and the secrets after it."""
    marks = [int(mark[1]) for mark in map(_MARKED.match, comments) if mark]
    match len(secrets), marks:
        case 0, _:
            raise ConfigurationError("it holds no secret: make one with `sharedsession genkey`")
        case 1, _:
            return 1, [*secrets, MachineKey.generate().encode()]
        case 2, [1]:
            return 2, [secrets[1], secrets[0]]
        case 2, [2]:
            return 3, [secrets[0]]
        case 2, _:
            raise ConfigurationError(
                "it holds two secrets, and no line says which step was the last: finish this rotation by hand, or add "
                "the line `# rotation, step 1` if the second is the new one, `# rotation, step 2` if the first is"
            )
    raise ConfigurationError("it holds three or more secrets: drop those that no session needs any more by hand")


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Opens a new file that replaces an old one in one step when it is complete; the owner stays the same.

    Raises:
        ConfigurationError: another rotation is at work.
        OSError: the old file stays.
    """
    old, beside = target.stat(), target.with_name(f".{target.name}.rotating")
    descriptor = _made(beside)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _give_to_owner(descriptor, old)
            yield file
            file.flush()
            os.fsync(descriptor)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
    _sync(target.parent)


def _give_to_owner(descriptor: int, old: os.stat_result) -> None:
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    # Where only owner and group could read it before, the group is the web node's.
    os.fchmod(descriptor, 0o600 if old.st_mode & 0o007 else 0o600 | old.st_mode & 0o040)


def _made(path: Path) -> int:
    """Creates a file that no other user can read at any time."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"another rotation is at work, or broke off: if none is, remove {path}") from None


def _sync(directory: Path) -> None:
    """Writes the new name to the disk: a step that was reported must not be undone by a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
