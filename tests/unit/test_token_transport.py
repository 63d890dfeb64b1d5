"""How the token travels, and what caches are told about it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.http import CLEAR, KEEP, CookiePolicy, Outcome
from sharedsession.http.token_transport import TokenTransport
from sharedsession.observe import Observer

COOKIE = TokenTransport(CookiePolicy(), None)
HEADER = TokenTransport(None, "X-Session-Token")
BOTH = TokenTransport(CookiePolicy(), "X-Session-Token")
SET = Outcome(token="tok")


def applied(transport, headers, outcome, *, accessed=True, observer=None):
    """The headers after a commit."""
    return transport.apply(headers, outcome, accessed=accessed, observer=observer or Observer())


def values(headers, name):
    """All values of a header."""
    return [value for key, value in headers if key.lower() == name.lower()]


def test_a_response_that_never_looked_is_not_touched():
    """A page that does not depend on the session stays cacheable."""
    headers = [("Cache-Control", "public"), ("Vary", "Accept")]
    assert applied(COOKIE, headers, KEEP, accessed=False) == headers


def test_a_response_that_looked_varies_by_the_cookie():
    """Reading alone sets no cookie and forbids no cache, but is said in ``Vary``."""
    headers = [("Content-Type", "text/html"), ("Cache-Control", "public")]
    assert applied(COOKIE, headers, KEEP) == [*headers, ("Vary", "Cookie")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["Accept"], ["Accept, Cookie"]),
        (["Cookie"], ["Cookie"]),
        (["cookie"], ["cookie"]),
        (["Accept, COOKIE"], ["Accept, COOKIE"]),
        (["Accept", "Accept-Language"], ["Accept, Accept-Language, Cookie"]),
        (["Accept", "cookie"], ["Accept", "cookie"]),
        (["X-Cookie"], ["X-Cookie, Cookie"]),
        (["*"], ["*"]),
        (["Accept, *"], ["Accept, *"]),
        ([""], ["Cookie"]),
        ([" , Accept ,"], ["Accept, Cookie"]),
    ],
)
def test_vary_is_merged(before, after):
    """Our name is added once, to whatever the application said."""
    headers = [("vary", value) for value in before]
    assert values(applied(COOKIE, headers, KEEP), "Vary") == after


@given(st.lists(st.sampled_from(["Cookie", "cookie", "Accept", "*", "X-Session-Token", "Origin"]), max_size=4))
def test_vary_is_merged_only_once(names):
    """A second pass, as by a middleware around a middleware, changes nothing."""
    once = applied(BOTH, [("Vary", name) for name in names], KEEP)
    assert applied(BOTH, once, KEEP) == once
    said = [name.strip().lower() for value in values(once, "vary") for name in value.split(",")]
    assert "*" in said or {"cookie", "x-session-token"} <= set(said)


def test_the_application_s_headers_are_not_changed_in_place():
    """The application may use its list again."""
    headers = [("Vary", "Accept"), ("Cache-Control", "public")]
    applied(COOKIE, headers, SET)
    assert headers == [("Vary", "Accept"), ("Cache-Control", "public")]


@pytest.mark.parametrize("outcome", [SET, CLEAR], ids=["set", "clear"])
@pytest.mark.parametrize("before", [[], ["public, max-age=60"], ["s-maxage=9"], ["private"], ["no-cache", "max-age=1"]])
def test_a_response_with_a_token_is_stored_by_nobody(outcome, before):
    """Whatever the application said about caches, ``no-store`` takes its place, also when the cookie is taken back."""
    headers = applied(COOKIE, [("cache-control", value) for value in before], outcome, accessed=False)
    assert values(headers, "cache-control") == ["no-store"]
    assert values(headers, "vary") == ["Cookie"]
    assert len(values(headers, "set-cookie")) == 1


@pytest.mark.parametrize(("said", "counted"), [("Public", 1), ("S-MaxAge=9", 1), ("private", 0), ("max-age=5", 0)])
def test_overriding_a_public_response_is_reported(said, counted, caplog):
    """The application meant the page for shared caches, so somebody should know that it was not."""
    observer = Observer()
    applied(COOKIE, [("Cache-Control", said)], SET, observer=observer)
    assert observer.counters["cache_control_overridden"] == counted
    assert len(caplog.records) == counted


@pytest.mark.parametrize(
    "name",
    [
        *("X-Accel-Expires", "Surrogate-Control", "Edge-Control", "CDN-Cache-Control", "Cloudflare-CDN-Cache-Control"),
        *("Vercel-CDN-Cache-Control", "Netlify-CDN-Cache-Control", "Akamai-Cache-Control", "X-LiteSpeed-Cache-Control"),
        "x-accel-expires",
    ],
)
@pytest.mark.parametrize("value", ["60", "max-age=60", "@1900000000", "!no-store, max-age=20m", "no-store, max-age=9"])
def test_nothing_outranks_no_store(name, value, caplog):
    """What shared caches obey before Cache-Control goes, and somebody should know: nginx, CDNs, RFC 9213."""
    for outcome in (SET, CLEAR):
        headers = applied(COOKIE, [(name, value), ("X-Other", "1")], outcome)
        assert values(headers, name.lower()) == []
        assert (values(headers, "cache-control"), values(headers, "x-other")) == (["no-store"], ["1"])
    assert [record.event for record in caplog.records] == ["cache_control_overridden"] * 2
    assert values(applied(COOKIE, [(name, value)], KEEP), name.lower()) == [value]  # no cookie, no reason


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Accel-Expires", "0"), ("Surrogate-Control", "no-store"), ("CDN-Cache-Control", "Private, no-store")],
)
def test_what_forbids_caching_stays(name, value, caplog):
    """It may be what keeps the page out of a cache that heeds no Cache-Control."""
    assert values(applied(COOKIE, [(name, value)], SET), name.lower()) == [value]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("headers", "reported"),
    [
        ([("Expires", "Tue, 01 Dec 2099 00:00:00 GMT")], True),
        ([("Expires", "Tue, 01 Dec 2099 00:00:00 GMT"), ("Cache-Control", "max-age=0, no-cache")], False),
        ([("Expires", "-1")], False),
        ([("Expires", "0")], False),
    ],
)
def test_expires_goes(headers, reported, caplog):
    """It is reported where it meant something: as a date, and with no Cache-Control beside it (RFC 9111, 5.3)."""
    after = applied(COOKIE, headers, SET)
    assert [value for value in values(after, "expires") if value != "0"] == []
    assert bool(caplog.records) == reported


def test_the_application_s_own_cookies_stay():
    """Other Set-Cookie headers pass through, each on its own line."""
    headers = applied(COOKIE, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], SET)
    cookies = values(headers, "set-cookie")
    assert cookies[:2] == ["a=1", "b=2"]
    assert cookies[2].startswith("__Host-session=tok;")


def test_the_header_transport_sets_no_cookie():
    """A client without cookies gets the token in a header, and an empty one when it has ended."""
    assert applied(HEADER, [], SET) == [
        ("Cache-Control", "no-store"),
        ("Vary", "X-Session-Token"),
        ("X-Session-Token", "tok"),
    ]
    assert values(applied(HEADER, [], CLEAR), "x-session-token") == [""]


def test_both_transports_hand_the_token_over_twice():
    """With "cookie+header" each client takes what it understands, and caches know of both."""
    headers = applied(BOTH, [], SET)
    assert values(headers, "x-session-token") == ["tok"]
    assert values(headers, "set-cookie")[0].startswith("__Host-session=tok;")
    assert values(headers, "vary") == ["Cookie, X-Session-Token"]


def test_max_age_reaches_the_cookie():
    """A persistent session outlives the browser."""
    assert "; Max-Age=90;" in values(applied(COOKIE, [], Outcome("tok", max_age=90)), "set-cookie")[0]


def test_tokens_are_read_only_from_where_they_may_stand():
    """The cookie transport reads no header, the header transport no cookie."""
    cookie, header = b"__Host-session=one", b" two\t"
    assert COOKIE.tokens(cookie, header) == [b"one"]
    assert HEADER.tokens(cookie, header) == [b"two"]
    assert BOTH.tokens(cookie, header) == [b"one", b"two"]
    assert BOTH.tokens(b"", b"") == []


@pytest.mark.parametrize(("window", "seconds"), [(0.05, "1"), (1, "1"), (2.0, "2"), (2.1, "3")])
def test_the_answer_in_an_outage_says_when_to_come_back(window, seconds):
    """Retry-After is a whole number of seconds, at least one, and no cookie is set or taken back."""
    status, headers, body = COOKIE.unavailable(window)
    assert status == 503
    assert values(headers, "retry-after") == [seconds]
    assert values(headers, "content-length") == [str(len(body))]
    assert values(headers, "cache-control") == ["no-store"]
    assert values(headers, "set-cookie") == []
    assert values(headers, "vary") == ["Cookie"]
    assert COOKIE.unavailable(window, "HEAD") == (status, headers, b"")


def test_the_answer_in_an_outage_keeps_what_every_answer_carries():
    """What is about the page in whose place it stands goes: body, caches, tasks for the client, our own token."""
    always = [
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("Content-Security-Policy", "default-src 'none'"),
        ("content-security-policy-report-only", "default-src 'none'"),
        ("Set-Cookie", "lang=de"),
        ("Server-Timing", "db;dur=3"),
    ]
    of_the_page = [
        *(("Content-Type", "a/b"), ("content-length", "9"), ("Content-Range", "bytes 0-1/2"), ("ETag", '"1"')),
        *(("Cache-Control", "public"), ("CDN-Cache-Control", "max-age=9"), ("Expires", "0"), ("Age", "1")),
        *(("Location", "/"), ("Retry-After", "9"), ("X-Accel-Redirect", "/file"), ("X-Sendfile", "/file")),
        *(("HX-Trigger", "done"), ("Clear-Site-Data", '"cookies"'), ("Set-Cookie", "__Host-session=tok; Path=/")),
        *(("X-Session-Token", "tok"), ("Vary", "Origin"), ("vary", "Cookie")),
    ]
    plain = BOTH.unavailable(2.0).headers
    headers = BOTH.unavailable(2.0, replaced=[*always, *of_the_page]).headers
    assert [header for header in headers if header in always] == always
    assert values(headers, "vary") == ["Origin, Cookie, X-Session-Token"]
    others = [header for header in headers if header not in always and header[0] != "Vary"]
    assert others == [header for header in plain if header[0] != "Vary"]


def test_an_outcome_prints_no_token():
    """A token in a log would be somebody's session."""
    assert [repr(outcome) for outcome in (SET, KEEP, CLEAR)] == ["Outcome(SET)", "Outcome(KEEP)", "Outcome(CLEAR)"]
    assert "tok" not in f"{SET} {SET!r}"
