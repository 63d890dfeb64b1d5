"""What a visitor has in Flask's own signed cookie becomes a session of the farm, when it is first seen.

The cookie is taken back with the answer that hands out ours. Until then it is worth what it always was: whoever keeps
a copy can show it again, since a signed cookie cannot be revoked.
"""

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface

from sharedsession.frameworks.flask.session import FlaskSession

_THEIRS = SecureCookieSessionInterface()


def adopt(app: Flask, request: Request, session: FlaskSession) -> None:
    """Puts the data of Flask's cookie into a session that came with no token of ours."""
    if session.had_token and _has_own_name(app, session):
        return
    theirs = _THEIRS.open_session(app, request)
    if theirs:
        data = dict(theirs)
        permanent = data.pop("_permanent", False)
        session.update(data)
        session.permanent = permanent
        session.is_adopted = True


def take_back(app: Flask, session: FlaskSession, response: Response) -> None:
    """Takes Flask's cookie back, unless ours has its name and stands in its place anyway."""
    if _has_own_name(app, session):
        domain, path = _THEIRS.get_cookie_domain(app), _THEIRS.get_cookie_path(app)
        response.delete_cookie(_THEIRS.get_cookie_name(app), domain=domain, path=path)


def _has_own_name(app: Flask, session: FlaskSession) -> bool:
    """Whether Flask's cookie has a name of its own."""
    cookie = session.transport.cookie
    return cookie is None or cookie.name != _THEIRS.get_cookie_name(app)
