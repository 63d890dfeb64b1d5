"""What web nodes do in the cases, and what must be true whatever happens meanwhile.

A program is a request or two, by the library's own objects. It tells what its visitor was told, as a fact: "ended" is a
logout that was confirmed, "wrote a" a change that was acknowledged. What is not told is not promised.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sharedsession.errors import BackendUnavailable, LockTimeout, SessionEnded, SessionError
from tests.model.world import Farm, Program, Web

PRINCIPAL = "alice"


# -- what the nodes hold when it begins


class Stored:
    """A farm with a session that is stored, whose nodes are numbered in the order in which the session prefers them.

    Args:
        nodes: how many.
        replicas: copies of a record.
        principal: whose session it is.
        sessions: how many of them.

    Attributes:
        farm: it.
        tokens: of the sessions.
        nodes: what they hold.
    """

    def __init__(self, nodes: int = 2, replicas: int = 2, *, principal: str | None = None, sessions: int = 1) -> None:
        wanted = tuple(range(nodes))
        for salt in range(1000):
            self.farm = Farm(nodes, replicas, salt=f"{salt}")
            self.nodes: tuple[int, ...] = (self.farm.nodes.empty,) * nodes
            self.tokens: list[bytes] = []
            for number in range(sessions):
                login = logs_in(principal)
                self.nodes, token = self.farm.alone(login, self.nodes, name=f"login {salt} {number}")
                self.tokens.append(token)
            identity = self.farm.machine_key.verify(self.tokens[0])
            assert identity is not None
            if self.farm.ring.order(identity.store_key) == wanted:
                break
        for number, token in enumerate(self.tokens):
            self._name(token, "the session" if sessions == 1 else f"session {number + 1}")
        if principal is not None:
            for kind in ("stamp", "index"):
                self.farm.know(self.farm.machine_key.of_principal(principal, kind)[0], f"the {kind}")

    @property
    def token(self) -> bytes:
        return self.tokens[0]

    @property
    def key(self) -> bytes:
        """The store key of the first session."""
        identity = self.farm.machine_key.verify(self.token)
        assert identity is not None
        return identity.store_key.encode()

    def lacking(self, node: int) -> tuple[int, ...]:
        """Returns the nodes, where one of them has lost the first session."""
        left = list(self.nodes)
        left[node] = self.farm.nodes.without(left[node], self.key, 0.0)
        return tuple(left)

    def after(self, program: Program, silent: Sequence[int] = ()) -> tuple[int, ...]:
        """Returns the nodes after a program that nothing disturbed, but for nodes that were silent."""
        return self.farm.alone(program, self.nodes, silent=silent, name="before")[0]

    def _name(self, token: bytes, name: str) -> None:
        identity = self.farm.machine_key.verify(token)
        assert identity is not None
        self.farm.know(identity, name)
        self.farm.know(identity.for_lock(), f"the lock of {name}")


# -- programs


def logs_in(principal: str | None) -> Callable[[Web], Coroutine[Any, Any, bytes]]:
    """A new session. It returns the token, if it is stored."""

    async def program(web: Web) -> bytes:
        session = web.open(b"")
        await session.load()
        session["n"] = 0
        if principal is not None:
            session.principal = principal
        try:
            await web.engine.finish(session)
        except BackendUnavailable:
            return b""
        return (session._state.outcome.token or "").encode()

    return program


def writes(token: bytes, key: str, *, loaded: bool = True) -> Program:
    """Sets a key of its own. With ``loaded`` it has read the session before the race begins."""
    return _changes(token, f"wrote {key}", lambda session: session.update({key: 1}), loaded=loaded)


def adds(token: bytes, name: str, *, loaded: bool = True) -> Program:
    """Adds 1 to the number that all add to."""
    return _changes(token, f"added {name}", lambda session: session.increment("n"), loaded=loaded)


def _changes(token: bytes, fact: str, change: Callable[[Any], object], *, loaded: bool) -> Program:
    async def program(web: Web) -> None:
        session = web.open(token)
        try:
            if not loaded:
                await web.ready()
            await session.load()
            if loaded:
                await web.ready()
            if session._state.record is None:
                return
            change(session)
            await web.engine.finish(session)
        except BackendUnavailable:
            return
        if not session._state.dropped:
            web.tell(fact)

    return program


def logs_out(token: bytes, *, loaded: bool = True, looks: bool = True, fact: str = "ended") -> Program:
    """Ends the session. With ``looks`` it has looked at it before."""

    async def program(web: Web) -> None:
        session = web.open(token)
        try:
            if not loaded:
                await web.ready()
            if looks:
                await session.load()
            if loaded:
                await web.ready()
            session.destroy()
            await web.engine.finish(session)
        except SessionError:
            return
        web.tell(fact)

    return program


async def logs_in_and_out(web: Web) -> None:
    """A new session, which ends at once."""
    await web.ready()
    token = await logs_in(None)(web)
    if token:
        await logs_out(token, fact=f"out {token.decode()}")(web)


def regenerates(token: bytes, *, grace: float = 0.0) -> Program:
    """Gives the session a new ID."""

    async def program(web: Web) -> None:
        session = web.open(token)
        try:
            await session.load()
            await web.ready()
            if session._state.record is None:
                return
            session.regenerate(grace)
            await web.engine.finish(session)
        except SessionError:
            return
        new = session._state.outcome.token
        if new and not session._state.dropped:
            web.tell(f"renewed {new}")

    return program


def reads(token: bytes, *, times: int = 1, may_end: bool = False) -> Program:
    """Reads at some moment, and finds what was acknowledged before that; nobody sees a session again that had ended.

    Args:
        token: of the session.
        times: how often.
        may_end: whether somebody ends it.
    """

    async def program(web: Web) -> None:
        await web.ready()
        was_ended = False
        for _ in range(times):
            facts = await web.begin()
            session = web.open(token)
            try:
                await session.load()
            except BackendUnavailable:
                continue
            is_alive = session._state.record is not None
            if is_alive and ("ended" in facts or was_ended):
                web.tell(f"WRONG: a session that has ended is read: {dict(session)}")
            if is_alive and (lost := lost_of(facts, dict(session))):
                web.tell(f"WRONG: what was acknowledged before the read is not read: {lost}")
            if not is_alive and not may_end:
                web.tell("WRONG: a session that nobody has ended is not found")
            was_ended = was_ended or not is_alive

    return program


def revokes_all(principal: str = PRINCIPAL) -> Program:
    """Logs a principal out everywhere."""

    async def program(web: Web) -> None:
        await web.ready()
        try:
            await web.engine.index.revoke_all(principal, None)
        except SessionError:
            return
        web.tell("revoked")

    return program


def revokes_others(token: bytes) -> Program:
    """Ends all sessions of its principal but its own."""

    async def program(web: Web) -> None:
        session = web.open(token)
        try:
            await session.load()
            await web.ready()
            if session._state.record is None:
                return
            await session.revoke_others()
            await web.engine.finish(session)
        except SessionError:
            return
        web.tell("revoked others")

    return program


def counts_under_lock(token: bytes, name: str) -> Program:
    """Reads a number under the lock, and writes it with 1 more: the way that needs a lock."""

    async def program(web: Web) -> None:
        session = web.open(token)
        await web.ready()
        try:
            async with session.lock(timeout=0.0):
                if "n" not in session:
                    return  # the session is lost
                session["n"] = session["n"] + 1
        except (BackendUnavailable, LockTimeout, SessionEnded, SessionError):
            return
        web.tell(f"added {name}")

    return program


def lost_of(facts: frozenset[str], data: dict[str, Any]) -> list[str]:
    """Returns what was acknowledged and is not part of what was read."""
    written = {fact.split()[1] for fact in facts if fact.startswith("wrote ")}
    added = sum(fact.startswith("added ") for fact in facts)
    return [*sorted(written - data.keys()), *(["a sum"] if data.get("n", 0) < added else [])]
