"""TLS to a store: options of a URL -> one context for all its connections.

The options are those of redis-py, for every store. Certificates are verified unless the URL switches that off.
"""

import ssl
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sharedsession.errors import ConfigurationError

OPTIONS = (
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_cert_reqs",
    "ssl_certfile",
    "ssl_check_hostname",
    "ssl_keyfile",
)
T = TypeVar("T")
_YES, _NO = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}
_REQUIREMENTS = {"required", "optional", "none"}  # Python's ssl: for a client, optional means required


def context(options: Mapping[str, Any], *, secure: bool, instead: str) -> ssl.SSLContext | None:
    """Makes the context that connections are wrapped with; ``None`` without TLS.

    Args:
        options: of the URL; others than those of TLS are ignored.
        secure: whether the URL's scheme asks for TLS.
        instead: the scheme that does, for the error message.

    Raises:
        ConfigurationError: an option is wrong, or its file cannot be read.
    """
    given = {name: options[name] for name in OPTIONS if name in options}
    if secure:
        return _context(given)
    if given:
        raise ConfigurationError(f"backend has {min(given)} but no TLS: write {instead}://")
    return None


def _context(given: Mapping[str, Any]) -> ssl.SSLContext:
    verifies, checks_host = _strictness(given)
    wrapping = _read(
        "ssl_ca_certs or ssl_ca_path",
        lambda: ssl.create_default_context(cafile=given.get("ssl_ca_certs"), capath=given.get("ssl_ca_path")),
    )
    wrapping.check_hostname = verifies and checks_host
    wrapping.verify_mode = ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE
    certificate, key = given.get("ssl_certfile"), given.get("ssl_keyfile")
    if certificate:
        # With an empty password a locked key is an error; without one OpenSSL would ask at the terminal.
        _read("ssl_certfile or ssl_keyfile", lambda: wrapping.load_cert_chain(certificate, key, password=""))
    elif key:
        raise ConfigurationError("backend has ssl_keyfile without ssl_certfile: name the certificate of the key")
    return wrapping


def _strictness(given: Mapping[str, Any]) -> tuple[bool, bool]:
    """Returns whether certificates are verified, and whether their host name is."""
    requirement = str(given.get("ssl_cert_reqs", "required")).lower()
    if requirement not in _REQUIREMENTS:
        raise ConfigurationError("backend takes ssl_cert_reqs=required, optional (the same) or none")
    checks = str(given.get("ssl_check_hostname", "true")).lower()
    if checks not in _YES | _NO:
        raise ConfigurationError("backend takes ssl_check_hostname=true or false")
    return requirement != "none", checks in _YES


def _read(named: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(f"what the backend's {named} names cannot be used: {error}") from None
