"""A page of ours: the skeleton of its HTML, and the headers that keep anything else from being loaded or run. Pure.

The style sheet and the script are part of the page, and its content security policy names their hashes (CSP 3, section
2.3.1). So the page works behind any mount, and injected markup styles, loads and runs nothing.
"""

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from http import HTTPStatus

from sharedsession.http.answer import Answer, Headers, make_answer

_HTML = ("Content-Type", "text/html; charset=utf-8")


def document(title: str, body: str, *, style: str, icon: str, script: str = "") -> str:
    """Returns a whole page.

    Args:
        title: of the page, as text.
        body: as HTML.
        style: the style sheet.
        icon: a ``data:`` URL.
        script: of the page; it runs when the body is there.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
{body}{f"<script>{script}</script>{chr(10)}" if script else ""}</body>
</html>
"""


def content_security_policy(style: str, script: str = "") -> str:
    """Returns the policy that allows this style sheet, this script and what the script fetches from its own host."""
    scripts = [f"script-src {_source(script)}", "connect-src 'self'"] if script else []
    directives = [
        "default-src 'none'",
        f"style-src {_source(style)}",
        *scripts,
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(directives)


def security_headers(style: str, script: str = "") -> Headers:
    """Returns the headers of every answer that belongs to a page with this style sheet and this script."""
    return [
        ("Content-Security-Policy", content_security_policy(style, script)),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ]


def page_answer(status: HTTPStatus, page: str, headers: Iterable[tuple[str, str]], *, method: str = "GET") -> Answer:
    """Returns the answer that is a page.

    Args:
        status: its status code.
        page: the whole HTML; empty for a redirection.
        headers: all but type and length.
        method: of the request.
    """
    return make_answer(status, [_HTML, *headers], page.encode(), method=method)


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
