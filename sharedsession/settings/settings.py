"""Keywords and environment variables become one frozen `Settings`. Every mistake is found here, at start-up.

A keyword beats ``SHAREDSESSION_<NAME>`` in the environment, which beats a framework's own setting, which beats the
default. A message names the setting, the problem and the fix; never the value of a secret or a password in a URL.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from sharedsession import durations
from sharedsession.backends.base import AsyncBackend, Backend
from sharedsession.environment import REAL, Environment
from sharedsession.errors import ConfigurationError
from sharedsession.http import TokenTransport
from sharedsession.keys import MachineKey, SecretKey
from sharedsession.observe import OnEvent
from sharedsession.records import Timeouts
from sharedsession.settings import build, converters, remarks, variables
from sharedsession.settings.names import KEYWORDS, Names, Spelling

Seconds = float | timedelta


class Keywords(TypedDict, total=False):
    """What every middleware takes beside ``app``. See the table of settings in the documentation."""

    secret_key: SecretKey | None
    key_file: str | os.PathLike[str] | None
    backend: str | Backend | AsyncBackend | None
    app_name: str
    idle_timeout: Seconds
    absolute_timeout: Seconds | None
    cookie_name: str
    cookie_path: str
    cookie_domain: str | None
    cookie_secure: bool
    cookie_samesite: str
    cookie_partitioned: bool
    cookie_persistent: bool
    transport: str
    header_name: str
    conflict: str
    on_outage: str
    timeout: Seconds
    breaker_window: Seconds
    max_size: int
    compress_above: int | None
    max_sessions: int | None
    remember_client: bool
    on_event: OnEvent | None
    websocket_check: Seconds | None
    farm_check: str | None
    encrypt: bool
    regenerate_on: str | Iterable[str] | None
    autoload: bool
    adopt: bool
    exclude: str | Iterable[str]
    development: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, checked and ready for use.

    Attributes:
        machine_key: returns the machine key of now.
        backend: the store, not yet connected.
        app_name: the farm's identity.
        timeouts: idle and absolute, in seconds.
        transport: how the token travels.
        cookie_persistent: whether the cookie outlives the browser.
        conflict: ``"merge"``, ``"overwrite"`` or ``"raise"``.
        on_outage: ``"error"`` or ``"anonymous"``.
        timeout: seconds for one store operation; a request waits at most twice this.
        breaker_window: seconds for which a failed node is left alone.
        max_size: bytes of one encoded session.
        compress_above: bytes of an encoded session above which it is compressed; ``None``: never.
        max_sessions: of one principal at a time; one more ends the oldest.
        remember_client: whether lists of sessions tell the browser and the address of a login.
        on_event: called with each `Event`.
        websocket_check: seconds after which an open websocket looks whether its session has ended.
        farm_check: ``"warn"`` or ``"refuse"``: whether to compare this web node with the others, and what follows.
        encrypt: whether records are sealed or only authenticated.
        regenerate_on: top-level keys whose change gives a session a new ID; ``None``: as the framework has it.
        autoload: whether ASGI loads before the application runs.
        adopt: whether a framework's own signed cookie becomes a session of ours.
        is_excluded: whether a path, whole and decoded, never has a session; ``None``: no path is left out.
        development: whether weak secrets and plain-HTTP cookies are allowed.
        names: how each setting is called by the person who wrote it.
        environment: where time and chance come from.
    """

    machine_key: Callable[[], MachineKey] = field(repr=False)
    backend: Backend | AsyncBackend = field(repr=False)
    app_name: str
    timeouts: Timeouts
    transport: TokenTransport
    cookie_persistent: bool
    conflict: str
    on_outage: str
    timeout: float
    breaker_window: float
    max_size: int
    compress_above: int | None
    max_sessions: int | None
    remember_client: bool
    on_event: OnEvent | None = field(repr=False)
    websocket_check: float | None
    farm_check: str | None
    encrypt: bool
    regenerate_on: tuple[str, ...] | None
    autoload: bool
    adopt: bool
    is_excluded: Callable[[str], bool] | None = field(repr=False)
    development: bool
    names: Names = field(repr=False, compare=False)
    environment: Environment = field(default=REAL, repr=False)

    @classmethod
    def load(
        cls,
        keywords: Mapping[str, Any],
        environ: Mapping[str, str] | None = None,
        native: Mapping[str, Any] | None = None,
        spelling: Spelling = KEYWORDS,
        environment: Environment = REAL,
    ) -> "Settings":
        """Brings keywords and environment together and checks them.

        Args:
            keywords: as the middlewares take them.
            environ: the environment; ``None``: of this process.
            native: what a framework's own settings say, in place of the defaults. Its ``secret_key`` may be a
                function that returns the secrets of now.
            spelling: how users write the settings, for messages.
            environment: where time and chance come from.

        Raises:
            ConfigurationError: a setting is wrong, contradictory or misspelt.
        """
        given, names, unknown = _sources(keywords, environ, native, spelling)
        with names.in_errors():
            values = {name: _convert(name, given) for name in _SETTINGS}
            if values["adopt"] and "adopt" not in (native or {}):
                raise ConfigurationError(
                    "adopt takes over signed cookies of Flask and Starlette, in their own modules only"
                )
            build.check_compression(values)
            settings = cls(
                machine_key=build.machine_key(given, values, names, environment),
                backend=build.backend(values, environment),
                timeouts=Timeouts(values["idle_timeout"], values["absolute_timeout"]),
                transport=build.transport(values),
                is_excluded=build.excluder(values["exclude"]),
                names=names,
                environment=environment,
                **{name: values[name] for name in _PLAIN},
            )
        settings._remark(unknown)
        return settings

    def _remark(self, unknown: Sequence[str]) -> None:
        if self.development:
            remarks.log_if_development(self.names)
        remarks.log_if_idle_is_longer(self.timeouts, self.names)
        remarks.log_unknown_variables(unknown)

    @staticmethod
    def load_transport(
        keywords: Mapping[str, Any], native: Mapping[str, Any], spelling: Spelling = KEYWORDS
    ) -> TokenTransport:
        """Same as `load`, for a framework that lets an application change its cookie's attributes while it runs."""
        given, names, _ = _sources(keywords, None, native, spelling)
        with names.in_errors():
            return build.transport({name: _convert(name, given) for name in _SETTINGS})

    @staticmethod
    def absolute_timeout_in(environ: Mapping[str, str]) -> float | None:
        """Returns the absolute timeout of an environment, in seconds, for what needs no other setting."""
        given, names, _ = _sources({}, environ, None, KEYWORDS)
        with names.in_errors():
            timeout: float | None = _convert("absolute_timeout", given)
        return timeout

    def agreed(self) -> dict[str, str]:
        """The settings on which the whole farm must agree, as text."""
        cookie, header_name = self.transport.cookie, self.transport.header_name
        return {
            "app_name": repr(self.app_name),
            "idle_timeout": repr(self.timeouts.idle),
            "absolute_timeout": repr(self.timeouts.absolute),
            "transport": repr((cookie is not None, header_name)),
            "cookie": repr(cookie and [getattr(cookie, name) for name in _COOKIE]),
            **{name: repr(getattr(self, name)) for name in ("cookie_persistent", "conflict", "max_size", "encrypt")},
        }

    def agreed_values(self) -> dict[str, str]:
        """The same without ``app_name``, each under the name that its user gave it, as people read them."""
        cookie, header_name = self.transport.cookie, self.transport.header_name
        values: dict[str, object] = {
            "idle_timeout": self.timeouts.idle,
            "absolute_timeout": self.timeouts.absolute,
            "transport": next(
                name for name, kind in build.TRANSPORTS.items() if kind == (bool(cookie), bool(header_name))
            ),
            "header_name": header_name,
            **{f"cookie_{name}": getattr(cookie, name) for name in _COOKIE if cookie},
            **{name: getattr(self, name) for name in ("cookie_persistent", "conflict", "max_size", "encrypt")},
        }
        return {name: f"{value:.12g}" if isinstance(value, float) else repr(value) for name, value in values.items()}


_SETTINGS: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "secret_key": (converters.anything, None),
    "key_file": (converters.path, None),
    "backend": (converters.anything, None),
    "app_name": (converters.text, "default"),
    "idle_timeout": (durations.seconds, 1200.0),
    "absolute_timeout": (durations.seconds_or_none, 43200.0),
    "cookie_name": (converters.text_or_none, None),
    "cookie_path": (converters.text, "/"),
    "cookie_domain": (converters.text_or_none, None),
    "cookie_secure": (converters.flag_or_none, None),
    "cookie_samesite": (converters.text, "lax"),
    "cookie_partitioned": (converters.flag, False),
    "cookie_persistent": (converters.flag, False),
    "transport": (converters.one_of(*build.TRANSPORTS), "cookie"),
    "header_name": (converters.header_name, "X-Session-Token"),
    "conflict": (converters.one_of("merge", "overwrite", "raise"), "merge"),
    "on_outage": (converters.one_of("error", "anonymous"), "error"),
    "timeout": (durations.waiting_time, 0.25),
    "breaker_window": (durations.waiting_time, 2.0),
    "max_size": (converters.bytes_count, 65536),
    "compress_above": (converters.bytes_or_none, None),
    "max_sessions": (converters.count_or_none, None),
    "remember_client": (converters.flag, False),
    "on_event": (converters.callable_or_none, None),
    "websocket_check": (durations.seconds_or_none, 60.0),
    "farm_check": (converters.one_of_or_none("warn", "refuse"), None),
    "encrypt": (converters.flag, True),
    "regenerate_on": (converters.keys_or_none, None),
    "autoload": (converters.flag, True),
    "adopt": (converters.flag, False),
    "exclude": (converters.patterns, ()),
    "development": (converters.flag, False),
}
_COOKIE = ("name", "path", "domain", "secure", "samesite", "partitioned")
_PLAIN = (
    "app_name",
    "cookie_persistent",
    "conflict",
    "on_outage",
    "timeout",
    "breaker_window",
    "max_size",
    "compress_above",
    "max_sessions",
    "remember_client",
    "on_event",
    "websocket_check",
    "farm_check",
    "encrypt",
    "regenerate_on",
    "autoload",
    "adopt",
    "development",
)


class _Sources(NamedTuple):
    """What was given, wherever it came from.

    Attributes:
        given: the values that count, by our names.
        names: how each is called.
        unknown: variables of the environment that are no settings.
    """

    given: dict[str, Any]
    names: Names
    unknown: list[str]


def _sources(
    keywords: Mapping[str, Any],
    environ: Mapping[str, str] | None,
    native: Mapping[str, Any] | None,
    spelling: Spelling,
) -> _Sources:
    by_keyword = _known(keywords, Names(_SETTINGS, spelling))
    by_variable, unknown = variables.read(os.environ if environ is None else environ, _SETTINGS, by_keyword)
    given = by_variable | by_keyword
    names = Names(_SETTINGS, spelling, by_keyword, by_variable)
    return _Sources(_unset(native or {}, given) | given, names, unknown)


def _known(keywords: Mapping[str, Any], names: Names) -> dict[str, Any]:
    for name in keywords:
        if name not in _SETTINGS:
            raise ConfigurationError(names.unknown(name))
    unset = ("secret_key", "key_file", "backend")
    return {name: value for name, value in keywords.items() if value is not None or name not in unset}


def _unset(native: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what only the framework has set; its secret does not count where a key file is given."""
    secrets = {"secret_key", "key_file"} & given.keys()
    return {name: value for name, value in native.items() if not (name == "secret_key" and secrets)}


def _convert(name: str, given: Mapping[str, Any]) -> Any:
    converter, default = _SETTINGS[name]
    if name not in given:
        return default
    try:
        return converter(given[name])
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"`{name}` {error}, not {_shown(given[name])}") from None


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except ValueError:  # Python writes no number that is longer than 4300 digits
        shown = f"this {type(value).__name__}"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
