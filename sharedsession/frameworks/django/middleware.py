"""SessionMiddleware: in the place of Django's, in both colours, without a hop between them.

No store is asked before the application looks at the session; the commit comes before the head of the response.
"""

import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings as django
from django.contrib.sessions import middleware as theirs
from django.core.handlers.base import BaseHandler
from django.utils.module_loading import import_string

from sharedsession.concurrency import run
from sharedsession.engine import Engine
from sharedsession.errors import NOT_NOW
from sharedsession.frameworks.django import stream
from sharedsession.frameworks.django.configuration import configuration
from sharedsession.frameworks.django.engine_checks import check_engine
from sharedsession.frameworks.django.response import apply, commit, unavailable
from sharedsession.frameworks.django.session_key import SigningMiddleware
from sharedsession.frameworks.django.store import SessionStore
from sharedsession.frameworks.django.stream import is_stream
from sharedsession.http import KEEP, TokenTransport, environ_is_plain, log_plain_http, scope_path
from sharedsession.manager import MANAGER_KEY, SessionManager, log_if_nested
from sharedsession.session import Session, Tokens, state_of

_ENGINE = "sharedsession.frameworks.django"


class SessionMiddleware(SigningMiddleware, theirs.SessionMiddleware):
    """Gives Django's requests their sessions. It is a subclass because the admin asks for one.

    Args:
        get_response: what Django hands in.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the fix.
    """

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        # Not Django's own: that imports the engine, and with the default one a table that is not needed.
        super(theirs.SessionMiddleware, self).__init__(get_response)
        self.SessionStore = _store_class()
        self._is_on_loop = iscoroutinefunction(get_response)
        here = configuration()
        here.settings.machine_key()  # a weak secret is found at start-up
        for problem in check_engine():
            here.blocking.observer.event("wrong_mix", f"{problem.msg} {problem.hint}", logging.ERROR)

    def __call__(self, request: Any) -> Any:
        """Serves one request."""
        if self._is_on_loop:
            return self.__acall__(request)
        if self._is_excluded(request):
            return self.get_response(request)
        self.process_request(request)
        try:
            response = self.get_response(request)
        except NOT_NOW:
            return unavailable(request)
        return self.process_response(request, response)

    async def __acall__(self, request: Any) -> Any:
        """Serves one request on an event loop."""
        if self._is_excluded(request):
            return await self.get_response(request)
        self.process_request(request)
        try:
            response = await self.get_response(request)
        except NOT_NOW:
            return unavailable(request)
        if not _is_ours(request):
            return await sync_to_async(super().process_response)(request, response)
        engine = configuration().on_loop
        if _needs_no_commit(request.session, response, engine):
            return response
        return await _finished(request, response, engine)

    def process_request(self, request: Any) -> None:
        """Opens the session; the store is not asked yet."""
        here = configuration()
        core = here.blocking.open(Session, _tokens(request, here.settings.transport))
        if here.settings.remember_client:
            state_of(core).client = (request.META.get("HTTP_USER_AGENT"), request.META.get("REMOTE_ADDR"))
        if outer := request.META.get(MANAGER_KEY) or getattr(request, "scope", {}).get(MANAGER_KEY):
            log_if_nested(here.manager, outer)
        request.META[MANAGER_KEY] = here.manager
        request.session = self.SessionStore.of_request(core)

    def process_response(self, request: Any, response: Any) -> Any:
        """Commits the session, and puts into the response what client and caches must know."""
        if not _is_ours(request):  # another engine's was put in its place
            return super().process_response(request, response)
        engine = configuration().blocking
        if _needs_no_commit(request.session, response, engine):
            return response
        return run(_finished(request, response, engine))

    def process_exception(self, request: Any, exception: Exception) -> Any:
        """Answers in the place of a view that an outage of the store left without a session."""
        return unavailable(request) if isinstance(exception, NOT_NOW) else None

    def _is_excluded(self, request: Any) -> bool:
        """Returns whether a path never has a session. It gets one that is not kept: Django's apps ask for it."""
        is_excluded = configuration().settings.is_excluded
        if is_excluded is None or not is_excluded(_path(request)):
            return False
        request.session = self.SessionStore()
        return True


def manager_in(found: object) -> SessionManager | None:
    """Returns the manager of a project, given its WSGI or ASGI handler; ``None``: it has no sessions of ours."""
    if not isinstance(found, BaseHandler):
        return None
    kinds = map(import_string, django.MIDDLEWARE)
    has_ours = any(isinstance(kind, type) and issubclass(kind, SessionMiddleware) for kind in kinds)
    return configuration().manager if has_ours or django.SESSION_ENGINE == _ENGINE else None


def _store_class() -> type[SessionStore]:
    """Returns our session class, or what an application's own engine made of it."""
    if django.SESSION_ENGINE.startswith("django.contrib.sessions."):
        return SessionStore
    found = import_module(django.SESSION_ENGINE).SessionStore
    return found if issubclass(found, SessionStore) else SessionStore


def _is_ours(request: Any) -> bool:
    return isinstance(getattr(request, "session", None), SessionStore)


def _path(request: Any) -> str:
    scope = getattr(request, "scope", None)  # in WSGI Django's is the whole path, FORCE_SCRIPT_NAME included
    return str(request.path) if scope is None else scope_path(scope)


def _tokens(request: Any, transport: TokenTransport) -> Tokens:
    """Returns what finds the tokens of a request when it is looked at; ``()`` where there can be none."""
    cookies = _cookie_header(request)
    if not cookies and transport.cookie:  # a test may plant a cookie behind Django's parser
        planted = vars(request).get("COOKIES", {}).get(transport.cookie.name)
        cookies = f"{transport.cookie.name}={planted}" if planted else ""
    token = request.META.get(transport.environ_name, "") if transport.header_name else ""
    return partial(transport.text_tokens, cookies, token) if cookies or token else ()


def _cookie_header(request: Any) -> str:
    scope = getattr(request, "scope", None)
    if scope is None:
        return str(request.META.get("HTTP_COOKIE", ""))
    # HTTP/2 may split Cookie (RFC 9113, 8.2.3); Django before 6 joins the parts by a comma, which is no separator.
    return b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")


def _needs_no_commit(session: SessionStore, response: Any, engine: Engine) -> bool:
    """Returns whether a request passed its session by, or only read it: then caches are told, and that is all."""
    if response.streaming or django.SESSION_SAVE_EVERY_REQUEST:
        return False
    if session.is_untouched():
        return True
    core, state = session.core, session.state
    if response.status_code >= 500 or session.set_to is not None or state.outcome is not KEEP:
        return False
    if state.unsaved(core) is not None:
        return False
    engine.leave(core)
    apply(response, session, KEEP, accessed=session.accessed)
    return True


def _is_plain(request: Any) -> bool:
    """Returns whether a request came over plain HTTP, as far as Django, server and proxies tell."""
    scheme = request.scheme
    return scheme != "https" and environ_is_plain({**request.META, "wsgi.url_scheme": scheme})


async def _finished(request: Any, response: Any, engine: Engine) -> Any:
    session, streams = request.session, is_stream(response)
    if response.status_code == 500 and engine.must_refuse(session.core):
        return unavailable(request, response)
    try:
        if streams and engine.blocking:
            stream.begin(response)
        outcome = await commit(session, request, response.status_code, engine)
        if streams and not engine.blocking:
            session.state.response_started = True
            await stream.abegin(response)
    except NOT_NOW:
        return unavailable(request, response)
    must_vary = streams and stream.depends(response, blocking=engine.blocking)
    apply(response, session, outcome, accessed=session.accessed or must_vary)
    if outcome.token and _is_plain(request):
        settings = engine.settings
        log_plain_http(settings.transport.cookie, settings.names("development"), engine.observer)
    if streams and response.status_code < 500:
        session.state.response_started = True  # from now on no cookie can be set
        stream.follow(session, response)
    return response
