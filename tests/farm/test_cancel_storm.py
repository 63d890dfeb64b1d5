"""Clients that go away in the middle, by the thousand: no answer is ever taken for another's, no connection is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from sharedsession.asgi import SessionMiddleware
from sharedsession.manager import engines_of
from tests.farm.laboratory import LONG, Laboratory
from tests.support.farm import SECRET
from tests.support.history import ENDED, History

STORM = 100_000 if LONG else 5_000
CROWD = 50


class Storm:
    """Visitors of an ASGI application, each with one session, whose requests are cancelled at random points."""

    def __init__(self, url: str, seed: int) -> None:
        self.app = SessionMiddleware(self._app, secret_key=SECRET, backend=url, timeout=5.0)
        self.history = History()
        self.counts: Counter[str] = Counter()
        self.requests = 0
        self._chance = random.Random(seed)

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return list(self.app.manager.health()["backend"]["nodes"])

    async def blow(self, requests: int) -> None:
        """Sends so many requests that are cancelled."""
        async with asyncio.TaskGroup() as crowd:
            for number in range(CROWD):
                crowd.create_task(self._visit(f"s{number}", requests // CROWD))
        await engines_of(self.app.manager).settings.backend.asynchronous.close()

    async def _visit(self, name: str, requests: int) -> None:
        cookie, life = "", 0
        mine = 0
        while mine < requests:
            if not cookie:
                life += 1
                session = f"{name}.{life}"
                cookie = await self._request(session, "login", "", patient=True)
                continue
            kind = self._chance.choices(("read", "write", "logout"), (60, 37, 3))[0]
            patient = self._chance.random() < 0.2
            answered = await self._request(session, kind, cookie, patient=patient)
            mine += answered is None
            if kind == "logout" and answered is not None:
                await self._request(session, "read", cookie, patient=True)
                cookie = ""

    async def _request(self, session: str, kind: str, cookie: str, *, patient: bool) -> str | None:
        """Returns what to send as cookie from now on, or ``None`` if the client did not wait."""
        operation = self.history.begin(session, kind)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"cookie", cookie.encode())] if cookie else []
        scope = {"type": "http", "path": "/", "headers": headers, "deed": (kind, operation)}
        task = asyncio.ensure_future(self.app(scope, _receive, send))
        if not patient:
            await self._pause()
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            operation.unknown()
            self.counts["cancelled"] += 1
            return None
        assert sent[0]["status"] == 200, sent
        operation.failed() if kind == "write" and operation.looked and operation.seen is ENDED else operation.ok()
        self.counts["answered"] += 1
        cookies = [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]
        return cookies[0].partition(";")[0] if cookies else cookie

    async def _pause(self) -> None:
        """Lets the others run a little: some turns of the event loop, or a fraction of a millisecond."""
        if self._chance.random() < 0.7:
            for _ in range(self._chance.randrange(12)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(self._chance.random() * 0.004)

    @staticmethod
    async def _app(scope: Any, _receive: Any, send: Any) -> None:
        session, (kind, operation) = scope["session"], scope["deed"]
        if kind != "login" and kind != "logout":
            operation.saw(session.get("value"))
        if kind == "login" or (kind == "write" and session):
            session["value"] = operation.value
        elif kind == "logout":
            session.destroy()
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _receive() -> Any:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_of_cancelled_requests(laboratory: Callable[..., Laboratory], seed: int) -> None:
    """Thousands of requests cancelled anywhere: 0 wrong answers, and one connection to each node."""
    storm = Storm(laboratory().url(), seed)
    asyncio.run(storm.blow(STORM // 2))
    if violations := storm.history.violations():
        raise AssertionError(storm.history.report(violations))
    assert storm.counts["cancelled"] >= STORM // 2
    assert storm.counts["answered"] > STORM // 20
    assert [node["connections_opened"] for node in storm.nodes] == [1, 1, 1]
    assert [node["state"] for node in storm.nodes] == ["up"] * 3


def test_a_storm_with_a_node_that_stands_still_now_and_then(laboratory: Callable[..., Laboratory]) -> None:
    """The same while one node stops and goes on: 0 wrong answers, few connections."""
    lab = laboratory()
    storm = Storm(lab.url(), 3)

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            blowing = tasks.create_task(storm.blow(STORM // 5))
            while not blowing.done():
                lab.nodes[1].server.freeze()
                await asyncio.sleep(0.02)
                lab.nodes[1].server.resume()
                await asyncio.sleep(0.05)

    asyncio.run(run())
    if violations := storm.history.violations():
        raise AssertionError(storm.history.report(violations))
    assert max(node["connections_opened"] for node in storm.nodes) < 10
