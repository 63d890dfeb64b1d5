"""Our Django application: in ``INSTALLED_APPS`` it has ``manage.py`` know our system checks before any request."""

from importlib import import_module

from django.apps import AppConfig


class SharedSessionConfig(AppConfig):
    """Has no models. Its label is not ``django``, which Django would make of the module's name."""

    name = "sharedsession.frameworks.django"
    label = "sharedsession"
    verbose_name = "Shared sessions"

    def ready(self) -> None:
        """Registers the system checks of settings."""
        import_module("sharedsession.frameworks.django.checks")
