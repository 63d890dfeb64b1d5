"""Secrets, and what is made from them: signed tokens, store keys, sealed records, public handles."""

from sharedsession.keys.identity import NONCE_BYTES, Identity
from sharedsession.keys.key_file import KeyFile, rotate
from sharedsession.keys.machine_key import ID_BYTES, MachineKey, SecretKey
from sharedsession.keys.reloading import ReloadingKey
from sharedsession.keys.strength import problem_with
from sharedsession.keys.typed import bytes_of

__all__ = [
    "ID_BYTES",
    "NONCE_BYTES",
    "Identity",
    "KeyFile",
    "MachineKey",
    "ReloadingKey",
    "SecretKey",
    "bytes_of",
    "problem_with",
    "rotate",
]
