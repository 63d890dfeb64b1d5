"""`connect`: options and schemes that are wrong are said to be, whoever made the mistake."""

import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from sharedsession import ConfigurationError
from sharedsession.backends import connect

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
def test_what_comes_later_is_said_to(url: str) -> None:
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
