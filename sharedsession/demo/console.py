"""The front's farm page: the library's own, with the counters of all web nodes, and with buttons.

Only the demo has buttons. Any visitor on this machine may press them; the page of another site may not: a form needs
the token of the visitor's own cookie, and the address must be one of this machine.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import escape
from http import HTTPStatus
from typing import Any

from sharedsession.demo import advice
from sharedsession.demo.http1 import BadRequest, BrowserRequest, fetch
from sharedsession.demo.load import Load
from sharedsession.demo.load_part import load_part
from sharedsession.demo.loopback import is_own_host
from sharedsession.demo.names import FARM_PAGE, HEALTH
from sharedsession.demo.processes import Child
from sharedsession.demo.servers import Store, farm_of
from sharedsession.demo.webprocess import WebProcess
from sharedsession.farmpage.auth import ANONYMOUS
from sharedsession.farmpage.core import FarmPage, redirected
from sharedsession.farmpage.exchange import Request, form_fields
from sharedsession.farmpage.page import Part
from sharedsession.http import Answer
from sharedsession.manager import SessionManager, engines_of

HEALTH_LIMIT = 0.5
"""Seconds that a web node has to return its health."""

BUTTONS = {
    "kill": ("Kill", "danger", ("up", "stopped")),
    "stop": ("Stop", "plain", ("up",)),
    "continue": ("Continue", "plain", ("stopped",)),
    "restart": ("Restart", "plain", ("up", "stopped", "down")),
}
"""What can be done to a process: label, style, and in which states."""

LEVELS = {advice.GOOD: "up", advice.CAREFUL: "warn", advice.BAD: "down"}
"""What the farm page's style sheet calls the levels of an advice."""

LOAD = "load"
"""The part with the simulated visitors."""

_SHOP_LINK = '<a class="button plain" href="/">Shop</a>'

Health = dict[str, Any]


class Console:
    """Shows the farm and carries out what its buttons stand for.

    Args:
        manager: of the front, which looks at the store as one more web node.
        nodes: the web nodes.
        store: what the web nodes share.
        load: the simulated visitors.
    """

    def __init__(self, manager: SessionManager, nodes: Sequence[WebProcess], store: Store, load: Load) -> None:
        self._page = FarmPage(manager, None)
        self._manager = manager
        self._nodes = nodes
        self._store = store
        self._processes: dict[str, Child] = {process.name: process for process in (*store.servers, *nodes)}
        self._load = load
        self._latest: dict[int, Health] = {}

    async def answer(self, browser_request: BrowserRequest) -> Answer:
        """Answers a request for the page, or for one of its buttons.

        Raises:
            BadRequest: it came from another site, or there is no such button.
            DemoError: a process did not start.
        """
        if not is_own_host(browser_request.get("host")):
            raise BadRequest(HTTPStatus.MISDIRECTED_REQUEST)
        request = page_request(browser_request)
        if request.is_safe:
            return await self._show(request)
        if request.method != "POST":
            raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED)
        if not self._page.auth.is_genuine_form(request, self._page.auth.ticket_of(request)):
            raise BadRequest(HTTPStatus.FORBIDDEN)
        return await self._carry_out(request)

    async def _show(self, request: Request) -> Answer:
        auth, engine = self._page.auth, engines_of(self._manager).on_loop
        known = auth.ticket_of(request)
        ticket = known or auth.new_ticket(ANONYMOUS, request.path)
        await engine.driver.run(lambda: self._page.look(engine))
        return self._page.answer(
            request,
            await self._health(),
            more=self._parts(auth.token(ticket)),
            navigation=_SHOP_LINK,
            headers=[] if known else [auth.cookie(ticket)],
        )

    async def _carry_out(self, request: Request) -> Answer:
        verb, name = request.form.get("do", ""), request.form.get("node", "")
        if verb in {"load", "unload"}:
            await (self._load.start() if verb == "load" else self._load.close())
            return redirected(request, LOAD)
        process = self._processes.get(name)
        if process is None or verb not in BUTTONS:
            raise BadRequest(HTTPStatus.NOT_FOUND)
        steps = {"kill": process.kill, "stop": process.stop, "continue": process.resume, "restart": process.restart}
        await steps[verb]()
        return redirected(request, name)

    async def _health(self) -> Health:
        """Returns the front's own view of the store, and the counters of all web nodes, also of killed ones."""
        up = [node for node in self._nodes if node.is_up]
        answers = await asyncio.gather(*(health_of(node) for node in up))
        self._latest |= {node.pid: health for node, health in zip(up, answers, strict=True) if node.pid and health}
        return combined(self._manager.health(), list(self._latest.values()))

    def _parts(self, token: str) -> list[Part]:
        processes = "".join(_process(process, token) for process in self._processes.values())
        level, text = advice.on_store(farm_of(self._nodes, self._store))
        words = f'<p class="{LEVELS[level]}" id="advice">{text}</p><p class="quiet">{advice.WEB_NODES}</p>'
        return [
            Part("units", "Processes", f'{words}<ul class="units">{processes}</ul>', wide=True),
            Part(LOAD, "Load", load_part(self._load, token), wide=True),
        ]


def page_request(request: BrowserRequest) -> Request:
    """Returns a request as the farm page reads it."""
    headers = {name: request.get(name) for name in ("cookie", "host", "origin", "sec-fetch-site")}
    given = {name: value for name, value in headers.items() if value}
    path, _, query = request.target.partition("?")
    return Request(request.method, query, given, form_fields(request.body), path.rstrip("/"))


async def health_of(node: WebProcess) -> Health | None:
    """Returns what the manager of a web node returns as its health; ``None`` if the web node does not answer."""
    with suppress(OSError, ValueError):  # TimeoutError and BrokenAnswer are each an OSError
        async with asyncio.timeout(HEALTH_LIMIT):
            _, body = await fetch(node.port or 0, HEALTH)
        health: Health = json.loads(body)
        return health
    return None


def combined(own: Health, others: Sequence[Health]) -> Health:
    """Returns the front's view of the store, with the sums of the web nodes' counters."""
    backend = dict(own["backend"])
    backend["counters"] = summed([health["backend"].get("counters", {}) for health in others])
    if "nodes" in backend:
        views = [[health["backend"]["nodes"][number] for health in others] for number in range(len(backend["nodes"]))]
        backend["nodes"] = [_node(node, seen) for node, seen in zip(backend["nodes"], views, strict=True)]
    return {**own, "backend": backend, "counters": summed([health["counters"] for health in others])}


def summed(counters: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Returns the sums of counters by name."""
    names = {name for each in counters for name in each}
    return {name: sum(each.get(name, 0) for each in counters) for name in names}


def _node(own: Health, views: Sequence[Health]) -> Health:
    sums = {name: sum(view.get(name, 0) for view in (own, *views)) for name in ("failures", "tombstones_waiting")}
    return {**own, **sums}


def _process(process: Child, token: str) -> str:
    name = escape(process.name)
    buttons = "".join(_button(process, verb) for verb in BUTTONS)
    return f"""<li id="{name}" tabindex="-1">
<span><b>{name}</b> <b class="{process.state}">{process.state}</b><small>process {process.pid}</small></span>
<form method="post" action="{FARM_PAGE}">
<input type="hidden" name="token" value="{token}"><input type="hidden" name="node" value="{name}">
{buttons}</form></li>"""


def _button(process: Child, verb: str) -> str:
    label, style, states = BUTTONS[verb]
    disabled = "" if process.state in states else " disabled"
    name = escape(process.name)
    return (
        f'<button class="{style}" name="do" value="{verb}" id="{verb}-{name}" aria-label="{label} {name}"{disabled}>'
        f"{label}</button>"
    )
