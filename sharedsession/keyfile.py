"""A file with one secret a line, newest first; read again when it changes, so that secrets rotate without a restart.

A file that cannot be read or holds a bad secret never takes a running farm down: the secrets read before stay.
"""

import logging
import os
import time
from pathlib import Path

from sharedsession.errors import ConfigurationError
from sharedsession.machinekey import MachineKey
from sharedsession.observe import Observer

_LOOK_EVERY = 1.0


class KeyFile:
    """The secrets in a file.

    Args:
        path: of the file; empty lines and lines that begin with ``#`` do not count.
        app_name: of the farm.
        development: lets weak secrets pass.

    Raises:
        ConfigurationError: the file cannot be read, or holds no secret or a weak one.
    """

    def __init__(self, path: str | os.PathLike[str], *, app_name: str, development: bool) -> None:
        self._path = Path(path)
        self._app_name = app_name
        self._development = development
        self._observer = Observer()
        self._looked = time.monotonic()
        self._stamp = self._look()
        self._key = self._read()

    def __call__(self) -> MachineKey:
        """The machine key of now; the file is looked at once a second at most."""
        now = time.monotonic()
        if now >= self._looked + _LOOK_EVERY:
            self._looked = now
            self._refresh()
        return self._key

    def _refresh(self) -> None:
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self._key, self._stamp = self._read(), stamp
                self._observer.event("keys_reloaded", "key_file changed: its secrets are in force now", logging.INFO)
        except ConfigurationError as error:
            self._observer.event("keys_not_reloaded", f"{error}; the secrets read before stay in force")

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreadable(error) from None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> MachineKey:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except OSError as error:
            raise self._unreadable(error) from None
        stripped = [line.strip() for line in lines]
        found = [line for line in stripped if line and not line.startswith(b"#")]
        try:
            return MachineKey(found, app_name=self._app_name, development=self._development)
        except ConfigurationError as error:
            raise ConfigurationError(f"key_file {str(self._path)!r}: {error}") from None

    def _unreadable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"key_file {str(self._path)!r} cannot be read ({error.strerror}): "
            "make it with `sharedsession genkey > FILE` and let the web node's user read it"
        )
