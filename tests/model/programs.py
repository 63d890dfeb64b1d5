"""What web nodes do in the cases, and what must be true whatever happens meanwhile.

A program is a request or two, by the library's own objects. It tells what its visitor was told, as a fact: "ended" is a
logout that was confirmed, "wrote a" a change that was acknowledged. What is not told is not promised.

A property is a promise, in terms of facts and of what a web node that was just started would read. It is asked in every
state, not only in the last ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sharedsession.errors import BackendUnavailable, LockTimeout, SessionEnded, SessionError
from tests.model.explorer import Property, View
from tests.model.world import Farm, Program, Web

UNAVAILABLE = "cannot answer"
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


def logs_in(principal: str | None, fact: str = "") -> Program:
    """A new session. It tells a fact with the token, if there is one."""

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
        token = session._state.outcome.token
        if token and fact and not session._state.dropped:
            web.tell(f"{fact} {token}")
        return (token or "").encode()

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
    """Reads at some moment, and finds what was acknowledged before that. A web node sees no session again that had ended.

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
            if is_alive and (lost := _lost(facts, dict(session))):
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
                session["n"] = session["n"] + 1
        except (BackendUnavailable, LockTimeout, SessionEnded, SessionError):
            return
        web.tell(f"added {name}")

    return program


# -- looks of a web node that was just started


@cache
def _look(token: bytes) -> Program:
    async def look(web: Web) -> Any:
        session = web.open(token)
        try:
            await session.load()
        except BackendUnavailable:
            return UNAVAILABLE
        return dict(session) if session._state.record is not None else None

    return look


def _all_looks(view: View, token: bytes, *, one_silent: bool) -> list[Any]:
    silents: list[Sequence[int]] = [()]
    if one_silent:
        silents += [(node,) for node in range(view.farm.size)]
    return [view.look(_look(token), silent) for silent in silents]


def _lost(facts: frozenset[str], data: dict[str, Any]) -> list[str]:
    written = {fact.split()[1] for fact in facts if fact.startswith("wrote ")}
    added = sum(fact.startswith("added ") for fact in facts)
    return [*sorted(written - data.keys()), *(["a sum"] if data.get("n", 0) < added else [])]


# -- properties


def logout_is_final(token: bytes, *, one_silent: bool = False, fact: str = "ended") -> Property:
    """G1, G2, S5, S10, S13: after a confirmed logout nobody reads the session any more."""

    def holds(view: View) -> str | None:
        if fact in view.facts:
            for data in _all_looks(view, token, one_silent=one_silent):
                if isinstance(data, dict):
                    return f"it has ended, and is read: {data}"
        return None

    return holds


def new_session_has_ended(view: View) -> str | None:
    """S10: what was sent to store a session does not bring it back after its end."""
    for token in _told(view, "out"):
        data = view.look(_look(token))
        if isinstance(data, dict):
            return f"it has ended, and is read: {data}"
    return None


def writes_stay(token: bytes, *, one_silent: bool = False, most: int = 99) -> Property:
    """S3, S27: what was acknowledged is part of what everybody reads; what is added counts once."""

    def holds(view: View) -> str | None:
        for data in _all_looks(view, token, one_silent=one_silent):
            if isinstance(data, dict) and (lost := _lost(view.facts, data)):
                return f"acknowledged, and lost: {', '.join(lost)}: {data} is read"
            if isinstance(data, dict) and data.get("n", 0) > most:
                return f"something was added twice: {data} is read"
        return None

    return holds


def stays_alive(token: bytes, *, one_silent: bool = False) -> Property:
    """L1, Outage: nobody has ended it, so nobody is told that there is none."""

    def holds(view: View) -> str | None:
        looks = _all_looks(view, token, one_silent=one_silent)
        return "nobody has ended it, and there is none" if None in looks else None

    return holds


def is_found(token: bytes) -> Property:
    """D1, L1: with all nodes up a web node that was just started reads it."""

    def holds(view: View) -> str | None:
        data = view.look(_look(token))
        return None if isinstance(data, dict) else f"all nodes answer, and it is read as {data}"

    return holds


def old_id_is_dead(token: bytes, *, grace: bool = False) -> Property:
    """S12: after a new ID nobody reads anything by the old one; what it shows in its grace ends with the session."""

    def holds(view: View) -> str | None:
        new = _told(view, "renewed")
        if not new:
            return None
        for data in _all_looks(view, token, one_silent=False):
            if data and data != UNAVAILABLE and not grace:
                return f"the old ID shows {data}"
        if "ended" in view.facts:
            for each in (token, *new):
                data = view.look(_look(each))
                if isinstance(data, dict) and data:
                    return f"it has ended, and is read: {data}"
        return None

    return holds


def new_id_lives(view: View) -> str | None:
    """S12: the session goes on under its new ID unless somebody ends it."""
    for new in _told(view, "renewed"):
        if "ended" not in view.facts and view.look(_look(new)) is None:
            return "the session is not found by its new ID"
    return None


def logged_out_everywhere(tokens: Sequence[bytes], *, fact: str = "revoked", one_silent: bool = False) -> Property:
    """S14: after "log out everywhere" no session is valid that was stored before."""

    def holds(view: View) -> str | None:
        if fact in view.facts:
            for token in tokens:
                for data in _all_looks(view, token, one_silent=one_silent):
                    if isinstance(data, dict):
                        return f"everything was ended, and this is read: {data}"
        return None

    return holds


def spared(token: bytes) -> Property:
    """S15: the session that asks goes on."""

    def holds(view: View) -> str | None:
        is_there = view.look(_look(token)) is not None
        return None if is_there or "revoked others" not in view.facts else "the session that is spared has ended"

    return holds


def tombstones_keep_their_life(key: bytes, least: float) -> Property:
    """S11: no read shortens the life of a tombstone."""

    def holds(view: View) -> str | None:
        if not view.is_over:
            return None
        for node, number in enumerate(view.nodes):
            item = view.farm.nodes.items(number, view.now).get(key)
            left = view.farm.nodes.left(number, key, view.now) if item is not None and item.flags else None
            if left is not None and left < least - view.now:
                return f"the tombstone on node {node + 1} lives for {left} s only, {least - view.now} are promised"
        return None

    return holds


def dead_after(token: bytes, seconds: float) -> Property:
    """G3: so many seconds after an end nobody reads it, whatever was lost."""

    def holds(view: View) -> str | None:
        if "ended" in view.facts and view.now >= seconds and isinstance(data := view.look(_look(token)), dict):
            return f"{view.now:g} s after its end it is read: {data}"
        return None

    return holds


def _told(view: View, fact: str) -> list[bytes]:
    return [each.split()[1].encode() for each in view.facts if each.startswith(f"{fact} ")]
