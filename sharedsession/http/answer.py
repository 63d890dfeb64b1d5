"""A whole HTTP answer of ours, in no framework's form: the 503 of an outage, a readiness answer, a page.

It is made once, here, and put into the form of WSGI or ASGI below. Frameworks read its fields.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, NamedTuple

Headers = list[tuple[str, str]]
RawHeaders = list[tuple[bytes, bytes]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer(NamedTuple):
    """An HTTP answer, ready to be sent.

    Attributes:
        status: its status code.
        headers: names and values, ``Content-Length`` included.
        body: the bytes to send: none where the request was HEAD.
    """

    status: HTTPStatus
    headers: Headers
    body: bytes

    @property
    def status_line(self) -> str:
        """The status as WSGI writes it, for instance ``"503 Service Unavailable"``."""
        return f"{self.status.value} {self.status.phrase}"


def make_answer(status: HTTPStatus, headers: Iterable[tuple[str, str]], body: bytes, *, method: str = "GET") -> Answer:
    """Makes an answer.

    Args:
        status: its status code.
        headers: all but ``Content-Length``.
        body: the content.
        method: of the request. The answer to HEAD has the same headers and no body (RFC 9110, 9.3.2).
    """
    length = ("Content-Length", str(len(body)))
    return Answer(status, [*headers, length], b"" if method == "HEAD" else body)


def to_asgi(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Returns headers as ASGI has them: bytes, names in lower case."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def from_asgi(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Returns headers of ASGI as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


async def send_answer(answer: Answer, send: Send) -> None:
    """Sends an answer by ASGI."""
    await send({"type": "http.response.start", "status": answer.status.value, "headers": to_asgi(answer.headers)})
    await send({"type": "http.response.body", "body": answer.body})
