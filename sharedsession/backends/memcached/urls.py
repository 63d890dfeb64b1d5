"""``memcached://`` and ``memcacheds://`` URLs -> one node, or a ring of nodes, in both colours."""

import re
from dataclasses import dataclass, replace
from ssl import SSLContext
from types import ModuleType
from urllib.parse import parse_qsl

from sharedsession.backends.memcached import login as logins
from sharedsession.backends.memcached import protocol as meta
from sharedsession.backends.memcached import text
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.memcached.server import MemcachedBackend, MemcachedServer
from sharedsession.backends.memcached.text_store import TextStore
from sharedsession.backends.ring.backend import RingBackend
from sharedsession.backends.ring.hashring import LAYOUTS, Place
from sharedsession.backends.wire import tls
from sharedsession.backends.wire.protocol import Address, Login
from sharedsession.backends.wire.urls import MASK, is_resolvable, is_text, option_name, redacted, redacted_address
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError

_PORT = 11211
_PROTOCOLS = {"meta": (meta, MemcachedStore), "text": (text, TextStore)}
_NODE = re.compile(
    r"(?:(?P<name>[A-Za-z0-9._-]+)(?:\*(?P<weight>[0-9]{1,3}))?=)?"
    r"(?P<host>/[^,?*=]*[^,?*=/]|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?:\*(?P<heavy>[0-9]{1,3}))?"
)


@dataclass(frozen=True)
class NodeSpec:
    """One node of a URL.

    Attributes:
        place: its name and weight on the ring.
        address: where it listens, and what it takes to be admitted.
    """

    place: Place
    address: Address


def from_url(url: str, breaker_window: float = 2.0, environment: Environment = REAL) -> MemcachedBackend | RingBackend:
    """Makes the backend of ``memcached://host:11211`` or ``memcached://a=host1,b=host2?replicas=2&layout=native``.

    Args:
        url: of one node, or of several.
        breaker_window: seconds for which a failed node is skipped.
        environment: where time comes from.

    Raises:
        ConfigurationError: the URL is wrong. The message never holds a password.
    """
    specs = nodes_of(url)
    options = {name: value for name, value in _options(url).items() if name not in tls.OPTIONS}
    protocol, kind = _protocol(options.pop("protocol", "meta"))
    if len(specs) == 1 and not options:
        return MemcachedBackend(
            MemcachedServer(specs[0].address, breaker_window, protocol=protocol, kind=kind, environment=environment)
        )
    replicas = _replicas(options.pop("replicas", str(min(2, len(specs)))), len(specs))
    layout = _layout(options.pop("layout", "native"))
    if options:
        named = option_name("" if "@" in url.partition("?")[2] else min(options))
        raise ConfigurationError(
            f"backend memcached:// has no option {named}; it has replicas, layout and "
            "protocol, and memcacheds:// those of TLS"
        )
    servers = [_in_ring(spec, breaker_window, protocol, kind, environment) for spec in specs]
    return RingBackend(servers, replicas=replicas, layout=layout, environment=environment)


def _in_ring(
    spec: "NodeSpec", breaker_window: float, protocol: ModuleType, kind: type[MemcachedStore], environment: Environment
) -> tuple[Place, MemcachedServer]:
    server = MemcachedServer(
        spec.address,
        breaker_window,
        name=spec.place.name,
        in_ring=True,
        protocol=protocol,
        kind=kind,
        environment=environment,
    )
    return spec.place, server


def nodes_of(url: str) -> list[NodeSpec]:
    """Returns the nodes that a URL names, in its order.

    Raises:
        ConfigurationError: the list of nodes or an option of TLS is wrong. The message never holds a password.
    """
    if not is_text(url):
        raise ConfigurationError(f"backend {redacted(url)!r} has bytes that are no UTF-8: write them as %XX")
    scheme, _, rest = url.partition("://")
    login, listed = logins.split(rest.partition("?")[0])
    listed = listed if "=/" in listed else listed.removesuffix("/")
    context = tls.context(_options(url), secure=scheme.lower() == "memcacheds", instead="memcacheds")
    specs = [_with_access(_node(part, url), context, login) for part in listed.split(",")]
    names = {spec.place.name for spec in specs}
    if len(names) < len(specs) or len({str(spec.address) for spec in specs}) < len(specs):
        raise ConfigurationError("backend memcached:// names a node twice: each needs a name or an address of its own")
    return specs


def _options(url: str) -> dict[str, str]:
    query = url.partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    if "#" in query:
        raise ConfigurationError(f"backend {redacted(url)!r} has a #, and all behind it would be lost: leave it out")
    if len(given) < len(pairs) or "" in {given.get(name) for name in tls.OPTIONS}:
        raise ConfigurationError(f"backend {redacted(url)!r} has an option twice, or without a value: give each one")
    return given


def _shown(part: str, url: str) -> str:
    """Returns a part of the URL for a message; masked if it may belong to a password that was not quoted."""
    return f"'{MASK}'" if "@" in url else repr(redacted_address(part))


def _with_access(spec: NodeSpec, context: SSLContext | None, login: Login | None) -> NodeSpec:
    """Returns the node with what it takes to be admitted."""
    if context and spec.address.path:
        raise ConfigurationError("backend memcacheds:// names a UNIX socket, which has no TLS: write memcached://")
    return replace(spec, address=replace(spec.address, tls=context, login=login))


def _node(part: str, url: str) -> NodeSpec:
    found = _NODE.fullmatch(part.strip())
    if (
        not found
        or int(found["port"] or 1) not in range(1, 65536)
        or not _weights(found)
        or not is_resolvable(found["host"])
    ):
        raise ConfigurationError(
            f"backend {redacted(url)!r}: {_shown(part, url)} is no node; write 'memcached://10.0.0.1:11211', or "
            "for a ring 'memcached://a=10.0.0.1:11211,b*2=10.0.0.2:11211' (name*weight=host:port)"
        )
    host, port = found["host"].strip("[]"), int(found["port"] or _PORT)
    address = Address(path=host) if host.startswith("/") else Address(host=host, port=port)
    return NodeSpec(Place(found["name"] or label(address), _weights(found)[0]), address)


def _weights(found: re.Match[str]) -> list[int]:
    """Returns the given weight, or 1; an empty list if it is wrong or was given twice."""
    given = [int(weight) for weight in (found["weight"], found["heavy"]) if weight]
    return (given or [1]) if len(given) < 2 and 0 not in given else []


def label(address: Address) -> str:
    """Returns the name of a node that was given none: its address as libmemcached hashes it (libmemcached/hosts.cc)."""
    if address.path:
        return f"{address.path}:0"
    return address.host if address.port == _PORT else f"{address.host}:{address.port}"


def _replicas(text: str, nodes: int) -> int:
    if not re.fullmatch("[1-8]", text):
        raise ConfigurationError("backend memcached:// takes replicas from 1 to 8")
    if int(text) > nodes:
        raise ConfigurationError(f"backend memcached:// wants {text} replicas and has {nodes} node(s): name more nodes")
    return int(text)


def _protocol(name: str) -> tuple[ModuleType, type[MemcachedStore]]:
    if name not in _PROTOCOLS:
        raise ConfigurationError("backend memcached:// takes protocol=meta, or protocol=text for a proxy without it")
    return _PROTOCOLS[name]


def _layout(layout: str) -> str:
    if layout not in LAYOUTS:
        raise ConfigurationError(f"backend memcached:// takes layout={' or '.join(LAYOUTS)}")
    return layout
