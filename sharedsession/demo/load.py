"""Load: simulated visitors, each with a session of its own, who check that no visit is lost.

They use the front, as browsers do. So they prove what happens when a process is killed: each count still grows by one a
visit.
"""

import asyncio
import re
from collections import Counter
from contextlib import suppress

from sharedsession.demo.http1 import fetch
from sharedsession.demo.names import WEB_NODE_HEADER
from sharedsession.environment import REAL

VISITORS = 6
"""How many there are."""

SECONDS = 30.0
"""How long they visit."""

PAUSE = 0.05
"""Seconds between two visits of a visitor, so that the machine has time for the farm."""

_COUNT = re.compile(rb'id="visits">(\d+)<')


class Load:
    """Some visitors for some seconds.

    Args:
        port: of the front.

    Attributes:
        visits: how many pages had the expected count.
        lost: how many pages had another count. A visit without an answer may have been counted or not.
        failed: how many visits got no page.
        slowest: seconds that the slowest answer took.
        answered: how many pages each web node made, by its name.
        began: whether there were visitors ever.
    """

    def __init__(self, port: int) -> None:
        self._reset()
        self.began = False
        self._port = port
        self._running: asyncio.Task[object] | None = None

    @property
    def is_running(self) -> bool:
        """Whether visitors are still visiting."""
        return self._running is not None and not self._running.done()

    @property
    def elapsed(self) -> float:
        """The seconds for which they have visited; after their end it stands still."""
        return (self._ended if self._ended is not None else REAL.monotonic()) - self._started if self.began else 0.0

    async def start(self) -> None:
        """Starts the visitors; does nothing while earlier ones are still visiting."""
        if not self.is_running:
            self._reset()
            self.began = True
            self._running = asyncio.ensure_future(self._all())

    async def close(self) -> None:
        """Stops the visitors."""
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def _reset(self) -> None:
        self.visits = self.lost = self.failed = 0
        self.slowest = 0.0
        self.answered: Counter[str] = Counter()
        self._started = REAL.monotonic()
        self._ended: float | None = None

    async def _all(self) -> None:
        try:
            async with asyncio.TaskGroup() as visitors:
                for _ in range(VISITORS):
                    visitors.create_task(self._visitor(self._started + SECONDS))
        finally:
            self._ended = REAL.monotonic()

    async def _visitor(self, until: float) -> None:
        cookie, count, unanswered = "", 0, 0
        while REAL.monotonic() < until:
            try:
                cookie, shown = await self._visit(cookie)
            except (OSError, ValueError):
                self.failed += 1
                unanswered += 1
            else:
                self._note(is_expected=count < shown <= count + 1 + unanswered)
                count, unanswered = shown, 0
            await asyncio.sleep(PAUSE)

    def _note(self, *, is_expected: bool) -> None:
        if is_expected:
            self.visits += 1
        else:
            self.lost += 1

    async def _visit(self, cookie: str) -> tuple[str, int]:
        """Visits once; returns the cookie for the next visit, and the count on the page.

        Raises:
            ValueError: the answer is no page with a count.
        """
        asked = REAL.monotonic()
        headers, body = await fetch(self._port, "/", ("Cookie", cookie))
        found = _COUNT.search(body)
        if not found:
            raise ValueError("a page without a count")
        self.slowest = max(self.slowest, REAL.monotonic() - asked)
        known = dict(headers)
        self.answered[known.get(WEB_NODE_HEADER.lower(), "?")] += 1
        new = known.get("set-cookie", "").partition(";")[0]
        return new or cookie, int(found[1])
