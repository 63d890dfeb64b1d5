"""What happened: plain counters, log records with a stable ``event`` field, a callback, and the seam for tracing.

The logger is "sharedsession". No token, key or value is ever passed in here; of a session only its public handle comes
out. What a server says of itself may name a key, so keys are taken out of every message. An event that an attacker can
cause is always counted, but logged only a few times a second.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from sharedsession.environment import REAL, Environment

LOGGER = logging.getLogger("sharedsession")
_PER_SECOND = 5
_STORE_KEY = re.compile(r"ss:[\w{}.:+/=-]{8,}")


class Event(NamedTuple):
    """Something that happened, as the callback ``on_event`` gets it.

    Attributes:
        name: stable, as in the table of events.
        session: the public handle of the session, if the event is about one.
        principal: whose session it is, if that is known.
    """

    name: str
    session: str | None = None
    principal: str | None = None


OnEvent = Callable[[Event], object]


class Named(Protocol):
    """Something that has a public name."""

    @property
    def handle(self) -> str:
        """The public name: fit for logs."""
        ...


class Tracer(Protocol):
    """Puts a span around what the library waits for."""

    def trace(
        self, operation: str, work: Coroutine[Any, Any, None], outcome: Callable[[], str]
    ) -> Coroutine[Any, Any, None]:
        """Awaits some work inside of a span.

        Args:
            operation: ``"load"`` or ``"commit"``.
            work: what is waited for.
            outcome: returns in one word how it ended, once it has.
        """
        ...


def without_store_keys(text: str) -> str:
    """Returns a text of a server without the keys in it: some repeat the command that they refuse."""
    return _STORE_KEY.sub("ss:***", text)


class Observer:
    """Counts events and writes them to the log. There is one for each manager and each backend; any thread may use it.

    Args:
        on_event: called with each event where it happens: it must be quick. What it raises is only logged.
        environment: where the clock comes from.

    Attributes:
        counters: how often each event happened.
        tracer: puts spans around loads and commits; ``None``: none are made.
    """

    def __init__(self, on_event: OnEvent | None = None, environment: Environment = REAL) -> None:
        self.counters: Counter[str] = Counter()
        self.tracer: Tracer | None = None
        self._on_event = on_event
        self._monotonic = environment.monotonic
        self._second = 0
        self._written: Counter[str] = Counter()

    def count(self, event: str, session: Named | None = None, principal: str | None = None, times: int = 1) -> None:
        """Counts an event that needs no log record.

        Args:
            event: its stable name.
            session: the session that it is about; only its handle is read.
            principal: whose session it is.
            times: how often it happened.
        """
        self.counters[event] += times
        if self._on_event is not None:
            self._call_back(self._on_event, event, session, principal)

    def event(self, event: str, message: str, level: int = logging.WARNING) -> None:
        """Counts an event and writes it to the log, at most five times a second.

        Args:
            event: its stable name, also the ``event`` field of the log record.
            message: what happened and what to do, for the person who must act on it.
            level: of `logging`.
        """
        self.count(event)
        if self._may_write(event):
            LOGGER.log(level, without_store_keys(message), extra={"event": event})

    def once(self, event: str, message: str, level: int = logging.WARNING) -> None:
        """Same as `event`, for what is true until somebody acts: it is written to the log the first time only."""
        if self.counters[event]:
            self.count(event)
        else:
            self.event(event, message, level)

    @staticmethod
    def _call_back(on_event: OnEvent, event: str, session: Named | None, principal: str | None) -> None:
        try:
            on_event(Event(event, session.handle if session else None, principal))
        except Exception as error:  # noqa: BLE001  (it must not change what happens to the visitor)
            LOGGER.warning(
                "session function on_event raised %s", type(error).__name__, extra={"event": "on_event_failed"}
            )

    def _may_write(self, event: str) -> bool:
        second = int(self._monotonic())
        if second != self._second:
            self._second = second
            self._written.clear()
        self._written[event] += 1
        return self._written[event] <= _PER_SECOND
