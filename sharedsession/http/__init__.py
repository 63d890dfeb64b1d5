"""HTTP without a server: headers in, tokens out; an outcome in, headers out."""

from sharedsession.http.answer import Answer, Headers, RawHeaders, from_asgi, make_answer, send_answer, to_asgi
from sharedsession.http.cookie import CookiePolicy
from sharedsession.http.held_head import HEAD_WAITS, Leaving, leave_later
from sharedsession.http.outcome import CLEAR, KEEP, Outcome
from sharedsession.http.page import document, page_answer, security_headers
from sharedsession.http.path import environ_path, scope_path
from sharedsession.http.scheme import environ_is_plain, log_plain_http, scope_is_plain
from sharedsession.http.token_transport import TokenTransport

__all__ = [
    "CLEAR",
    "HEAD_WAITS",
    "KEEP",
    "Answer",
    "CookiePolicy",
    "Headers",
    "Leaving",
    "Outcome",
    "RawHeaders",
    "TokenTransport",
    "document",
    "environ_is_plain",
    "environ_path",
    "from_asgi",
    "leave_later",
    "log_plain_http",
    "make_answer",
    "page_answer",
    "scope_is_plain",
    "scope_path",
    "security_headers",
    "send_answer",
    "to_asgi",
]
