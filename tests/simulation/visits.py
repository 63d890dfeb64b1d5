"""Carries a plan out: visitors take their steps, things break and are mended, and everything is written down.

What a visitor knows is what a browser knows: its cookie, and its answers. A step by an ID that has ended begins with a
new login. Requests with ``beside`` run while the visitor goes on, as those of other tabs do.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

from sharedsession import Session
from sharedsession.errors import BackendUnavailable, Conflict, LogoutNotConfirmed, SessionEnded
from tests.simulation.data import LOCKED, Access, Change
from tests.simulation.farm import Answer, Farm, WebNode
from tests.simulation.faults import strike
from tests.simulation.judge import EndsInTime, Judge
from tests.simulation.plan import Fault, Step, Visitor
from tests.support.ends import NEVER, Chain, Logout, Revocation, Seen, Span, Token

_GRACE = 5.0  # seconds
_LONGER_THAN_A_LEASE = 3.0  # seconds
_CROWD = ("lock", "lock", "increment", "append", "write", "write the same", "regenerate", "look")
_PATIENCE = 3  # requests until one must be answered: the first may find that a connection was forgotten
_REST = 1.5  # seconds after the last fault until all is as if nothing had been


class Visits:
    """All visits of a plan.

    Args:
        farm: that is visited.
        judge: to whom everything is told.
    """

    def __init__(self, farm: Farm, judge: Judge) -> None:
        self._farm = farm
        self._loop = farm.loop
        self._judge = judge
        self._values = 0

    async def run(self) -> None:
        """Plays the plan, mends everything, and looks at all that there was."""
        plan = self._farm.plan
        faults = [self._loop.create_task(self._break(fault)) for fault in plan.faults]
        await asyncio.gather(*[_Visit(self, visitor).run() for visitor in plan.visitors])
        await asyncio.gather(*faults)
        await asyncio.sleep(_REST)
        await self._look_at_all([self._farm.fresh("f0"), *self._farm.webs])
        if plan.seed % 2:
            await self._end_all()

    def value(self) -> int:
        """Returns a value that was never used."""
        self._values += 1
        return self._values

    # -- what breaks

    async def _break(self, fault: Fault) -> None:
        await asyncio.sleep(fault.begin)
        self._farm.story.tell("fault", f"{fault.kind} node m{fault.node} web w{fault.web} for {fault.seconds:.3f} s")
        mend = strike(fault, self._farm)
        await asyncio.sleep(fault.seconds)
        mend()
        self._farm.story.tell("fault", f"{fault.kind} is over")

    # -- what is seen at the end

    async def _look_at_all(self, webs: list[WebNode]) -> None:
        chains = [(ends, chain) for ends in self._judge.ends.values() for chain in ends.chains]
        for web in webs:
            for ends, chain in chains:
                for token in chain.tokens:
                    await self._look_until_seen(web, ends, chain, token)

    async def _look_until_seen(self, web: WebNode, ends: EndsInTime, chain: Chain, token: Token) -> None:
        for _ in range(_PATIENCE):
            answer = await web.request(_seen_and_all, token.cookie)
            self._judge.contacted(ends, chain, answer)
            if answer.status == 200:
                self._judge.saw(ends, chain, token, answer, web.name)
                return
            await asyncio.sleep(_REST)
        self._judge.fault(f"down: {web.name} answers {answer.status} {answer.error!r} in the end")

    async def _end_all(self) -> None:
        for principal, ends in self._judge.ends.items():
            web = self._farm.webs[0]
            if not principal:
                continue
            answer = await web.verb("arevoke_all", principal)
            ends.revocations.append(Revocation(_span(answer), answer.status == 200))
            if answer.status != 200:
                self._judge.fault(f"down: revoke_all of {principal} at the end: {answer.error}")
                continue
            listed = await web.verb("alist", principal)
            if listed.told:
                self._judge.fault(f"listed: {len(listed.told)} sessions after the last one was ended")
        await self._look_at_all(self._farm.webs[:1])


class _Visit:
    """One visitor's visit."""

    def __init__(self, visits: Visits, visitor: Visitor) -> None:
        self._visits = visits
        self._farm = visits._farm
        self._loop = visits._loop
        self._judge = visits._judge
        self._visitor = visitor
        self._ends = self._judge.ends_of(visitor.principal)
        self._who = visitor.principal or "nobody"
        self._chain: Chain | None = None
        self._chains = 0
        self._changes_of_id: defaultdict[Token, list[float]] = defaultdict(list)
        self._beside: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Takes all steps, and waits for what runs beside them."""
        for step in self._visitor.steps:
            await asyncio.sleep(step.pause)
            doing = self._loop.create_task(self._take(step))
            if step.beside:
                self._beside.add(doing)
                doing.add_done_callback(self._beside.discard)
            else:
                await doing
        if self._beside:
            await asyncio.gather(*self._beside)

    async def _take(self, step: Step) -> None:
        if step.deed.startswith("sleep"):
            idle = self._farm.plan.idle
            await asyncio.sleep(idle * (0.6 if step.deed == "sleep" else 1.2) + step.dice)
            return
        web, chain = self._farm.webs[step.web], self._chain
        if step.deed in {"log in", "log in again"} or chain is None:
            await self._log_in(web, step)
            return
        await _DEEDS[step.deed](self, web, chain, step)

    # -- deeds without a session

    async def _log_in(self, web: WebNode, step: Step) -> None:
        principal, since, ticket, began = self._visitor.principal, None, None, self._loop.time()
        if principal and step.dice < 0.3:
            taken = await web.verb("abegin_login", principal)
            if taken.status != 200:
                return
            ticket, since = taken.told, taken.end
        self._chains += 1
        name = f"{self._visitor.name}.{self._chains}"
        who, number = self._who, self._visits.value()

        async def deed(session: Session) -> Any:
            await session.load()
            if ticket or principal:
                session.principal = ticket or principal
            session["who"], session["chain"], session["n"] = who, name, number
            await asyncio.sleep(step.work)
            return session.id

        answer = await web.request(deed)
        self._judge.answered(answer, f"login of {name} by {web.name}")
        if not answer.cookie:
            if answer.status == 200:
                self._ends.refused.append(Span(began, answer.end))
            return
        token = Token(answer.cookie)
        chain = Chain(name, _span(answer), since or answer.end, [token], handle=answer.told)
        self._judge.born(chain, token, {"who": who, "chain": name, "n": number})
        self._ends.chains.append(chain)
        self._chain = chain

    # -- deeds with one

    async def _look(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._ask(web, chain, chain.tokens[-1], step)

    async def _look_by_an_old_id(self, web: WebNode, chain: Chain, step: Step) -> None:
        token = chain.tokens[int(step.dice * len(chain.tokens))]
        await self._ask(web, chain, token, step)

    async def _write(self, web: WebNode, chain: Chain, step: Step) -> None:
        number = self._visits.value()
        await self._ask(web, chain, chain.tokens[-1], step, Change("set", f"k{number}", number))

    async def _write_the_same(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._ask(web, chain, chain.tokens[-1], step, Change("set", "same", self._visits.value()))

    async def _increment(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._ask(web, chain, chain.tokens[-1], step, Change("increment", "count", 1 + int(step.dice * 3)))

    async def _append(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._ask(web, chain, chain.tokens[-1], step, Change("append", "list", self._visits.value()))

    async def _save_in_between(self, web: WebNode, chain: Chain, step: Step) -> None:
        number = self._visits.value()
        changes = (Change("set", f"k{number}", number), Change("increment", "count", 1))

        async def save(session: Session) -> None:
            await session.asave()

        await self._ask(web, chain, chain.tokens[-1], step, *changes, then=save)

    async def _lock(self, web: WebNode, chain: Chain, step: Step) -> None:
        token, entered = chain.tokens[-1], []

        async def deed(session: Session) -> Any:
            await session.load()
            if "chain" not in session:
                return None, {}
            async with session.lock(timeout=2.0, lease=2.0):
                if "chain" not in session:
                    return None, {}
                entered.append(_data(session))
                await asyncio.sleep(step.work if step.dice < 0.9 else _LONGER_THAN_A_LEASE)
                session[LOCKED] = session.get(LOCKED, 0) + 1
            return _seen(session), _data(session)

        answer = await self._request(web, chain, token, deed)
        self._judge.answered(answer, f"lock of {chain.name} by {web.name}", allowed=(Conflict, SessionEnded))
        if not entered:
            return
        count = entered[0].get(LOCKED, 0) + 1
        change = Change("step", LOCKED, count)
        acked = answer.status == 200 and bool(answer.told and answer.told[0])
        self._judge.accessed(token, Access(_span(answer), entered[0], (change,), acked, web.name))

    async def _crowd(self, _web: WebNode, chain: Chain, step: Step) -> None:
        """Several requests at the same moment, over all web nodes."""
        chance = Random(step.dice)
        deeds = [_DEEDS[chance.choice(_CROWD)] for _ in range(chance.randint(2, 4))]
        webs = [chance.choice(self._farm.webs) for _ in deeds]
        works = [chance.choice((0.0, step.work, 0.005 * chance.random())) for _ in deeds]
        await asyncio.gather(
            *[
                deed(self, web, chain, replace(step, work=work, dice=chance.random()))
                for deed, web, work in zip(deeds, webs, works, strict=True)
            ]
        )

    async def _regenerate(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._renew(web, chain, step, 0.0)

    async def _regenerate_with_grace(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._renew(web, chain, step, _GRACE)

    async def _write_and_regenerate(self, web: WebNode, chain: Chain, step: Step) -> None:
        number = self._visits.value()
        await self._renew(web, chain, step, 0.0, Change("set", f"k{number}", number))

    async def _remember_me(self, web: WebNode, chain: Chain, step: Step) -> None:
        """The session gets an idle timeout of its own, and with that a new ID."""

        async def deed(session: Session) -> Any:
            await session.load()
            seen, data = _seen(session), _data(session)
            if seen:
                session.idle_timeout, session.persistent = 2 * self._farm.plan.idle, True
            await asyncio.sleep(step.work)
            return seen, data, session.id if seen else ""

        self._ends.idles[chain.name] = 2 * self._farm.plan.idle
        await self._renewed(web, chain, deed, 0.0, ())

    async def _log_out(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._end(web, chain, chain.tokens[-1], step)

    async def _write_and_log_out_at_once(self, web: WebNode, chain: Chain, step: Step) -> None:
        """A slow request is in flight while another one logs out."""
        slow = replace(step, work=0.02 + 0.4 * step.dice)
        writing = self._loop.create_task(self._write(web, chain, slow))
        await asyncio.sleep(slow.work * 0.7)
        other = self._farm.webs[int(step.dice * 7) % len(self._farm.webs)]
        await self._end(other, chain, chain.tokens[-1], step)
        await writing

    async def _log_out_by_an_old_id(self, web: WebNode, chain: Chain, step: Step) -> None:
        await self._end(web, chain, chain.tokens[-2:][0], step)

    async def _log_out_everywhere(self, web: WebNode, _chain: Chain, _step: Step) -> None:
        if self._visitor.principal:
            answer = await web.verb("arevoke_all", self._visitor.principal)
            self._judge.answered(answer, f"revoke_all by {web.name}", allowed=(LogoutNotConfirmed,))
            self._ends.revocations.append(Revocation(_span(answer), answer.status == 200))

    async def _log_out_everywhere_else(self, web: WebNode, chain: Chain, step: Step) -> None:
        """By a request of the session, with a new ID before, after, or none."""
        if not self._visitor.principal:
            return
        made: list[Revocation] = []
        order = ("revoke", "regenerate revoke", "revoke regenerate")[int(step.dice * 3)]

        async def deed(session: Session) -> Any:
            await session.load()
            seen, data = _seen(session), _data(session)
            for verb in order.split() if seen else ():
                if verb == "regenerate":
                    session.regenerate()
                else:
                    made.append(await self._revoked(web, chain, session.id))
                await asyncio.sleep(step.work)
            return seen, data, session.id if seen else ""

        answer = await self._renewed(web, chain, deed, 0.0, (), leaves="regenerate" in order)
        for each in made:
            each.request = _span(answer)

    async def _revoked(self, web: WebNode, chain: Chain, handle: str) -> Revocation:
        begin = self._loop.time()
        each = Revocation(Span(begin, float("inf")), acked=False, spared=chain, request=Span(begin, float("inf")))
        self._ends.revocations.append(each)
        try:
            await web.manager.arevoke_all(self._visitor.principal, except_=handle)
            each.acked = True
        except LogoutNotConfirmed:
            pass
        finally:
            each.span = Span(begin, self._loop.time())
        return each

    async def _revoke_others(self, web: WebNode, chain: Chain, step: Step) -> None:
        if not self._visitor.principal:
            return
        regenerates = step.dice < 0.4

        async def deed(session: Session) -> Any:
            await session.load()
            seen, data, begin = _seen(session), _data(session), self._loop.time()
            if seen and regenerates:
                session.regenerate()
            await asyncio.sleep(step.work)
            if not seen:
                return None, data, ""
            each = Revocation(Span(begin, float("inf")), acked=False, spared=chain, holds=True)
            self._ends.revocations.append(each)
            try:
                await session.revoke_others()
                each.acked = True
            except SessionEnded:
                self._ends.revocations.remove(each)
            except LogoutNotConfirmed:
                pass
            finally:
                each.span = Span(begin, self._loop.time())
            return seen, data, session.id

        await self._renewed(web, chain, deed, 0.0, (), leaves=regenerates)

    async def _revoke(self, web: WebNode, chain: Chain, _step: Step) -> None:
        """The operator ends this session, by its handle."""
        token = chain.tokens[-1]
        answer = await web.verb("arevoke", chain.handle)
        self._judge.answered(answer, f"revoke by {web.name}", allowed=(LogoutNotConfirmed,))
        is_newest = token is chain.tokens[-1] and token.leaving > answer.end
        acked = answer.status == 200 and bool(answer.told) and is_newest
        self._ends.logouts.append(Logout(chain, token, _span(answer), acked, web.name))

    async def _list(self, web: WebNode, _chain: Chain, _step: Step) -> None:
        if self._visitor.principal:
            answer = await web.verb("alist", self._visitor.principal)
            self._judge.answered(answer, f"list by {web.name}")

    async def _open_a_websocket(self, web: WebNode, chain: Chain, step: Step) -> None:
        token = chain.tokens[-1]
        socket = await web.websocket(token.cookie, 1.0 + 8.0 * step.dice, talk=step.dice < 0.5)
        if socket.again:
            begin, end, data = socket.again
            look = Answer(begin, end, 200, ((data["who"], data["chain"]) if "chain" in data else None, data))
            self._judge.saw(self._ends, chain, token, look, web.name)
        if socket.error is not None and not isinstance(socket.error, BackendUnavailable):
            self._judge.fault(f"error: websocket of {chain.name} by {web.name}: {socket.error!r}")
        if socket.accepted is not None and socket.told.get("chain"):
            self._judge.watched(self._ends, chain, token, socket, web.name)

    # -- the parts of deeds

    async def _ask(
        self,
        web: WebNode,
        chain: Chain,
        token: Token,
        step: Step,
        *changes: Change,
        then: Callable[[Session], Awaitable[None]] | None = None,
    ) -> None:
        """A request that looks, and changes something if the session is alive."""
        loaded: list[dict[str, Any]] = []

        async def deed(session: Session) -> Any:
            await session.load()
            seen, data = _seen(session), _data(session)
            loaded.append(data)
            if seen:
                _make(session, changes)
                if then is not None:
                    await then(session)
            await asyncio.sleep(step.work)
            return seen, data

        answer = await self._request(web, chain, token, deed)
        self._judge.answered(answer, f"request of {chain.name} by {web.name}", allowed=(SessionEnded,))
        if answer.cookies:
            self._judge.fault(f"cookie: a request of {chain.name} by {web.name} set one")
        if answer.status == 200:
            self._judge.saw(self._ends, chain, token, answer, web.name, changes)
            if answer.told[0] is None and chain is self._chain and token is chain.tokens[-1]:
                self._chain = None
        elif loaded and "chain" in loaded[0]:
            self._judge.accessed(token, Access(_span(answer), None, changes, acked=False, by=web.name))

    async def _request(self, web: WebNode, chain: Chain, token: Token, deed: Any) -> Answer:
        answer = await web.request(deed, token.cookie)
        self._judge.contacted(self._ends, chain, answer)
        return answer

    async def _renew(self, web: WebNode, chain: Chain, step: Step, grace: float, *changes: Change) -> None:
        async def deed(session: Session) -> Any:
            await session.load()
            seen, data = _seen(session), _data(session)
            if seen:
                session.regenerate(grace)
                _make(session, changes)
            await asyncio.sleep(step.work)
            return seen, data, session.id if seen else ""

        await self._renewed(web, chain, deed, grace, changes)

    async def _renewed(
        self, web: WebNode, chain: Chain, deed: Any, grace: float, changes: tuple[Change, ...], *, leaves: bool = True
    ) -> Answer:
        """Sends a request that may give the chain a new ID."""
        old, token, begin = chain, chain.tokens[-1], self._loop.time()
        changes_of_id = self._changes_of_id[token]
        if leaves:
            changes_of_id.append(begin)
            token.leaving = min(changes_of_id)
        answer = await self._request(web, chain, token, deed)
        self._judge.answered(answer, f"change of ID of {chain.name} by {web.name}", allowed=(SessionEnded,))
        if answer.status != 200:
            chain.doubtful |= leaves
            return answer
        seen, data, handle = answer.told
        if answer.cookie:
            is_fork = token is not chain.tokens[-1]
            token.left, token.grace = min(token.left, answer.end), max(token.grace, grace)
            new = Token(answer.cookie)
            if is_fork:
                chain = self._chain = self._ends.forked(chain)
            chain.tokens.append(new)
            chain.handle = handle
            self._judge.born(chain, new, data | {change.key: change.value for change in changes})
        elif not seen and leaves:
            changes_of_id.remove(begin)
            token.leaving = min(changes_of_id, default=NEVER)
            if chain is self._chain and token is chain.tokens[-1]:
                self._chain = None
        self._judge.saw(self._ends, old, token, answer, web.name)
        return answer

    async def _end(self, web: WebNode, chain: Chain, token: Token, step: Step) -> None:
        async def deed(session: Session) -> None:
            session.destroy()
            await asyncio.sleep(step.work)

        answer = await self._request(web, chain, token, deed)
        self._judge.answered(answer, f"logout of {chain.name} by {web.name}", allowed=(LogoutNotConfirmed,))
        if answer.status and (len(answer.cookies) != (answer.status == 200) or answer.cookie):
            self._judge.fault(f"cookie: logout of {chain.name} by {web.name}: {answer.status} {len(answer.cookies)}")
        acked = answer.status == 200
        self._ends.logouts.append(Logout(chain, token, _span(answer), acked, web.name))
        if acked and chain is self._chain:
            self._chain = None


def _make(session: Session, changes: tuple[Change, ...]) -> None:
    for kind, key, value in changes:
        if kind == "set":
            session[key] = value
        elif kind == "increment":
            session.increment(key, value)
        else:
            session.append(key, value)


def _seen(session: Session) -> Seen:
    return (session["who"], session["chain"]) if "chain" in session else None


def _data(session: Session) -> dict[str, Any]:
    """Returns what the session holds now: what is changed in place later is not part of it."""
    return {key: list(value) if isinstance(value, list) else value for key, value in session.items()}


async def _seen_and_all(session: Session) -> Any:
    await session.load()
    return _seen(session), _data(session)


def _span(answer: Answer) -> Span:
    return Span(answer.begin, answer.end)


_Deed = Callable[[_Visit, WebNode, Chain, Step], Coroutine[Any, Any, None]]
_DEEDS: dict[str, _Deed] = {
    "look": _Visit._look,
    "look by an old ID": _Visit._look_by_an_old_id,
    "write": _Visit._write,
    "write the same": _Visit._write_the_same,
    "increment": _Visit._increment,
    "append": _Visit._append,
    "save in between": _Visit._save_in_between,
    "lock": _Visit._lock,
    "crowd": _Visit._crowd,
    "regenerate": _Visit._regenerate,
    "regenerate with grace": _Visit._regenerate_with_grace,
    "write and regenerate": _Visit._write_and_regenerate,
    "remember me": _Visit._remember_me,
    "log out": _Visit._log_out,
    "write and log out at once": _Visit._write_and_log_out_at_once,
    "log out by an old ID": _Visit._log_out_by_an_old_id,
    "log out everywhere": _Visit._log_out_everywhere,
    "log out everywhere else": _Visit._log_out_everywhere_else,
    "revoke others": _Visit._revoke_others,
    "revoke": _Visit._revoke,
    "list": _Visit._list,
    "open a websocket": _Visit._open_a_websocket,
}
