"""What is derived once from one secret: a key for each purpose, bound to ``app_name``. Pure; nothing here is printed.

One secret never does two jobs: HKDF (RFC 5869) gives each purpose a key of its own, so that two applications under
one secret have nothing in common.
"""

import hashlib
from binascii import b2a_base64
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import Signer

KEY_ID_BYTES = 6
BLOCK_BYTES = 16
_REMEMBERED = 128
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class SessionKeys(NamedTuple):
    """What is derived from one secret for one session.

    Attributes:
        store_key: the name of its record.
        cipher: a key per session: a dump together with the secret still opens nothing without the cookies.
        context: what a sealed record is bound to, behind its header.
    """

    store_key: str
    cipher: AESGCM
    context: bytes


class SecretKeys:
    """What is derived, once, from one secret.

    Args:
        secret: at least 32 bytes.
        app_name: of the farm.

    Attributes:
        key_id: the secret's public name.
        signer: signs session IDs.
        of_session: returns the keys of a session, given its ID.
    """

    __slots__ = ("_app_name", "_handle", "_index", "_mac", "_seal", "_store", "key_id", "of_session", "signer")

    def __init__(self, secret: bytes, app_name: bytes) -> None:
        def derive(purpose: bytes, length: int = 32) -> bytes:
            info = b"\0".join((b"sharedsession 1", purpose, app_name))
            return HKDF(SHA256(), length, salt=b"sharedsession", info=info).derive(secret)

        # Four and a half bytes are six characters without padding.
        self.key_id = _base64(derive(b"key id", 5))[:KEY_ID_BYTES]
        self.signer = _CachedSigner(derive(b"cookie"))
        self._app_name = app_name
        self._seal = KeyedHash(derive(b"seal"))
        self._mac = KeyedHash(derive(b"authenticate"))
        self._store = KeyedHash(derive(b"store key"))
        self._index = KeyedHash(derive(b"index"))
        self._handle = derive(b"handle")
        # A request needs them for one session several times; remembered for the sessions of a moment.
        self.of_session = lru_cache(_REMEMBERED)(self._of_session)

    def store_digest(self, session_id: str) -> bytes:
        """Returns the digest that a store key is made of."""
        return self._store(session_id.encode())[:BLOCK_BYTES]

    def index_name(self, principal: str) -> str:
        """Returns a keyed hash of a principal: a store cannot tell who logs in."""
        return url_text(self._index(principal.encode()))

    def _of_session(self, session_id: str) -> SessionKeys:
        raw = session_id.encode()
        store_key = store_key_of(self._store(raw)[:BLOCK_BYTES])
        return SessionKeys(store_key, AESGCM(self._seal(raw)), b"\0".join((b"", self._app_name, raw)))

    def mac(self, context: bytes, record: bytes) -> bytes:
        """Returns the MAC of a record that stays readable."""
        return self._mac(context + b"\0" + record)

    def permute(self, block: bytes, *, back: bool = False) -> bytes:
        """Turns a store key's digest into a handle, or back."""
        # A single block: ECB is the bare permutation here.
        cipher = Cipher(algorithms.AES(self._handle), modes.ECB())  # noqa: S305
        context = cipher.decryptor() if back else cipher.encryptor()
        return context.update(block) + context.finalize()


class KeyedHash:
    """HMAC-SHA256 whose key is absorbed once: a copy of that state costs a quarter of a new one."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = HMAC(key, SHA256())

    def __call__(self, data: bytes) -> bytes:
        """Returns the hash of some bytes."""
        hashing = self._keyed.copy()
        hashing.update(data)
        return hashing.finalize()


class _CachedSigner(Signer):
    """itsdangerous' signer; the same bytes, but its key is derived once and not at every call."""

    default_digest_method = staticmethod(hashlib.sha256)
    default_key_derivation = "hmac"

    def __init__(self, key: bytes) -> None:
        super().__init__(key, salt=b"sharedsession.token")
        self._hash = KeyedHash(self.derive_key())

    def get_signature(self, value: str | bytes) -> bytes:
        return _base64(self._hash(value if isinstance(value, bytes) else value.encode()))


def store_key_of(digest: bytes) -> str:
    """Returns the store key of a record, given its digest."""
    return f"ss:{url_text(digest)}"


def url_text(raw: bytes) -> str:
    """Base64 for URLs and cookies, without padding (RFC 4648, section 5)."""
    return _base64(raw).decode()


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")
