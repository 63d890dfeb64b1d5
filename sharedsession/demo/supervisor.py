"""The supervisor: starts the store, the web nodes and the front, prints what to try, and ends all of it.

It makes a new secret for each run. The web nodes get it in their environment; it is part of no command line, of no file
and of no output.
"""

import asyncio
import importlib.util
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sharedsession.demo.console import Console
from sharedsession.demo.front import Front
from sharedsession.demo.load import Load
from sharedsession.demo.loopback import HOST, drop_development_warning, listen, port_of
from sharedsession.demo.processes import DemoError
from sharedsession.demo.servers import ServerProcess, Store, start_store
from sharedsession.demo.webprocess import WebProcess
from sharedsession.keys import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.settings import PREFIX, Settings

NEEDS = {"sqlite": ("uvicorn", "h11"), "memcached": ("uvicorn", "h11"), "redis": ("uvicorn", "h11", "redis")}
"""The packages that a run on each backend needs."""

WELCOME = """
  sharedsession demo: {nodes} web nodes share their sessions through {store}.

      {address}

  Reload the page: the count grows by one, and another web node answers.
  Then try three things, in order; the page has the buttons:
    1. kill a web node      2. kill a store node      3. two tabs at once
  {address}/farm shows everything live, with simulated visitors.

  Ctrl-C stops all of it.
"""


class Plan(NamedTuple):
    """What to run: the arguments of ``sharedsession demo``.

    Attributes:
        backend: ``sqlite``, ``memcached`` or ``redis``.
        port: the front's port; 0 is a free one.
        nodes: how many web nodes.
        as_json: whether to print the address and the web nodes in one line of JSON.
    """

    backend: str
    port: int
    nodes: int
    as_json: bool = False


def run_demo(plan: Plan) -> None:
    """Runs the demo until SIGINT, SIGTERM or SIGHUP, and leaves no process and no file behind.

    Raises:
        DemoError: a part of it could not be started.
    """
    missing = [name for name in NEEDS[plan.backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(f"the demo needs {' and '.join(missing)}: pip install 'sharedsession[demo]'")
    drop_development_warning()
    asyncio.run(_until_signal(plan))


async def _until_signal(plan: Plan) -> None:
    """Runs the demo until the first signal. Later ones change nothing: everything is shutting down by then."""
    loop = asyncio.get_running_loop()
    farm = asyncio.create_task(_run(plan))
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signals.append(signal.SIGHUP)

    def cancel_once() -> None:
        for signum in signals:
            loop.add_signal_handler(signum, lambda: None)
        farm.cancel()

    for signum in signals:
        loop.add_signal_handler(signum, cancel_once)
    with suppress(asyncio.CancelledError):
        await farm


async def _run(plan: Plan) -> None:
    """Starts the demo part by part; the stack ends the parts in the opposite order."""
    async with AsyncExitStack() as parts:
        listener = parts.enter_context(_listen(plan.port))
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="sharedsession-demo-")))
        store = await start_store(plan.backend, folder)
        parts.push_async_callback(_shut_down, store.servers)
        settings = _settings(store)
        nodes = _web_nodes(plan.nodes, settings)
        parts.push_async_callback(_shut_down, nodes)
        await _start(nodes)
        load = Load(port_of(listener))
        manager = SessionManager(Settings.load({"development": True}, settings))
        front = Front(nodes, store, Console(manager, nodes, store, load))
        parts.push_async_callback(front.close)
        parts.push_async_callback(load.close)
        address = f"http://{HOST}:{await front.open(listener)}"
        print(_greeting(plan, store, nodes, address), flush=True)
        await asyncio.Event().wait()


def _listen(port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise DemoError(f"port {port} is not available ({reason}): choose another with --port") from error


def _settings(store: Store) -> dict[str, str]:
    """Returns the settings of all web nodes, as the variables of their environment."""
    return {
        f"{PREFIX}SECRET_KEY": MachineKey.generate(),
        f"{PREFIX}BACKEND": store.url,
        f"{PREFIX}APP_NAME": "demo",
        f"{PREFIX}FARM_CHECK": "warn",  # the farm page lists the web nodes
        f"{PREFIX}TIMEOUT": "1",  # seconds: the machine may be busy while all processes start
    }


def _web_nodes(count: int, settings: Mapping[str, str]) -> list[WebProcess]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return [WebProcess(f"web-{number}", {**inherited, **settings}) for number in range(1, count + 1)]


async def _start(nodes: Sequence[WebProcess]) -> None:
    """Starts all web nodes side by side, and waits for each even if one fails: none is left half-started."""
    outcomes = await asyncio.gather(*(node.start() for node in nodes), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _shut_down(processes: Sequence[WebProcess | ServerProcess]) -> None:
    await asyncio.gather(*(process.shut_down() for process in processes))


def _greeting(plan: Plan, store: Store, nodes: Sequence[WebProcess], address: str) -> str:
    if plan.as_json:
        pids = {node.name: node.pid for node in nodes}
        return json.dumps({"address": address, "store": store.label, "nodes": pids})
    return WELCOME.format(nodes=len(nodes), store=store.label, address=address)
