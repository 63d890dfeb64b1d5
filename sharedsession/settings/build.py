"""Checked values of settings become the parts that they describe: the secrets, the store, the cookie."""

import fnmatch
import glob
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.backends.connect import connect
from sharedsession.environment import Environment
from sharedsession.errors import ConfigurationError
from sharedsession.http import CookiePolicy, TokenTransport
from sharedsession.keys import KeyFile, MachineKey, ReloadingKey
from sharedsession.records import compression
from sharedsession.settings.names import Names

_VERBS = ("get", "add", "replace", "end", "touch")
TRANSPORTS = {"cookie": (True, False), "header": (False, True), "cookie+header": (True, True)}


def machine_key(
    given: Mapping[str, Any], values: Mapping[str, Any], names: Names, environment: Environment
) -> Callable[[], MachineKey]:
    """Returns a function that returns the machine key of now."""
    options = {"app_name": values["app_name"], "development": values["development"]}
    if "secret_key" in given and "key_file" in given:
        raise ConfigurationError("secret_key and `key_file` are both set: keep one of them")
    if "key_file" in given:
        return KeyFile(values["key_file"], **options, named=names, environment=environment)
    if "secret_key" not in given:
        raise ConfigurationError(
            "secret_key is missing: put the output of `sharedsession genkey` in secret_key, or in the environment "
            "variable SHAREDSESSION_SECRET_KEY, the same on every web node"
        )
    if callable(values["secret_key"]):
        return ReloadingKey(values["secret_key"], **options, named=names)
    machine_key = MachineKey(values["secret_key"], **options)
    return lambda: machine_key


def backend(values: Mapping[str, Any], environment: Environment) -> Backend | AsyncBackend:
    """Returns the store, not yet connected."""
    given = values["backend"]
    if given is None:
        given = "sqlite:///"
    if isinstance(given, str):
        return connect(given, breaker_window=values["breaker_window"], environment=environment)
    if isinstance(given, type) or not all(callable(getattr(given, verb, None)) for verb in _VERBS):
        raise ConfigurationError(
            f"backend must be a URL or an object with the verbs of sharedsession.backends.base ({', '.join(_VERBS)}), "
            f"not {type(given).__name__}"
        )
    return given  # type: ignore[no-any-return]


def transport(values: Mapping[str, Any]) -> TokenTransport:
    """Returns how the token travels."""
    with_cookie, with_header = TRANSPORTS[values["transport"]]
    cookie = _cookie(values) if with_cookie else None
    return TokenTransport(cookie, values["header_name"] if with_header else None)


def _cookie(values: Mapping[str, Any]) -> CookiePolicy:
    development, secure = values["development"], values["cookie_secure"]
    if secure is False and not development:
        raise ConfigurationError(
            "`cookie_secure`=False sends the session over plain HTTP: leave it out, "
            "or set `development`=True on a machine that serves no visitors"
        )
    secure = not development if secure is None else secure
    return CookiePolicy(
        name=values["cookie_name"] or ("session" if development else "__Host-session"),
        path=values["cookie_path"],
        domain=values["cookie_domain"],
        secure=secure,
        samesite=values["cookie_samesite"],
        partitioned=values["cookie_partitioned"],
    )


def excluder(patterns: tuple[str, ...]) -> Callable[[str], bool] | None:
    """Returns a function that returns whether a path never has a session; ``None`` if no path is left out."""
    if not patterns:
        return None
    matcher = re.compile("|".join(fnmatch.translate(_decoded(pattern)) for pattern in patterns))
    return lambda path: matcher.match(path) is not None


def _decoded(pattern: str) -> str:
    """Returns a pattern as text, if it was copied from an address bar; what was encoded has no meaning of its own."""
    return re.sub("(%[0-9a-fA-F]{2})+", lambda encoded: glob.escape(unquote(encoded[0])), pattern)


def check_compression(values: Mapping[str, Any]) -> None:
    """Checks that the compression library is installed, if compression is wanted."""
    if values["compress_above"] is not None:
        try:
            compression.Zstd()
        except ImportError:
            raise ConfigurationError(
                f"compress_above needs zstd, which is not installed: {compression.FIX}, or leave it out"
            ) from None
