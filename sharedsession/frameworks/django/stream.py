"""Streams: what their first chunk looks at is in ``Vary``, and what they change late is saved at their end.

Where the application blocks, the first chunk is made before the commit: a server sends the head with it anyway (PEP
3333). On an event loop the head waits for it, a few milliseconds at most. What cannot be waited for, an event stream or
a body of the other colour, has ``Vary`` in any case.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import Any

from sharedsession.concurrency import Underway
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.store import SessionStore
from sharedsession.http import HEAD_WAITS


def is_stream(response: Any) -> bool:
    """Returns whether the application makes the body while it is sent; a file is none."""
    return bool(response.streaming) and getattr(response, "file_to_stream", None) is None


def depends(response: Any, *, blocking: bool) -> bool:
    """Returns whether a stream must be taken for one that looks at the session, since it cannot be waited for.

    Args:
        response: a stream.
        blocking: whether the application blocks.
    """
    return response.is_async == blocking or (blocking and _is_event_stream(response))


def begin(response: Any) -> None:
    """Makes the first chunk, as the server would a moment later."""
    if response.is_async or _is_event_stream(response):
        return
    chunks = iter(response.streaming_content)
    first = next(filter(None, chunks), None)
    response.streaming_content = chunks if first is None else chain([first], chunks)


async def abegin(response: Any) -> None:
    """Same as `begin`, on an event loop: it waits for the first chunk a few milliseconds at most."""
    if not response.is_async:
        return
    chunks = response.streaming_content
    first = Underway(_first(chunks))
    await first.go_on(HEAD_WAITS)
    response.streaming_content = _after(first, chunks)


def follow(session: SessionStore, response: Any) -> None:
    """Has late changes saved at the end, and a look that came too late for the head reported.

    Args:
        session: of the request.
        response: a stream, with the headers with which it leaves.
    """
    here = configuration()

    def report() -> None:
        here.settings.transport.report_late_look(list(response.items()), here.blocking.observer)

    stream = _alate if response.is_async else _late
    response.streaming_content = stream(session, response.streaming_content, None if session.accessed else report)


def _is_event_stream(response: Any) -> bool:
    return str(response.get("Content-Type", "")).startswith("text/event-stream")


async def _first(chunks: AsyncIterator[bytes]) -> bytes | None:
    async for chunk in chunks:
        if chunk:
            return chunk
    return None


async def _after(first: Underway[bytes | None], chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    chunk = await first
    if chunk is not None:
        yield chunk
    async for chunk in chunks:
        yield chunk


def _late(session: SessionStore, body: Iterator[bytes], report: Callable[[], None] | None) -> Iterator[bytes]:
    try:
        for chunk in body:
            if report is not None and session.accessed:
                report()
                report = None
            yield chunk
    finally:
        configuration().blocking.finish(session.core)


async def _alate(
    session: SessionStore, body: AsyncIterator[bytes], report: Callable[[], None] | None
) -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
            if report is not None and session.accessed:
                report()
                report = None
            yield chunk
    finally:
        await configuration().on_loop.finish(session.core)
