"""Spans of OpenTelemetry around the waits of one manager; without `instrument` they cost nothing.

A span has the kind of the backend, how it ended and the type of an error; never an ID, a key, a user or the message of
an error.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from sharedsession._version import __version__
from sharedsession.errors import SessionEnded
from sharedsession.extras import needs
from sharedsession.manager import SessionManager, engines_of

with needs("opentelemetry"):
    from opentelemetry import trace
    from opentelemetry.trace import StatusCode, TracerProvider

_BACKEND, _OUTCOME, _ERROR = "sharedsession.backend", "sharedsession.outcome", "error.type"


def instrument(manager: SessionManager, tracer_provider: TracerProvider | None = None) -> None:
    """Has a manager make spans: ``sharedsession.load`` and ``sharedsession.commit``. A second call changes nothing.

    Args:
        manager: of the application.
        tracer_provider: where spans go; ``None``: the global one.
    """
    observer = engines_of(manager).observer
    if observer.tracer is None:
        kind = str(manager.health()["backend"].get("kind", ""))
        observer.tracer = _Spans(trace.get_tracer("sharedsession", __version__, tracer_provider), kind)


class _Spans:
    """The observer's tracer."""

    def __init__(self, tracer: trace.Tracer, kind: str) -> None:
        self._tracer = tracer
        self._attributes = {_BACKEND: kind}

    async def trace(self, operation: str, work: Coroutine[Any, Any, None], outcome: Callable[[], str]) -> None:
        with self._tracer.start_as_current_span(
            f"sharedsession.{operation}",
            kind=trace.SpanKind.CLIENT,
            attributes=self._attributes,
            record_exception=False,  # a traceback may show what a session holds
            set_status_on_exception=False,
        ) as span:
            try:
                await work
            except SessionEnded:  # no error: another request logged out
                span.set_attribute(_OUTCOME, "ended")
                raise
            except BaseException as error:
                span.set_attribute(_OUTCOME, "error")
                span.set_attribute(_ERROR, type(error).__name__)
                span.set_status(StatusCode.ERROR)
                raise
            span.set_attribute(_OUTCOME, outcome())
