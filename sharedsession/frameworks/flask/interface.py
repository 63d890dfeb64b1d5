"""SharedSession: the session interface of Flask.

The session is loaded when it is first looked at, and committed in `save_session`, before the first byte of the response
leaves.
"""

import weakref
from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from flask import Flask, Request, Response, current_app, request
from flask.sessions import NullSession, SessionInterface, SessionMixin
from werkzeug.http import http_date

from sharedsession.errors import NOT_NOW, ConfigurationError
from sharedsession.frameworks.flask import stream
from sharedsession.frameworks.flask.adoption import adopt, clear_their_cookie
from sharedsession.frameworks.flask.config import (
    Configuration,
    check_own_secrets,
    configured,
    secrets,
    spelling_for,
)
from sharedsession.frameworks.flask.session import (
    ExcludedSession,
    FlaskSession,
    RequestFacts,
    end_if_emptied,
    facts_of,
    is_permanent,
    was_used,
)
from sharedsession.http import (
    KEEP,
    CookiePolicy,
    Outcome,
    TokenTransport,
    environ_is_plain,
    environ_path,
    log_plain_http,
)
from sharedsession.manager import MANAGER_KEY, SessionManager, engines_of, log_if_nested, manager_for
from sharedsession.session import state_of
from sharedsession.settings import Keywords, Settings, log_if_scripts_may_read

_RENEW_WITHIN = 0.1  # seconds since the request began
_EXTENSION = "sharedsession"


class SharedSession(SessionInterface):
    """Gives Flask applications the farm's sessions.

    Args:
        app: the application; without it call `init_app` later.
        manager: a `SessionManager` that several applications share; then no setting may stand beside it.
        **settings: see the table of settings. They beat ``app.config["SHAREDSESSION_<NAME>"]``, which beats the
            environment, which beats Flask's own ``SECRET_KEY``, ``SESSION_COOKIE_*`` and so on.

    Attributes:
        manager: the `SessionManager` of the last application.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the fix.
    """

    manager: SessionManager

    def __init__(
        self, app: Flask | None = None, *, manager: SessionManager | None = None, **settings: Unpack[Keywords]
    ) -> None:
        self._keywords: dict[str, Any] = dict(settings)
        self._shared = manager
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Serves an application. Without a secret it has Flask's null session until there is one."""
        configuration = self._configure(app)
        engine = configuration.engine
        configuration.transport(app)
        log_if_scripts_may_read(engine.observer, http_only=app.config["SESSION_COOKIE_HTTPONLY"])
        if configuration.has_secret(app):
            engine.settings.machine_key()
        if engine.settings.adopt:  # with a weak secret anyone could write what is adopted
            check_own_secrets(app, configuration)
        for error in NOT_NOW:
            if error not in app.error_handler_spec[None][None]:
                app.register_error_handler(error, lambda _error: self._refuse(current_app, Response()))
        app.session_interface = self

    def open_session(self, app: Flask, request: Request) -> FlaskSession | NullSession | None:
        """Turns the cookie into a session; the store is asked when the session is first looked at."""
        configuration = self._configuration(app)
        if not configuration.has_secret(app):
            return None
        settings, environ = configuration.engine.settings, request.environ
        if settings.is_excluded is not None and settings.is_excluded(environ_path(environ)):
            return ExcludedSession()
        if MANAGER_KEY in environ:
            log_if_nested(configuration.manager, environ[MANAGER_KEY])
        facts = RequestFacts(app, request, self._transport(app, configuration), settings)
        session = facts.session(configuration.engine)
        if settings.remember_client:
            state_of(session).client = (request.headers.get("User-Agent"), request.remote_addr)
        if settings.adopt:
            adopt(app, request, session)
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commits the session, and puts into the response what client and caches must know."""
        assert isinstance(session, FlaskSession)  # noqa: S101
        engine, state, facts = self._configuration(app).engine, state_of(session), facts_of(session)
        # Flask-SocketIO marks the request of an event so. Nobody sends its response, so there can be no cookie.
        state.response_started = "namespace" in facts.request.__dict__
        is_streamed = type(response.response) is not list and response.is_streamed
        try:
            if is_streamed:
                stream.begin(response, request.method)
            end_if_emptied(session)
            engine.finish(session)
        except NOT_NOW:
            self._refuse(app, response)
            return
        state.response_started = True
        outcome = state.outcome
        if outcome is KEEP and was_used(session) and is_permanent(session) and self._may_renew(app, session):
            outcome = engine.renewed(session)
        if outcome is not KEEP:
            self._hand_out(app, session, outcome, response)
        elif state.accessed or (is_streamed and stream.is_event_stream(response)):
            self._depend(app, facts.transport, response)
        if is_streamed:
            self._follow(app, session, response)

    def regenerate(self, session: FlaskSession) -> None:
        """Same as ``session.regenerate()``, under the name that Flask-Session gave it."""
        session.regenerate()

    def get_cookie_name(self, app: Flask) -> str:
        """Returns the name of the session cookie."""
        return self._policy(app).name

    def get_cookie_domain(self, app: Flask) -> str | None:
        """Returns its ``Domain``, if it has one."""
        return self._policy(app).domain

    def get_cookie_path(self, app: Flask) -> str:
        """Returns its ``Path``."""
        return self._policy(app).path

    def get_cookie_secure(self, app: Flask) -> bool:
        """Returns whether it is sent over HTTPS only."""
        return self._policy(app).secure

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Returns its ``SameSite``."""
        return self._policy(app).samesite.capitalize()

    def get_cookie_partitioned(self, app: Flask) -> bool:
        """Returns whether it is ``Partitioned``."""
        return self._policy(app).partitioned

    # -- configuration

    def _configure(self, app: Flask) -> Configuration:
        keywords = configured(app) | self._keywords
        native = {"secret_key": partial(secrets, weakref.ref(app)), "absolute_timeout": None, "adopt": False}
        spelling = spelling_for(app, self._keywords)
        written = {spelling(name): value for name, value in keywords.items()}
        self.manager = manager_for(
            self._shared, written, lambda _written: Settings.load(keywords, native=native, spelling=spelling)
        )
        engine = engines_of(self.manager).blocking
        configuration = Configuration(self.manager, engine, keywords, spelling, is_shared=self._shared is not None)
        app.extensions[_EXTENSION] = configuration
        return configuration

    def _configuration(self, app: Flask) -> Configuration:
        return app.extensions.get(_EXTENSION) or self._configure(app)

    def _policy(self, app: Flask) -> CookiePolicy:
        return self._configuration(app).transport(app).cookie or CookiePolicy()

    def _transport(self, app: Flask, configuration: Configuration) -> TokenTransport:
        """Returns how the token travels; a subclass may have a name of its own for the cookie."""
        transport = configuration.transport(app)
        if transport.cookie is None or type(self).get_cookie_name is SharedSession.get_cookie_name:
            return transport
        name = self.get_cookie_name(app)
        return replace(transport, cookie=replace(transport.cookie, name=name))

    # -- the response

    def _follow(self, app: Flask, session: FlaskSession, response: Response) -> None:
        """Has late changes of a stream saved at its end, and a look that comes too late for its head reported."""
        engine, transport = self._configuration(app).engine, facts_of(session).transport
        response.call_on_close(lambda: engine.finish(session))
        if not session.accessed and not response.direct_passthrough:
            report = partial(transport.report_late_look, list(response.headers), engine.observer)
            stream.watch(response, lambda: session.accessed, report)

    def _may_renew(self, app: Flask, session: FlaskSession) -> bool:
        """Returns whether Flask sets the cookie of a permanent session again with each request that used it.

        Not at the end of a long request: the visitor may have a new cookie by now, which the old one would overwrite.
        """
        monotonic = self._configuration(app).engine.settings.environment.monotonic
        is_quick = monotonic() < facts_of(session).opened + _RENEW_WITHIN
        return is_quick and bool(app.config["SESSION_REFRESH_EACH_REQUEST"])

    def _depend(self, app: Flask, transport: TokenTransport, response: Response) -> None:
        """Tells caches that the response depends on the session."""
        for name, _ in response.headers:
            if name.lower() == "vary":
                self._protect(app, transport, KEEP, response)
                return
        response.headers.add("Vary", transport.vary)

    def _hand_out(self, app: Flask, session: FlaskSession, outcome: Outcome, response: Response) -> None:
        """Sets the token or clears it, in a response that no cache may keep."""
        facts = facts_of(session)
        self._protect(app, facts.transport, outcome, response)
        if facts.is_adopted:
            clear_their_cookie(app, session, response)
        cookie = facts.transport.cookie
        if outcome.token and environ_is_plain(facts.request.environ):
            engine = self._configuration(app).engine
            log_plain_http(cookie, engine.settings.names("development"), engine.observer)
        if cookie and outcome.token:
            self._set_cookie(app, session, cookie, response, outcome.token)
        elif cookie:
            response.delete_cookie(**self._attributes(app, cookie))

    def _set_cookie(
        self, app: Flask, session: FlaskSession, cookie: CookiePolicy, response: Response, token: str
    ) -> None:
        expires = self.get_expiration_time(app, session)
        if type(self) is SharedSession and app.config["SESSION_COOKIE_HTTPONLY"]:  # as the policy has it
            until = "" if expires is None else f"; Expires={http_date(expires)}"
            response.headers.add("Set-Cookie", cookie.set(token) + until)
        else:
            response.set_cookie(value=token, expires=expires, **self._attributes(app, cookie))

    def _protect(self, app: Flask, transport: TokenTransport, outcome: Outcome, response: Response) -> None:
        """Adds headers for caches to those that the application has set, and takes away what contradicts them."""
        observer, before = self._configuration(app).engine.observer, list(response.headers)
        after = transport.protected(before, outcome, accessed=True, observer=observer)
        if after[: len(before)] == before:
            for name, value in after[len(before) :]:
                response.headers.add(name, value)
        else:
            response.headers.clear()
            response.headers.extend(after)

    def _attributes(self, app: Flask, cookie: CookiePolicy) -> dict[str, Any]:
        """Returns the cookie's attributes as the policy has them, or as a subclass tells."""
        plain = type(self) is SharedSession
        given = {
            "key": cookie.name,
            "domain": cookie.domain if plain else self.get_cookie_domain(app),
            "path": cookie.path if plain else self.get_cookie_path(app),
            "secure": cookie.secure if plain else self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": cookie.samesite.capitalize() if plain else self.get_cookie_samesite(app),
        }
        return given | ({"partitioned": True} if cookie.partitioned else {})

    def _refuse(self, app: Flask, response: Response) -> Response:
        """Turns a response into the answer of an outage: no session was lost, and no cookie is cleared."""
        if callable(close := getattr(response.response, "close", None)):
            close()
        configuration = self._configuration(app)
        answer = configuration.transport(app).unavailable(
            configuration.engine.settings.breaker_window, request.method, replaced=response.headers
        )
        response.status_code = answer.status
        response.set_data(answer.body)
        response.headers.clear()  # the length of the body as well: the answer has its own, that of a GET
        response.headers.extend(answer.headers)
        return response


def current_manager() -> SessionManager:
    """Returns the manager of the current application.

    Raises:
        ConfigurationError: the application has no `SharedSession`.
    """
    manager = manager_in(current_app)
    if manager is None:
        raise ConfigurationError("this Flask application has no shared sessions: SharedSession(app)")
    return manager


def manager_in(found: object) -> SessionManager | None:
    """Returns the manager of a Flask application; ``None`` where an object is none, or has no `SharedSession`."""
    configuration = found.extensions.get(_EXTENSION) if isinstance(found, Flask) else None
    return configuration.manager if isinstance(configuration, Configuration) else None
