"""Flask's own settings, read when they are used, and ours in ``app.config``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from flask import Flask
from flask.sessions import SessionInterface

from sharedsession.engine import Engine
from sharedsession.http import TokenTransport
from sharedsession.keys import ReloadingKey
from sharedsession.manager import SessionManager
from sharedsession.settings import PREFIX, Settings, Spelling, variable

_PARTITIONED = "SESSION_COOKIE_PARTITIONED"
_cookie_settings: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_PATH",
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_SAMESITE",
    _PARTITIONED,
    "APPLICATION_ROOT",
)


@dataclass(frozen=True)
class Configuration:
    """What is known of one application: its manager, and how its cookie looks. It does not keep the application alive.

    Attributes:
        manager: of the application.
        engine: the manager's, for code that blocks.
        keywords: the settings as they were given.
        spelling: how each of them was written.
        is_shared: whether the manager is not this application's alone: then Flask's cookie settings do not count.
    """

    manager: SessionManager
    engine: Engine
    keywords: Mapping[str, Any]
    spelling: Spelling
    is_shared: bool
    _transports: dict[tuple[Any, ...], TokenTransport] = field(default_factory=dict)

    def has_secret(self, app: Flask) -> bool:
        """Returns whether there is a secret: ours, or Flask's, which may come later."""
        return bool(app.config["SECRET_KEY"]) or not isinstance(self.engine.settings.machine_key, ReloadingKey)

    def transport(self, app: Flask) -> TokenTransport:
        """Returns how the token travels, by Flask's settings of now."""
        if self.is_shared:
            return self.engine.settings.transport
        values = _cookie_settings(app.config)
        known = self._transports.get(values)
        if known is None:
            native = native_cookie(app, development=self.engine.settings.development)
            known = self._transports[values] = Settings.load_transport(self.keywords, native, self.spelling)
        return known


def configured(app: Flask) -> dict[str, Any]:
    """Returns what stands in ``app.config`` under our names."""
    app.config.setdefault(_PARTITIONED, False)  # Flask has it since 3.1
    return {name.removeprefix(PREFIX).lower(): app.config[name] for name in app.config if name.startswith(PREFIX)}


def spelling_for(app: Flask, keywords: Mapping[str, Any]) -> Spelling:
    """Returns how Flask's users write settings.

    Args:
        app: the application.
        keywords: the settings that were given as keywords, and not in ``app.config``.
    """
    cookie = ("name", "domain", "secure", "samesite", "partitioned")
    return Spelling(
        ours=variable,
        given={name: name for name in keywords},
        native={
            "secret_key": "SECRET_KEY",
            "cookie_path": "SESSION_COOKIE_PATH" if app.config.get("SESSION_COOKIE_PATH") else "APPLICATION_ROOT",
            **{f"cookie_{name}": f"SESSION_COOKIE_{name.upper()}" for name in cookie},
        },
    )


def secrets(reference: Callable[[], Flask | None]) -> tuple[str | bytes, ...]:
    """Returns Flask's secrets of now, the one that signs first.

    Args:
        reference: returns the application, while there is one.
    """
    app = reference()
    if app is None:
        return ()
    config = app.config
    return (config["SECRET_KEY"] or "", *(config.get("SECRET_KEY_FALLBACKS") or ()))


def check_own_secrets(app: Flask, configuration: Configuration) -> None:
    """Checks Flask's own secrets, also where ours are others.

    Raises:
        ConfigurationError: one is missing or weak.
    """
    development, named = configuration.engine.settings.development, configuration.spelling.of_framework
    ReloadingKey(lambda: secrets(lambda: app), app_name="", development=development, named=named)()


def native_cookie(app: Flask, *, development: bool) -> dict[str, Any]:
    """Returns what Flask's settings tell of the cookie; for what was left at Flask's default, ours holds."""
    base, config = SessionInterface(), app.config
    domain, path = base.get_cookie_domain(app), base.get_cookie_path(app)
    given: dict[str, Any] = {"cookie_domain": domain or None, "cookie_path": path}
    if config["SESSION_COOKIE_NAME"] != Flask.default_config["SESSION_COOKIE_NAME"]:
        given["cookie_name"] = config["SESSION_COOKIE_NAME"]
    elif (domain or path != "/") and not development:
        given["cookie_name"] = "__Secure-session"  # browsers allow "__Host-" with neither
    if config["SESSION_COOKIE_SECURE"]:
        given["cookie_secure"] = True
    if config["SESSION_COOKIE_SAMESITE"]:
        given["cookie_samesite"] = config["SESSION_COOKIE_SAMESITE"]
    if config.get("SESSION_COOKIE_PARTITIONED"):
        given["cookie_partitioned"] = True
    return given
