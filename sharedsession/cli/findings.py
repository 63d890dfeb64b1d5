"""What a server says of itself -> findings, each with its mend. Pure: nothing here asks or prints."""

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from sharedsession.cli.format import count, milliseconds, span
from sharedsession.cli.servers import Server
from sharedsession.farm.drift import CLOCK_LEEWAY

OK, NOTE, FAULT = "ok", "note", "fault"
OVERHEAD = 128  # bytes that sealing adds to a record
_MONTH = 2_592_000.0  # seconds: memcached takes more for a date
_SLOW = 0.2  # of the time that an operation may take
_LEEWAY = 5.0  # seconds between clocks that are nothing to speak of
_OLDEST_REDIS = (6, 2)
_OLDEST_MEMCACHED = (1, 6)


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``note`` or ``fault``.
        topic: what was looked at, as one word or two.
        text: what was found.
        mend: what to do, as one sentence; empty: nothing.
    """

    level: str
    topic: str
    text: str
    mend: str = ""


class Limits(NamedTuple):
    """What the settings ask of a server.

    Attributes:
        timeout: seconds for one operation.
        idle: the idle timeout in seconds.
        max_size: bytes of one session.
    """

    timeout: float
    idle: float
    max_size: int


def of_server(server: Server, limits: Limits) -> Iterator[Finding]:
    """All that is to say of one server."""
    if not server.is_up:
        mend = "start it, or mend the way to it; then look again"
        reason = str(server.reason)
        text = reason if server.name in reason else f"{server.name}: {reason}"
        yield Finding(FAULT, "reachable", text, mend)
        return
    yield _latency(server, limits)
    yield _size(server, limits)
    if server.ahead is not None:
        yield _clock(server)
    if server.kind == "memcached":
        yield from _memcached(server, limits)
    elif server.kind == "redis":
        yield from _redis(server)
    elif server.kind == "memory":
        yield Finding(FAULT, "shared", "memory:// is of this process alone", "use a backend that the web nodes share")
    elif server.kind == "sqlite":
        mend = "nothing, if all web nodes run on this host; else use memcached:// or redis://"
        yield Finding(NOTE, "shared", "sqlite:// is shared by the processes of one host", mend)


def _latency(server: Server, limits: Limits) -> Finding:
    text = f"{server.name} answers in {milliseconds(server.seconds)}"
    if (server.seconds or 0.0) > limits.timeout * _SLOW:
        mend = f"look at the network and the load, or raise timeout (now {limits.timeout:g} s)"
        return Finding(NOTE, "reachable", f"{text}, which is near its timeout", mend)
    return Finding(OK, "reachable", text)


def _size(server: Server, limits: Limits) -> Finding:
    text = f"{server.name} takes {count(server.takes)} bytes, max_size is {count(limits.max_size)}"
    if server.takes < limits.max_size + OVERHEAD:
        how = "start memcached with a larger -I, or lower max_size" if server.kind == "memcached" else "lower max_size"
        return Finding(FAULT, "item size", text, how)
    return Finding(OK, "item size", text)


def _clock(server: Server) -> Finding:
    ahead = server.ahead or 0.0
    where = "ahead of" if ahead < 0 else "behind"
    text = f"this node's clock is {span(abs(ahead))} {where} that of {server.name}"
    mend = "set the clocks of both by NTP"
    if abs(ahead) > CLOCK_LEEWAY:
        return Finding(FAULT, "clock", text, f"{mend}: a web node that is off by that much ends sessions early or late")
    if abs(ahead) > _LEEWAY:
        return Finding(NOTE, "clock", text, mend)
    return Finding(OK, "clock", f"this node's clock is that of {server.name}")


# -- memcached


def _memcached(server: Server, limits: Limits) -> Iterator[Finding]:
    says = server.says
    if not says:
        mend = "ask the servers behind the proxy for evictions and -I themselves"
        yield Finding(NOTE, "protocol", f"{server.name} is spoken to with protocol=text and tells nothing", mend)
        return
    yield _version(server, says.get("version", ""), _OLDEST_MEMCACHED, "meta commands")
    yield _evictions_of_memcached(server)
    if limits.idle > _MONTH:
        mend = "keep the clocks of web nodes and memcached together, or take an idle_timeout of at most 30 days"
        yield Finding(NOTE, "lifetime", f"{server.name} takes an idle_timeout over 30 days for a date", mend)
    yield _access_to_memcached(server)


def _evictions_of_memcached(server: Server) -> Finding:
    if server.says.get("set.evictions") == "off":
        text = f"{server.name} runs with -M: when it is full, a change that finds no memory loses its session"
        return Finding(FAULT, "memory", text, "start memcached without -M")
    evicted = _number(server.says, "evictions")
    if evicted:
        text = (
            f"{server.name} has evicted {count(evicted)} items: when they were sessions, their visitors were logged out"
        )
        return Finding(NOTE, "memory", text, "give sessions a memcached of their own, with more memory (-m)")
    return Finding(OK, "memory", f"{server.name} has evicted nothing")


def _access_to_memcached(server: Server) -> Finding:
    says = server.says
    has_login = "yes" in {says.get("set.auth_enabled_ascii"), says.get("set.auth_enabled_sasl")}
    if has_login or says.get("set.domain_socket", "NULL") not in {"NULL", ""}:
        return Finding(OK, "access", f"{server.name} asks for a login, or listens on a socket of its host")
    mend = "let memcached listen on a private address only (-l), or ask for a login (-Y)"
    return _open_to(server, says.get("set.inter", "NULL").split(","), mend)


# -- Redis


def _redis(server: Server) -> Iterator[Finding]:
    says = server.says
    swap = f"GETEX, compare-and-swap by {says.get('compare_and_swap', 'script')}"
    if "redis_version" not in says:
        mend = "nothing, if that is as you want it; else let the user of the URL use INFO and CONFIG GET"
        yield Finding(NOTE, "protocol", f"{server.name} tells nothing of itself ({swap})", mend)
        return
    yield _version(server, says.get("valkey_version") or says["redis_version"], _OLDEST_REDIS, swap)
    if says.get("role") == "slave":
        yield Finding(FAULT, "role", f"{server.name} is a replica and takes no writes", "name the master in backend")
    yield _memory_of_redis(server)
    yield _persistence(server)
    yield _access_to_redis(server)


def _memory_of_redis(server: Server) -> Finding:
    says, name = server.says, server.name
    most, used = _number(says, "maxmemory"), _number(says, "used_memory")
    policy = says.get("maxmemory_policy", "noeviction")
    if not most:
        text = f"{name} has no maxmemory: when the host has no memory left, the system ends Redis"
        return Finding(NOTE, "memory", text, "set maxmemory, with maxmemory-policy noeviction and an alarm on memory")
    if policy not in {"noeviction", "volatile-ttl"}:
        text = f"{name} has maxmemory-policy {policy}: when it is full, it drops sessions of visitors who are there"
        return Finding(
            FAULT, "memory", text, "set maxmemory-policy noeviction (or volatile-ttl) and an alarm on memory"
        )
    share = used / most
    text = f"{name} uses {share:.0%} of its maxmemory ({policy})"
    if policy == "noeviction" and share >= 0.95:
        return Finding(FAULT, "memory", f"{text}: new sessions and changes are a 503", "raise maxmemory")
    return Finding(NOTE, "memory", text, "raise maxmemory soon") if share >= 0.8 else Finding(OK, "memory", text)


def _persistence(server: Server) -> Finding:
    says, name = server.says, server.name
    if "err" in {says.get("rdb_last_bgsave_status"), says.get("aof_last_write_status")}:
        mend = "look at its disk: Redis refuses changes while it cannot save"
        return Finding(FAULT, "persistence", f"{name} could not write to its disk", mend)
    if says.get("aof_enabled") == "1":
        return Finding(OK, "persistence", f"{name} keeps an AOF")
    if says.get("set.save") == "":
        text = f"{name} keeps nothing on disk: when it restarts, everybody is logged out"
        return Finding(NOTE, "persistence", text, "set appendonly yes, if that matters")
    text = f"{name} keeps snapshots: after a restart, a session that was ended since the last one is there again"
    return Finding(NOTE, "persistence", text, "set appendonly yes, if that matters")


def _access_to_redis(server: Server) -> Finding:
    says = server.says
    if "set.bind" not in says:
        mend = "nothing, if that is as you want it; else let the user of the URL use CONFIG GET"
        return Finding(NOTE, "access", f"{server.name} does not tell who may connect", mend)
    if says.get("set.requirepass") or says.get("set.protected-mode") == "yes":
        return Finding(OK, "access", f"{server.name} has a password, or lets in nobody from outside its host")
    addresses = says["set.bind"].replace("-", "").split() or ["*"]
    return _open_to(server, addresses, "set requirepass or ACLs, or bind a private address only")


# -- both


def _version(server: Server, version: str, oldest: tuple[int, ...], speaks: str) -> Finding:
    text = f"{server.name} is version {version or 'unknown'} ({speaks})"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < oldest:
        return Finding(FAULT, "protocol", text, f"update it: {'.'.join(map(str, oldest))} is the oldest that can do it")
    return Finding(OK, "protocol", text)


def _open_to(server: Server, addresses: list[str], mend: str) -> Finding:
    """Without a login: who can reach it?"""
    reach = {_reach(address.strip()) for address in addresses}
    if "world" in reach:
        return Finding(FAULT, "access", f"{server.name} listens on every address and asks for no login", mend)
    if "network" in reach:
        return Finding(NOTE, "access", f"{server.name} asks its network for no login", mend)
    return Finding(OK, "access", f"{server.name} listens on this host only")


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


def _number(says: dict[str, str], name: str) -> int:
    found = says.get(name, "")
    return int(found) if found.isdigit() else 0
