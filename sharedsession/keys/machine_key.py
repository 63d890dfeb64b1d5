"""The farm's secrets and everything made from them: IDs, tokens, sealed records, store keys, handles.

Pure: no clock, no I/O. Nothing here can be printed, pickled or compared.

    session ID   <43 random characters>.<key ID>[.<idle milliseconds>]
    token        <session ID>.<signature>                                     what travels
    store key    ss:<keyed hash of the session ID>                            what a store sees
    record       <format><key ID><nonce><AES-256-GCM ciphertext and tag>      what a store keeps
"""

import hmac
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from typing import NoReturn, TypeAlias, Union

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sharedsession.errors import ConfigurationError, SessionEnded
from sharedsession.keys.derivation import BLOCK_BYTES, KEY_ID_BYTES, SecretKeys, store_key_of, url_text
from sharedsession.keys.strength import problem_with

SecretKey: TypeAlias = Union[str, bytes, "MachineKey", Sequence[Union[str, bytes, "MachineKey"]]]

MAX_TOKEN_BYTES = 160
_SEALED = b"\xa1"  # the first byte of a record is its format, so that readers can know older and newer ones
_AUTHENTICATED = b"\xa2"
_KEY_ID = slice(44, 44 + KEY_ID_BYTES)  # behind the 43 characters of 32 random bytes, and a dot
_SIGNATURE = 44  # a dot and the 43 characters of 32 bytes
_NONCE_BYTES = 12
_MAC_BYTES = 32


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
        keys = [SecretKeys(secret, app_name.encode("utf-8", "surrogatepass")) for secret in self._secrets]
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
        return url_text(key.permute(key.store_digest(session_id)))

    def store_keys_of(self, handle: str) -> list[str]:
        """The store keys that a handle can stand for: one for each secret, since it does not tell which made it.

        Returns:
            Store keys, newest secret first; nothing if it is no handle.
        """
        try:
            block = urlsafe_b64decode(f"{handle}==")
        except ValueError:
            return []
        found = [key for key in self._by_id.values() if len(block) == BLOCK_BYTES and url_text(block) == handle]
        return [store_key_of(key.permute(block, back=True)) for key in found]

    def index_ids(self, principal: str) -> list[str]:
        """The IDs under which the index of a principal's sessions is kept: one for each secret, newest first.

        Built as session IDs are, but never signed: no token leads there.
        """
        return [f"{key.index_name(principal)}.{key_id.decode()}.index" for key_id, key in self._by_id.items()]

    @staticmethod
    def lock_id(session_id: str) -> str:
        """The ID under which the lock of a session is kept; never signed, either."""
        return f"{session_id}.lock"

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
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + keys.cipher.encrypt(nonce, record, header + keys.context)

    def open(self, session_id: str, sealed: bytes) -> bytes | None:
        """Opens what `seal` made for this session ID under any of the secrets.

        Returns:
            The plain bytes, or ``None`` if the record is another session's, damaged, forged or planted.
        """
        header, body = sealed[: 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES :]
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

    def _key_of(self, session_id: str) -> SecretKeys:
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
