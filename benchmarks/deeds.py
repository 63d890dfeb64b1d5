"""What is asked of every contender: five requests, three payloads, and what the answer must be. No server, no clock.

One round visits the same sessions in the order of `REQUESTS`: they are made, read while a renewal is due, read while
none is, passed by, written. So each request finds the state it is about, and no contender needs a preparation.
"""

from collections.abc import Callable, MutableMapping
from hashlib import sha512
from typing import Any, NamedTuple

Deed = Callable[[Any], Any]

PAYLOADS: dict[str, dict[str, Any]] = {
    "3 keys": {"user": 4711, "name": "Ada Lovelace", "count": 0},
    "20 keys, 2 KB": {**{f"key{n:02}": sha512(bytes([n])).hexdigest()[:107] for n in range(19)}, "count": 0},
    "1 KB, one key changed": {"user": 4711, "name": "Ada Lovelace", "text": "0123456789abcdef" * 60, "count": 0},
    "1 KB": {"data": "0123456789abcdef" * 64, "count": 0},
}
SMALL = "3 keys"


class Request(NamedTuple):
    """One kind of request.

    Attributes:
        name: in tables; its path is this, without blanks.
        has_cookie: whether the visitor has a session already.
        slides: whether the contender is asked to renew the session's life.
        answer: the body that proves that it happened.
    """

    name: str
    has_cookie: bool
    slides: bool
    answer: str

    @property
    def path(self) -> str:
        """Where it is asked for."""
        return "/" + self.name.replace(" ", "").replace("+", "-")


REQUESTS = [
    Request("new", False, False, "0"),
    Request("read + slide", True, True, "0"),
    Request("read", True, False, "0"),
    Request("untouched", True, False, "-"),
    Request("write", True, False, "1"),
]
NAMED = {request.name: request for request in REQUESTS}
PATHS = {request.path: request for request in REQUESTS}


def deed(path: str, session: Callable[[], MutableMapping[str, Any]], payload: dict[str, Any]) -> str:
    """Does what a path asks for. ``session`` is only called by those that look at it."""
    if path == "/untouched":
        return "-"
    mine = session()
    if path == "/new":
        mine.update(payload)
    elif path == "/write":
        mine["count"] += 1
        if "data" in mine:  # one kilobyte, all of it new
            mine["data"] = mine["data"][1:] + mine["data"][:1]
    return str(mine["count"])


async def adeed(path: str, session: Any, payload: dict[str, Any]) -> str:
    """Same as `deed`, for sessions that are asked with ``await`` (Django's)."""
    if path == "/untouched":
        return "-"
    if path == "/new":
        await session.aupdate(payload)
    elif path == "/write":
        await session.aset("count", await session.aget("count") + 1)
        if await session.ahas_key("data"):
            data = await session.aget("data")
            await session.aset("data", data[1:] + data[:1])
    return str(await session.aget("count"))
