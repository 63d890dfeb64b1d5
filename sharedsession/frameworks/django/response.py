"""What the end of a request does to its session and to its response: the commit, then cookie and headers.

Django's habits on top of the library's decision table: a 5xx response saves nothing, but its logout is done; a cookie
with an age is set again with every change.
"""

import math
from functools import lru_cache
from typing import Any

from django.conf import settings as django
from django.contrib.sessions.exceptions import SessionInterrupted
from django.http import HttpResponse
from django.utils.http import http_date

from sharedsession.engine import Engine
from sharedsession.errors import BackendUnavailable
from sharedsession.frameworks.django.base import EXPIRY
from sharedsession.frameworks.django.calls import exists
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.logins import has_new_password
from sharedsession.frameworks.django.store import SessionStore
from sharedsession.http import CLEAR, KEEP, CookiePolicy, Outcome, TokenTransport
from sharedsession.records import Record
from sharedsession.session import READ_ONLY, state_of

_FRESH = 0.1  # seconds since the store was asked
_FORBIDS = {"max-age=0", "no-cache", "no-store", "must-revalidate", "private"}
_INTERRUPTED = (
    "The request's session was deleted before the request completed. "
    "The user may have logged out in a concurrent request, for example."
)


async def commit(session: SessionStore, request: Any, status: int, engine: Engine) -> Outcome:
    """Commits the session of a request.

    Args:
        session: of the request.
        request: that is answered.
        status: of the response.
        engine: of the colour that this runs in.

    Returns:
        What the client must be told.

    Raises:
        SessionInterrupted: another request ended the session meanwhile, and this one changed it.
        BackendUnavailable: the store cannot answer and ``on_outage`` is ``"error"``.
        LogoutNotConfirmed: the store did not confirm the end of the session.
    """
    core, renews_always = session.core, django.SESSION_SAVE_EVERY_REQUEST
    state = state_of(core)
    is_destroyed = state.is_destroyed(core)
    if status >= 500 and not is_destroyed:
        return KEEP
    if status >= 500 or session.is_over():
        core.destroy()  # once more, without what was written since
    elif session.set_to is False and not (is_destroyed or state.superseded):
        state.dropped = True
    elif not session.defers and session.modified:
        state.store_anyway = True
    if renews_always and not await _is_loaded(session, engine):
        return KEEP
    if not is_destroyed:
        if has_new_password(core, request):
            await engine.revoke_others(core)
        session.follow_login()
    before, was_dropped = state.record, state.dropped
    await engine.finish(core)
    if state.dropped and not (was_dropped or state.status is READ_ONLY or state.unavailable):
        raise SessionInterrupted(_INTERRUPTED)
    outcome, was_written = state.outcome, state.record is not before
    if was_written or outcome is not KEEP:
        session.show_key()
    if outcome.token and state.record is None:  # created and ended in one request
        return CLEAR if state.had_token else KEEP
    wants_cookie = renews_always or ((session.set_to or was_written) and _has_news(session, before))
    if outcome is KEEP and wants_cookie and (was_written or await _lives(session, engine)):
        return engine.renewed(core)
    return outcome


async def _is_loaded(session: SessionStore, engine: Engine) -> bool:
    """Renews the life of a session that was not looked at; an outage is no reason to fail such a request."""
    try:
        await session.look(engine)
    except BackendUnavailable:
        return False
    return True


def _has_news(session: SessionStore, before: Record | None) -> bool:
    """Returns whether the cookie has an age, or has none any more."""
    return not session.get_expire_at_browser_close() or _expiry(session.state.record) != _expiry(before)


def _expiry(record: Record | None) -> bytes | None:
    """Returns what `set_expiry` was told, packed."""
    return record.items.get(EXPIRY) if record else None


async def _lives(session: SessionStore, engine: Engine) -> bool:
    """Returns whether the browser may be given the same cookie again: it would overwrite that of a login meanwhile."""
    try:
        return session.seconds_since_look() < _FRESH or await exists(engine, session.session_key)
    except BackendUnavailable:
        return False


def apply(response: Any, session: SessionStore, outcome: Outcome, *, accessed: bool) -> None:
    """Puts into a response what the outcome asks for, and whether it depends on the session."""
    transport = configuration().settings.transport
    if outcome is not KEEP:
        _protect(response, transport, outcome, _no_store(response))
        if transport.cookie and outcome.token:
            _set_cookie(response, transport.cookie, outcome.token, _age(session))
        elif transport.cookie:
            _clear_cookie(response, transport.cookie)
    elif accessed and "Vary" in response.headers:
        _protect(response, transport, outcome, None)
    elif accessed:
        response.headers["Vary"] = transport.vary


def _protect(response: Any, transport: TokenTransport, outcome: Outcome, cache_control: str | None) -> None:
    """Adds headers for caches to those that the view has set, and takes away what contradicts them."""
    before = dict(response.items())
    observer = configuration().blocking.observer
    after = dict(transport.protected(list(before.items()), outcome, accessed=True, observer=observer))
    if cache_control is not None:
        after["Cache-Control"] = cache_control
    for name in before.keys() - after.keys():
        del response.headers[name]
    for name, value in after.items():
        if before.get(name) != value:
            response.headers[name] = value


def _no_store(response: Any) -> str:
    """Returns ``no-store``, and beside it what the view has forbidden to caches, as Django's `never_cache` does.

    The caches of older versions of Django know ``private`` and ``max-age=0`` only.
    """
    header = response.headers.get("Cache-Control")
    if header is None:
        return "no-store"
    said = [directive.strip() for directive in header.split(",")]
    kept = [directive for directive in said if directive.lower() in _FORBIDS]
    return ", ".join(kept if "no-store" in map(str.lower, kept) else [*kept, "no-store"])


def unavailable(request: Any, replaced: Any = None) -> HttpResponse:
    """Returns the answer for when the store cannot be asked: the cookie stays.

    Args:
        request: that is answered.
        replaced: the response in whose place this one is sent, if there is one.
    """
    settings = configuration().settings
    answer = settings.transport.unavailable(
        settings.breaker_window, request.method, replaced=() if replaced is None else replaced.items()
    )
    response = HttpResponse(answer.body, status=answer.status.value, headers=dict(answer.headers))
    if replaced is not None:
        response.cookies.update(replaced.cookies)  # of other middlewares; ours comes with a commit that succeeds
        response._resource_closers.extend(replaced._resource_closers)  # `close` of both would end the request twice
    return response


def _age(session: SessionStore) -> int | None:
    """Returns the seconds that the cookie outlives the browser."""
    return None if session.get_expire_at_browser_close() else math.ceil(session.get_expiry_age())


def _set_cookie(response: Any, cookie: CookiePolicy, token: str, age: int | None) -> None:
    here = configuration()
    morsel = here.cookie.copy()
    morsel.set(cookie.name, token, token)
    if age is not None:
        morsel["max-age"], morsel["expires"] = age, _date(int(here.settings.environment.clock() + age))
    response.cookies[cookie.name] = morsel


@lru_cache(maxsize=16)  # many visitors are told the same second
def _date(second: int) -> str:
    return str(http_date(second))


def _clear_cookie(response: Any, cookie: CookiePolicy) -> None:
    response.delete_cookie(cookie.name, path=cookie.path, domain=cookie.domain, samesite=configuration().samesite)
    if cookie.secure:  # or browsers leave a cookie alone that has it
        response.cookies[cookie.name]["secure"] = True
    if cookie.partitioned:
        response.cookies[cookie.name]["path"] = configuration().cookie["path"]
