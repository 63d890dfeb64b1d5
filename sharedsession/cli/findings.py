"""What a server reports -> findings, each with its fix. Pure: nothing here asks a store or prints."""

import ipaddress
from collections.abc import Iterator
from pathlib import PurePath
from typing import NamedTuple

from sharedsession.cli.backend_nodes import BackendNode
from sharedsession.cli.format import count, milliseconds, span
from sharedsession.farm import CLOCK_LEEWAY
from sharedsession.file_rights import FileRights

OK, NOTE, FAULT = "ok", "note", "fault"
OVERHEAD = 128  # bytes that sealing adds to a record
_MONTH = 2_592_000.0  # seconds: memcached reads a longer time as a date
_SLOW = 0.2  # of the timeout of an operation
_LEEWAY = 5.0  # seconds by which clocks may differ without a finding
_OLDEST_REDIS = (6, 2)
_OLDEST_MEMCACHED = (1, 6)


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        level: ``ok``, ``note`` or ``fault``.
        topic: what was checked, in one word or two.
        text: what was found.
        fix: what to do, as one sentence; empty if there is nothing to do.
    """

    level: str
    topic: str
    text: str
    fix: str = ""


class Limits(NamedTuple):
    """What the settings demand of a server.

    Attributes:
        timeout: seconds for one operation.
        idle: the idle timeout in seconds.
        max_size: bytes of one session.
    """

    timeout: float
    idle: float
    max_size: int


def of_node(node: BackendNode, limits: Limits) -> Iterator[Finding]:
    """Yields the findings about one server."""
    if not node.is_up:
        fix = "correct what it says, or start the server, or fix the network path to it; then run this again"
        reason = str(node.reason)
        text = reason if node.name in reason else f"{node.name}: {reason}"
        yield Finding(FAULT, "reachable", text, fix)
        return
    yield _latency(node, limits)
    yield _size(node, limits)
    if node.clock_ahead is not None:
        yield _clock(node)
    if node.kind == "memcached":
        yield from _memcached(node, limits)
    elif node.kind == "redis":
        yield from _redis(node)
    elif node.kind == "memory":
        yield Finding(
            FAULT, "shared", "memory:// is not shared with other processes", "use a backend that all web nodes share"
        )
    elif node.kind == "sqlite":
        fix = "nothing, if all web nodes run on this host; else use memcached:// or redis://"
        yield Finding(NOTE, "shared", "sqlite:// is shared by the processes of one host", fix)
        if node.file is not None:
            yield from of_rights("access", *node.file)


def of_rights(topic: str, path: PurePath, rights: FileRights) -> Iterator[Finding]:
    """Yields the finding about a file that others may read or change; nothing about one that is private."""
    if problem := rights.fault or rights.problem:
        is_fault = rights.is_writable or rights.foreign_owner is not None
        yield Finding(FAULT if is_fault else NOTE, topic, f"{path} {problem}", f"chmod 600 {path}")


def _latency(node: BackendNode, limits: Limits) -> Finding:
    text = f"{node.name} answers in {milliseconds(node.seconds)}"
    if (node.seconds or 0.0) > limits.timeout * _SLOW:
        fix = f"check the network and the load, or raise timeout (now {limits.timeout:g} s)"
        return Finding(NOTE, "reachable", f"{text}, which is near the timeout", fix)
    return Finding(OK, "reachable", text)


def _size(node: BackendNode, limits: Limits) -> Finding:
    text = f"{node.name} stores up to {count(node.max_value)} bytes, max_size is {count(limits.max_size)}"
    if node.max_value < limits.max_size + OVERHEAD:
        how = "start memcached with a larger -I, or lower max_size" if node.kind == "memcached" else "lower max_size"
        return Finding(FAULT, "item size", text, how)
    return Finding(OK, "item size", text)


def _clock(node: BackendNode) -> Finding:
    ahead = node.clock_ahead or 0.0
    where = "ahead of" if ahead < 0 else "behind"
    text = f"this node's clock is {span(abs(ahead))} {where} the clock of {node.name}"
    fix = "set the clocks of both by NTP"
    if abs(ahead) > CLOCK_LEEWAY:
        return Finding(FAULT, "clock", text, f"{fix}: with such a difference, sessions end early or late")
    if abs(ahead) > _LEEWAY:
        return Finding(NOTE, "clock", text, fix)
    return Finding(OK, "clock", f"this node's clock agrees with the clock of {node.name}")


# -- memcached


def _memcached(node: BackendNode, limits: Limits) -> Iterator[Finding]:
    facts = node.facts
    if not facts:
        fix = "check evictions and -I on the servers behind the proxy"
        yield Finding(NOTE, "protocol", f"{node.name} is used with protocol=text and reports nothing about itself", fix)
        return
    yield _version(node, facts.get("version", ""), _OLDEST_MEMCACHED, "meta commands")
    yield _evictions_of_memcached(node)
    if limits.idle > _MONTH:
        fix = "keep the clocks of web nodes and memcached together, or set an idle_timeout of at most 30 days"
        yield Finding(NOTE, "lifetime", f"{node.name} reads an idle_timeout over 30 days as a date", fix)
    yield _access_to_memcached(node)


def _evictions_of_memcached(node: BackendNode) -> Finding:
    if node.facts.get("set.evictions") == "off":
        text = f"{node.name} runs with -M: when it is full, a change that finds no memory loses its session"
        return Finding(FAULT, "memory", text, "start memcached without -M")
    evicted = _number(node.facts, "evictions")
    if evicted:
        text = f"{node.name} has evicted {count(evicted)} items: if they were sessions, their visitors were logged out"
        return Finding(NOTE, "memory", text, "give sessions a memcached of their own, with more memory (-m)")
    return Finding(OK, "memory", f"{node.name} has evicted nothing")


def _access_to_memcached(node: BackendNode) -> Finding:
    facts = node.facts
    has_login = "yes" in {facts.get("set.auth_enabled_ascii"), facts.get("set.auth_enabled_sasl")}
    if has_login or facts.get("set.domain_socket", "NULL") not in {"NULL", ""}:
        return Finding(OK, "access", f"{node.name} requires a login, or listens on a socket of its host")
    fix = "let memcached listen on a private address only (-l), or require a login (-Y)"
    return _open_to(node, facts.get("set.inter", "NULL").split(","), fix)


# -- Redis


def _redis(node: BackendNode) -> Iterator[Finding]:
    facts = node.facts
    swap = f"GETEX, compare-and-swap by {facts.get('compare_and_swap', 'script')}"
    if "redis_version" not in facts:
        fix = "nothing, if that is intended; else let the user of the URL use INFO and CONFIG GET"
        yield Finding(NOTE, "protocol", f"{node.name} reports nothing about itself ({swap})", fix)
        return
    yield _version(node, facts.get("valkey_version") or facts["redis_version"], _OLDEST_REDIS, swap)
    if facts.get("role") == "slave":
        yield Finding(FAULT, "role", f"{node.name} is a replica and refuses writes", "name the master in backend")
    yield _memory_of_redis(node)
    yield _persistence(node)
    yield _access_to_redis(node)


def _memory_of_redis(node: BackendNode) -> Finding:
    facts, name = node.facts, node.name
    most, used = _number(facts, "maxmemory"), _number(facts, "used_memory")
    policy = facts.get("maxmemory_policy", "noeviction")
    if not most:
        text = f"{name} has no maxmemory: when the host has no memory left, the system kills Redis"
        return Finding(NOTE, "memory", text, "set maxmemory, with maxmemory-policy noeviction and an alarm on memory")
    if policy not in {"noeviction", "volatile-ttl"}:
        text = f"{name} has maxmemory-policy {policy}: when it is full, it drops live sessions"
        return Finding(
            FAULT, "memory", text, "set maxmemory-policy noeviction (or volatile-ttl) and an alarm on memory"
        )
    share = used / most
    text = f"{name} uses {share:.0%} of its maxmemory ({policy})"
    if policy == "noeviction" and share >= 0.95:
        return Finding(FAULT, "memory", f"{text}: new sessions and changes get a 503", "raise maxmemory")
    return Finding(NOTE, "memory", text, "raise maxmemory soon") if share >= 0.8 else Finding(OK, "memory", text)


def _persistence(node: BackendNode) -> Finding:
    facts, name = node.facts, node.name
    if "err" in {facts.get("rdb_last_bgsave_status"), facts.get("aof_last_write_status")}:
        fix = "check its disk: Redis refuses changes while it cannot save"
        return Finding(FAULT, "persistence", f"{name} could not write to its disk", fix)
    if facts.get("aof_enabled") == "1":
        return Finding(OK, "persistence", f"{name} keeps an AOF")
    if facts.get("set.save") == "":
        text = f"{name} keeps nothing on disk: when it restarts, all visitors are logged out"
        return Finding(NOTE, "persistence", text, "set appendonly yes, if that matters")
    text = f"{name} keeps snapshots: after a restart, a session that was ended since the last one is alive again"
    return Finding(NOTE, "persistence", text, "set appendonly yes, if that matters")


def _access_to_redis(node: BackendNode) -> Finding:
    facts = node.facts
    if "set.bind" not in facts:
        fix = "nothing, if that is intended; else let the user of the URL use CONFIG GET"
        return Finding(NOTE, "access", f"{node.name} does not report who may connect", fix)
    if facts.get("set.requirepass") or facts.get("set.protected-mode") == "yes":
        return Finding(OK, "access", f"{node.name} has a password, or refuses connections from other hosts")
    addresses = facts["set.bind"].replace("-", "").split() or ["*"]
    return _open_to(node, addresses, "set requirepass or ACLs, or bind a private address only")


# -- both


def _version(node: BackendNode, version: str, oldest: tuple[int, ...], protocol: str) -> Finding:
    text = f"{node.name} is version {version or 'unknown'} ({protocol})"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < oldest:
        return Finding(
            FAULT, "protocol", text, f"update it: {'.'.join(map(str, oldest))} is the oldest supported version"
        )
    return Finding(OK, "protocol", text)


def _open_to(node: BackendNode, addresses: list[str], fix: str) -> Finding:
    """Returns the finding about who can reach a server without a login."""
    reach = {_reach(address.strip()) for address in addresses}
    if "world" in reach:
        return Finding(FAULT, "access", f"{node.name} listens on every address and requires no login", fix)
    if "network" in reach:
        return Finding(NOTE, "access", f"{node.name} requires no login from its network", fix)
    return Finding(OK, "access", f"{node.name} listens on this host only")


def _reach(address: str) -> str:
    if address in {"localhost", "::1"}:
        return "host"
    try:
        ip = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return "network" if address not in {"NULL", "", "*", "::*", "(null)"} else "world"
    if ip.is_loopback:
        return "host"
    return "world" if ip.is_unspecified or ip.is_global else "network"


def _number(facts: dict[str, str], name: str) -> int:
    found = facts.get(name, "")
    return int(found) if found.isdigit() else 0
