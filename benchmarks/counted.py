"""The process that `benchmarks.instructions` runs under callgrind: serves each path so many times between two marks.

    python -m benchmarks.counted '{"calls": 50, "urls": {"memcached": "…"}, "paths": ["wsgi read"]}'

The marks are two functions of libc that nothing else calls: callgrind forgets what it counted when `_BEGIN` is entered,
and writes it down when `_END` is.
"""

import asyncio
import gc
import json
import os
import sys
from typing import Any, NamedTuple

from benchmarks import asgi, wsgi
from benchmarks.contenders import BARE, FLOOR, LAZY, OURS, OWNED, STRAIGHT, TABLE
from benchmarks.deeds import PAYLOADS

_BEGIN, _END = "getpriority", "getpgrp"
MARKS = [f"--zero-before={_BEGIN}", f"--dump-before={_END}"]
_PAYLOAD = "1 KB, one key changed"
_WARM = 40  # requests, until the interpreter has specialised its instructions
_KINDS = {"bare": BARE, "floor": FLOOR, "straight": STRAIGHT, "principal": OWNED}


class Path(NamedTuple):
    """What is counted.

    Attributes:
        colour: ``wsgi`` or ``asgi``.
        kind: whose application: ``ours`` unless the name tells.
        store: the key of a URL.
        request: ``untouched``, ``read`` or ``write``.
    """

    colour: str
    kind: str
    store: str
    request: str

    @classmethod
    def named(cls, name: str) -> "Path":
        """Reads a name like ``asgi read``, ``wsgi straight write`` or ``asgi ring read``."""
        colour, *middle, request = name.split()
        kind = next((word for word in middle if word in {*_KINDS}), "ours")
        store = next((word for word in middle if word in {"ring", "redis"}), "memcached")
        return cls(colour, kind, store, request)

    def application(self, urls: dict[str, str]) -> Any:
        """The contender's application; ours on ASGI that is passed by is the one without ``autoload``."""
        passed_by = self.request == "untouched" and self.colour == "asgi"
        name = _KINDS.get(self.kind, LAZY if passed_by else OURS)
        row = next(row for row in TABLE[self.colour] if (row.frame, row.name) == (self.colour.upper(), name))
        return row.build(urls[self.store], PAYLOADS[_PAYLOAD], False)


def count(path: Path, urls: dict[str, str], calls: int, runner: asyncio.Runner) -> None:
    """Makes a session, warms up, and serves the counted requests."""
    app, target = path.application(urls), f"/{path.request}"
    visits = runner.run(_asgi_visits(app, target, calls)) if path.colour == "asgi" else _wsgi_visits(app, target, calls)
    wanted = {"untouched": "-", "read": "0", "write": str(_WARM + calls)}[path.request]
    if path.kind == "bare" and path.request == "write":
        wanted = "1"
    if visits != wanted.encode():
        raise RuntimeError(f"{path}: {visits!r} instead of {wanted}")


def _wsgi_visits(app: Any, target: str, calls: int) -> bytes:
    cookie = _cookie(wsgi.visit(app, "/new", "")[1][0])
    for _ in range(_WARM):
        wsgi.visit(app, target, cookie)
    gc.collect()
    os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(calls):
        _, (_, body) = wsgi.visit(app, target, cookie)
    os.getpgrp()
    return body


async def _asgi_visits(app: Any, target: str, calls: int) -> bytes:
    cookie = _cookie((await asgi.visit(app, "/new", "", 0))[1][0])
    for _ in range(_WARM):
        await asgi.visit(app, target, cookie, 0)
    gc.collect()
    os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(calls):
        _, (_, body) = await asgi.visit(app, target, cookie, 0)
    os.getpgrp()
    return body


def _cookie(headers: Any) -> str:
    for name, value in headers:
        if name.lower() in {"set-cookie", b"set-cookie"}:
            text: str = value if isinstance(value, str) else value.decode("latin-1")
            return text.partition(";")[0]
    return "nobody=1"


def main(order: str) -> None:
    """Serves all paths in turn."""
    wanted = json.loads(order)
    gc.disable()
    with asyncio.Runner() as runner:
        for name in wanted["paths"]:
            count(Path.named(name), wanted["urls"], wanted["calls"], runner)


if __name__ == "__main__":
    main(sys.argv[1])
