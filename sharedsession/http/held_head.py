"""The head of an answer by ASGI that waits for the first chunk: which may still look at the session.

It waits for a few milliseconds at most, so that an event stream that says nothing at first has begun all the same. A
chunk that comes at once, as in an answer that is no stream, costs neither a timer nor a task.
"""

from collections.abc import MutableMapping
from typing import Any, Self

from sharedsession.concurrency import Delayed
from sharedsession.http.answer import Send

HEAD_WAITS = 0.005
"""Seconds that a head waits: a look at the session takes less, and nobody notices them."""

Message = MutableMapping[str, Any]


class HeldHead:
    """A head that has not left yet.

    Args:
        head: the message ``http.response.start``.
        send: sends it.

    Raises:
        RuntimeError: no event loop of asyncio is running.
    """

    def __init__(self, head: Message, send: Send) -> None:
        self._head: Message | None = head
        self._send = send
        self._leaving = Delayed(HEAD_WAITS, self._leave)

    @classmethod
    def hold(cls, head: Message, send: Send) -> Self | None:
        """Returns the head that now waits; ``None`` where it cannot, on another event loop than asyncio's."""
        try:
            return cls(head, send)
        except RuntimeError:
            return None

    def waits_on(self, message: Message) -> bool:
        """Returns whether a message is no reason to leave: an empty chunk, which says that another one comes."""
        if self._head is None or message["type"] != "http.response.body":
            return False
        return not message.get("body") and bool(message.get("more_body"))

    async def let_go(self) -> None:
        """Has the head leave, before anything else does; where it is about to, waits until it has."""
        await self._leaving.take()

    def withdraw(self) -> Message | None:
        """Returns the head, which then never leaves; ``None`` if it has."""
        head, self._head = self._head, None
        return head

    async def stop(self) -> None:
        """Ends what waits: the answer has ended, or has failed before its first chunk."""
        self._head = None
        await self._leaving.stop()

    async def _leave(self) -> None:
        head = self.withdraw()
        if head is not None:
            await self._send(head)
