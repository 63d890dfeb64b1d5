"""One record's name with everything made from it, made once when a token was verified. Pure; it cannot be printed.

An `Identity` keeps the secrets as they were at that moment. So a request that has begun ends well, even if a secret is
taken away meanwhile.
"""

import hmac
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharedsession.keys.derivation import ID_CHARACTERS, KEY_ID_BYTES, NO_TAG, SecretKeys, url_text
from sharedsession.keys.idle_code import decode_idle

NONCE_BYTES = 12
_SEALED = b"\xa1"  # the first byte of a record is its format, so that readers recognise older and newer ones
_AUTHENTICATED = b"\xa2"
_HEADER_BYTES = 1 + KEY_ID_BYTES
_NONCE_END = _HEADER_BYTES + NONCE_BYTES
_MAC_BYTES = 32
_IDLE = slice(ID_CHARACTERS - 2, ID_CHARACTERS)

INDEX, STAMP = "index", "stamp"
"""The records of a principal."""


class KeySet(NamedTuple):
    """The secrets of a farm at one moment.

    Attributes:
        first: the keys of the secret that signs and seals.
        by_id: the keys of all secrets, by the ID that stands in tokens and records.
    """

    first: SecretKeys
    by_id: Mapping[bytes, SecretKeys]


class Identity:
    """The name of a record, and what is made from it.

    A session's record is named by its ID. Other records are named by a session's ID or a principal's tag, and a suffix:
    such a name is never signed, so no token leads there.

    Args:
        name: random, secret; never leaves this process but in a session's signed token.
        own: the keys of the secret that the name was made under.
        keys: all secrets.
        tag: of the principal in a session ID, where that is known.
        token: the signed ID, where that is known.

    Attributes:
        name: as given.
        store_key: the name under which a store keeps the record: a keyed hash, useless as a cookie.
        cipher: encrypts and opens the record.
        context: what a sealed record is bound to.
        idle_timeout: the session's own idle timeout in seconds; ``None`` for the farm's.
        is_session: whether this is the name of a session's record: a session ID.
        stamp: the identity of the principal's security stamp, for a session that has a principal.
    """

    __slots__ = (
        "_keys",
        "_own",
        "_tag",
        "_token",
        "cipher",
        "context",
        "idle_timeout",
        "is_session",
        "name",
        "stamp",
        "store_key",
    )

    def __init__(
        self, name: str, own: SecretKeys, keys: KeySet, *, tag: bytes | None = None, token: str | None = None
    ) -> None:
        self.name = name
        self.is_session = len(name) == ID_CHARACTERS
        made = own.made_for(name, tag) if self.is_session else own.of_record(name)
        self.store_key, self.cipher, self.context, self._tag = made
        self._token = token
        self._own = own
        self._keys = keys
        self.stamp: Identity | None = None
        self.idle_timeout: float | None = None
        if self.is_session:
            self.idle_timeout = decode_idle(name[_IDLE])
            if self._tag != NO_TAG:
                self.stamp = Identity(f"{url_text(self._tag)}.{STAMP}", own, keys)

    @property
    def token(self) -> str:
        """The signed ID: what travels."""
        if self._token is None:
            self._token = self._own.signer.sign(self.name).decode()
        return self._token

    @property
    def handle(self) -> str:
        """The session's public name for logs and lists: it leads neither to the cookie nor to the record.

        A permutation of principal's tag and store key's digest under a key of its own, so that a holder of the secret
        can go back.
        """
        return url_text(self._own.permute(self._tag + self._own.digest(self.name)))

    def for_lock(self) -> "Identity":
        """Returns the identity of the session's lock."""
        return Identity(f"{self.name}.lock", self._own, self._keys)

    def is_of(self, keys: KeySet) -> bool:
        """Returns whether the secret that the ID was made under is still one of these."""
        return self._own.key_id in keys.by_id

    def seal(self, record: bytes, nonce: bytes, *, encrypt: bool = True) -> bytes:
        """Encrypts and authenticates a record, so that only this session's ID and a secret open it.

        Args:
            record: the plain bytes.
            nonce: 12 random bytes, fresh for each call.
            encrypt: ``False`` leaves the record readable, still authenticated.
        """
        first = self._keys.first
        cipher, context = (self.cipher, self.context) if first is self._own else self._made_by(first)
        if not encrypt:
            header = _AUTHENTICATED + first.key_id
            return header + first.mac(header + context, record) + record
        header = _SEALED + first.key_id
        return header + nonce + cipher.encrypt(nonce, record, header + context)

    def open(self, sealed: bytes) -> bytes | None:
        """Opens what `seal` made for this session ID under any of the secrets.

        Returns:
            The plain bytes, or ``None`` if the record is another session's, damaged, forged or planted.
        """
        header = sealed[:_HEADER_BYTES]
        key = self._keys.by_id.get(header[1:])
        if key is None:
            return None
        cipher, context = (self.cipher, self.context) if key is self._own else self._made_by(key)
        context = header + context
        if header[:1] == _SEALED:
            try:
                return cipher.decrypt(sealed[_HEADER_BYTES:_NONCE_END], sealed[_NONCE_END:], context)
            except (InvalidTag, ValueError):  # ValueError: a nonce that was cut short
                return None
        body = sealed[_HEADER_BYTES:]
        if header[:1] == _AUTHENTICATED and hmac.compare_digest(key.mac(context, body[_MAC_BYTES:]), body[:_MAC_BYTES]):
            return body[_MAC_BYTES:]
        return None

    def _made_by(self, key: SecretKeys) -> tuple[AESGCM, bytes]:
        """Returns cipher and context under another secret than the ID's own."""
        _, cipher, context, _ = key.of_record(self.name)
        return cipher, context

    def __repr__(self) -> str:
        return "<Identity, hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Identity holds secrets and is never pickled")
