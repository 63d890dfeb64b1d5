"""What the log says at the start: of settings that are allowed, and yet may not be what somebody wants."""

import logging
from collections.abc import Sequence

from sharedsession.observe import LOGGER, Observer
from sharedsession.records import Timeouts
from sharedsession.settings.names import Names
from sharedsession.settings.process_group import is_first_in_group


def log_if_development(names: Names) -> None:
    """Logs that development settings are on, once for all workers of one server."""
    if _is_wanted("development") and is_first_in_group("development"):
        Observer().event(
            "development",
            f"session settings: {names('development')}=True: weak secrets and plain-HTTP cookies are allowed; not for "
            "production",
        )


def _is_wanted(event: str) -> bool:
    """Returns whether a warning gets into the log: what nobody reads is not remembered either."""
    record = LOGGER.makeRecord(LOGGER.name, logging.WARNING, __file__, 0, "", (), None, extra={"event": event})
    return LOGGER.isEnabledFor(record.levelno) and bool(LOGGER.filter(record))


def log_if_idle_is_longer(timeouts: Timeouts, names: Names) -> None:
    """Logs that an idle timeout that somebody wrote has no effect: the absolute end comes first."""
    if timeouts.absolute is not None and timeouts.idle > timeouts.absolute and names.is_written("idle_timeout"):
        Observer().event(
            "idle_above_absolute",
            f"session settings: {names('idle_timeout')} ({timeouts.idle:.10g} seconds) is longer than "
            f"{names('absolute_timeout')} ({timeouts.absolute:.10g}): a session in use "
            "ends after that all the same; make it the longer one",
        )


def log_unknown_variables(variables: Sequence[str]) -> None:
    """Logs which variables of the environment have our prefix and no effect."""
    if variables:
        Observer().event(
            "unknown_variable",
            f"session settings: the environment has {', '.join(sorted(variables))}, which is no setting and has no "
            "effect: unset it, or see the table of settings",
        )


def log_if_scripts_may_read(observer: Observer, *, http_only: bool) -> None:
    """Logs that a framework's setting takes HttpOnly from the cookie; our own settings cannot."""
    if not http_only:
        observer.event(
            "http_only_off",
            "session cookie: SESSION_COOKIE_HTTPONLY is off, so any script on a page can read it; set it to True",
        )
