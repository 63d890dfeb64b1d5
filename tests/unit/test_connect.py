"""`connect`: wrong options and schemes are errors, and a backend of another package gets what the caller gave."""

import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.errors import ConfigurationError
from sharedsession.testing import ManualEnvironment

URLS = ["memory://", "sqlite:///x.db", "memcached://localhost", "memcached://a,b,c", "redis://localhost"]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"breaker_windw": 1}, "no option 'breaker_windw'"),
        ({"breaker_window": -1}, "breaker_window must be"),
        ({"breaker_window": "x"}, "breaker_window must be"),
    ],
)
def test_a_wrong_option_is_named(url: str, options: dict[str, Any], named: str) -> None:
    """Also where the backend has no use for it."""
    with pytest.raises(ConfigurationError, match=named):
        connect(url, **options)


@pytest.mark.parametrize(
    "url", ["postgresql://h/d", "postgresql+psycopg://h/d", "sqlite+pysqlite:///x.db", "redis+sentinel://h/m"]
)
def test_what_comes_later_is_named(url: str) -> None:
    """It is no typing mistake."""
    with pytest.raises(ConfigurationError, match="not part of this release yet"):
        connect(url)


@pytest.mark.parametrize("value", ["nosuchmodule:factory", "sharedsession:nosuchname"])
def test_a_registration_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The package that registered the scheme is broken, or half installed."""
    module = sys.modules["sharedsession.backends.connect"]
    monkeypatch.setattr(module, "entry_points", lambda **_: [EntryPoint("mine", value, "sharedsession.backends")])
    with pytest.raises(ConfigurationError, match=r"backend mine:// is registered as .* cannot be loaded"):
        connect("mine://host")


def test_a_backend_of_another_package_gets_the_options_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own options among them, and none that it does not know: neither a default of ours nor the environment."""
    module = sys.modules["sharedsession.backends.connect"]
    registered = EntryPoint("mine", f"{__name__}:remembered", "sharedsession.backends")
    monkeypatch.setattr(module, "entry_points", lambda **_: [registered])
    assert connect("mine://host", environment=ManualEnvironment()) == ("mine://host", {})
    assert connect("mine://host", shards=3, breaker_window=1) == ("mine://host", {"shards": 3, "breaker_window": 1})


def remembered(url: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """A factory that returns what it was called with."""
    return url, options


def test_the_environment_reaches_the_backend() -> None:
    """A record lives by the clock that `connect` was given."""
    environment = ManualEnvironment()
    backend: Any = connect("memory://", environment=environment)
    backend.add("k", b"1", 60, 1.0)
    environment.advance(59)
    assert backend.get("k", None, 1.0)
    environment.advance(1)
    assert backend.get("k", None, 1.0) is None
