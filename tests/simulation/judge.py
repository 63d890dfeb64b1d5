"""The judge: compares what was promised with what every browser saw.

Whether ends are ends is judged by `tests.support.ends`, as in the laboratory of real processes; whether data are what
was written, key by key, by `data`. On top of these:

- ``overdue``: a session is alive longer than an idle timeout after the last request that could have renewed it.
- ``error``: an application got an exception that is not promised to it.
- ``down``: something is no answer though everything was mended before.
- ``refused request``: one node of a ring broke, and was not slow only, and a request got a 503 all the same.
- ``view``: an ID that was left with grace shows nothing before that is over, though its session lives under the next
  one, and nothing broke.
- ``websocket``: one was open long after its session had ended, and nothing was broken.

A logout that was not confirmed, while two nodes were away, may have reached one that readers ask only then.

What may be lost is what docs/promises.md says: a store without copies loses all when it restarts; a ring loses what two
nodes forget. A lock is one on a ring while both owners of the session can be reached.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sharedsession.errors import BackendUnavailable
from tests.simulation.data import LOCKED, Access, Change, Life
from tests.simulation.farm import WEBSOCKET_CHECK, Answer, Socket
from tests.simulation.plan import FORGETFUL, REPLICAS, Fault, Plan
from tests.support.ends import NEVER, Chain, Ends, Logout, Look, Revocation, Span, Token

_WHOLE_SECONDS = 3.0  # a store counts these, rounded up, and its clock ticks once in one
_UNDER_WAY = 1.5  # seconds for which a node that is back may still be skipped, and packets may be late
_NOTE = 10.0  # seconds for which an old ID that was left without grace leads to its successor


class Circumstances:
    """What a plan excuses: what may be lost, refused or late because of what breaks.

    Args:
        plan: that is carried out.

    Attributes:
        idle: the idle timeout in seconds.
        is_calm: whether nothing breaks.
        may_lose_data: whether the store may have lost anything.
        may_lose_notes: whether answers are lost, and applications end sessions that they did not look at.
        hides_owners: whether an owner of a session on a ring may be out of reach: then two requests may hold a lock.
        must_answer: whether no request may be refused, as only one node of a ring breaks, and is not slow only.
        has_two_faults: whether several things break on a ring.
        troubles: from when to when they do so at once, or their effects may be under way.
        over: when all is as if nothing had been.
        slack: seconds for which a renewal may have been under way, or a store's clock stood still.
    """

    def __init__(self, plan: Plan) -> None:
        faults, is_ring = plan.faults, plan.store in REPLICAS
        kinds = {fault.kind for fault in faults}
        self.idle = plan.idle
        self.is_calm = not faults
        self.has_two_faults = is_ring and len(faults) > 1
        self.may_lose_data = bool(kinds & set(FORGETFUL)) and (self.has_two_faults or not is_ring)
        self.may_lose_notes = not self.is_calm and not plan.autoload
        self.hides_owners = is_ring and not self.is_calm
        self.must_answer = is_ring and len(faults) < 2 and not kinds & {"late", "slow"}
        self.troubles = list(_at_once(faults)) if is_ring else []
        self.over = max((fault.begin + fault.seconds + 5.0 for fault in faults), default=NEVER)
        self.slack = _WHOLE_SECONDS + sum(fault.seconds + 1.0 for fault in faults)

    def is_in_trouble(self, span: Span) -> bool:
        """Returns whether two things were broken while somebody waited."""
        return any(begin < span.end and span.begin < end for begin, end in self.troubles)


class Watched(NamedTuple):
    """A websocket of a session.

    Attributes:
        ends: where its session is judged.
        chain: its session.
        token: that it was opened with.
        socket: it.
        by: the web node.
    """

    ends: Ends
    chain: Chain
    token: Token
    socket: Socket
    by: str


class EndsInTime(Ends):
    """Ends that know of the idle timeout, and of what breaks.

    Args:
        principal: whose sessions.
        circumstances: of the run.

    Attributes:
        idles: the longest idle timeout of each session, by its name.
        contacts: when requests may have renewed a session, by its name.
        roots: of sessions that came of two changes of one ID at the same time: the first of their kin.
    """

    def __init__(self, principal: str, circumstances: Circumstances) -> None:
        super().__init__(principal)
        self._circumstances = circumstances
        self.idles: defaultdict[str, float] = defaultdict(lambda: circumstances.idle)
        self.contacts: defaultdict[str, list[Span]] = defaultdict(list)
        self.roots: dict[Chain, Chain] = {}

    def forked(self, chain: Chain) -> Chain:
        """Returns a session that two requests at the same time made of one: each gave it a new ID, and both live."""
        fork = Chain(chain.name, chain.login, chain.since, [], doubtful=True)
        chain.doubtful = True
        self.roots[chain] = self.roots[fork] = self.roots.get(chain, chain)
        self.chains.append(fork)
        return fork

    def _ends(self, each: Revocation, chain: Chain) -> bool:
        if each.spared is not None and self.roots.get(each.spared) is self.roots.get(chain, chain):
            return False  # an entry names handles, and they have those of their root in common
        return super()._ends(each, chain)

    def _logs_out(self, each: Logout, look: Look) -> bool:  # type: ignore[override]
        if each.chain in self.roots and each.token is not look.token:
            return False  # the note of an old ID names one of its successors
        note = (each.token.grace or _NOTE) - 1.0  # a store counts whole seconds
        is_late = each.span.end > each.token.left + note
        if (is_late or self._is_note_lost(each)) and look.token not in look.chain.tokens[: _at(each) + 1]:
            return False  # docs/promises.md: an old ID leads to its successor for so long
        return super()._logs_out(each, look)

    def _crimes(self, look: Look) -> Iterator[str]:
        late_view = (
            look.token.grace and look.span.begin < look.token.left + look.token.grace + self._circumstances.slack
        )
        in_limbo = self._circumstances.has_two_faults and any(
            each.chain is look.chain and not each.acked and each.span.begin < look.span.end for each in self.logouts
        )
        excused = {"old ID": late_view, "revived": in_limbo or self._circumstances.is_in_trouble(look.chain.login)}
        yield from (crime for crime in super()._crimes(look) if not excused.get(crime))
        if look.seen is None and self._circumstances.is_calm and self._shows_view(look):
            yield "view"
        if look.seen is not None and look.span.begin > self._idle_end(look) + self._circumstances.slack:
            yield "overdue"

    def _is_note_lost(self, each: Logout) -> bool:
        """Returns whether the note that leads from an old ID to the next may have gone before a logout read it.

        Another logout took it, by an ID before that one; or an answer was lost, of a request that had not looked, or
        looked before the ID was left.
        """
        if not self._circumstances.is_calm and each.span.begin < each.token.left:
            return True
        older = each.chain.tokens[: _at(each)]
        earlier = (other for other in self.logouts if other is not each and other.chain is each.chain)
        return self._circumstances.may_lose_notes or any(
            other.token in older and other.span.begin < each.span.end for other in earlier
        )

    def _is_excused(self, login: Span) -> bool:
        may_be_lost = self._circumstances.may_lose_data or self._circumstances.is_in_trouble(login)
        return may_be_lost or super()._is_excused(login)

    def _must_live(self, chain: Chain, until: float) -> bool:
        if self._circumstances.may_lose_data or self._may_be_undone(chain.login):
            return False
        if not super()._must_live(chain, until) or any(
            not each.acked and each.span.begin < until for each in self.revocations
        ):
            return False  # without an answer, it may still be on its way
        seen = [look.span.begin for look in self.looks if look.chain is chain and look.seen and look.span.end < until]
        latest = max([chain.login.begin, *seen])
        return until - latest < 0.9 * self._circumstances.idle - _WHOLE_SECONDS

    def _may_be_undone(self, login: Span) -> bool:
        """Returns whether a login may be undone by another stamp: docs/promises.md, logins while nodes are away."""
        others = [other.login for other in self.chains if other.login is not login]
        beside = any(other.begin < login.end and login.begin < other.end for other in others)
        is_first = not any(other.end < login.begin for other in others)
        may_make_its_own = not self._circumstances.is_calm and beside and is_first
        return may_make_its_own or self._circumstances.is_in_trouble(login)

    def _shows_view(self, look: Look) -> bool:
        """Returns whether an ID that was left with grace must show a view in a look."""
        token, chain = look.token, look.chain
        in_time = token.left <= look.span.begin and look.span.end < token.left + token.grace - 2.0
        is_last = token is chain.tokens[-2:][0] and chain.tokens[-1].leaving >= look.span.end
        return bool(token.grace and in_time and is_last and self._must_live(chain, look.span.end))

    def _idle_end(self, look: Look) -> float:
        """Returns when a session is over, by the last request before a look that may have renewed it."""
        spans = [look.chain.login, *self.contacts[look.chain.name]]
        earlier = [min(span.end, look.span.begin) for span in spans if span.begin < look.span.begin]
        return max(earlier, default=0.0) + self.idles[look.chain.name]


def _at_once(faults: Sequence[Fault]) -> Iterator[tuple[float, float]]:
    """Yields from when to when two things are broken, or their effects may be under way."""
    for one, other in itertools.combinations(faults, 2):
        begin = max(one.begin, other.begin)
        end = min(one.begin + one.seconds, other.begin + other.seconds)
        if begin < end + _UNDER_WAY:
            yield begin, end + _UNDER_WAY


def _at(each: Logout) -> int:
    return each.chain.tokens.index(each.token)


class Judge:
    """Judges a run.

    Args:
        plan: that is carried out.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.ends: dict[str, EndsInTime] = {}
        self._lives: dict[Token, Life] = {}
        self._sockets: list[Watched] = []
        self._faults: list[str] = []
        self._circumstances = Circumstances(plan)
        self.requests = 0
        self.refusals = 0

    # -- what is told

    def ends_of(self, principal: str) -> EndsInTime:
        """Returns where the sessions of a principal are judged; those of nobody together."""
        if principal not in self.ends:
            self.ends[principal] = EndsInTime(principal or "nobody", self._circumstances)
        return self.ends[principal]

    def fault(self, what: str) -> None:
        """Something is wrong by itself."""
        self._faults.append(what)

    def answered(self, answer: Answer, what: str, allowed: Sequence[type[Exception]] = ()) -> None:
        """A request was answered, or not."""
        self.requests += 1
        if answer.status == 503:
            self.refusals += 1
            # One that stays taken is a 503 as well; and a node that nobody asked for long may be skipped once more.
            is_due = self._circumstances.must_answer and answer.begin < self._circumstances.over
            if is_due and not what.startswith("lock"):
                self.fault(f"refused request: {what} at {answer.begin:.4f}")
            if answer.cookies:
                self.fault(f"cookie: a 503 set one, {what}")
        if answer.error is not None and not isinstance(answer.error, (BackendUnavailable, *allowed)):
            self.fault(f"error: {what} at {answer.begin:.4f}: {answer.error!r}")

    def born(self, chain: Chain, token: Token, data: dict[str, object]) -> None:
        """A request was given an ID, for a session that holds these data."""
        self._lives[token] = Life(f"{chain.name} ID {len(chain.tokens)}", token, data, self._circumstances.troubles)

    def saw(
        self, ends: EndsInTime, chain: Chain, token: Token, answer: Answer, by: str, changes: tuple[Change, ...] = ()
    ) -> None:
        """A request was answered, and tells what it saw."""
        seen, data = answer.told[:2]
        span = Span(answer.begin, answer.end)
        ends.looks.append(Look(chain, token, span, seen, by))
        if seen is not None:
            self.accessed(token, Access(span, data, changes, acked=True, by=by))

    def accessed(self, token: Token, access: Access) -> None:
        """A request read the data of an ID, or changed them, or may have."""
        self._lives[token].accesses.append(access)

    def contacted(self, ends: EndsInTime, chain: Chain, answer: Answer) -> None:
        """A request may have renewed a session."""
        ends.contacts[chain.name].append(Span(answer.begin, answer.end))

    def watched(self, ends: EndsInTime, chain: Chain, token: Token, socket: Socket, by: str) -> None:
        """A websocket was open."""
        self._sockets.append(Watched(ends, chain, token, socket, by))
        ends.contacts[chain.name].append(Span(socket.begin, socket.end))

    # -- the judgement

    def violations(self) -> list[str]:
        """Returns everything that breaks a promise."""
        found = list(self._faults)
        for ends in self.ends.values():
            found += ends.violations()
        if not self._circumstances.may_lose_data:
            exempt = {LOCKED} if self._circumstances.hides_owners else set()
            for life in self._lives.values():
                found += life.violations(exempt)
        return found + [line for each in self._sockets for line in self._outlived(each)]

    def report(self) -> str:
        """Returns the violations, and all that happened to their sessions, for a person."""
        violations = self.violations()
        others = [line for line in violations if not any(line in ends.violations() for ends in self.ends.values())]
        return "\n".join([*others, *[ends.report(violations) for ends in self.ends.values()]])

    def _outlived(self, watched: Watched) -> Iterator[str]:
        socket, ends = watched.socket, watched.ends
        assert socket.accepted is not None
        afterwards = Look(watched.chain, watched.token, Span(NEVER, NEVER), None, watched.by)
        over = [each.span.end for each in ends.logouts if ends._logs_out(each, afterwards)]
        over += [each.span.end for each in ends.revocations if ends._ends(each, watched.chain)]
        for end in over:
            latest = max(end, socket.accepted) + 2 * WEBSOCKET_CHECK + 1.0
            is_calm = all(f.begin > latest or f.begin + f.seconds < end - 1.0 for f in self._plan.faults)
            if is_calm and socket.begin < end and socket.end > latest:
                yield f"websocket: of {watched.chain.name} by {watched.by}, ended {end:.3f}, open {socket.end:.3f}"
