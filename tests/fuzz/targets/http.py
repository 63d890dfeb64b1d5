"""What browsers, and those who pose as one, send: cookies, headers, paths, forms."""

import re
from io import BytesIO
from urllib.parse import unquote

from sharedsession.errors import ConfigurationError
from sharedsession.farmpage.auth import LOGGED_IN, PageAuth
from sharedsession.farmpage.exchange import MAX_FORM, Request, from_environ
from sharedsession.http import CookiePolicy, TokenTransport
from sharedsession.http.cookie import MAX_CANDIDATES
from sharedsession.http.path import environ_path, scope_path
from sharedsession.settings import build, converters
from sharedsession.testing import ManualEnvironment
from tests.fuzz.target import Choices, as_text, damaged, target

_NAME = b"__Host-session"
_KB64 = 1 << 16
_POLICY = CookiePolicy()
_WORDS = (_NAME, _NAME + b"=", b"; ", b";", b"=", b"__host-session", b"$Version=1", b'"', b" \t", b"\\073")
_BOTH = TokenTransport(_POLICY, "X-Session-Token")
_UNFIT = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\x7f]")


@target(
    b"a=1; __Host-session=abc; b=2",
    b'__Host-session="x; y"',
    b"\x0b__Host-session=a; \n__Host-session=b; \xa0__Host-session=c; =__Host-session=d; __Host-session\x85=e",
    *(
        piece * (_KB64 // len(piece))
        for piece in (b";", b" ", b"; ", b"=", b'"\\', _NAME, _NAME + b"=x;", b"\t" * 99 + b";")
    ),
    words=_WORDS,
    tries=1000,
    longest=_KB64,
)
def cookie(data: bytes) -> None:
    """What is found in a Cookie header is what its definition says: split at semicolons, then at the first equals."""
    assert _POLICY.candidates(data) == cookie_values(data)


@target(b"__Host-session=abc\n token ", b"__Host-session=\xe2\x82\xac\nx", words=_WORDS)
def token_headers(data: bytes) -> None:
    """Headers give the same tokens as bytes (ASGI) and as the text that stands for them (WSGI)."""
    cookies, _, header = data.partition(b"\n")
    found = _BOTH.tokens(cookies, header)
    assert found == _BOTH.text_tokens(cookies.decode("latin-1"), header.decode("latin-1"))
    assert len(found) <= MAX_CANDIDATES + 1
    _BOTH.text_tokens(as_text(cookies), as_text(header))


@target(
    b"sid\n/app\nexample.com\nlax",
    b"__Host-session\n/\n\nstrict",
    b"__Secure-id\n/a/b\n.a.example\nNone",
    words=(b"__Host-", b"__Secure-", b"\n", b"; Domain=evil", b"\r\nSet-Cookie: a=b"),
)
def cookie_policy(data: bytes) -> None:
    """Whatever attributes a cookie gets, they are refused, or its text is one line with them and no others."""
    name, path, domain, samesite, *_ = [*as_text(data).split("\n"), "", "", ""]
    try:
        policy = CookiePolicy(name=name, path=path, domain=domain or None, samesite=samesite)
    except ConfigurationError:
        return
    for text in (policy.set("token", 60.0), policy.clear()):
        assert not _UNFIT.search(text)
        assert len(text.split(";")) == 6 + bool(domain)
    assert policy.candidates(f"{name}=token".encode()) == [b"token"]


@target(b"\x00/app\n/page\n/app", "/ä\n/ö\n".encode(), b"/\xff\n//\n/", words=(b"/", b"\n"))
def path(data: bytes) -> None:
    """Each path of a request has one form, and none raises; what is UTF-8 is the same from WSGI and ASGI."""
    root, page, *_ = [*data.split(b"\n"), b""]
    found = environ_path({"SCRIPT_NAME": root.decode("latin-1"), "PATH_INFO": page.decode("latin-1")})
    environ_path({"SCRIPT_NAME": as_text(root), "PATH_INFO": as_text(page)})
    of_scope = scope_path({"root_path": as_text(root), "path": as_text(page)})
    assert of_scope in {as_text(page), as_text(root).rstrip("/") + as_text(page)}
    scope = {"root_path": as_text(root), "path": as_text(root.rstrip(b"/") + page)}
    if root.startswith(b"/") and page.startswith(b"/") and _is_utf_8(root + page) and _is_utf_8(page):
        assert found == scope_path(scope)


@target(
    b"/static/*,/a[b-d]?\n/static/a.css",
    b"/%5Ba%5d *.js\n/[a]",
    b"/[!x]*[]]\n/y]",
    words=(b"/", b"*", b"?", b"[", b"]", b"[!", b"%2a", b"--", b"&&", b"||", b"~~", b","),
)
def exclude(data: bytes) -> None:
    """Patterns are refused in the words of a setting, or say of each path whether it is left out."""
    written, _, asked = as_text(data).partition("\n")
    try:
        patterns = converters.patterns(written)
    except ValueError:
        return
    excluded = build.excluder(patterns)
    assert excluded is None or excluded(asked[:200]) in {True, False}
    for pattern in patterns:
        if not re.search(r"[*?\[]", pattern):
            assert excluded is not None
            assert excluded(unquote(pattern))


_ENVIRONMENT = ManualEnvironment(seed=1)
_AUTH = PageAuth("correct battery 7391 staple horse Zq", app_name="a", secure=True, environment=_ENVIRONMENT)
_TICKET = _AUTH.new_ticket(LOGGED_IN, "/farm")


@target(_TICKET.text.encode(), b"l.1800009999.00.00", b"a.9999999999.." + b"0" * 64, words=(b".", b"l", b"a"))
def ticket(data: bytes) -> None:
    """A ticket that the page did not make, byte for byte, for this path, is none."""
    altered = damaged(_TICKET.text.encode(), Choices(data))
    for text in (data, altered):
        fields = {"cookie": f"__Host-farmpage={text.decode('latin-1')}"}
        found = _AUTH.ticket_of(Request("GET", "", fields, {}, "/farm"))
        assert (found is None) == (text.strip(b" \t").partition(b";")[0].strip(b" \t") != _TICKET.text.encode())
    genuine = {"cookie": f"__Host-farmpage={_TICKET.text}"}
    elsewhere = as_text(data)
    assert (_AUTH.ticket_of(Request("GET", "", genuine, {}, elsewhere)) is None) == (elsewhere != "/farm")


@target(b"9\ntoken=abc&password=x%20y", b"4096\na=1;b=2", b"\n", words=(b"=", b"&", b"%", b"+", b"-", b"\n"))
def form(data: bytes) -> None:
    """A form of the farm page, however long it says to be, becomes a few fields or none."""
    length, _, body = data.partition(b"\n")
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_LENGTH": length.decode("latin-1"),
        "wsgi.input": BytesIO(body),
        "PATH_INFO": body.decode("latin-1"),
        "HTTP_HOST": as_text(body),
    }
    request = from_environ(environ)
    assert sum(map(len, request.form)) <= MAX_FORM
    _AUTH.is_genuine_form(request, _TICKET)
    _AUTH.is_password(request.form.get("password", as_text(body)))


def cookie_values(header: bytes) -> list[bytes]:
    """Returns the values of the session cookie in a header, by their definition; slowly."""
    pairs = [pair.partition(b"=") for pair in header.split(b";")]
    values = [value.strip(b" \t") for name, equals, value in pairs if equals and name.strip(b" \t") == _NAME]
    return values[:MAX_CANDIDATES]


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


TARGETS = (cookie, token_headers, cookie_policy, path, exclude, ticket, form)
