"""Secrets, and what is made from them: signed tokens, store keys, sealed records, public handles."""

from sharedsession.keys.derivation import ID_CHARACTERS, RANDOM_BYTES
from sharedsession.keys.identity import INDEX, NONCE_BYTES, STAMP, Identity
from sharedsession.keys.key_file import KeyFile, rotate
from sharedsession.keys.machine_key import MachineKey, SecretKey, has_idle_timeout
from sharedsession.keys.reloading import ReloadingKey
from sharedsession.keys.strength import problem_with
from sharedsession.keys.typed import bytes_of

__all__ = [
    "ID_CHARACTERS",
    "INDEX",
    "NONCE_BYTES",
    "RANDOM_BYTES",
    "STAMP",
    "Identity",
    "KeyFile",
    "MachineKey",
    "ReloadingKey",
    "SecretKey",
    "bytes_of",
    "has_idle_timeout",
    "problem_with",
    "rotate",
]
