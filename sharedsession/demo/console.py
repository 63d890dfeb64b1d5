"""The front's farm page: the library's own, with what the web nodes counted, and with buttons.

Only the demo has buttons. Whoever is on this machine may press them; a page of another site may not: a form needs the
token of the visitor's own cookie, and the address must be this machine's.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from http import HTTPStatus
from typing import Any

from sharedsession.demo.load import SECONDS, VISITORS, Load, fetch
from sharedsession.demo.processes import Child
from sharedsession.demo.shop import HEALTH
from sharedsession.demo.webnode import WebNode
from sharedsession.demo.wire import BadRequest
from sharedsession.demo.wire import Request as Asked
from sharedsession.farmpage.auth import GUEST
from sharedsession.farmpage.core import FarmPage, back
from sharedsession.farmpage.exchange import Answer, Request, form_of
from sharedsession.farmpage.page import Part
from sharedsession.manager import SessionManager

PATH = "/farm"
LOCAL = ("127.0.0.1", "localhost")
PATIENCE = 0.5
"""Seconds a web node has to say what it counted."""

BUTTONS = {
    "kill": ("Kill", "danger", ("up", "stopped")),
    "stop": ("Stop", "plain", ("up",)),
    "continue": ("Continue", "plain", ("stopped",)),
    "restart": ("Restart", "plain", ("up", "stopped", "down")),
}
"""What can be done to a process: label, look, and in which states."""

Health = dict[str, Any]


class Console:
    """Shows the farm and does what its buttons say.

    Args:
        manager: of the front: it looks at the store as one more web node would.
        web: the web nodes.
        store: the servers of the store.
        load: the visitors.
    """

    def __init__(self, manager: SessionManager, web: Sequence[WebNode], store: Sequence[Child], load: Load) -> None:
        self._page = FarmPage(manager, None)
        self._manager = manager
        self._web = web
        self._units: dict[str, Child] = {unit.name: unit for unit in (*store, *web)}
        self._load = load
        self._heard: dict[int, Health] = {}

    async def answer(self, asked: Asked) -> Answer:
        """Answers a request for the page, or for one of its buttons.

        Raises:
            BadRequest: it came from elsewhere, or there is no such button.
            FarmError: a process did not start.
        """
        if (asked.head.get("host") or "").partition(":")[0] not in LOCAL:
            raise BadRequest(HTTPStatus.FORBIDDEN)
        request = translated(asked)
        if request.is_safe:
            return await self._shown(request)
        if request.method != "POST":
            raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED)
        if not self._page.door.believes(request, self._page.door.pass_of(request)):
            raise BadRequest(HTTPStatus.FORBIDDEN)
        return await self._done(request.form.get("do", ""), request.form.get("node", ""))

    async def _shown(self, request: Request) -> Answer:
        door = self._page.door
        held = door.pass_of(request)
        visitor = held or door.new_pass(GUEST)
        began = self._page.pulse.begin()
        if began is not None:
            self._page.pulse.end(began, answered=await self._manager.aready())
        answer = self._page.answer(request, await self._health(), more=self._parts(door.token(visitor)), way_out=SHOP)
        return answer if held else answer._replace(fields=(*answer.fields, door.cookie(visitor)))

    async def _done(self, verb: str, name: str) -> Answer:
        if verb == "load":
            self._load.start()
            return back()
        unit = self._units.get(name)
        if unit is None or verb not in BUTTONS:
            raise BadRequest(HTTPStatus.NOT_FOUND)
        await {"kill": unit.kill, "stop": unit.stop, "continue": unit.proceed, "restart": unit.restart}[verb]()
        return back(name)

    async def _health(self) -> Health:
        """The front's own view of the store, and what all web nodes counted, also those that are gone."""
        up = [node for node in self._web if node.is_up]
        said = await asyncio.gather(*(counted(node) for node in up))
        self._heard |= {node.pid: health for node, health in zip(up, said, strict=True) if node.pid and health}
        return gathered(self._manager.health(), list(self._heard.values()))

    def _parts(self, token: str) -> list[Part]:
        units = "".join(_unit(unit, token) for unit in self._units.values())
        return [
            Part("units", "Processes", f'<ul class="units">{units}</ul>', wide=True),
            Part("load", "Load", _load(self._load, token), wide=True),
        ]


SHOP = '<a class="button plain" href="/">Shop</a>'


def translated(asked: Asked) -> Request:
    """A request as the farm page reads it."""
    target = asked.head.start.split(" ")[1]
    fields = {name: asked.head.get(name) for name in ("cookie", "host", "origin", "sec-fetch-site")}
    given = {name: value for name, value in fields.items() if value}
    return Request(asked.method, target.partition("?")[2], given, form_of(asked.body))


async def counted(node: WebNode) -> Health | None:
    """What a web node says of itself; nothing if it is silent."""
    with suppress(OSError, asyncio.IncompleteReadError, BadRequest, ValueError):  # TimeoutError is an OSError
        async with asyncio.timeout(PATIENCE):
            _, body = await fetch(node.port or 0, HEALTH)
        health: Health = json.loads(body)
        return health
    return None


def gathered(own: Health, others: Sequence[Health]) -> Health:
    """The front's view of the store, with the counters of the web nodes added up."""
    backend = dict(own["backend"])
    backend["counters"] = added([health["backend"].get("counters", {}) for health in others])
    if "nodes" in backend:
        nodes = [[health["backend"]["nodes"][number] for health in others] for number in range(len(backend["nodes"]))]
        backend["nodes"] = [_node(node, seen) for node, seen in zip(backend["nodes"], nodes, strict=True)]
    return {**own, "backend": backend, "counters": added([health["counters"] for health in others])}


def added(counters: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counters by name."""
    names = {name for each in counters for name in each}
    return {name: sum(each.get(name, 0) for each in counters) for name in names}


def _node(own: Health, seen: Sequence[Health]) -> Health:
    sums = {
        name: own.get(name, 0) + sum(health.get(name, 0) for health in seen)
        for name in ("failures", "tombstones_waiting")
    }
    return {**own, **sums}


def _unit(unit: Child, token: str) -> str:
    name = escape(unit.name)
    buttons = "".join(_button(unit, verb) for verb in BUTTONS)
    return f"""<li id="{name}" tabindex="-1">
<span><b>{name}</b> <b class="{unit.state}">{unit.state}</b><small>process {unit.pid}</small></span>
<form method="post" action="{PATH}">
<input type="hidden" name="token" value="{token}"><input type="hidden" name="node" value="{name}">
{buttons}</form></li>"""


def _button(unit: Child, verb: str) -> str:
    label, look, states = BUTTONS[verb]
    off = "" if unit.state in states else " disabled"
    name = escape(unit.name)
    return (
        f'<button class="{look}" name="do" value="{verb}" id="{verb}-{name}" aria-label="{label} {name}"{off}>'
        f"{label}</button>"
    )


def _load(load: Load, token: str) -> str:
    state = "under way" if load.is_running else "at rest"
    return f"""<p>{VISITORS} visitors for {SECONDS:g} seconds, {state}. Each has a session of its own and expects its
count to grow by one: <b id="load-visits">{load.visits:,}</b> visits, <b id="load-lost">{load.lost}</b> counts lost,
<b id="load-failed">{load.failed}</b> without an answer.</p>
<form method="post" action="{PATH}"><input type="hidden" name="token" value="{token}">
<button name="do" value="load" id="start-load">Start load</button></form>"""
