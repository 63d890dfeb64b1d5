"""The page without its colour: a request in, an answer out. What must wait for the store is driven by `apps`."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from sharedsession.engine import Engine
from sharedsession.errors import ConfigurationError
from sharedsession.farmpage import page
from sharedsession.farmpage.auth import ANONYMOUS, LOGGED_IN, TICKET_LIFE, PageAuth, Ticket
from sharedsession.farmpage.exchange import Request
from sharedsession.farmpage.facts import facts_of, shares_of
from sharedsession.farmpage.latency import Latency
from sharedsession.farmpage.revoked import RevokedTickets
from sharedsession.farmpage.webnodes import WebNodes
from sharedsession.http import Answer, make_answer, page_answer
from sharedsession.manager import SessionManager, engines_of

_JSON = ("Content-Type", "application/json")


class FarmPage:
    """The farm page of one manager.

    Args:
        manager: whose `SessionManager.health` is shown.
        secret: the password; ``None`` where the application decides who may see the page.

    Attributes:
        manager: as given.
        auth: decides who may see the page.
        latency: of the store.
    """

    def __init__(self, manager: SessionManager, secret: str | None) -> None:
        settings = engines_of(manager).settings
        cookie = settings.transport.cookie
        self.manager = manager
        self.auth = PageAuth(
            secret,
            app_name=settings.app_name,
            secure=cookie is None or cookie.secure,
            environment=settings.environment,
        )
        self._revoked = RevokedTickets(settings)
        self.latency = Latency(settings.environment.monotonic)
        self._shares = shares_of(settings.backend)
        self._web_nodes = WebNodes(settings.environment)

    async def respond(self, request: Request, engine: Engine) -> Answer:
        """Answers a visitor whom the application lets through.

        Args:
            request: of the visitor.
            engine: of the application's colour.
        """
        answer = await self._admit(request, blocking=engine.blocking)
        if answer is not None:
            return answer
        await self.look(engine)
        return self.show(request)

    async def look(self, engine: Engine) -> None:
        """Asks the store for what the page shows of it, unless that was done just now; inside of a step.

        Args:
            engine: of the application's colour.
        """
        began = self.latency.begin()
        if began is not None:
            self.latency.end(began, answered=await engine.is_ready())
            await self._web_nodes.look(engine.monitor)

    async def _admit(self, request: Request, *, blocking: bool) -> Answer | None:
        """Handles logins and logouts, and refuses visitors; returns ``None`` if the page may be shown."""
        if not self.auth.asks_password:
            return None if request.is_safe else method_not_allowed(request)
        if not request.is_safe and request.method != "POST":
            return method_not_allowed(request)
        ticket = self.auth.ticket_of(request)
        if ticket and ticket.level == LOGGED_IN and await self._is_revoked(ticket, blocking=blocking):
            ticket = None
        if request.method == "POST":
            return await self._form(request, ticket, blocking=blocking)
        return None if ticket and ticket.level == LOGGED_IN else self._ask_password(request, ticket)

    async def _is_revoked(self, ticket: Ticket, *, blocking: bool) -> bool:
        return await self._revoked.has(self.auth.name_in_store(ticket), blocking=blocking)

    def show(self, request: Request) -> Answer:
        """Returns the page, or its facts as JSON."""
        ticket = self.auth.ticket_of(request)
        logout = page.logout_form(self.auth.token(ticket)) if ticket and self.auth.asks_password else ""
        return self.answer(request, self.manager.health(), navigation=logout)

    def answer(
        self,
        request: Request,
        health: dict[str, Any],
        *,
        more: Sequence[page.Part] = (),
        navigation: str = "",
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Returns the page for a visitor who may see it.

        Args:
            request: of the visitor.
            health: what is shown.
            more: parts of the caller's own.
            navigation: HTML for the top of the page.
            headers: of the caller's own.
        """
        facts = facts_of(health, self._shares, self.latency.samples(), self._web_nodes.facts())
        parts = page.parts_of(facts, more)
        if not request.wants_json:
            text = page.farm_document(facts, parts, navigation)
            return _page(request, HTTPStatus.OK, text, *headers)
        shown = {"state": page.state(facts), "facts": facts, "parts": {part.name: part.html for part in parts}}
        body = json.dumps(shown).encode()
        return make_answer(HTTPStatus.OK, [_JSON, *page.HEADERS, *headers], body, method=request.method)

    async def _form(self, request: Request, ticket: Ticket | None, *, blocking: bool) -> Answer:
        if ticket is None or not self.auth.is_genuine_form(request, ticket):
            return self._ask_password(request, ticket, "This form has expired, or another site sent it. Try again.")
        if request.form.get("do") == "logout":
            return await self._log_out(request, ticket, blocking=blocking)
        if self.auth.is_password(request.form.get("password", "")):
            return redirected(request, "", self.auth.cookie(self.auth.new_ticket(LOGGED_IN, request.path)))
        return self._ask_password(request, ticket, "That is not the password.")

    async def _log_out(self, request: Request, ticket: Ticket, *, blocking: bool) -> Answer:
        """Ends a ticket in the store, and then in the browser: a copy of the cookie is worth nothing."""
        is_open = ticket.level == LOGGED_IN
        if is_open and not await self._revoked.add(self.auth.name_in_store(ticket), TICKET_LIFE, blocking=blocking):
            return not_logged_out(request)
        return redirected(request, "", self.auth.cookie(None))

    def _ask_password(self, request: Request, ticket: Ticket | None, problem: str = "") -> Answer:
        ticket = ticket or self.auth.new_ticket(ANONYMOUS, request.path)
        text = page.login_document(self.auth.token(ticket), problem)
        return _page(request, HTTPStatus.FORBIDDEN, text, self.auth.cookie(ticket))


def redirected(request: Request, element: str = "", *headers: tuple[str, str]) -> Answer:
    """Returns the answer that sends the browser back to the page, with GET.

    Args:
        request: of the visitor.
        element: the ID of the element to show; empty: the top of the page.
        *headers: of the caller's own.
    """
    return _page(request, HTTPStatus.SEE_OTHER, "", ("Location", f"?#{element}" if element else "?"), *headers)


def not_logged_out(request: Request) -> Answer:
    """Returns the answer to a logout that the store did not confirm."""
    text = page.notice("Not logged out", "The store does not answer. Go back and try again, or close the browser.")
    return _page(request, HTTPStatus.SERVICE_UNAVAILABLE, text)


def refused(request: Request) -> Answer:
    """Returns the answer to a visitor whom the application does not allow to see the page."""
    text = page.notice("Not allowed", "Only the operators of the farm may see this page.")
    return _page(request, HTTPStatus.FORBIDDEN, text)


def method_not_allowed(request: Request) -> Answer:
    """Returns the answer to a method that the page does not have."""
    text = page.notice("Method not allowed", "This page is read-only.")
    return _page(request, HTTPStatus.METHOD_NOT_ALLOWED, text, ("Allow", "GET, HEAD"))


def check(secret: str | None, allowed: object) -> None:
    """Checks that exactly one of the two decides who may see the page.

    Raises:
        ConfigurationError: neither does, or both do.
    """
    if (secret is None) == (allowed is None):
        raise ConfigurationError(
            "the farm page needs to know who may look: give either secret=, of at least 32 characters, "
            "or allowed=, a function that returns whether a request may see it"
        )


def _page(request: Request, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    return page_answer(status, text, [*page.HEADERS, *headers], method=request.method)
