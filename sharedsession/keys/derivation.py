"""What is derived once from one secret: a key for each purpose, bound to ``app_name``. Pure; nothing here is printed.

One secret never does two jobs: HKDF (RFC 5869) gives each purpose a key of its own, so that two applications under
one secret have nothing in common.
"""

import hashlib
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import Signer
from itsdangerous.encoding import want_bytes

KEY_ID_BYTES = 6
RANDOM_BYTES = 16
TAG_BYTES = 8
NO_TAG = bytes(TAG_BYTES)
"""The tag of a session without a principal."""
DIGEST_BYTES = 16
HANDLE_BYTES = TAG_BYTES + DIGEST_BYTES
ID_CHARACTERS = 40
_BLOCK_CHARACTERS = 32  # random bytes and tag, as text
_HALF = HANDLE_BYTES // 2
_ROUNDS = 4  # Luby and Rackoff 1988: with four rounds of a keyed hash nobody tells it from a random permutation
_REMEMBERED = 128
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class RecordKeys(NamedTuple):
    """What is derived from one secret for one record.

    Attributes:
        store_key: the name of the record.
        cipher: a key per record: a dump together with the secret still opens nothing without the cookies.
        context: what a sealed record is bound to, behind its header.
        tag: of the principal; `NO_TAG` if there is none.
    """

    store_key: str
    cipher: AESGCM
    context: bytes
    tag: bytes


class SecretKeys:
    """What is derived, once, from one secret.

    Args:
        secret: at least 32 bytes.
        app_name: of the farm.

    Attributes:
        key_id: the secret's public name.
        signer: signs session IDs.
        of_record: same as `made_for`, remembered.
    """

    __slots__ = ("_app_name", "_handle", "_mac", "_mask", "_seal", "_store", "_tag", "key_id", "of_record", "signer")

    def __init__(self, secret: bytes, app_name: bytes) -> None:
        def derive(purpose: bytes) -> bytes:
            info = b"\0".join((b"sharedsession 1", purpose, app_name))
            return HKDF(SHA256(), 32, salt=b"sharedsession", info=info).derive(secret)

        self.key_id = _base64(derive(b"key id"))[:KEY_ID_BYTES]
        self.signer = _CachedSigner(derive(b"cookie"))
        self._app_name = app_name
        self._seal = KeyedHash(derive(b"seal"))
        self._mac = KeyedHash(derive(b"authenticate"))
        self._store = KeyedHash(derive(b"store key"))
        self._tag = KeyedHash(derive(b"principal"))
        self._mask = KeyedHash(derive(b"mask"))
        self._handle = KeyedHash(derive(b"handle"))
        self.of_record = lru_cache(_REMEMBERED)(self.made_for)  # all sessions of a principal share its records

    def session_id(self, random: bytes, tag: bytes, idle: str) -> str:
        """Returns a new session ID.

        Args:
            random: 16 random bytes.
            tag: of the principal.
            idle: two characters for the session's own idle timeout.
        """
        return url_text(random + self._masked(random, tag)) + self.key_id.decode() + idle

    def tag_of(self, principal: str) -> bytes:
        """Returns a keyed hash of a principal: a store cannot tell who logs in."""
        return self._tag(principal.encode())[:TAG_BYTES]

    def digest(self, name: str) -> bytes:
        """Returns the digest that the store key of a record is made of."""
        return self._store(name.encode())[:DIGEST_BYTES]

    def made_for(self, name: str, tag: bytes | None = None) -> RecordKeys:
        """Returns the keys of a record; ``tag`` is the one in its name, where that is known."""
        raw, tag = name.encode(), self._tag_in(name) if tag is None else tag
        store_key = store_key_of(tag, self._store(raw)[:DIGEST_BYTES])
        return RecordKeys(store_key, AESGCM(self._seal(raw)), b"\0".join((b"", self._app_name, raw)), tag)

    def _tag_in(self, name: str) -> bytes:
        """Returns the tag in the name of a record: it begins with a session ID, or with a tag."""
        origin, _, _ = name.partition(".")
        if len(origin) != ID_CHARACTERS:
            return urlsafe_b64decode(f"{origin}=")
        block = urlsafe_b64decode(origin[:_BLOCK_CHARACTERS])
        return self._masked(block[:RANDOM_BYTES], block[RANDOM_BYTES:])

    def _masked(self, random: bytes, tag: bytes) -> bytes:
        """Masks a tag, or unmasks it: the IDs of one principal's sessions have nothing in common."""
        return _xor(tag, self._mask(random)[:TAG_BYTES])

    def mac(self, context: bytes, record: bytes) -> bytes:
        """Returns the MAC of a record that stays readable."""
        return self._mac(context + b"\0" + record)

    def permute(self, block: bytes, *, back: bool = False) -> bytes:
        """Turns tag and digest of a session into a handle, or back: a Feistel network over a keyed hash."""
        left, right = block[:_HALF], block[_HALF:]
        for number in range(_ROUNDS):
            if back:
                left, right = _xor(right, self._round(_ROUNDS - 1 - number, left)), left
            else:
                left, right = right, _xor(left, self._round(number, right))
        return left + right

    def _round(self, number: int, half: bytes) -> bytes:
        return self._handle(bytes((number,)) + half)[:_HALF]


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
        return _base64(self._hash(want_bytes(value)))


def store_key_of(tag: bytes, digest: bytes) -> str:
    """Returns the store key of a record. All that belongs to a principal has its tag in braces, and lives together."""
    return f"ss:{url_text(digest)}" if tag == NO_TAG else f"ss:{{{url_text(tag)}}}{url_text(digest)}"


def url_text(raw: bytes) -> str:
    """Base64 for URLs and cookies, without padding (RFC 4648, section 5)."""
    return _base64(raw).decode()


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(other)).to_bytes(len(one))


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")
