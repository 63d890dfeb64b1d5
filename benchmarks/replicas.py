"""What the second copy costs: one memcached against a ring of three with two copies, in one run.

    python -m benchmarks.replicas [rounds]

Real servers on this machine, a web node in this process. Each round measures every case on one store right after the
other, so that both meet the same machine; the quietest third of the rounds counts. CPU is that of the web node.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any

from sharedsession import asgi, wsgi
from tests.support.farm import SECRET
from tests.support.ring import Ring
from tests.support.servers import Memcached

Deed = Callable[[Any], Any]
Answers = list[tuple[float, dict[str, str]]]  # seconds, headers
Serve = Callable[[Deed, Sequence[str]], Answers]  # requests with these cookies
REQUESTS = 400  # of one measurement, each for a session of its own, so that each read renews
ROUNDS = 24
KILOBYTE = "0123456789abcdef" * 64
DEEDS: dict[str, Deed] = {
    "read": lambda session: session["data"],
    "read, save 1 kB": lambda session: session.update(data=session["data"][::-1]),
}


def wsgi_node(url: str) -> Serve:
    """A web node that serves one request after the other."""

    def page(environ: Any, start_response: Any) -> list[bytes]:
        environ["deed"](environ["sharedsession.session"])
        start_response("200 OK", [])
        return [b""]

    def visit(deed: Deed, cookie: str) -> tuple[float, dict[str, str]]:
        heads: list[Any] = []
        begin = time.perf_counter()
        app({"HTTP_COOKIE": cookie, "deed": deed}, lambda *head: heads.append(head))
        return time.perf_counter() - begin, {name.lower(): value for name, value in heads[0][1]}

    app = wsgi.SessionMiddleware(page, secret_key=SECRET, backend=url, timeout=5.0)
    return lambda deed, cookies: [visit(deed, cookie) for cookie in cookies]


def asgi_node(url: str, runner: asyncio.Runner, tasks: int) -> Serve:
    """A web node on an event loop, visited by so many tasks at a time."""

    async def page(scope: Any, _receive: Any, send: Any) -> None:
        scope["deed"](scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def visit(deed: Deed, cookie: str) -> tuple[float, dict[str, str]]:
        sent: asyncio.Queue[Any] = asyncio.Queue()
        scope = {"type": "http", "path": "/", "headers": [(b"cookie", cookie.encode())], "deed": deed}
        begin = time.perf_counter()
        await app(scope, sent.get, sent.put)
        return time.perf_counter() - begin, {k.decode(): v.decode() for k, v in sent.get_nowait()["headers"]}

    async def crowd(deed: Deed, cookies: Sequence[str]) -> Answers:
        async def visitor(first: int) -> Answers:
            return [await visit(deed, cookie) for cookie in cookies[first::tasks]]

        return list(chain.from_iterable(await asyncio.gather(*map(visitor, range(tasks)))))

    app = asgi.SessionMiddleware(page, secret_key=SECRET, backend=url, timeout=5.0)
    return lambda deed, cookies: runner.run(crowd(deed, cookies))


def measure(serve: Serve, deed: Deed) -> tuple[float, float]:
    """The CPU time of a request, and the median of what visitors wait, in microseconds."""
    made = serve(lambda session: session.update(data=KILOBYTE), [""] * REQUESTS)
    cookies = [headers["set-cookie"].partition(";")[0] for _, headers in made]
    begin = time.process_time()
    answers = serve(deed, cookies)
    cpu = time.process_time() - begin
    if any("retry-after" in headers for _, headers in answers):
        raise RuntimeError("a store did not answer")
    return cpu / REQUESTS * 1e6, statistics.median(took for took, _ in answers) * 1e6


def row(rounds: list[list[tuple[float, float]]]) -> str:
    """One case: for CPU and latency both medians, and the median ratio with the least and the greatest."""
    quiet = sorted(rounds, key=lambda pair: pair[0][0] + pair[1][0])[: len(rounds) // 3 + 1]
    cells = ""
    for what in (0, 1):
        one, ring = ([pair[store][what] for pair in quiet] for store in (0, 1))
        ratios = [b / a for a, b in zip(one, ring, strict=True)]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        cells += f"{statistics.median(one):7.0f} {statistics.median(ring):7.0f}  {spread:17}"
    return cells


def main() -> None:
    """Prints the table."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Memcached.start()) for _ in range(3)]
        runner = stack.enter_context(asyncio.Runner())
        urls = (servers[0].url, Ring(servers).url)
        nodes = {"WSGI": [wsgi_node(url) for url in urls]}
        nodes |= {f"ASGI, {tasks} at a time": [asgi_node(url, runner, tasks) for url in urls] for tasks in (1, 50)}
        cases = [(name, deed) for name in nodes for deed in DEEDS]
        rounds: dict[Any, list[Any]] = {case: [] for case in cases}
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
            for case in cases:
                rounds[case].append([measure(node, DEEDS[case[1]]) for node in nodes[case[0]]])
        lines = [f"{'microseconds a request':36}CPU one    ring  ratio            wait one    ring  ratio"]
        lines += [f"{name + ': ' + deed:34}{row(rounds[name, deed])}" for name, deed in cases]
        sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
