"""The farm's secrets: they sign and verify session IDs, and make the identities that seal and open records.

Pure: no clock, no I/O; random bytes are handed in. Nothing here can be printed, pickled or compared.

    session ID   <128 random bits><masked tag of the principal><key ID><own idle timeout>   240 bits, 40 characters
    token        <session ID>.<signature>                                     what travels
    store key    ss:{<tag>}<keyed hash of the session ID>                     what a store sees
    record       <format><key ID><nonce><AES-256-GCM ciphertext and tag>      what a store keeps
"""

import hmac
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from string import ascii_letters, digits
from typing import NoReturn, TypeAlias, Union

from sharedsession.environment import REAL
from sharedsession.errors import ConfigurationError
from sharedsession.keys.derivation import (
    HANDLE_BYTES,
    ID_CHARACTERS,
    KEY_ID_BYTES,
    NO_TAG,
    TAG_BYTES,
    SecretKeys,
    store_key_of,
    url_text,
)
from sharedsession.keys.identity import Identity, KeySet
from sharedsession.keys.idle_code import FARM, encode_idle, is_idle_code
from sharedsession.keys.strength import problem_with
from sharedsession.keys.typed import bytes_of

SecretKey: TypeAlias = Union[str, bytes, "MachineKey", Sequence[Union[str, bytes, "MachineKey"]]]

_SIGNATURE = 44  # a dot and the 43 characters of 32 bytes
TOKEN_BYTES = ID_CHARACTERS + _SIGNATURE
_KEY_ID = slice(ID_CHARACTERS - KEY_ID_BYTES - 2, ID_CHARACTERS - 2)
_URL_SAFE = frozenset(f"{ascii_letters}{digits}-_")  # RFC 4648, section 5
_GENERATED_BYTES = 48
_GENERATION = 512  # tokens; twice as many are remembered at most


class MachineKey:
    """The machine key of a web farm: one secret, or several while they rotate.

    The first secret signs and seals; all of them verify and open.

    Args:
        secret_key: a secret of at least 32 bytes, another `MachineKey`, or a list of them, newest first. White space,
            byte order marks and zero bytes around a text do not count.
        app_name: the farm's identity. Another name under the same secret shares nothing.
        development: allows weak secrets.

    Raises:
        ConfigurationError: a secret is missing, weak, a placeholder, or printed in public documentation.
    """

    __slots__ = ("_recognised", "_secrets", "keys")

    def __init__(self, secret_key: SecretKey, *, app_name: str = "default", development: bool = False) -> None:
        self._secrets = tuple(dict.fromkeys(_flatten(secret_key)))
        _check(self._secrets, development=development)
        derived = [SecretKeys(secret, app_name.encode("utf-8", "surrogatepass")) for secret in self._secrets]
        self.keys = KeySet(derived[0], {key.key_id: key for key in derived})
        self._recognised = Recognised()

    @staticmethod
    def generate() -> str:
        """Makes a new secret of 384 random bits, ready for ``secret_key`` or a line of ``key_file``."""
        return url_text(REAL.random_bytes(_GENERATED_BYTES))

    def new_identity(self, random: bytes, idle_timeout: float | None = None, principal: str | None = None) -> Identity:
        """Makes the identity of a new session, under the first secret.

        Args:
            random: 16 random bytes, fresh for each call.
            idle_timeout: the session's own idle timeout in seconds, if it differs from the farm's; see `idle_code`.
            principal: whose session it is.
        """
        first = self.keys.first
        tag = NO_TAG if principal is None else first.tag_of(principal)
        return Identity(first.session_id(random, tag, encode_idle(idle_timeout)), first, self.keys, tag=tag)

    def verify(self, token: bytes) -> Identity | None:
        """Finds the identity behind a token, in constant time for tokens of one length.

        The token must be, byte for byte, the one that `Identity.token` makes: an ID has exactly one encoding.

        Returns:
            The identity, or ``None`` for a token that no holder of a secret has signed.
        """
        if (known := self._recognised.get(token)) is not None:
            return known
        if len(token) != TOKEN_BYTES:
            return None
        signed = token[:ID_CHARACTERS]
        key = self.keys.by_id.get(signed[_KEY_ID])
        signature = (key or self.keys.first).signer.get_signature(signed)
        genuine = hmac.compare_digest(b".%b" % signature, token[ID_CHARACTERS:])
        if key is None or not genuine:
            return None
        return self._recognised.add(token, Identity(signed.decode(), key, self.keys, token=token.decode()))

    def identity_of(self, session_id: str) -> Identity | None:
        """Finds the identity of a session ID without a signature, as an application has kept it for itself.

        Never for what a client sends: who has read an ID somewhere could take its session over. That takes a token.

        Returns:
            The identity, or ``None`` for what is no ID, or one of no secret that is here.
        """
        if len(session_id) != ID_CHARACTERS or not _URL_SAFE.issuperset(session_id):
            return None
        key = self.keys.by_id.get(session_id[_KEY_ID].encode())
        return Identity(session_id, key, self.keys) if key and is_idle_code(session_id[-2:]) else None

    def store_keys_of(self, handle: str) -> list[str]:
        """Returns the store keys that a handle can stand for: one for each secret, newest first.

        A handle does not tell which secret made it. What is no handle has no store keys.
        """
        try:
            block = urlsafe_b64decode(handle)
        except ValueError:
            return []
        if len(block) != HANDLE_BYTES or url_text(block) != handle:
            return []
        blocks = [key.permute(block, back=True) for key in self.keys.by_id.values()]
        return [store_key_of(block[:TAG_BYTES], block[TAG_BYTES:]) for block in blocks]

    def of_principal(self, principal: str, kind: str) -> list[Identity]:
        """Returns the identities of a principal's index or stamp: one for each secret, newest first.

        Args:
            principal: as it was given to `Session.principal`.
            kind: `INDEX` or `STAMP`.
        """
        return [
            Identity(f"{url_text(key.tag_of(principal))}.{kind}", key, self.keys) for key in self.keys.by_id.values()
        ]

    def fingerprints(self) -> list[str]:
        """Returns a public name for each secret, newest first: equal on two nodes if and only if the secrets are."""
        return [key_id.decode() for key_id in self.keys.by_id]

    def __repr__(self) -> str:
        return f"<MachineKey of {len(self._secrets)} secret(s), hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MachineKey holds the farm's secrets and is never pickled")


class Recognised:
    """The tokens that were verified lately, so that a busy session costs no hash. They go with their machine key.

    A dictionary compares a token only with one of the same hash, which nobody outside can foresee: so how long a look
    takes tells nothing of a token that is in it. What is not genuine never gets in, and so drives nothing out.

    Two generations take the place of a list of uses: when the younger one is full it becomes the older one, and what
    was not asked for since is forgotten.
    """

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, Identity] = {}
        self._old: dict[bytes, Identity] = {}

    def get(self, token: bytes) -> Identity | None:
        """Returns the identity behind a token that was verified lately, or ``None``."""
        found = self._young.get(token)
        if found is None and (found := self._old.get(token)) is not None:
            self.add(token, found)
        return found

    def add(self, token: bytes, identity: Identity) -> Identity:
        """Remembers a token that is genuine. Returns its identity."""
        if len(self._young) >= _GENERATION:
            self._young, self._old = {}, self._young
        self._young[token] = identity
        return identity


def has_idle_timeout(token: bytes) -> bool:
    """Returns whether a token, genuine or not, is that of a session with an idle timeout of its own."""
    return len(token) == TOKEN_BYTES and token[ID_CHARACTERS - 2 : ID_CHARACTERS] != FARM.encode()


def _flatten(secret_key: SecretKey) -> Iterable[bytes]:
    if isinstance(secret_key, MachineKey):
        yield from secret_key._secrets
    elif isinstance(secret_key, str | bytes):
        yield bytes_of(secret_key)
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
                "or set `development`=True on a machine that serves no visitors"
            )
