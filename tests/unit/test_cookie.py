"""The cookie: a hostile header in, exact text out."""

import math
import time
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.errors import ConfigurationError
from sharedsession.http.cookie import MAX_AGE, MAX_CANDIDATES, CookiePolicy

POLICY = CookiePolicy()
NAME = b"__Host-session"
KB64 = 1 << 16


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"__Host-session=abc", [b"abc"]),
        (b"a=1; __Host-session=abc; b=2", [b"abc"]),
        (b"a=1;__Host-session=abc;b=2", [b"abc"]),
        (b" \t__Host-session \t= \tabc \t; b=2", [b"abc"]),
        (b"__Host-session=a=b==", [b"a=b=="]),
        (b"__Host-session=", [b""]),
        (b"__Host-session=a b", [b"a b"]),
        (b";;; ;__Host-session=abc;;", [b"abc"]),
        (b"__Host-session=\xff\x00\r\n", [b"\xff\x00\r\n"]),
    ],
)
def test_the_value_is_found(header, found):
    """The cookie may stand anywhere; only space and tab around name and value are dropped."""
    assert POLICY.candidates(header) == found


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"a=1; b=2",
        b"__Host-session",
        b"__Host-session; abc",
        b"__host-session=abc",
        b"x__Host-session=abc",
        b"__Host-sessionx=abc",
        b"\x85__Host-session=abc",
        b"a=1; \xa0__Host-session=abc",
        b"a=1; \xe2\x80\x83__Host-session=abc",
        b"\x00__Host-session=abc",
        b"\n__Host-session=abc",
        b"\x0b__Host-session=abc",
        b"a=1,__Host-session=abc",
        b"=__Host-session=abc",
        b"; =__Host-session=abc",
        b'"__Host-session"=abc',
        b"__Host%2Dsession=abc",
        b"$__Host-session=abc",
    ],
)
def test_a_name_that_only_looks_alike_is_not_ours(header):
    """Names are compared byte for byte: no other white space, no nameless pair, no other case."""
    assert POLICY.candidates(header) == []


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b'__Host-session="abc"', [b'"abc"']),
        (b'__Host-session="a; b="', [b'"a']),
        (b'$Version=1; __Host-session="abc"; $Path="/"', [b'"abc"']),
        (b'a="; __Host-session=abc; b="', [b"abc"]),
        (b"__Host-session=\\141bc", [b"\\141bc"]),
        (b"__Host-session=%61bc", [b"%61bc"]),
    ],
)
def test_nothing_is_unquoted(header, found):
    """Quotes, escapes and ``$Version`` mean nothing (RFC 6265bis): a value that needs them is no token of ours."""
    assert POLICY.candidates(header) == found


def test_duplicates_are_returned_in_order():
    """Somebody may plant cookies before the genuine one: as many are looked at as a server lets through."""
    header = b"; ".join(NAME + b"=%d" % number for number in range(1000))
    assert POLICY.candidates(header) == [b"%d" % number for number in range(256)]
    assert MAX_CANDIDATES * (len(NAME) + len("=; ") + 84) > 16_384  # bytes of headers that common servers take


@pytest.mark.parametrize(
    "header",
    [
        b";" * KB64,
        b" " * KB64,
        b"\t; " * (KB64 // 3),
        b'"' * KB64,
        b"=" * KB64,
        b"a" * KB64,
        b"; " * (KB64 // 2),
        NAME * (KB64 // len(NAME)),
        (NAME + b";") * (KB64 // 15),
        (NAME + b" " * 100 + b";") * (KB64 // 115),
        b";" + NAME + b" " * KB64,
        NAME + b"=" + b" " * KB64 + b"x",
        (NAME + b"=x;") * (KB64 // 17),
        (b";" + b" " * 255) * 256,
        b'__Host-session="' + b"\\" * KB64,
    ],
    ids=range(15),
)
def test_a_hostile_header_costs_no_time(header):
    """The scan is linear: 64 kB of anything take less than 5 ms of processor time."""
    assert min(_seconds_for(header) for _ in range(5)) < 0.005


def _seconds_for(header: bytes) -> float:
    started = time.process_time()
    POLICY.candidates(header)
    return time.process_time() - started


@given(st.binary(max_size=400))
def test_any_header_gets_an_answer(header):
    """No header raises, and what is found stands in it without a semicolon."""
    found = POLICY.candidates(header)
    assert len(found) <= MAX_CANDIDATES
    assert all(value in header and b";" not in value for value in found)


@given(st.lists(st.tuples(st.sampled_from([b"a", b"", NAME, b"__host-session"]), st.binary(max_size=9)), max_size=9))
def test_the_scan_agrees_with_the_definition(pairs):
    """Splitting at ``;`` and then at the first ``=`` finds the same, only slower."""
    header = b"; ".join(name + b"=" + value for name, value in pairs)
    expected = []
    for pair in header.split(b";"):
        name, equals, value = pair.partition(b"=")
        if equals and name.strip(b" \t") == NAME:
            expected.append(value.strip(b" \t"))
    assert POLICY.candidates(header) == expected[:MAX_CANDIDATES]


def test_the_default_cookie_is_as_strict_as_browsers_allow():
    """``__Host-``, HttpOnly, Secure, SameSite and no Max-Age."""
    assert CookiePolicy().set("tok") == "__Host-session=tok; Path=/; HttpOnly; Secure; SameSite=Lax"


def test_a_cookie_for_plain_http_is_not_secure():
    """Else browsers would not send it; all the rest stays."""
    assert CookiePolicy(name="sid", secure=False).set("tok") == "sid=tok; Path=/; HttpOnly; SameSite=Lax"


def test_every_attribute_is_written():
    """Whatever is set is in the text, once."""
    policy = CookiePolicy(
        name="__Secure-sid", path="/app", domain="example.com", samesite="NONE", partitioned=True, secure=True
    )
    assert policy.set("tok", 60) == (
        "__Secure-sid=tok; Max-Age=60; Path=/app; Domain=example.com; HttpOnly; Secure; SameSite=None; Partitioned"
    )


def test_attributes_may_be_in_lower_case():
    """As Starlette writes them; what stands in a path stays as it is."""
    policy = CookiePolicy(name="Sid", path="/App=A", domain="Example.com", samesite="Strict", lower_case=True)
    assert policy.set("Tok", 60) == (
        "Sid=Tok; Max-Age=60; path=/App=A; domain=Example.com; httponly; secure; samesite=strict"
    )


@pytest.mark.parametrize("secure", [False, True])
def test_httponly_cannot_be_switched_off(secure):
    """No script needs the session cookie."""
    assert "; HttpOnly" in CookiePolicy(name="session", secure=secure).set("tok")
    with pytest.raises(TypeError):
        CookiePolicy(httponly=False)


def test_clearing_repeats_the_attributes():
    """A browser takes a cookie back only under the same name, path, domain and flags."""
    policy = CookiePolicy(name="sid", path="/app", domain="example.com", samesite="strict", partitioned=True)
    assert policy.clear() == policy.set("").replace("sid=", "sid=; Max-Age=0")
    assert POLICY.clear() == "__Host-session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(1, 1), (59.9, 59), (0.2, 1), (-5, 1), (0, 1), (MAX_AGE, MAX_AGE), (MAX_AGE + 1, MAX_AGE), (1e12, 400 * 86400)],
)
def test_max_age_is_clamped(asked, sent):
    """A live cookie never says Max-Age=0, and never more than the 400 days that browsers keep."""
    assert SimpleCookie(POLICY.set("tok", asked))["__Host-session"]["max-age"] == str(sent)


def test_max_age_may_be_for_ever():
    """Without an absolute timeout a persistent cookie lives as long as browsers allow."""
    assert f"; Max-Age={MAX_AGE};" in POLICY.set("tok", math.inf)


@pytest.mark.parametrize(
    ("attributes", "setting"),
    [
        ({"secure": False}, "cookie_secure"),
        ({"domain": "example.com"}, "cookie_domain"),
        ({"path": "/app"}, "cookie_path"),
        ({"name": "__host-session", "path": "/app"}, "cookie_path"),
        ({"name": "__HOST-SESSION", "domain": "example.com"}, "cookie_domain"),
        ({"name": "__Secure-sid", "secure": False}, "cookie_secure"),
        ({"name": "__Http-sid", "secure": False}, "cookie_secure"),
        ({"name": "sid", "secure": False, "samesite": "none"}, "cookie_samesite"),
        ({"name": "sid", "secure": False, "partitioned": True}, "cookie_partitioned"),
    ],
)
def test_mixes_that_browsers_refuse_are_refused_at_the_start(attributes, setting):
    """A cookie that no browser would keep is a mistake, and the message names the setting."""
    with pytest.raises(ConfigurationError, match=setting):
        CookiePolicy(**attributes)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a,b", "a\r\nb", "a\n", "a\0", "é", '"a"', "a/b", "a\t"])
def test_nothing_can_be_injected_through_the_name(name):
    """A name is a token of HTTP."""
    with pytest.raises(ConfigurationError, match="cookie_name"):
        CookiePolicy(name=name)


@pytest.mark.parametrize(
    "path", ["", "app", "/a;b", "/a\r\nSet-Cookie: x=y", "/a\n", "/a\0", "/é", "/a b", "/a,b", "/\x7f"]
)
def test_nothing_can_be_injected_through_the_path(path):
    """A path begins with a slash and ends no attribute."""
    with pytest.raises(ConfigurationError, match="cookie_path"):
        CookiePolicy(name="sid", path=path)


@pytest.mark.parametrize(
    "domain", ["", "a b", "a;b", "a\r\nb", "example.com\n", "-a.com", "a..b", ".", "a.com/", "a.com:80", "é.com", "a,b"]
)
def test_nothing_can_be_injected_through_the_domain(domain):
    """A domain is a host name."""
    with pytest.raises(ConfigurationError, match="cookie_domain"):
        CookiePolicy(name="sid", domain=domain)


@pytest.mark.parametrize("samesite", ["", "laxx", "Lax; Domain=evil", "lax\n"])
def test_samesite_is_one_of_three_words(samesite):
    """Anything else would be read as the browser's default."""
    with pytest.raises(ConfigurationError, match="cookie_samesite"):
        CookiePolicy(samesite=samesite)


@pytest.mark.parametrize(
    ("attributes", "first", "then"),
    [
        (
            {"name": "a b"},
            "cookie_name must be letters, digits and - _ . ! # $ % & ' * + ^ ` | ~ only ",
            "(RFC 6265bis, 4.1.1)",
        ),
        (
            {"path": "/" + "a" * 1000},
            "cookie_name may have 1024 characters, cookie_path 1000 and cookie_domain 253: ",
            "browsers drop longer ones (RFC 6265bis, 5.6)",
        ),
        ({"path": "a"}, "cookie_path must begin with / and hold no space, comma, semicolon ", "or control character"),
        ({"domain": "-"}, "cookie_domain is not a host name: ", "leave it out, or give one like 'example.com'"),
        ({"samesite": "x"}, "cookie_samesite must be ", "'lax', 'strict' or 'none'"),
        (
            {"secure": False},
            "cookie_name '__Host-session' needs cookie_secure=True; ",
            "for plain HTTP on your own machine set development=True and leave both out",
        ),
        (
            {"path": "/app"},
            "cookie_name '__Host-session' allows neither cookie_domain nor a cookie_path other than '/': ",
            "drop those, or set cookie_name='__Secure-session'",
        ),
        (
            {"name": "sid", "secure": False, "samesite": "none"},
            "cookie_samesite='none' and cookie_partitioned=True need cookie_secure=True: ",
            "browsers drop the cookie",
        ),
    ],
    ids=range(8),
)
def test_a_refusal_says_what_to_change(attributes, first, then):
    """Word for word: each names the settings, and what to do."""
    with pytest.raises(ConfigurationError) as refusal:
        CookiePolicy(**attributes)
    assert str(refusal.value) == first + then


@pytest.mark.parametrize(
    ("attribute", "longest"),
    [("name", "n" * 1024), ("path", "/" + "p" * 999), ("domain", ("d" * 62 + ".") * 4 + "d")],
)
def test_what_browsers_drop_for_its_length_is_refused(attribute, longest):
    """One character more than they take; each by itself."""
    mix = {"name": "sid"} | {attribute: longest}
    assert longest in CookiePolicy(**mix).set("tok")
    with pytest.raises(ConfigurationError, match="browsers drop longer ones"):
        CookiePolicy(**mix | {attribute: longest + "x"})
