"""The judge of rounds: whether an end was an end, for one principal whose sessions log in, rotate, write and log out.

A session is a *chain* of tokens: its login handed out the first, each `regenerate` one more. Everything has a begin and
an end on one clock, as its client knows them. An answer that never came, or 503, may have had an effect or not; what
was acknowledged (200, or a verb that returned) has. The rules, each for every look by every token, through whatever web
node, in the middle of the round and after it:

- ``revoked``: a chain is alive in a look that began after a "log out everywhere" was acknowledged, though its login was
  answered (or its ticket taken) before that one began. A new ID of an old login is the old login. A login that was
  under way at the same time may stand before or after it, so it may live; it may not be seen dead, and alive later.
  (One limit: if all copies of the new stamp are evicted in the very moment of its change, a read that is still under
  way gives its nodes the stamp as it was before.)
- ``logged out``: a chain is alive in a look that began after its logout was acknowledged: by the token of the logout,
  by an older one, or by the next one, whether that was there before or came beside the logout. (The note of a
  superseded ID leads one step: if that one was being left as well, a logout ends no more than what it names.)
- ``old ID``: a token that was left shows anything after the answer to its `regenerate`; with grace, later than that.
- ``revived``: a token is seen dead, and alive later.
- ``mixed up``: a look shows another principal's data, or another chain's.
- ``lost``: a chain is dead, though nothing ended it. Only what may have ended it is an excuse: its own logout; a "log
  out everywhere" that did not spare it, and was not answered before its login began; a stamp that the store forgot.
  Being spared counts if it was its own request that asked, or a handle known before any other "log out everywhere"
  began. Unless `revoke_others` did it, no other one may have run beside the request: its entry names one handle, and
  the stamp as it was then.
- ``cookie``: a logout that was not confirmed took the cookie, or one that was confirmed left it; a look set one.
- ``refused``: a login was answered without a cookie, and nothing was revoked since it began, or took its ticket.
- ``listed``: after the last session was ended, the list shows one.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = float("inf")
_UNDER_WAY = 0.1  # seconds for which a read that began before a change may still be under way
_SLACK = 1.5  # seconds by which a view may outlive its grace: a store counts whole ones

Seen = tuple[str, str] | None
"""What a look shows: the principal and the name of the chain; ``None`` of what has ended."""


class Span(NamedTuple):
    """When a client asked, and when it had its answer."""

    begin: float
    end: float


@dataclass(eq=False)
class Token:
    """One ID of a chain.

    Attributes:
        cookie: what a browser sends.
        leaving: when the request began that may have left it.
        left: when the answer came that gave the next one.
        grace: seconds for which it may show a view after that.
    """

    cookie: str
    leaving: float = NEVER
    left: float = NEVER
    grace: float = 0.0


@dataclass(eq=False)
class Chain:
    """One session.

    Attributes:
        name: of the session; stored in it.
        login: the request that began it.
        since: when it was ordered at the earliest: a ticket was taken, or the login answered.
        tokens: oldest first.
        doubtful: whether a change of its ID may have been done without an answer.
        handle: its public handle, as last answered.
    """

    name: str
    login: Span
    since: float
    tokens: list[Token]
    doubtful: bool = False
    handle: str = ""


@dataclass(eq=False)
class Revocation:
    """One "log out everywhere".

    Attributes:
        span: of the verb.
        acked: whether it returned.
        spared: the chain that goes on.
        holds: whether being spared is promised, whatever else went on.
        request: of the request that asked, if one did.
    """

    span: Span
    acked: bool
    spared: Chain | None = None
    holds: bool = False
    request: Span | None = None


class Logout(NamedTuple):
    """One logout of a chain by its newest token, or the one before."""

    chain: Chain
    token: Token
    span: Span
    acked: bool
    by: str


class Look(NamedTuple):
    """What one request saw."""

    chain: Chain
    token: Token
    span: Span
    seen: Seen
    by: str


@dataclass
class Ends:
    """All that happened in one round; any thread may add to it.

    Attributes:
        principal: whose sessions.
        refused: logins that were answered, and gave no session.
        stamp_lost: whether the store was made to forget the stamp.
        evictions: when all copies of the stamp were deleted, where there are several.
        faults: what was wrong with an answer by itself.
    """

    principal: str
    chains: list[Chain] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)
    logouts: list[Logout] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    refused: list[Span] = field(default_factory=list)
    stamp_lost: bool = False
    evictions: list[Span] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def violations(self) -> list[str]:
        """Everything that no honest store could have answered."""
        crimes = [f"{crime}: {_told(look)}" for look in self.looks for crime in self._crimes(look)]
        refused = [f"refused: a login {_times(span)}" for span in self.refused if not self._is_excused(span)]
        return [*self.faults, *refused, *crimes]

    def lives(self, chain: Chain) -> bool:
        """Whether the last look at a chain's newest token saw it alive."""
        seen = [look.seen for look in self.looks if look.token is chain.tokens[-1]]
        return bool(seen) and seen[-1] is not None

    def report(self, violations: list[str]) -> str:
        """The violations, and all that happened to their sessions, for a person."""
        guilty = [chain for chain in self.chains if any(f" {chain.name} " in line for line in violations)]
        lines: list[tuple[float, str]] = []
        for chain in guilty:
            lines.append((chain.login.begin, f"{chain.name} login {_times(chain.login)} since {chain.since:.4f}"))
            lines += [
                (
                    token.leaving,
                    f"{chain.name} left an ID {_times(Span(token.leaving, token.left))} grace {token.grace}",
                )
                for token in chain.tokens[:-1]
            ]
        for each in self.revocations:
            spared = f" sparing {each.spared.name}{' for sure' * each.holds}" if each.spared else ""
            asked = f", request {_times(each.request)}" if each.request else ""
            lines.append((each.span.begin, f"revoke_all {_times(each.span)} acked {each.acked}{spared}{asked}"))
        for e in self.logouts:
            if e.chain in guilty:
                at = e.chain.tokens.index(e.token) + 1
                lines.append(
                    (e.span.begin, f"{e.chain.name} logout by {e.by} ID {at} {_times(e.span)} acked {e.acked}")
                )
        lines += [(look.span.begin, _told(look)) for look in self.looks if look.chain in guilty]
        history = [text for _, text in sorted(lines, key=lambda line: line[0])]
        return "\n".join([*violations[:20], *history])

    def _crimes(self, look: Look) -> Iterator[str]:
        if look.seen is None:
            if self._is_newest(look) and self._must_live(look.chain, look.span.end):
                yield "lost"
            return
        if look.seen != (self.principal, look.chain.name):
            yield "mixed up"
        if any(self._ends(each, look.chain) and each.span.end <= look.span.begin for each in self.revocations):
            yield "revoked"
        if any(self._logs_out(each, look) for each in self.logouts):
            yield "logged out"
        if look.span.begin >= look.token.left + (look.token.grace and look.token.grace + _SLACK):
            yield "old ID"
        if self._was_dead(look):
            yield "revived"

    def _is_excused(self, login: Span) -> bool:
        beside = [each for each in self.revocations if each.span.begin < login.end and each.span.end > login.begin]
        return bool(beside) or self.stamp_lost

    @staticmethod
    def _is_newest(look: Look) -> bool:
        return look.span.end <= look.token.leaving

    def _ends(self, each: Revocation, chain: Chain) -> bool:
        lost = any(span.begin < each.span.end + _UNDER_WAY and span.end > each.span.begin for span in self.evictions)
        return each.acked and not lost and each.spared is not chain and chain.since <= each.span.begin

    @staticmethod
    def _logs_out(each: Logout, look: Look) -> bool:
        if not each.acked or each.chain is not look.chain or each.span.end > look.span.begin:
            return False
        tokens = look.chain.tokens
        at = tokens.index(each.token)
        steps = 0 if any(token.leaving < each.span.end for token in tokens[at + 1 :]) else 1
        return tokens.index(look.token) <= at + steps

    def _must_live(self, chain: Chain, until: float) -> bool:
        if self.stamp_lost or chain.doubtful:
            return False
        if any(each.chain is chain and each.span.begin < until for each in self.logouts):
            return False
        mine = [each for each in self.revocations if each.span.end > min(chain.since, chain.login.begin)]
        return all(each.spared is chain and self._is_promised(each) for each in mine if each.span.begin < until)

    def _is_promised(self, each: Revocation) -> bool:
        """Whether it was spared for sure: acknowledged, and no other one beside the request that asked."""
        if not each.acked or each.holds:
            return each.acked
        begin, end = each.request or (0.0, each.span.end)
        others = [other for other in self.revocations if other is not each]
        return not any(other.span.begin < end and other.span.end > begin for other in others)

    def _was_dead(self, look: Look) -> bool:
        """Whether it was seen dead before, and should have stayed so.

        One that is being spared is dead until its own request is over; and a stamp may be forgotten by one node after
        the other, and copied meanwhile. The view of an ID that was left ends with its grace, which each node of a ring
        counts in whole seconds of its own: at that moment it may come and go.
        """
        if look.token.grace and look.span.begin < look.token.left + look.token.grace + _SLACK:
            return False
        if self.stamp_lost or any(each.spared is look.chain for each in self.revocations):
            return False
        return any(
            other.token is look.token and other.seen is None and other.span.end <= look.span.begin
            for other in self.looks
        )


def _times(span: Span) -> str:
    return f"{span.begin:.4f}..{span.end:.4f}"


def _told(look: Look) -> str:
    at = look.chain.tokens.index(look.token)
    seen = "None" if look.seen is None else f"{look.seen}"
    return f"session {look.chain.name} ID {at + 1}/{len(look.chain.tokens)} by {look.by} {_times(look.span)}: {seen}"
