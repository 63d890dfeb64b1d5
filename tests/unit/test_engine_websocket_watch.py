"""A websocket ends when its session has ended, and keeps it alive while it is in use. No server, no waiting."""

import asyncio
from typing import Any

from sharedsession import MachineKey, Session
from sharedsession.manager import engines_of
from sharedsession.session import state_of
from tests.support.watched_store import SECRET, Farm

IDLE = 80.0


class Socket:
    """A websocket over the store in memory, with the watch over its session.

    Args:
        farm: of the store.
        settings: of the node.
    """

    def __init__(self, farm: Farm, **settings: Any) -> None:
        self.farm = farm
        settings = {"idle_timeout": IDLE, "websocket_check": 0.001} | settings
        self.node = farm.node(**settings)
        self.engine = engines_of(self.node.manager).on_loop
        self.token = self.node.stored(a=1)
        self.has_ended = False

    async def __aenter__(self) -> "Socket":
        self.session = self.engine.open(Session, [self.token])
        await self.session.load()
        self._checked = asyncio.Event()
        self._ended = asyncio.Event()
        self.watch = self.engine.watch(self.session, self._end)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.watch.stop()

    async def _end(self) -> None:
        self.has_ended = True
        self._ended.set()

    async def ends(self) -> None:
        """Waits until the watch has found that the session ended."""
        await asyncio.wait_for(self._ended.wait(), 60)

    async def checks(self) -> None:
        """Waits until the watch has asked the store twice more."""
        asked = len(self.farm.store.asked)
        while len(self.farm.store.asked) < asked + 2:  # noqa: ASYNC110  (it is asked in a worker thread)
            await asyncio.sleep(0)


def watched(work: Any, **settings: Any) -> Socket:
    """Runs something with an open websocket."""
    socket = Socket(Farm(), **settings)

    async def run() -> None:
        async with socket:
            await work(socket)

    asyncio.run(run())
    return socket


def test_a_websocket_whose_session_was_ended_elsewhere_ends() -> None:
    """At the next check."""

    async def work(socket: Socket) -> None:
        await socket.checks()
        assert not socket.has_ended
        identity = state_of(socket.session).identity
        assert identity
        socket.farm.store.end(identity.store_key, IDLE, 1.0)
        await socket.ends()

    assert watched(work).has_ended


def test_a_websocket_that_is_in_use_renews_its_session() -> None:
    """One check renews once for all that came since the last; without a word it ends with the idle timeout."""

    async def work(socket: Socket) -> None:
        for _ in range(8):
            socket.farm.environment.advance(IDLE / 2)
            socket.watch.is_in_use = True
            await socket.checks()
            assert not socket.watch.is_in_use
        assert not socket.has_ended
        socket.farm.environment.advance(IDLE)
        await socket.ends()

    assert watched(work).has_ended


def test_an_outage_ends_no_websocket() -> None:
    """It tells nothing about the session."""

    async def work(socket: Socket) -> None:
        socket.farm.store.down = True
        await socket.checks()

    assert not watched(work).has_ended


def test_a_websocket_under_a_secret_that_was_taken_away_ends() -> None:
    """The store is not asked for that."""
    secrets = [SECRET]

    async def work(socket: Socket) -> None:
        socket.farm.store.down = True
        secrets[:] = [MachineKey.generate()]
        await socket.ends()

    assert watched(work, secret_key=lambda: list(secrets)).has_ended


def test_a_websocket_whose_session_was_not_looked_at_is_left_alone() -> None:
    """Nor one without a session: there is nothing that could end."""

    async def work(socket: Socket) -> None:
        state_of(socket.session).accessed = False
        asked = len(socket.farm.store.asked)
        for _ in range(3):
            await socket.watch._look()
        assert len(socket.farm.store.asked) == asked

    assert not watched(work).has_ended


def test_a_watch_that_is_not_wanted_asks_nothing() -> None:
    """`websocket_check` is None: it is not even started, and stopping it is no error."""

    async def work(socket: Socket) -> None:
        asked = len(socket.farm.store.asked)
        await asyncio.sleep(0)
        assert len(socket.farm.store.asked) == asked

    assert not watched(work, websocket_check=None).has_ended
