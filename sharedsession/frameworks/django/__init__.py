"""Django's sessions in the farm: the engine, the middleware in place of Django's, and the manager behind both."""

from sharedsession.extras import needs

with needs("django"):
    from sharedsession.frameworks.django.channels import SignedSessions
    from sharedsession.frameworks.django.configuration import manager
    from sharedsession.frameworks.django.middleware import SessionMiddleware, manager_in
    from sharedsession.frameworks.django.store import SessionStore

current_manager = manager  # the name that other frameworks have for it

__all__ = ["SessionMiddleware", "SessionStore", "SignedSessions", "current_manager", "manager", "manager_in"]
