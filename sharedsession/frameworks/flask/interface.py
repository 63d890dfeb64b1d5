"""SharedSession: the session interface of Flask.

Loaded when it is first looked at, committed in `save_session`, before the first byte of the response leaves.
"""

import time
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from flask import Flask, Request, Response, current_app
from flask.sessions import NullSession, SessionInterface, SessionMixin

from sharedsession.errors import NOT_NOW, Conflict
from sharedsession.frameworks.flask.adoption import adopt, take_back
from sharedsession.frameworks.flask.config import Farm, configured, secrets
from sharedsession.frameworks.flask.session import ExcludedSession, FlaskSession
from sharedsession.http.cookie import CookiePolicy
from sharedsession.http.outcome import KEEP, Outcome
from sharedsession.http.token_transport import UNAVAILABLE_BODY, UNAVAILABLE_STATUS, Transport
from sharedsession.keys.machine_key import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.settings.build import say_if_scripts_may_read
from sharedsession.settings.settings import Keywords, Settings

_RENEW_WITHIN = 0.1  # seconds since the request began
_DOTS_WITH_LIFETIME = 3  # of a token of a session with an idle timeout of its own, as permanent ones have


class SharedSession(SessionInterface):
    """Gives Flask applications the farm's sessions.

    Args:
        app: the application; without it call `init_app` later.
        **settings: see the table of settings. They beat ``app.config["SHAREDSESSION_<NAME>"]``, which beats the
            environment, which beats Flask's own ``SECRET_KEY``, ``SESSION_COOKIE_*`` and so on.

    Attributes:
        manager: the `SessionManager` of the last application.

    Raises:
        ConfigurationError: a setting is wrong; the message names it and the mend.
    """

    manager: SessionManager

    def __init__(self, app: Flask | None = None, **settings: Unpack[Keywords]) -> None:
        self._keywords: dict[str, Any] = dict(settings)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Takes an application in. Without a secret it keeps Flask's null session until there is one."""
        farm = self._take_in(app)
        farm.transport(app)
        say_if_scripts_may_read(farm.manager.observer, http_only=app.config["SESSION_COOKIE_HTTPONLY"])
        if farm.has_secret(app):
            farm.manager.settings.machine_key()
        if farm.manager.settings.adopt:  # a weak secret would let anybody write what is adopted
            MachineKey(secrets(app), development=farm.manager.settings.development)
        for error in NOT_NOW:
            if error not in app.error_handler_spec[None][None]:
                app.register_error_handler(error, lambda _error: self._unavailable(current_app, Response()))
        app.session_interface = self

    def open_session(self, app: Flask, request: Request) -> FlaskSession | NullSession | None:
        """Turns the cookie into a session; the store is asked when the session is first looked at."""
        farm = self._farm(app)
        if not farm.has_secret(app):
            return None
        if farm.manager.settings.is_excluded(request.root_path + request.path):
            return ExcludedSession()
        transport = self._transport(app)
        tokens = _tokens(transport, request.environ)
        session = farm.manager.open_as(FlaskSession, tokens)
        if farm.manager.settings.remember_client:
            session.client = (request.headers.get("User-Agent"), request.remote_addr)
        session.app = app
        session.transport = transport
        session.opened = time.monotonic()
        session.permanent_by_default = farm.manager.settings.cookie_persistent
        session.was_permanent = any(token.count(b".") == _DOTS_WITH_LIFETIME for token in tokens)
        if farm.manager.settings.adopt:
            adopt(app, request, session)
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Commits the session, and tells the client and caches what they must know."""
        assert isinstance(session, FlaskSession)  # noqa: S101
        manager = self._farm(app).manager
        if not session.needs_no_commit:
            session.end_if_emptied()
        try:
            outcome = manager.commit(session)
        except (*NOT_NOW, Conflict) as error:
            if isinstance(error, Conflict) and manager.settings.conflict == "raise":
                raise
            self._unavailable(app, response)
            return
        session.response_started()
        if outcome is KEEP and self._must_renew(app, session):
            outcome = manager.renewed(session)
        self._tell(app, session, outcome, response)
        if response.is_streamed:
            response.call_on_close(lambda: manager.commit(session))

    def regenerate(self, session: FlaskSession) -> None:
        """Same as ``session.regenerate()``, under the name that Flask-Session gave it."""
        session.regenerate()

    def get_cookie_name(self, app: Flask) -> str:
        """The name of the session cookie."""
        return self._policy(app).name

    def get_cookie_domain(self, app: Flask) -> str | None:
        """Its ``Domain``, if it has one."""
        return self._policy(app).domain

    def get_cookie_path(self, app: Flask) -> str:
        """Its ``Path``."""
        return self._policy(app).path

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether it is sent over HTTPS only."""
        return self._policy(app).secure

    def get_cookie_samesite(self, app: Flask) -> str | None:
        """Its ``SameSite``."""
        return self._policy(app).samesite.capitalize()

    def get_cookie_partitioned(self, app: Flask) -> bool:
        """Whether it is ``Partitioned``."""
        return self._policy(app).partitioned

    def _take_in(self, app: Flask) -> Farm:
        keywords = configured(app) | self._keywords
        known = weakref.ref(app)
        native = {"secret_key": lambda: secrets(known()), "absolute_timeout": None, "adopt": False}
        settings = Settings.load(keywords, native=native)
        self.manager = SessionManager(settings, blocking=True)
        farm = app.extensions["sharedsession"] = Farm(self.manager, keywords)
        return farm

    def _farm(self, app: Flask) -> Farm:
        return app.extensions.get("sharedsession") or self._take_in(app)

    def _policy(self, app: Flask) -> CookiePolicy:
        return self._farm(app).transport(app).cookie or CookiePolicy()

    def _transport(self, app: Flask) -> Transport:
        """How the token travels; a subclass may have a name of its own for the cookie."""
        transport = self._farm(app).transport(app)
        if transport.cookie is None or type(self).get_cookie_name is SharedSession.get_cookie_name:
            return transport
        name = self.get_cookie_name(app)
        return replace(transport, cookie=replace(transport.cookie, name=name))

    @staticmethod
    def _must_renew(app: Flask, session: FlaskSession) -> bool:
        """Whether Flask hands out the cookie again: each time a permanent session was used.

        Not at the end of a long request: the visitor may have a new cookie by now, which the old one would overwrite.
        """
        if not app.config["SESSION_REFRESH_EACH_REQUEST"] or not session.was_used or not session.permanent:
            return False
        return time.monotonic() < session.opened + _RENEW_WITHIN

    def _tell(self, app: Flask, session: FlaskSession, outcome: Outcome, response: Response) -> None:
        transport, headers = session.transport, response.headers
        if outcome.token or outcome.clear:
            self._hand_over(app, session, outcome, response)
        elif session.accessed or (session.was_permanent and app.config["SESSION_REFRESH_EACH_REQUEST"]):
            if "Vary" not in headers:
                headers.add("Vary", transport.vary)
            else:
                self._protect(app, transport, outcome, response)

    def _hand_over(self, app: Flask, session: FlaskSession, outcome: Outcome, response: Response) -> None:
        self._protect(app, session.transport, outcome, response)
        if session.is_adopted:
            take_back(app, session, response)
        cookie = session.transport.cookie
        if cookie and outcome.token:
            self._set_cookie(app, session, cookie, response, outcome.token)
        elif cookie:
            response.delete_cookie(**self._attributes(app, cookie))

    def _set_cookie(
        self, app: Flask, session: FlaskSession, cookie: CookiePolicy, response: Response, token: str
    ) -> None:
        expires = self.get_expiration_time(app, session)
        if expires is None and type(self) is SharedSession and self.get_cookie_httponly(app):
            response.headers.add("Set-Cookie", cookie.set(token))
        else:
            response.set_cookie(value=token, expires=expires, **self._attributes(app, cookie))

    def _protect(self, app: Flask, transport: Transport, outcome: Outcome, response: Response) -> None:
        """Tells caches; what the application said to them is in the headers already."""
        observer, said = self._farm(app).manager.observer, list(response.headers)
        for header in transport.protected(said, outcome, accessed=True, observer=observer):
            if header not in said:
                response.headers[header[0]] = header[1]

    def _attributes(self, app: Flask, cookie: CookiePolicy) -> dict[str, Any]:
        """As the policy has them, or as a subclass says."""
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

    def _unavailable(self, app: Flask, response: Response) -> Response:
        """Turns a response into the answer of an outage: no session was lost, and no cookie is taken back."""
        if callable(close := getattr(response.response, "close", None)):
            close()
        farm = self._farm(app)
        response.status_code = UNAVAILABLE_STATUS
        response.headers.clear()
        response.set_data(UNAVAILABLE_BODY)
        response.headers.extend(farm.transport(app).unavailable(farm.manager.settings.breaker_window))
        return response


def _tokens(transport: Transport, environ: Mapping[str, Any]) -> list[bytes]:
    names = ("HTTP_COOKIE", transport.environ_name)
    raw = (str(environ.get(name, "")).encode("latin-1", "replace") for name in names)
    return transport.tokens(*raw)
