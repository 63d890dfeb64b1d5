"""Django's sessions in the farm: the engine, the middleware in place of Django's, and the manager behind both."""

from sharedsession.frameworks.django.configuration import manager
from sharedsession.frameworks.django.middleware import SessionMiddleware
from sharedsession.frameworks.django.store import SessionStore

__all__ = ["SessionMiddleware", "SessionStore", "manager"]
