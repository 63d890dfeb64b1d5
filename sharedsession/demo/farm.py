"""The supervisor: starts the store, the web nodes and the front, says what to try, ends all of it.

The farm's secret is made here, anew for each run. It goes to the web nodes in their environment; it stands on
no command line, in no file and in no output.
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
from sharedsession.demo.loopback import HOST, hush_development, listen, port_of
from sharedsession.demo.processes import FarmError
from sharedsession.demo.servers import Store, StoreNode, start_store
from sharedsession.demo.webnode import WebNode
from sharedsession.keys.machine_key import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.settings.settings import Settings

SETTINGS = "SHAREDSESSION_"
"""What the environment variables of settings begin with."""

NEEDS = {"sqlite": ("uvicorn",), "memcached": ("uvicorn",), "redis": ("uvicorn", "redis")}

WELCOME = """
  sharedsession demo: {nodes} web nodes share their sessions through {store}.

      {address}

  Reload the page: the count grows by one, and another web node answers.
  Log in, fill the cart, kill a web node on the page: nothing is lost.
  At /farm you see the store as well, and can kill, stop and restart all there is.

  Ctrl-C stops all of it.
"""


class Plan(NamedTuple):
    """What to run.

    Attributes:
        backend: ``sqlite``, ``memcached`` or ``redis``.
        port: the front's port; 0 is a free one.
        nodes: how many web nodes.
        as_json: say the address and the nodes in one line of JSON.
    """

    backend: str
    port: int
    nodes: int
    as_json: bool = False


def run_farm(plan: Plan) -> None:
    """Runs the farm until SIGINT, SIGTERM or SIGHUP, and leaves no process and no file behind.

    Raises:
        FarmError: a part of it could not be started.
    """
    missing = [name for name in NEEDS[plan.backend] if importlib.util.find_spec(name) is None]
    if missing:
        raise FarmError(f"the demo needs {' and '.join(missing)}: pip install 'sharedsession[demo]'")
    hush_development()
    asyncio.run(_until_signal(plan))


async def _until_signal(plan: Plan) -> None:
    """Runs the farm; the first signal ends it, later ones change nothing, since the end is under way."""
    loop = asyncio.get_running_loop()
    farm = asyncio.create_task(_farm(plan))
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is, under nohup
        signals.append(signal.SIGHUP)

    def end_once() -> None:
        for signum in signals:
            loop.add_signal_handler(signum, lambda: None)
        farm.cancel()

    for signum in signals:
        loop.add_signal_handler(signum, end_once)
    with suppress(asyncio.CancelledError):
        await farm


async def _farm(plan: Plan) -> None:
    """Builds the farm part by part; the stack takes it down in the opposite order."""
    async with AsyncExitStack() as parts:
        listener = parts.enter_context(_listen(plan.port))
        folder = Path(parts.enter_context(TemporaryDirectory(prefix="sharedsession-demo-")))
        store = await start_store(plan.backend, folder)
        parts.push_async_callback(_end_nodes, store.nodes)
        settings = _settings(store)
        nodes = _web_nodes(plan.nodes, settings)
        parts.push_async_callback(_end_nodes, nodes)
        await _start_nodes(nodes)
        load = Load(port_of(listener))
        manager = SessionManager(Settings.load({"development": True}, settings), blocking=False)
        front = Front(nodes, Console(manager, nodes, store.nodes, load))
        parts.push_async_callback(front.close)
        parts.push_async_callback(load.close)
        address = f"http://{HOST}:{await front.open(listener)}"
        print(_greeting(plan, store, nodes, address), flush=True)
        await asyncio.Event().wait()


def _listen(port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as fault:
        raise FarmError(f"port {port} cannot be had ({fault.strerror}): choose another with --port") from fault


def _settings(store: Store) -> dict[str, str]:
    """What all web nodes agree on, as the variables of their environment."""
    return {
        f"{SETTINGS}SECRET_KEY": MachineKey.generate(),
        f"{SETTINGS}BACKEND": store.url,
        f"{SETTINGS}APP_NAME": "demo",
        f"{SETTINGS}TIMEOUT": "1",  # seconds for a store's answer: a first try may meet a busy machine
    }


def _web_nodes(count: int, settings: Mapping[str, str]) -> list[WebNode]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return [WebNode(f"web-{number}", {**inherited, **settings}) for number in range(1, count + 1)]


async def _start_nodes(nodes: Sequence[WebNode]) -> None:
    """Starts all nodes at once, and waits for each even if one fails: none is left half-started."""
    outcomes = await asyncio.gather(*(node.start() for node in nodes), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _end_nodes(nodes: Sequence[WebNode | StoreNode]) -> None:
    await asyncio.gather(*(node.end() for node in nodes))


def _greeting(plan: Plan, store: Store, nodes: Sequence[WebNode], address: str) -> str:
    if plan.as_json:
        pids = {node.name: node.pid for node in nodes}
        return json.dumps({"address": address, "store": store.label, "nodes": pids})
    return WELCOME.format(nodes=len(nodes), store=store.label, address=address)
