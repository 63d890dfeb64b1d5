"""Visitors that come one after another, each with a session of its own, and check that no visit is lost.

They come through the front, as anybody. They are why a killed node is visible proof: the count goes on by one a visit.
"""

import asyncio
import re
import time
from contextlib import suppress

from sharedsession.demo.loopback import HOST
from sharedsession.demo.wire import END_OF_HEAD, Head

VISITORS = 6
SECONDS = 30.0
REST = 0.05
"""Seconds between two visits of a visitor: the machine has other things to do."""

_COUNT = re.compile(rb'id="visits">(\d+)<')


class Load:
    """Some visitors for some seconds.

    Args:
        port: of the front.

    Attributes:
        visits: how many were answered with the count that was due.
        lost: how many were answered with another count. A visit that was not answered may have been counted or not.
        failed: how many were not answered with a page.
    """

    def __init__(self, port: int) -> None:
        self.visits = self.lost = self.failed = 0
        self._port = port
        self._running: asyncio.Task[object] | None = None

    @property
    def is_running(self) -> bool:
        """Whether visitors are under way."""
        return self._running is not None and not self._running.done()

    def start(self) -> None:
        """Sends the visitors off; those that are under way go on alone."""
        if not self.is_running:
            self.visits = self.lost = self.failed = 0
            self._running = asyncio.ensure_future(self._all())

    async def close(self) -> None:
        """Calls them back."""
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as visitors:
            for _ in range(VISITORS):
                visitors.create_task(self._visitor(time.monotonic() + SECONDS))

    async def _visitor(self, until: float) -> None:
        cookie, count, unanswered = "", 0, 0
        while time.monotonic() < until:
            try:
                cookie, said = await self._visit(cookie)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.failed += 1
                unanswered += 1
            else:
                self._note(is_due=count < said <= count + 1 + unanswered)
                count, unanswered = said, 0
            await asyncio.sleep(REST)

    def _note(self, *, is_due: bool) -> None:
        if is_due:
            self.visits += 1
        else:
            self.lost += 1

    async def _visit(self, cookie: str) -> tuple[str, int]:
        """One visit; returns the cookie to come back with, and the count on the page.

        Raises:
            ValueError: the answer is no page with a count.
        """
        head, body = await fetch(self._port, "/", ("Cookie", cookie))
        found = _COUNT.search(body)
        if not found:
            raise ValueError(head.start)
        new = (head.get("set-cookie") or "").partition(";")[0]
        return new or cookie, int(found[1])


async def fetch(port: int, path: str, *fields: tuple[str, str]) -> tuple[Head, bytes]:
    """Gets a page of 127.0.0.1.

    Raises:
        OSError: nobody answers.
        IncompleteReadError: whoever did hung up.
    """
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        asked = Head(f"GET {path} HTTP/1.1", (("Host", f"{HOST}:{port}"), ("Connection", "close"), *fields))
        writer.write(asked.encode())
        head = Head.parse(await reader.readuntil(END_OF_HEAD))
        return head, await reader.read()
    finally:
        writer.close()
