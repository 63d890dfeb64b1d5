"""What must be true whatever happens: each property is a promise of docs/promises.md, with the rules that it rests on.

It is told in terms of facts, and of what a web node that was just started would read. It is asked in every state, not
only in the last ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sharedsession.errors import BackendUnavailable
from tests.model.case import Property, View
from tests.model.programs import lost_of
from tests.model.world import Program, Web

UNAVAILABLE = "cannot answer"


@cache
def _look(token: bytes) -> Program:
    async def look(web: Web) -> Any:
        session = web.open(token)
        try:
            await session.load()
        except BackendUnavailable:
            return UNAVAILABLE
        return dict(session) if session._state.record is not None else None

    return look


def _all_looks(view: View, token: bytes, *, one_silent: bool) -> list[Any]:
    silents: list[Sequence[int]] = [()]
    if one_silent:
        silents += [(node,) for node in range(view.farm.size)]
    return [view.look(_look(token), silent) for silent in silents]


def logout_is_final(token: bytes, *, one_silent: bool = False, fact: str = "ended") -> Property:
    """After a confirmed logout nobody reads the session any more."""

    def holds(view: View) -> str | None:
        if fact in view.facts:
            for data in _all_looks(view, token, one_silent=one_silent):
                if isinstance(data, dict):
                    return f"it has ended, and is read: {data}"
        return None

    return holds


def new_session_has_ended(view: View) -> str | None:
    """What was sent to store a session does not bring it back after its end."""
    for token in _told(view, "out"):
        data = view.look(_look(token))
        if isinstance(data, dict):
            return f"it has ended, and is read: {data}"
    return None


def writes_stay(token: bytes, *, one_silent: bool = False, most: int = 99) -> Property:
    """What was acknowledged is part of what everybody reads; what is added counts once."""

    def holds(view: View) -> str | None:
        for data in _all_looks(view, token, one_silent=one_silent):
            if isinstance(data, dict) and (lost := lost_of(view.facts, data)):
                return f"acknowledged, and lost: {', '.join(lost)}: {data} is read"
            if isinstance(data, dict) and data.get("n", 0) > most:
                return f"something was added twice: {data} is read"
        return None

    return holds


def stays_alive(token: bytes, *, one_silent: bool = False) -> Property:
    """L1, Outage: nobody has ended it, so nobody is told that there is none."""

    def holds(view: View) -> str | None:
        looks = _all_looks(view, token, one_silent=one_silent)
        return "nobody has ended it, and there is none" if None in looks else None

    return holds


def is_found(token: bytes) -> Property:
    """D1, L1: with all nodes up a web node that was just started reads it."""

    def holds(view: View) -> str | None:
        data = view.look(_look(token))
        return None if isinstance(data, dict) else f"all nodes answer, and it is read as {data}"

    return holds


def old_id_is_dead(token: bytes, *, grace: bool = False) -> Property:
    """After a new ID nobody reads anything by the old one; what it shows in its grace ends with the session."""

    def holds(view: View) -> str | None:
        new = _told(view, "renewed")
        if not new:
            return None
        for data in _all_looks(view, token, one_silent=False):
            if data and data != UNAVAILABLE and not grace:
                return f"the old ID shows {data}"
        if "ended" in view.facts:
            for each in (token, *new):
                data = view.look(_look(each))
                if isinstance(data, dict) and data:
                    return f"it has ended, and is read: {data}"
        return None

    return holds


def new_id_lives(view: View) -> str | None:
    """The session goes on under its new ID unless somebody ends it."""
    for new in _told(view, "renewed"):
        if "ended" not in view.facts and view.look(_look(new)) is None:
            return "the session is not found by its new ID"
    return None


def logged_out_everywhere(tokens: Sequence[bytes], *, fact: str = "revoked", one_silent: bool = False) -> Property:
    """After "log out everywhere" no session is valid that was stored before."""

    def holds(view: View) -> str | None:
        if fact in view.facts:
            for token in tokens:
                for data in _all_looks(view, token, one_silent=one_silent):
                    if isinstance(data, dict):
                        return f"everything was ended, and this is read: {data}"
        return None

    return holds


def spared(token: bytes) -> Property:
    """The session that asks goes on."""

    def holds(view: View) -> str | None:
        is_there = view.look(_look(token)) is not None
        return None if is_there or "revoked others" not in view.facts else "the session that is spared has ended"

    return holds


def tombstones_keep_their_life(key: bytes, least: float) -> Property:
    """No read shortens the life of a tombstone."""

    def holds(view: View) -> str | None:
        if not view.is_over:
            return None
        for node, number in enumerate(view.nodes):
            item = view.farm.nodes.items(number, view.now).get(key)
            left = view.farm.nodes.left(number, key, view.now) if item is not None and item.flags else None
            if left is not None and left < least - view.now:
                return f"the tombstone on node {node + 1} lives for {left} s only, {least - view.now} are promised"
        return None

    return holds


def dead_after(token: bytes, seconds: float) -> Property:
    """So many seconds after an end nobody reads it, whatever was lost."""

    def holds(view: View) -> str | None:
        if "ended" in view.facts and view.now >= seconds and isinstance(data := view.look(_look(token)), dict):
            return f"{view.now:g} s after its end it is read: {data}"
        return None

    return holds


def _told(view: View, fact: str) -> list[bytes]:
    return [each.split()[1].encode() for each in view.facts if each.startswith(f"{fact} ")]
