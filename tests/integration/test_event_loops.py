"""A loop for each request, as `asyncio.run` and asgiref's `async_to_sync` make them: nothing of them is kept."""

import asyncio
import gc
from typing import Any

import pytest

from sharedsession.asgi import SessionMiddleware
from tests.support.farm import SECRET

LOOPS, FEW = 40, 5


@pytest.mark.parametrize("url", ["memory", "sqlite", "redis", "memcached", "ring"], indirect=True)
def test_loops_come_and_go(url: str) -> None:
    """Each serves one visit, and the count goes on; of loops that are over at most the last few are still there."""
    app = SessionMiddleware(_count, secret_key=SECRET, backend=url, timeout=5.0, farm_check="warn")
    gc.collect()
    before, cookie = _loops(), b""
    for number in range(1, LOOPS + 1):
        said, cookie = asyncio.run(_visit(app, cookie))
        assert said == str(number).encode()
    gc.collect()
    assert _loops() - before < FEW


def _loops() -> int:
    # By its type: `isinstance` asks an object, and those of a lazy framework do things then.
    return sum(issubclass(type(thing), asyncio.AbstractEventLoop) for thing in gc.get_objects())


async def _visit(app: Any, cookie: bytes) -> tuple[bytes, bytes]:
    sent: asyncio.Queue[Any] = asyncio.Queue()
    await app({"type": "http", "path": "/", "headers": [(b"cookie", cookie)]}, None, sent.put)
    head, body = await sent.get(), await sent.get()
    new = [value.partition(b";")[0] for name, value in head["headers"] if name == b"set-cookie"]
    return body["body"], new[0] if new else cookie


async def _count(scope: Any, _receive: Any, send: Any) -> None:
    count = scope["session"].increment("n")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % count})
