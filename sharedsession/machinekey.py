"""The farm's secrets and everything made from them: IDs, tokens, sealed records, store keys, handles.

One secret never does two jobs: HKDF (RFC 5869) derives a key per purpose, bound to ``app_name``, so that two
applications under one secret have nothing in common. Pure: no clock, no I/O. Nothing here can be printed,
pickled or compared.

    session ID   <43 random characters>.<key ID>[.<idle milliseconds>]
    token        <session ID>.<signature>                                     what travels
    store key    ss:<keyed hash of the session ID>                            what a store sees
    record       <format><key ID><nonce><AES-256-GCM ciphertext and tag>      what a store keeps
"""

import hashlib
import hmac
import os
import secrets
from binascii import b2a_base64
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeAlias, Union

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import Signer

from sharedsession.errors import ConfigurationError, SessionEnded
from sharedsession.secretcheck import problem_with

SecretKey: TypeAlias = Union[str, bytes, "MachineKey", Sequence[Union[str, bytes, "MachineKey"]]]

MAX_TOKEN_BYTES = 160
_SEALED = b"\xa1"  # the first byte of a record is its format, so that readers can know older and newer ones
_AUTHENTICATED = b"\xa2"
_KEY_ID_BYTES = 6
_KEY_ID = slice(44, 44 + _KEY_ID_BYTES)  # behind the 43 characters of 32 random bytes, and a dot
_SIGNATURE = 44  # a dot and the 43 characters of 32 bytes
_NONCE_BYTES = 12
_MAC_BYTES = 32
_REMEMBERED = 128
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class MachineKey:
    """The machine key of a web farm: one secret, or several while they rotate.

    The first secret signs and seals, all of them verify and open.

    Args:
        secret_key: a secret of at least 32 bytes, another `MachineKey`, or a list of them, newest first.
        app_name: the farm's identity. Another name under the same secret shares nothing.
        development: lets weak secrets pass.

    Raises:
        ConfigurationError: a secret is missing, weak, a placeholder, or printed in public documentation.
    """

    __slots__ = ("_by_id", "_first", "_secrets")

    def __init__(self, secret_key: SecretKey, *, app_name: str = "default", development: bool = False) -> None:
        self._secrets = tuple(dict.fromkeys(_flatten(secret_key)))
        _check(self._secrets, development=development)
        keys = [_Keys(secret, app_name.encode("utf-8", "surrogatepass")) for secret in self._secrets]
        self._first = keys[0]
        self._by_id = {key.key_id: key for key in keys}

    @staticmethod
    def generate() -> str:
        """Makes a new secret of 384 random bits, ready for ``secret_key`` or a line of ``key_file``."""
        return secrets.token_urlsafe(48)

    def new_id(self, idle_timeout: float | None = None) -> str:
        """Makes a session ID: 256 random bits and the ID of the key that is the first now.

        Args:
            idle_timeout: the session's own idle timeout in seconds, if it differs from the farm's. It is part of
                the ID because a read renews the record before it has seen it.
        """
        session_id = f"{secrets.token_urlsafe(32)}.{self._first.key_id.decode()}"
        return session_id if idle_timeout is None else f"{session_id}.{max(1, round(idle_timeout * 1000))}"

    def sign(self, session_id: str) -> str:
        """Turns a session ID into the token that travels."""
        return self._key_of(session_id).signer.sign(session_id).decode()

    def verify(self, token: bytes) -> str | None:
        """Finds the session ID in a token, in constant time for tokens of one length.

        The token must be, byte for byte, the one that `sign` makes: an ID has exactly one encoding.

        Returns:
            The session ID, or ``None`` for whatever no holder of a secret has signed.
        """
        if len(token) > MAX_TOKEN_BYTES:
            return None
        signed = token[:-_SIGNATURE]
        key = self._by_id.get(signed[_KEY_ID])
        signature = (key or self._first).signer.get_signature(signed)
        genuine = hmac.compare_digest(b".%b" % signature, token[-_SIGNATURE:])
        return signed.decode("ascii") if key and genuine else None

    def store_key(self, session_id: str) -> str:
        """The name under which a store keeps the record: a keyed hash, useless as a cookie."""
        return self._key_of(session_id).of_session(session_id).store_key

    def handle(self, session_id: str) -> str:
        """The session's public name for logs and lists: it leads neither to the cookie nor to the record.

        A permutation of the store key under a key of its own, so that a holder of the secret can go back.
        """
        key = self._key_of(session_id)
        return _text(key.permute(key.store_digest(session_id)))

    def seal(self, session_id: str, record: bytes, *, encrypt: bool = True) -> bytes:
        """Encrypts and authenticates a record, so that only this session's ID and a secret open it.

        Args:
            session_id: the ID the record is bound to.
            record: the plain bytes.
            encrypt: ``False`` leaves them readable, still authenticated.
        """
        key = self._first
        keys = key.of_session(session_id)
        if not encrypt:
            header = _AUTHENTICATED + key.key_id
            return header + key.mac(header + keys.context, record) + record
        header = _SEALED + key.key_id
        nonce = os.urandom(_NONCE_BYTES)
        return header + nonce + keys.cipher.encrypt(nonce, record, header + keys.context)

    def open(self, session_id: str, sealed: bytes) -> bytes | None:
        """Opens what `seal` made for this session ID under any of the secrets.

        Returns:
            The plain bytes, or ``None`` if the record is another session's, damaged, forged or planted.
        """
        header, body = sealed[: 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        key = self._by_id.get(header[1:])
        if key is None:
            return None
        keys = key.of_session(session_id)
        context = header + keys.context
        if header[:1] == _SEALED:
            return _decrypt(keys.cipher, body, context)
        if header[:1] == _AUTHENTICATED and hmac.compare_digest(key.mac(context, body[_MAC_BYTES:]), body[:_MAC_BYTES]):
            return body[_MAC_BYTES:]
        return None

    def fingerprints(self) -> list[str]:
        """A public name for each secret, newest first: equal on two nodes if and only if the secrets are."""
        return [key_id.decode() for key_id in self._by_id]

    def _key_of(self, session_id: str) -> "_Keys":
        try:
            return self._by_id[session_id[_KEY_ID].encode()]
        except KeyError:
            raise SessionEnded("the secret under which the session began was taken away") from None

    def __repr__(self) -> str:
        return f"<MachineKey of {len(self._secrets)} secret(s), hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MachineKey holds the farm's secrets and is never pickled")


def idle_timeout_of(session_id: str) -> float | None:
    """The idle timeout in seconds that the ID itself carries, or ``None`` for the farm's own."""
    fields = session_id.split(".")
    return int(fields[2]) / 1000 if len(fields) == 3 else None


class _SessionKeys(NamedTuple):
    """What is derived from one secret for one session.

    Attributes:
        store_key: the name of its record.
        cipher: a key per session: a dump together with the secret still opens nothing without the cookies.
        context: what a sealed record is bound to, behind its header.
    """

    store_key: str
    cipher: AESGCM
    context: bytes


class _Keys:
    """What is derived, once, from one secret."""

    __slots__ = ("_app_name", "_handle", "_mac", "_seal", "_store", "key_id", "of_session", "signer")

    def __init__(self, secret: bytes, app_name: bytes) -> None:
        def derive(purpose: bytes, length: int = 32) -> bytes:
            info = b"\0".join((b"sharedsession 1", purpose, app_name))
            return HKDF(SHA256(), length, salt=b"sharedsession", info=info).derive(secret)

        # Four and a half bytes are six characters without padding.
        self.key_id = _base64(derive(b"key id", 5))[:_KEY_ID_BYTES]
        self.signer = _CachedSigner(derive(b"cookie"))
        self._app_name = app_name
        self._seal = _KeyedHash(derive(b"seal"))
        self._mac = _KeyedHash(derive(b"authenticate"))
        self._store = _KeyedHash(derive(b"store key"))
        self._handle = derive(b"handle")
        # A request needs them for one session several times; remembered for the sessions of a moment.
        self.of_session = lru_cache(_REMEMBERED)(self._of_session)

    def store_digest(self, session_id: str) -> bytes:
        return self._store(session_id.encode())[:16]

    def _of_session(self, session_id: str) -> _SessionKeys:
        raw = session_id.encode()
        store_key = f"ss:{_text(self._store(raw)[:16])}"
        return _SessionKeys(store_key, AESGCM(self._seal(raw)), b"\0".join((b"", self._app_name, raw)))

    def mac(self, context: bytes, record: bytes) -> bytes:
        return self._mac(context + b"\0" + record)

    def permute(self, block: bytes) -> bytes:
        # A single block: ECB is the bare permutation here.
        encryptor = Cipher(algorithms.AES(self._handle), modes.ECB()).encryptor()  # noqa: S305
        return encryptor.update(block) + encryptor.finalize()


class _KeyedHash:
    """HMAC-SHA256 whose key is taken in once: a copy of that state costs a quarter of a new one."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def __call__(self, data: bytes) -> bytes:
        hashing = self._keyed.copy()
        hashing.update(data)
        return hashing.finalize()


class _CachedSigner(Signer):
    """itsdangerous' signer; the same bytes, but its key is derived once and not at every call."""

    default_digest_method = staticmethod(hashlib.sha256)
    default_key_derivation = "hmac"

    def __init__(self, key: bytes) -> None:
        super().__init__(key, salt=b"sharedsession.token")
        self._hash = _KeyedHash(self.derive_key())

    def get_signature(self, value: str | bytes) -> bytes:
        return _base64(self._hash(value if isinstance(value, bytes) else value.encode()))


def _flatten(secret_key: SecretKey) -> Iterable[bytes]:
    if isinstance(secret_key, MachineKey):
        yield from secret_key._secrets
    elif isinstance(secret_key, str | bytes):
        # Lone surrogates are what Python makes of environment variables that are no UTF-8.
        yield secret_key.encode("utf-8", "surrogatepass") if isinstance(secret_key, str) else secret_key
    elif isinstance(secret_key, list | tuple):
        for item in secret_key:
            yield from _flatten(item)
    else:
        raise ConfigurationError(
            f"secret_key must be a str, bytes, a MachineKey or a list of them, not {type(secret_key).__name__}"
        )


def _check(secret_list: Sequence[bytes], *, development: bool) -> None:
    if not secret_list or not all(secret_list):
        raise ConfigurationError("secret_key is empty: put the output of `sharedsession genkey` on every web node")
    for number, secret in enumerate(secret_list, 1):
        problem = None if development else problem_with(secret)
        if problem:
            which = f"secret_key (number {number} of {len(secret_list)})" if len(secret_list) > 1 else "secret_key"
            raise ConfigurationError(
                f"{which} {problem}; replace it by the output of `sharedsession genkey`, "
                "or set development=True on a machine that serves nobody"
            )


def _decrypt(cipher: AESGCM, body: bytes, context: bytes) -> bytes | None:
    try:
        return cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], context)
    except (InvalidTag, ValueError):  # ValueError: a nonce cut short
        return None


def _text(raw: bytes) -> str:
    return _base64(raw).decode()


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")
