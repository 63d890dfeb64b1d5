"""The page without its colour: a request in, an answer out. Only the sign of life is asked for elsewhere."""

import json
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from sharedsession.errors import ConfigurationError
from sharedsession.farmpage import page
from sharedsession.farmpage.auth import GUEST, INSIDE, Door, Pass
from sharedsession.farmpage.exchange import Answer, Request
from sharedsession.farmpage.facts import facts_of, shares_of
from sharedsession.farmpage.latency import Pulse
from sharedsession.manager import SessionManager

_HTML = ("Content-Type", "text/html; charset=utf-8")
_JSON = ("Content-Type", "application/json")


class FarmPage:
    """The farm page of one manager.

    Args:
        manager: whose `SessionManager.health` is shown.
        secret: the password; ``None`` where the application says who may look.
        clock: seconds since the epoch.
        monotonic: a monotonic clock in seconds.
    """

    def __init__(
        self,
        manager: SessionManager,
        secret: str | None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        cookie = manager.settings.transport.cookie
        self.manager = manager
        self.door = Door(secret, secure=cookie is None or cookie.secure, clock=clock)
        self.pulse = Pulse(monotonic)
        self._shares = shares_of(manager.settings.backend)

    def admit(self, request: Request) -> Answer | None:
        """Deals with whoever wants in or out; ``None`` if the page may be shown."""
        if not self.door.asks_password:
            return None if request.is_safe else only_looking()
        held = self.door.pass_of(request)
        if request.method == "POST":
            return self._form(request, held)
        if not request.is_safe:
            return only_looking()
        return None if held and held.grade == INSIDE else self._ask_password(held)

    def show(self, request: Request) -> Answer:
        """The page, or its facts as JSON."""
        held = self.door.pass_of(request)
        way_out = page.way_out(self.door.token(held)) if held and self.door.asks_password else ""
        return self.answer(request, self.manager.health(), way_out=way_out)

    def answer(
        self, request: Request, health: dict[str, Any], *, more: Sequence[page.Part] = (), way_out: str = ""
    ) -> Answer:
        """Draws what is known.

        Args:
            request: of somebody who may look.
            health: what is shown.
            more: parts of the caller's own.
            way_out: HTML for the top of the page.
        """
        facts = facts_of(health, self._shares, self.pulse.beats())
        parts = page.parts_of(facts, more)
        if not request.wants_json:
            return html(HTTPStatus.OK, page.document(facts, parts, way_out))
        told = {"state": page.state(facts), "facts": facts, "parts": {part.name: part.html for part in parts}}
        return Answer(HTTPStatus.OK, (_JSON, *page.HEADERS), json.dumps(told).encode())

    def _form(self, request: Request, held: Pass | None) -> Answer:
        if not self.door.believes(request, held):
            return self._ask_password(held, "This form was too old, or not from here. Try again.")
        if request.form.get("do") == "logout":
            return back("", self.door.cookie(None))
        if self.door.opens(request.form.get("password", "")):
            return back("", self.door.cookie(self.door.new_pass(INSIDE)))
        return self._ask_password(held, "That is not the password.")

    def _ask_password(self, held: Pass | None, problem: str = "") -> Answer:
        guest = held or self.door.new_pass(GUEST)
        return html(HTTPStatus.FORBIDDEN, page.door(self.door.token(guest), problem), self.door.cookie(guest))


def html(status: HTTPStatus, text: str, *fields: tuple[str, str]) -> Answer:
    """An answer that is a page."""
    return Answer(status, (_HTML, *page.HEADERS, *fields), text.encode())


def back(place: str = "", *fields: tuple[str, str]) -> Answer:
    """Sends the browser to the page, or to a place on it, with GET."""
    return html(HTTPStatus.SEE_OTHER, "", ("Location", f"?#{place}" if place else "?"), *fields)


def refused() -> Answer:
    """The answer to whom the application does not let in."""
    return html(HTTPStatus.FORBIDDEN, page.notice("Not allowed", "This page is for those who run the farm."))


def only_looking() -> Answer:
    """The answer to a verb that the page does not have."""
    text = page.notice("Not so", "This page is there to be looked at.")
    return html(HTTPStatus.METHOD_NOT_ALLOWED, text, ("Allow", "GET, HEAD"))


def check(secret: str | None, allowed: object) -> None:
    """Makes sure that exactly one of both says who may look.

    Raises:
        ConfigurationError: none does, or both do.
    """
    if (secret is None) == (allowed is None):
        raise ConfigurationError(
            "the farm page needs to know who may look: give either secret=, of at least 32 characters, "
            "or allowed=, a function that says so"
        )
