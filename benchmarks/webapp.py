"""The application behind uvicorn in the HTTP part: one ASGI contender, named by the environment.

``/cpu`` answers with the CPU time of this process, so that nobody has to look at it from outside.
"""

import os
import time
from typing import Any

from benchmarks.contenders import ASGI
from benchmarks.deeds import PAYLOADS

_ROW = next(row for row in ASGI if row.label == os.environ["BENCH_CONTENDER"])
_APP = _ROW.build(os.environ["BENCH_URL"], PAYLOADS[os.environ["BENCH_PAYLOAD"]], False)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serves one connection."""
    if scope["type"] != "http":
        return
    if scope["path"] != "/cpu":
        await _APP(scope, receive, send)
        return
    body = str(time.process_time()).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    await send({"type": "http.response.body", "body": body})
