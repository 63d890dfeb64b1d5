"""As much HTTP/1.1 as the front needs: read a request, change its fields, write an answer. It knows no node.

Strict where two readers of one message could disagree, since a front that guesses lets requests be smuggled.
"""

from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Self

MAX_BODY = 65536
"""Bytes of a request's body: the demo's forms are far smaller."""

END_OF_HEAD = b"\r\n\r\n"


class BadRequest(Exception):
    """A request that is not answered by any node.

    Attributes:
        status: what the client is told.
    """

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a message and its fields, in their order."""

    start: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, block: bytes) -> Self:
        """Reads a head, the empty line included.

        Raises:
            BadRequest: a line is no field, or holds a line break of its own.
        """
        start, *lines = block.removesuffix(END_OF_HEAD).decode("latin-1").split("\r\n")
        fields = tuple(_field(line) for line in lines)
        if len(start.split(" ")) < 3 or "\n" in start or "\r" in start:
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        return cls(start, fields)

    def get(self, name: str) -> str | None:
        """The value of a field, several joined by a comma, or ``None``."""
        values = [value for field, value in self.fields if field.lower() == name]
        return ", ".join(values) if values else None

    def without(self, names: Iterable[str]) -> Self:
        """The same head less some fields, named in small letters."""
        dropped = frozenset(names)
        return replace(self, fields=tuple(f for f in self.fields if f[0].lower() not in dropped))

    def plus(self, *fields: tuple[str, str]) -> Self:
        """The same head with more fields."""
        return replace(self, fields=(*self.fields, *fields))

    def encode(self) -> bytes:
        """The head as it travels, the empty line included."""
        lines = [self.start, *(f"{name}: {value}" for name, value in self.fields)]
        return "\r\n".join(lines).encode("latin-1") + END_OF_HEAD


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request."""

    head: Head
    body: bytes

    @property
    def method(self) -> str:
        """``GET``, ``POST`` or another verb."""
        return self.head.start.split(" ")[0]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.head.start.split(" ")[1].partition("?")[0]

    @property
    def is_safe(self) -> bool:
        """Whether asking twice does no harm."""
        return self.method in {"GET", "HEAD"}

    @property
    def keeps_alive(self) -> bool:
        """Whether the client may send another request on this connection."""
        return self.head.start.endswith("HTTP/1.1") and "close" not in (self.head.get("connection") or "").lower()


async def read_request(reader: StreamReader) -> Request | None:
    """Reads one request, or ``None`` if the client has left.

    Raises:
        BadRequest: it is malformed, too large, or framed in a way the front does not take.
    """
    try:
        head = Head.parse(await reader.readuntil(END_OF_HEAD))
        return Request(head, await reader.readexactly(body_length(head)))
    except LimitOverrunError as fault:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from fault
    except (IncompleteReadError, ConnectionError):
        return None


def body_length(head: Head) -> int:
    """The bytes of a request's body, by its Content-Length."""
    if head.get("transfer-encoding") is not None:
        raise BadRequest(HTTPStatus.LENGTH_REQUIRED)
    length = head.get("content-length") or "0"
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    if len(length) > 9 or int(length) > MAX_BODY:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return int(length)


def own_answer(status: HTTPStatus, html: str, fields: Sequence[tuple[str, str]], *, keep_alive: bool) -> bytes:
    """A whole page of the front's own."""
    body = html.encode()
    sized = ("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))
    return head_of(status, (*fields, *sized), keep_alive=keep_alive) + body


def head_of(status: HTTPStatus, fields: Sequence[tuple[str, str]], *, keep_alive: bool) -> bytes:
    """The head of an answer of the front's own."""
    connection = ("Connection", "keep-alive" if keep_alive else "close")
    return Head(f"HTTP/1.1 {status.value} {status.phrase}", tuple(fields)).plus(connection).encode()


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip() or any(char in line for char in "\r\n\0"):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    return name, value.strip()
