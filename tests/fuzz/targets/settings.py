"""What operators write: settings, variables of the environment, durations, URLs of stores."""

import math
from typing import Any

from sharedsession import durations
from sharedsession.backends.connect import connect
from sharedsession.errors import ConfigurationError
from sharedsession.settings import PREFIX, Settings, variable
from sharedsession.settings.settings import _SETTINGS
from tests.fuzz.target import Choices, as_text, target
from tests.fuzz.targets.keys import SECRETS

_NAMES = sorted(_SETTINGS)
_SECRET = SECRETS[0]
_PASSWORD = "hUnter2q7"
_SCHEMES = ("memory", "sqlite", "memcached", "memcacheds", "redis", "rediss", "unix", "valkey", "valkeys")
_DURATIONS = ((durations.seconds, 3.2e9), (durations.waiting_time, 86400), (durations.seconds_or_none, 3.2e9))
_WRITTEN = [b"true", b"lax", b"1200", b"/", b"session", b"none", b"merge"]
_VALUES: tuple[Any, ...] = (
    math.nan, math.inf, -1, 0, 10**400, 10**5000, 1e308, b"x", True, [], ["/"], {}, (), object(), "٣", "²", 1 + 2j,
)  # fmt: skip


@target(b"1200", b"0.25", b"none", b"1e3", b"1_0", "٣".encode(), b"inf", words=(b"e", b".", b"-", b"_", b"none"))
def duration(data: bytes) -> None:
    """A duration is refused, or a number of seconds above zero and at most a hundred years."""
    text = as_text(data)
    for convert, most in _DURATIONS:
        try:
            found = convert(text)
        except ValueError:
            continue
        assert found is None or 0 < found <= most


@target(
    *(bytes((at,)) + value for at, value in enumerate(_WRITTEN * 5)),
    words=(b"none", b"true", b"-", b",", b"/*", b"__Host-", b"cookie+header", b"X-Token", b"1e9"),
    tries=700,
)
def variables(data: bytes) -> None:
    """A variable is taken or refused in the words of settings; with the secret beside it, the secret is not shown."""
    choices = Choices(data)
    name = _NAMES[choices.number(len(_NAMES))]
    environ = {variable("secret_key"): _SECRET, variable("backend"): "memory://"}
    environ[variable(name)] = as_text(choices.rest())
    if name == "key_file":
        del environ[variable("secret_key")]
    _load({}, environ)


@target(b"SECRET_KEYS", b"BACKND", b"REDIS_SERVICE_HOST", b"POD_NAME\n/a/b", b"IDLE_TIMEOUT_FILE", words=(b"_", b"KEY"))
def variable_names(data: bytes) -> None:
    """A variable of any name is a setting, nobody's, or refused by its name; its value is not shown."""
    name, _, value = as_text(data).partition("\n")
    environ = {variable("secret_key"): _SECRET, variable("backend"): "memory://", f"{PREFIX}{name}": value + _PASSWORD}
    if f"{PREFIX}{name}" not in map(variable, _NAMES):
        _load({}, environ)


@target(*(bytes((at, at % len(_VALUES))) for at in range(40)), words=(b"\0", b"\1"), tries=500)
def keywords(data: bytes) -> None:
    """A keyword of any type is taken or refused in the words of settings."""
    choices = Choices(data)
    name, value = _NAMES[choices.number(len(_NAMES))], _VALUES[choices.number(len(_VALUES))]
    _load({"secret_key": _SECRET, "backend": "memory://", name: value}, {})


@target(
    b"\1/relative.db",
    b"\1//var/lib/app.db",
    b"\2host:11211",
    b"\2a=10.0.0.1:11211,b*2=[::1]:11212?replicas=2&layout=native",
    b"\2user:@@@@:secret@host,/run/memcached.sock",
    b"\4:@@@@@localhost:6379/0",
    b"\4user:@@@@@[::1%25lo]:6379/?db=1",
    b"\4u:x/@@@@@h", b"\4u:x#@@@@@h", b"\4u:x?@@@@@h", b"\4u:x @@@@ y@h",
    b"\6:@@@@@/run/redis.sock?db=2",
    b"\7h?ssl_cert_reqs=none",
    words=(b"@@@@", *(bytes((byte,)) for byte in b"@:/?#,&=*"), b"replicas=", b"db=", b"protocol=text", b"*2=", b"%40"),
    tries=2500,
)  # fmt: skip
def backend_url(data: bytes) -> None:
    """A URL of a store is taken or refused; a password in it, also one that was not quoted, is not shown."""
    scheme = _SCHEMES[data[0] % len(_SCHEMES)] if data else "redis"
    rest = as_text(data[1:]).replace("@@@@", _PASSWORD)
    try:
        backend = connect(f"{scheme}://{rest}")
    except ConfigurationError as error:
        shown = str(error)
        assert shown.isprintable()
    else:
        shown = f"{backend!r} {backend.health()}" if scheme != "sqlite" else ""
    # What stands behind the last @ of the whole URL is a host by the rules; the user is told its name.
    before, at, behind = rest.rpartition("@")
    if at and _PASSWORD in before and _PASSWORD not in behind:
        assert _PASSWORD not in shown


def _load(keywords: dict[str, Any], environ: dict[str, str]) -> None:
    try:
        settings = Settings.load(keywords, environ)
    except ConfigurationError as error:
        shown = str(error)
    else:
        shown = repr(settings)
        settings.agreed()
        settings.agreed_values()
        assert settings.is_excluded is None or settings.is_excluded("/") in {True, False}
        assert 0 < settings.timeouts.idle < math.inf
    assert shown.isprintable()
    assert _SECRET not in shown
    assert _PASSWORD not in shown


TARGETS = (duration, variables, variable_names, keywords, backend_url)
