"""Spans of OpenTelemetry around the waits of one manager; who does not ask for them pays nothing.

The two coroutines through which a manager waits for its store are replaced, on that one manager, by others that await
them inside a span. That is the whole seam: the same for both colours, and the manager does not know. A span says the
kind of the backend, how it ended and the type of an error; never an ID, a key, a user or a message of an error.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, StatusCode, TracerProvider

import sharedsession
from sharedsession.errors import SessionEnded
from sharedsession.manager import SessionManager
from sharedsession.session.state import Kept

_BACKEND, _OUTCOME, _ERROR = "sharedsession.backend", "sharedsession.outcome", "error.type"
Wait = Callable[[Kept], Coroutine[Any, Any, None]]
Ending = Callable[[Kept], str]


def instrument(manager: SessionManager, tracer_provider: TracerProvider | None = None) -> None:
    """Has a manager make spans: ``sharedsession.load`` and ``sharedsession.commit``. A second call changes nothing.

    Args:
        manager: of the application.
        tracer_provider: where spans go; ``None``: the global one.
    """
    tracer = trace.get_tracer("sharedsession", sharedsession.__version__, tracer_provider)
    attributes = {_BACKEND: str(manager.health()["backend"].get("kind", ""))}
    span = partial(
        tracer.start_as_current_span,
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,  # a traceback may show what a session holds
        set_status_on_exception=False,
    )
    _wrap(manager, "_load", partial(span, "sharedsession.load"), _loaded)
    _wrap(manager._committer, "commit", partial(span, "sharedsession.commit"), _committed)


def _wrap(owner: object, method: str, span: Callable[[], AbstractContextManager[Span]], ended: Ending) -> None:
    """Puts a coroutine function of one object into a span."""
    if method in vars(owner):
        return
    wait: Wait = getattr(owner, method)

    async def inside_a_span(session: Kept) -> None:
        with span() as begun:
            await _told(begun, wait(session), session, ended)

    vars(owner)[method] = inside_a_span


async def _told(span: Span, waiting: Awaitable[None], session: Kept, ended: Ending) -> None:
    try:
        await waiting
    except SessionEnded:  # nobody's fault: another request logged out
        span.set_attribute(_OUTCOME, "ended")
        raise
    except BaseException as error:
        span.set_attribute(_OUTCOME, "error")
        span.set_attribute(_ERROR, type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    span.set_attribute(_OUTCOME, ended(session))


def _loaded(session: Kept) -> str:
    if session.unavailable:
        return "unavailable"
    if session.is_read_only:
        return "left"
    return "none" if session.record is None else "found"


def _committed(session: Kept) -> str:
    outcome = session.outcome
    return "set" if outcome.token else "clear" if outcome.clear else "keep"
