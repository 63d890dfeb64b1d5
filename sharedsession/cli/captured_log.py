"""What the library writes to its log while a command runs: it names the server that does not answer, and the fix."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sharedsession.observe import LOGGER

_EVENTS = {"node_down", "store_refused", "store_failed", "sqlite_file_refused"}


@contextmanager
def captured_log() -> Iterator[list[str]]:
    """Collects the messages about servers, oldest first."""
    messages: list[str] = []

    class _Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if getattr(record, "event", "") in _EVENTS:
                messages.append(record.getMessage())

    handler = _Handler()
    LOGGER.addHandler(handler)
    try:
        yield messages
    finally:
        LOGGER.removeHandler(handler)


def silence_log() -> None:
    """Keeps the library's log off the terminal: the command's own output has all of it."""
    LOGGER.addHandler(logging.NullHandler())
