"""What the end of a request does to its session and to its response: the commit, then cookie and headers.

Django's habits on top of the library's decision table: a 5xx response saves nothing but a logout is carried out; a
cookie with an age is handed out again with every change.
"""

import math
import time
from typing import Any

from django.conf import settings as django
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpResponse
from django.utils.http import http_date

from sharedsession.errors import BackendUnavailable
from sharedsession.frameworks.django.base import EXPIRY
from sharedsession.frameworks.django.calls import exists
from sharedsession.frameworks.django.configuration import farm
from sharedsession.frameworks.django.store import SessionStore
from sharedsession.http.cookie import CookiePolicy
from sharedsession.http.outcome import CLEAR, KEEP, Outcome
from sharedsession.http.token_transport import UNAVAILABLE_BODY, UNAVAILABLE_STATUS
from sharedsession.manager import SessionManager
from sharedsession.records.record import Record
from sharedsession.session.mapping import Session

_FRESH = 0.1  # seconds since the store was asked
_INTERRUPTED = (
    "The request's session was deleted before the request completed. "
    "The user may have logged out in a concurrent request, for example."
)


async def settle(session: SessionStore, status: int, manager: SessionManager) -> Outcome:
    """Commits the session of a request.

    Args:
        session: of the request.
        status: of the response.
        manager: of the colour that this runs in.

    Raises:
        SessionInterrupted: another request ended it meanwhile, and this one changed it.
        BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        LogoutNotConfirmed: the store did not confirm the end of the session.
    """
    core = session.core
    if status >= 500 and not core.is_destroyed:
        return KEEP
    if status >= 500 or session.is_over():
        core.destroy()  # once more, without what was written since
    elif session.told is False and not (core.is_destroyed or core.left_id):
        core.give_up_saving()
    elif session.modified and not session.defers:
        core.keep_anyway = True
    if django.SESSION_SAVE_EVERY_REQUEST and not await _is_loaded(session, manager):
        return KEEP
    return await _commit(session, core, manager)


async def _is_loaded(session: SessionStore, manager: SessionManager) -> bool:
    """Renews the life of a session that nobody looked at; an outage is no reason to fail such a request."""
    try:
        await session.look(manager)
    except BackendUnavailable:
        return False
    return True


async def _commit(session: SessionStore, core: Session, manager: SessionManager) -> Outcome:
    before, due = core.record, not core.needs_no_commit
    outcome = await manager.acommit(core)
    if due:
        session.show_key()
    if due and core.is_abandoned and not (core.is_read_only or core.unavailable):
        raise SessionInterrupted(_INTERRUPTED)
    if outcome.token and core.record is None:  # created and ended in one request
        return CLEAR if core.had_token else KEEP
    written = core.record is not before
    wanted = django.SESSION_SAVE_EVERY_REQUEST or ((session.told or written) and _has_news(session, before))
    if outcome == KEEP and wanted and (written or await _lives(session, manager)):
        return manager.renewed(core)
    return outcome


def _has_news(session: SessionStore, before: Record | None) -> bool:
    """Whether the cookie has an age, or has none any more."""
    return _age(session) is not None or _expiry(session.core.record) != _expiry(before)


def _expiry(record: Record | None) -> bytes | None:
    """What `set_expiry` was told, packed."""
    return record.items.get(EXPIRY) if record else None


async def _lives(session: SessionStore, manager: SessionManager) -> bool:
    """Whether the browser may be given the same cookie again: it would overwrite that of a login meanwhile."""
    try:
        return session.seconds_since_look() < _FRESH or await exists(manager, session.session_key)
    except BackendUnavailable:
        return False


def hand_over(response: Any, session: SessionStore, outcome: Outcome) -> None:
    """Tells browser and caches what the outcome asks for."""
    accessed, transport = session.accessed, farm().settings.transport
    if not (accessed or outcome.token or outcome.clear):
        return
    headers = list(response.items())
    observer = farm().blocking.observer
    for header in transport.protected(headers, outcome, accessed=accessed, observer=observer):
        if header not in headers:
            response.headers[header[0]] = header[1]
    if transport.cookie and outcome.token:
        _set_cookie(response, transport.cookie, outcome.token, _age(session))
    elif transport.cookie and outcome.clear:
        _clear_cookie(response, transport.cookie)


def unavailable() -> HttpResponse:
    """The answer when the store cannot be asked: the cookie stays."""
    settings = farm().settings
    headers = dict(settings.transport.unavailable(settings.breaker_window))
    return HttpResponse(UNAVAILABLE_BODY, status=UNAVAILABLE_STATUS, headers=headers)


def _age(session: SessionStore) -> int | None:
    """Seconds that the cookie outlives the browser."""
    return None if session.get_expire_at_browser_close() else math.ceil(session.get_expiry_age())


def _set_cookie(response: Any, cookie: CookiePolicy, token: str, age: int | None) -> None:
    response.set_cookie(
        cookie.name,
        token,
        max_age=age,
        expires=None if age is None else http_date(time.time() + age),
        path=cookie.path,
        domain=cookie.domain,
        secure=cookie.secure or None,
        httponly=django.SESSION_COOKIE_HTTPONLY or None,
        samesite=farm().samesite,
    )
    _mark_partitioned(response, cookie)


def _clear_cookie(response: Any, cookie: CookiePolicy) -> None:
    response.delete_cookie(cookie.name, path=cookie.path, domain=cookie.domain, samesite=farm().samesite)
    if cookie.secure:  # or browsers leave a cookie alone that has it
        response.cookies[cookie.name]["secure"] = True
    _mark_partitioned(response, cookie)


def _mark_partitioned(response: Any, cookie: CookiePolicy) -> None:
    if cookie.partitioned:  # http.cookies knows the attribute since Python 3.14 only
        response.cookies[cookie.name]["path"] = f"{cookie.path}; Partitioned"
