"""One secret is one machine key, however it was typed: in code, in the environment, in a file, in a framework."""

import secrets
from pathlib import Path
from typing import Any

import flask
import pytest
from starlette.datastructures import Secret

from sharedsession import MachineKey, Settings
from sharedsession.errors import ConfigurationError
from sharedsession.frameworks.flask import SharedSession
from sharedsession.frameworks.starlette import SessionMiddleware
from sharedsession.manager import engines_of

SECRET = MachineKey.generate()
AROUND = {
    "nothing": SECRET,
    "a line end": f"{SECRET}\n",
    "a line end of Windows": f"{SECRET}\r\n",
    "a byte order mark": f"\ufeff{SECRET}",
    "a mark and a line end": f"\ufeff{SECRET}\r\n",
    "zero bytes": f"\0{SECRET}\0\0",
    "all of it": f" \ufeff\0{SECRET}\0\r\n \ufeff",
}


def keyword(secret: str, _path: Path) -> MachineKey:
    return Settings.load({"secret_key": secret, "backend": "memory://"}, {}).machine_key()


def keyword_of_bytes(secret: str, _path: Path) -> MachineKey:
    return Settings.load({"secret_key": secret.encode(), "backend": "memory://"}, {}).machine_key()


def in_a_list(secret: str, _path: Path) -> MachineKey:
    return Settings.load({"secret_key": [secret], "backend": "memory://"}, {}).machine_key()


def environment(secret: str, _path: Path) -> MachineKey:
    return Settings.load({"backend": "memory://"}, {"SHAREDSESSION_SECRET_KEY": secret}).machine_key()


def key_file(secret: str, path: Path) -> MachineKey:
    path.write_bytes(secret.encode())
    return Settings.load({"key_file": path, "backend": "memory://"}, {}).machine_key()


def of_flask(secret: str, _path: Path) -> MachineKey:
    app = flask.Flask("shop")
    app.config["SECRET_KEY"] = secret
    return engines_of(SharedSession(app, backend="memory://").manager).settings.machine_key()


def of_flask_in_bytes(secret: str, _path: Path) -> MachineKey:
    app = flask.Flask("shop")
    app.config["SECRET_KEY"] = secret.encode()
    return engines_of(SharedSession(app, backend="memory://").manager).settings.machine_key()


def of_starlette(secret: str, _path: Path) -> MachineKey:
    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        """Serves nothing."""

    return engines_of(SessionMiddleware(app, Secret(secret), backend="memory://").manager).settings.machine_key()


WAYS = [keyword, keyword_of_bytes, in_a_list, environment, key_file, of_flask, of_flask_in_bytes, of_starlette]


@pytest.mark.parametrize("typed", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_stands_around_a_secret_is_no_part_of_it(way: Any, typed: str, tmp_path: Path) -> None:
    """Line ends, byte order marks and zero bytes are what editors and shells add."""
    assert way(typed, tmp_path / "farm.key").fingerprints() == MachineKey(SECRET).fingerprints()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_file_in_utf_16_is_refused(encoding: str, tmp_path: Path) -> None:
    """PowerShell's ``>`` writes it; the message says what to do, and nothing of the secret."""
    path = tmp_path / "farm.key"
    path.write_bytes(f"{SECRET}\r\n".encode(encoding))
    with pytest.raises(ConfigurationError, match="UTF-8") as caught:
        Settings.load({"key_file": path, "backend": "memory://"}, {})
    assert SECRET[:8] not in str(caught.value)


def test_the_bytes_of_a_secret_that_is_no_text_are_all_its_own() -> None:
    """A random byte may be a space or a zero: it counts."""
    raw = b"\x00 \n\xff" + secrets.token_bytes(40) + b"\n\x00"
    assert MachineKey(raw).fingerprints() != MachineKey(raw[:-1]).fingerprints()
    assert MachineKey(raw).fingerprints() == MachineKey(raw.decode("utf-8", "surrogateescape")).fingerprints()


@pytest.mark.parametrize("nothing", ["\ufeff", "\n", "\0", b"\xef\xbb\xbf\r\n"])
def test_what_stands_around_nothing_is_no_secret(nothing: str | bytes) -> None:
    """An empty file with a byte order mark is an empty file."""
    with pytest.raises(ConfigurationError, match="empty"):
        MachineKey(nothing, development=True)
