"""The data in Flask's own signed cookie become a session of the farm, when it is first seen.

The cookie is cleared with the answer that sets ours. Until then it is valid as it always was: a copy can be shown
again, since a signed cookie cannot be revoked.
"""

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSessionInterface

from sharedsession.frameworks.flask.session import FlaskSession, facts_of
from sharedsession.session import state_of

_THEIRS = SecureCookieSessionInterface()


def adopt(app: Flask, request: Request, session: FlaskSession) -> None:
    """Puts the data of Flask's cookie into a session that came with no token of ours."""
    if state_of(session).had_token and _has_own_name(app, session):
        return
    theirs = _THEIRS.open_session(app, request)
    if theirs:
        data = dict(theirs)
        permanent = data.pop("_permanent", False)
        session.update(data)
        session.permanent = permanent
        facts_of(session).is_adopted = True


def clear_their_cookie(app: Flask, session: FlaskSession, response: Response) -> None:
    """Clears Flask's cookie, unless ours has its name and replaces it anyway."""
    if _has_own_name(app, session):
        domain, path = _THEIRS.get_cookie_domain(app), _THEIRS.get_cookie_path(app)
        response.delete_cookie(_THEIRS.get_cookie_name(app), domain=domain, path=path)


def _has_own_name(app: Flask, session: FlaskSession) -> bool:
    """Returns whether Flask's cookie has a name of its own."""
    cookie = facts_of(session).transport.cookie
    return cookie is None or cookie.name != _THEIRS.get_cookie_name(app)
