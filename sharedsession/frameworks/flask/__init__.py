"""Flask: ``SharedSession(app)``, and ``flask.session`` is shared with the farm. Flask's own settings count."""

from sharedsession.extras import needs

with needs("flask"):
    from sharedsession.frameworks.flask.interface import SharedSession, current_manager, manager_in
    from sharedsession.frameworks.flask.session import FlaskSession

__all__ = ["FlaskSession", "SharedSession", "current_manager", "manager_in"]
