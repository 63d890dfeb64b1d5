"""Tokens, session IDs and handles that others made up; secrets and key files as people write them."""

import re
import tempfile
from base64 import urlsafe_b64decode
from pathlib import Path

from sharedsession.errors import ConfigurationError
from sharedsession.keys import KeyFile, MachineKey
from sharedsession.keys.key_file import rotate
from sharedsession.keys.typed import bytes_of
from sharedsession.testing import ManualEnvironment
from tests.fuzz.target import Choices, as_text, damaged, target

SECRETS = ("Ck7Wc0p1xqLr9mZt3VnB5sYdEfGhJkQ2aRuTi8Xo4Pw", "zN6bHg2Lq0TtXy5WcVfRe9UiPo3AsDmKj7Qx1Zl8BvM")
MACHINE_KEY = MachineKey(SECRETS)
_IDENTITIES = [
    MACHINE_KEY.new_identity(bytes(range(16))),
    MACHINE_KEY.new_identity(bytes(range(16, 32)), 90.0, "alice"),
    MachineKey(SECRETS[1]).new_identity(bytes(16)),
]
_TOKENS = [identity.token.encode() for identity in _IDENTITIES]
_NAMES = [identity.name.encode() for identity in _IDENTITIES]
_STORE_KEY = re.compile(r"ss:(\{[A-Za-z0-9_-]{11}\})?[A-Za-z0-9_-]{22}")
_SHORTEST_SHOWN = 16  # characters of a secret that cannot stand in a message by chance


@target(*_TOKENS, words=(b".", b"=", b"-_", b"+/", b"AA"), tries=4000)
def token(data: bytes) -> None:
    """No token is genuine but the ones that were made, byte for byte: no damage, and no other encoding."""
    assert data in _TOKENS or MACHINE_KEY.verify(data) is None
    choices = Choices(data)
    genuine = _TOKENS[choices.number(len(_TOKENS))]
    assert MACHINE_KEY.verify(damaged(genuine, choices)) is None
    found = MACHINE_KEY.verify(genuine)
    assert found is not None
    assert found.token.encode() == genuine


@target(
    *_NAMES, *(name[:-2] + code for name in _NAMES for code in (b"99", b"gA", b"_-")), words=(b"AA", b"-", b"_", b"99")
)
def session_id(data: bytes) -> None:
    """What is taken for a session ID is written in one way only, and has a key in the store and a timeout."""
    text = as_text(data)
    found = MACHINE_KEY.identity_of(text)
    if found is None:
        assert data not in _NAMES
        return
    assert found.name == text
    assert found.idle_timeout is None or 0 < found.idle_timeout < 512 * 86400
    assert _STORE_KEY.fullmatch(found.store_key)
    verified = MACHINE_KEY.verify(found.token.encode())
    assert verified is not None
    assert verified.store_key == found.store_key


@target(*(identity.handle.encode() for identity in _IDENTITIES), words=(b"=", b"-", b"_", b"+", b"/"))
def handle(data: bytes) -> None:
    """A handle leads to well-formed store keys, and is written in one way only; anything else leads nowhere."""
    text = as_text(data)
    keys = MACHINE_KEY.store_keys_of(text)
    assert len(keys) in {0, len(SECRETS)}
    assert all(map(_STORE_KEY.fullmatch, keys))
    if keys:
        block, own = urlsafe_b64decode(text), MACHINE_KEY.keys.first
        assert own.permute(own.permute(block, back=True)) == block
    for identity in _IDENTITIES:
        assert (identity.store_key in keys) == (text == identity.handle)


@target(
    *(secret.encode() for secret in SECRETS),
    b"changeme" * 5,
    b"c7" * 32,
    b"base64:" + b"Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v",
    b"0x" + b"0123456789abcdef" * 4,
    b"\xff\xfe" + "a\u0000b".encode("utf-16-le") * 20,
    words=(b"\xef\xbb\xbf", b"secret", b"\0", b"0x", b"base64:", b"=", b"urn:uuid:", b"qwertyuiop"),
    tries=800,
)
def secret(data: bytes) -> None:
    """A secret is taken or refused, the same as bytes and as text; the refusal does not repeat it."""
    as_bytes, written = _refusal(data), _refusal(as_text(data))
    assert as_bytes == written
    _assert_hidden(data, as_bytes or "")
    _refusal(data[: len(data) // 2 * 2].decode("utf-16-le", "surrogatepass"))
    assert bytes_of(bytes_of(data)) == bytes_of(data)


@target(
    SECRETS[0].encode() + b"\n",
    b"# comment\n\n" + "\n".join(SECRETS).encode(),
    b"# rotation, step 1 of 3 was done at 2026-11-30T10:00:00Z: x\n" + "\n".join(SECRETS).encode(),
    b"# rotation, step 2 of 3 was done at 9999-12-31T23:59:59Z: x\n" + "\n".join(SECRETS).encode(),
    b"# rotation, step 2\n" + "\n".join(SECRETS).encode(),
    words=(b"# rotation, step ", b" of 3 was done at ", b"\r", b"\n", b"\xff\xfe", b"0000-00-00T00:00:00Z"),
    tries=250,
)
def key_file(data: bytes) -> None:
    """A key file is read, and rotated, or refused without a word of its secrets; one that rotates is readable."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as directory:
        file = Path(directory) / "keys"
        file.touch(0o600)
        file.write_bytes(data)
        lines = data.split()
        readable = _read(file, lines)
        try:
            step = rotate(file, keep_old_for=3e9, environment=_ENVIRONMENT)
        except ConfigurationError as error:
            _assert_all_hidden(lines, str(error))
            assert file.read_bytes() == data
        else:
            assert step in {1, 2, 3}
            assert readable
            assert _read(file, lines)


_ENVIRONMENT = ManualEnvironment(seed=1)
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


def _refusal(written: str | bytes) -> str | None:
    try:
        MachineKey(written)
    except ConfigurationError as error:
        return str(error)
    return None


def _read(file: Path, secrets: list[bytes]) -> bool:
    try:
        KeyFile(file, app_name="default", development=False, environment=_ENVIRONMENT)
    except ConfigurationError as error:
        _assert_all_hidden(secrets, str(error))
        return False
    return True


def _assert_all_hidden(secrets: list[bytes], message: str) -> None:
    for each in secrets:
        _assert_hidden(each, message)


def _assert_hidden(secret: bytes, message: str) -> None:
    text = as_text(secret).strip()
    assert len(text) < _SHORTEST_SHOWN or text not in message


TARGETS = (token, session_id, handle, secret, key_file)
