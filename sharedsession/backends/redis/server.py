"""What is known of one Redis or Valkey: how a connection to it begins, what it can do, what it refuses."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import hiredis

from sharedsession.backends.redis import refusals
from sharedsession.backends.redis.resp import RespParser, named
from sharedsession.backends.wire.node_guard import NodeGuard
from sharedsession.backends.wire.protocol import WireProtocol
from sharedsession.errors import BackendUnavailable

_IFEQ_SINCE = {b"valkey": (8, 1), b"redis": (8, 4)}


class Server:
    """How a connection begins, and what the server at its end can do.

    Args:
        guard: of the node.
        username: for AUTH; ``None`` for the default user.
        password: for AUTH.
        database: its number.

    Attributes:
        has_ifeq: whether the server has ``SET … IFEQ``, as of the newest connection.
    """

    def __init__(self, guard: NodeGuard, username: str | None, password: str | None, database: int) -> None:
        self._guard = guard
        greeting: list[tuple[str, ...]] = []
        if password:
            greeting.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            greeting.append(("SELECT", str(database)))
        # HELLO only asks for the version, so an error is no refusal: a server that does not know it has no IFEQ.
        greeting.append(("HELLO", "2"))
        self._verbs = [command[0] for command in greeting]
        self.protocol = WireProtocol(
            parser=RespParser, greeting=[named(command, 0) for command in greeting], greeted=self._greeted
        )
        self._version = ""
        self.has_ifeq = False

    def _greeted(self, replies: Sequence[Any]) -> None:
        hello, name = replies[-1]
        self._version, self.has_ifeq = _version(hello), _has_ifeq(hello)
        for verb, (reply, _) in zip(self._verbs[:-1], replies, strict=False):
            if isinstance(reply, hiredis.ReplyError):
                raise self.refused(verb, reply)
        if isinstance(name, hiredis.ReplyError):
            raise self.refused("ECHO", name)

    def refused(self, verb: str, reply: Exception, words: Collection[Any] | None = None) -> BackendUnavailable:
        """Logs a refusal with its fix; returns what to raise.

        Args:
            verb: the name of the command.
            reply: the server's error.
            words: the other words of the request; ``None``: they are secret.
        """
        return self._guard.refused(refusals.refusal(verb, str(reply), self._version, words))


def _facts(hello: Any) -> dict[bytes, bytes]:
    """Returns what a reply to HELLO tells in text."""
    pairs = zip(hello[::2], hello[1::2], strict=False) if isinstance(hello, list) else ()
    return {name: value for name, value in pairs if isinstance(name, bytes) and isinstance(value, bytes)}


def _version(hello: Any) -> str:
    """Returns what the server says that it is, as ``redis 7.0.15``; empty if it does not say."""
    facts = _facts(hello)
    kind = b"sentinel" if facts.get(b"mode") == b"sentinel" else facts.get(b"server", b"")
    return b" ".join([kind, facts.get(b"version", b"")]).decode("ascii", "replace").strip()[:40]


def _has_ifeq(hello: Any) -> bool:
    """Returns whether the reply to HELLO is that of a server whose SET has IFEQ."""
    facts = _facts(hello)
    version = tuple(int(part[:9]) for part in facts.get(b"version", b"0.0").split(b".")[:2] if part.isdigit())
    return version >= _IFEQ_SINCE.get(facts.get(b"server", b""), (math.inf,))
