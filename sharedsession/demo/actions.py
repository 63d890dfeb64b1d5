"""What the forms of the shop do to the session. Each is what an application does, in as few lines.

The two slow ones are slow on purpose, so that another tab can do something meanwhile: `write_note` lets the changes be
merged, `redeem` holds a lock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from sharedsession.environment import REAL
from sharedsession.errors import LockTimeout
from sharedsession.manager import SessionManager
from sharedsession.session import Session

MAX_CART = 20
"""Items in a cart."""

SLOWLY = 4.0
"""Seconds that a slow action takes."""

LOCK_LIMIT = 5.0
"""Seconds that a request waits for the lock; together with `SLOWLY` less than the front waits for an answer."""


class Act(NamedTuple):
    """One form that a visitor sent.

    Attributes:
        session: of the visitor.
        form: its fields.
        node: the web node.
        manager: of the sessions.
    """

    session: Session
    form: dict[str, str]
    node: str
    manager: SessionManager


async def log_in(act: Act) -> None:
    """Gives the visitor a new session ID, so that one planted before is worthless, and says whose session it is."""
    if name := act.form.get("name"):
        act.session["user"] = name
        act.session.principal = principal_of(name)
        act.session.regenerate()


async def log_out(act: Act) -> None:
    """Ends the session on every web node."""
    act.session.destroy()


async def log_out_others(act: Act) -> None:
    """Ends all other sessions of this visitor, in whatever browser."""
    if act.session.principal:
        await act.session.revoke_others()


async def log_out_everywhere(act: Act) -> None:
    """Ends all sessions of this visitor, this one as well."""
    if act.session.principal:
        await act.manager.arevoke_all(act.session.principal)


async def add_to_cart(act: Act) -> None:
    """Changes a list inside of the session: that is saved, too."""
    item = act.form.get("item")
    if item and len(act.session.setdefault("cart", [])) < MAX_CART:
        act.session["cart"].append(item)


async def empty_cart(act: Act) -> None:
    """Empties the cart."""
    act.session.pop("cart", None)


async def write_note(act: Act) -> None:
    """Writes a note for a few seconds. What other tabs change meanwhile is merged with it, and counted here."""
    text, session = act.form.get("note"), act.session
    if not text:
        return
    visits = session.get("visits", 0)
    await _think()
    session["note"] = {"text": text, "node": act.node, "meanwhile": 0}
    await session.asave()
    session["note"]["meanwhile"] = session.get("visits", 0) - visits


async def redeem(act: Act) -> None:
    """Redeems the voucher, once. A second request waits for the lock, and then sees what the first one did."""
    asked = REAL.monotonic()
    with suppress(LockTimeout):
        async with act.session.lock(timeout=LOCK_LIMIT) as session:
            waited = REAL.monotonic() - asked
            if "voucher" in session:
                session["voucher"]["late"] = {"node": act.node, "waited": round(waited, 1)}
            else:
                await _think()
                session["voucher"] = {"node": act.node}


async def new_voucher(act: Act) -> None:
    """Makes the voucher good again."""
    act.session.pop("voucher", None)


async def _think() -> None:
    await asyncio.sleep(SLOWLY)


def principal_of(name: str) -> str:
    """Returns the principal of a visitor who logged in by this name."""
    return f"user:{name}"


ACTIONS: dict[str, Callable[[Act], Awaitable[None]]] = {
    "/login": log_in,
    "/logout": log_out,
    "/logout/others": log_out_others,
    "/logout/everywhere": log_out_everywhere,
    "/cart": add_to_cart,
    "/cart/empty": empty_cart,
    "/note": write_note,
    "/voucher": redeem,
    "/voucher/new": new_voucher,
}
"""By the path to which the form is sent."""
