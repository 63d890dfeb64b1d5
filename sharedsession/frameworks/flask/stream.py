"""A stream's first chunk is made before its head leaves, so that what it looks at is in ``Vary``.

A server sends the head with the first chunk anyway (PEP 3333), so nobody waits for it. An event stream may say nothing
for long, and is not asked: it has ``Vary`` in any case.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from flask import Response
from werkzeug.wsgi import ClosingIterator

_NO_BODY = {204, 304}


def is_event_stream(response: Response) -> bool:
    """Returns whether a response is of server-sent events."""
    return response.mimetype == "text/event-stream"


def begin(response: Response, method: str) -> None:
    """Makes the first chunk of a stream, as its server would a moment later.

    Args:
        response: a stream.
        method: of the request. To HEAD the body is not made.
    """
    if response.direct_passthrough or method == "HEAD" or response.status_code in _NO_BODY or is_event_stream(response):
        return
    body: Any = response.response
    chunks = iter(body)
    first = next(filter(None, chunks), None)
    _replace(response, body, chunks if first is None else chain([first], chunks))


def watch(response: Response, has_looked: Callable[[], bool], report: Callable[[], None]) -> None:
    """Has it reported if a stream, whose head leaves now, looks at its session later.

    Args:
        response: the stream.
        has_looked: returns whether it has.
        report: called before the chunk leaves that is the first one after such a look.
    """
    body: Any = response.response
    _replace(response, body, _watched(body, has_looked, report))


def _replace(response: Response, body: Any, chunks: Iterable[Any]) -> None:
    close = getattr(body, "close", None)  # of a generator that has not begun, a generator around it would not close it
    response.response = ClosingIterator(chunks, close)


def _watched(body: Iterable[Any], has_looked: Callable[[], bool], report: Callable[[], None]) -> Iterator[Any]:
    chunks = iter(body)
    for chunk in chunks:
        if has_looked():
            report()
            yield chunk
            break
        yield chunk
    yield from chunks
