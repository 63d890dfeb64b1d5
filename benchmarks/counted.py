"""The process that `benchmarks.instructions` runs under callgrind: serves each path so many times between two marks.

    python -m benchmarks.counted '{"calls": 50, "warm": 40, "urls": {…}, "paths": [["wsgi", "WSGI", …], …]}'

It prints which of them were served, as a JSON list. The marks are two functions of libc that nothing else calls:
callgrind forgets what it counted when the first is entered, and writes it down when the second is.
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
WARM = 40  # requests, until the interpreter has specialised its instructions
_PAYLOAD = "1 KB, one key changed"
_KINDS = {"bare": BARE, "floor": FLOOR, "straight": STRAIGHT, "principal": OWNED}


class Path(NamedTuple):
    """What is counted.

    Attributes:
        colour: ``wsgi`` or ``asgi``.
        frame: of the contender.
        name: of the contender.
        store: the key of a URL.
        request: ``new``, ``untouched``, ``read`` or ``write``.
    """

    colour: str
    frame: str
    name: str
    store: str
    request: str

    @classmethod
    def named(cls, text: str) -> "Path":
        """Reads a name like ``asgi read``, ``wsgi straight write`` or ``asgi ring read``: on the plain interface.

        Ours on ASGI that is passed by is the one without ``autoload``.
        """
        colour, *middle, request = text.split()
        ours = LAZY if (colour, request) == ("asgi", "untouched") else OURS
        name = next((_KINDS[word] for word in middle if word in _KINDS), ours)
        store = next((word for word in middle if word in {"ring", "redis"}), "memcached")
        return cls(colour, colour.upper(), name, store, request)

    def application(self, urls: dict[str, str]) -> Any:
        """The contender's application."""
        row = next(row for row in TABLE[self.colour] if (row.frame, row.name) == (self.frame, self.name))
        app = row.build(urls[self.store], PAYLOADS[_PAYLOAD], False)
        getattr(app, "activate", lambda: None)()
        return app

    def answer(self, times: int) -> bytes:
        """What must be answered to the last of so many requests."""
        counted = "1" if self.name == BARE else str(times)
        return {"untouched": "-", "write": counted}.get(self.request, "0").encode()


class NotServedError(Exception):
    """A contender did not do what it was asked."""


def count(path: Path, wanted: Any, runner: asyncio.Runner) -> None:
    """Makes a session, warms up, and serves the counted requests."""
    app, warm, calls = path.application(wanted["urls"]), wanted["warm"], wanted["calls"]
    target = f"/{path.request}"
    if path.colour == "asgi":
        body = runner.run(_on_loop(app, target, warm, calls))
    else:
        body = _blocking(app, target, warm, calls)
    if body != path.answer(warm + calls):
        raise NotServedError(f"answered {body!r}")


def _blocking(app: Any, target: str, warm: int, calls: int) -> bytes:
    cookie = _cookie(wsgi.visit(app, "/new", "")[1][0], target)
    for _ in range(warm):
        wsgi.visit(app, target, cookie)
    gc.collect()
    os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(calls):
        _, (_, body) = wsgi.visit(app, target, cookie)
    os.getpgrp()
    return body


async def _on_loop(app: Any, target: str, warm: int, calls: int) -> bytes:
    cookie = _cookie((await asgi.visit(app, "/new", "", 0))[1][0], target)
    for _ in range(warm):
        await asgi.visit(app, target, cookie, 0)
    gc.collect()
    os.getpriority(os.PRIO_PROCESS, 0)
    for _ in range(calls):
        _, (_, body) = await asgi.visit(app, target, cookie, 0)
    os.getpgrp()
    return body


def _cookie(headers: Any, target: str) -> str:
    """The cookie that a visitor brings; none to make a new session."""
    if target == "/new":
        return ""
    for name, value in headers:
        if name.lower() in {"set-cookie", b"set-cookie"}:
            text: str = value if isinstance(value, str) else value.decode("latin-1")
            return text.partition(";")[0]
    return "nobody=1"


def main(order: str) -> None:
    """Serves all paths in turn; who cannot be served is left out, and named on standard error."""
    wanted = json.loads(order)
    served = []
    gc.disable()
    with asyncio.Runner() as runner:
        for path in (Path(*words) for words in wanted["paths"]):
            try:
                count(path, wanted, runner)
            except Exception as error:  # noqa: BLE001  (any library may fail in its own way)
                sys.stderr.write(f"left out: {' '.join(path)}: {error!r}\n")
            else:
                served.append(path)
    json.dump(served, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
