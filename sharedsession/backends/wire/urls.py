"""URLs of stores as a message may show them: no user, no password, and no value of an option that nobody knows.

A password may stand in the wrong place: as a port, behind a misspelt option, unquoted. Rather too little is shown than
too much.
"""

import re

_SHOWN = re.compile(  # options whose values may be shown
    r"(db|replicas)=\d*|(layout|protocol)=[a-z_]*|ssl_(ca_certs|ca_path|cert_reqs|certfile|check_hostname|keyfile)=.*"
)
_NAME = re.compile(r"[a-z_]{1,30}", re.IGNORECASE)
_PORT = re.compile(r"(\[[^\]]*\])|:(?!\d{1,5}(?:[,/]|$))[^,/]*")  # a whole IPv6 address, or a port that is none
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
MASK = "***"


def redacted(url: str) -> str:
    """Returns a URL without user and password, even if it is malformed: all before the last ``@`` is left out."""
    scheme, _, rest = url.partition("://")
    shown = re.sub(r"^.*@", f"{MASK}@", rest, flags=re.DOTALL)
    address, question, options = shown.partition("?")
    address, number_sign, _ = address.partition("#")
    hidden = f"#{MASK}" if number_sign else ""
    return f"{scheme}://{redacted_address(address)}{hidden}{question}" + re.sub("[^&;]+", _without_value, options)


def redacted_address(address: str) -> str:
    """Returns hosts and ports; what stands in the place of a port and is no number is left out."""
    return _PORT.sub(lambda found: found[1] or f":{MASK}", address)


def is_text(url: str) -> bool:
    """Returns whether a URL can be sent at all: bytes of the environment that are no UTF-8 cannot (PEP 383)."""
    return re.search("[\ud800-\udfff]", url) is None


def is_resolvable(host: str) -> bool:
    """Returns whether a name can be looked up at all: its parts are not empty, and have 63 bytes at most (RFC 1035)."""
    try:
        host.encode("idna")  # as the resolver does; from there this error would be none of the network's
    except UnicodeError:
        return host.startswith("/")  # the path of a socket is never looked up
    return True


def without_passwords(message: str) -> str:
    """Returns a message with every URL in it as `redacted` shows it."""
    return _URL.sub(lambda found: redacted(found[0]), message)


def option_name(name: str) -> str:
    """Returns the name of an option for a message; masked if it can be none, but a part of a password."""
    return repr(name) if _NAME.fullmatch(name) else f"'{MASK}'"


def _without_value(option: re.Match[str]) -> str:
    if _SHOWN.fullmatch(option[0]):
        return option[0]
    name, equals, _ = option[0].partition("=")
    return f"{name}={MASK}" if equals and _NAME.fullmatch(name) else MASK
