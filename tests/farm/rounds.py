"""One round: a fresh principal, visitors in threads over two web nodes, and what ends their sessions at random moments.

What everybody did and saw is written down in `Ends`, which judges it. A round leaves nothing behind that the next one
could meet: another principal, and a store that is whole again.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from sharedsession.errors import LogoutNotConfirmed, SessionEnded, SessionError
from sharedsession.keys import INDEX, STAMP
from sharedsession.manager import engines_of
from tests.farm.places import Place
from tests.support.ends import Chain, Ends, Logout, Look, Revocation, Seen, Span, Token
from tests.support.farm import COLOURS, Answer, WebNode, read

PATIENCE = 15.0
MANY_READS = 1000
_LONGEST_PAUSE = 0.003  # seconds that a request takes at most
_CROWD = 12


class Web:
    """A web node with a name."""

    def __init__(self, name: str, colour: str, url: str, **settings: Any) -> None:
        self.node = WebNode(colour, url, **settings)
        self.name = f"{name}({colour})"

    def verb(self, verb: str, *arguments: Any, **options: Any) -> Any:
        """What a verb of the manager returns, in the web node's colour."""
        if self.node.colour == "wsgi":
            return getattr(self.node.manager, verb)(*arguments, **options)
        return self.node.do(getattr(self.node.manager, f"a{verb}")(*arguments, **options))


class Campaign:
    """Rounds, one after the other, over one store.

    Args:
        place: the store.
        seed: of all chance.
    """

    def __init__(self, place: Place, seed: int) -> None:
        self.place = place
        self.seed = seed
        self.stack = ExitStack()
        self.webs = [self.web(name, colour, url) for name, colour, url in zip("12", COLOURS, place.urls, strict=True)]
        self.pool = self.stack.enter_context(ThreadPoolExecutor(_CROWD))
        self.counts: dict[str, int] = {}

    def __enter__(self) -> "Campaign":
        return self

    def __exit__(self, *details: Any) -> None:
        self.stack.__exit__(*details)

    def web(self, name: str, colour: str, url: str) -> Web:
        web = Web(name, colour, url, **self.place.settings)
        self.stack.enter_context(web.node)
        return web

    def run(self, number: int) -> None:
        """Plays one round and judges it."""
        chance = random.Random(f"{self.seed}-{number}")
        round_ = Round(self, f"user:{self.seed}-{number}", chance)
        with self.place.trouble(chance) as strike:
            round_.strike = strike if chance.random() < 0.35 else None
            round_.play()
            if chance.random() < 0.5:
                round_.verify(fresh=True)
        self.until_up(round_)
        round_.verify(fresh=True, old=True)
        if number % 50 == 7:
            round_.read_often()
        if chance.random() < 0.5:
            round_.end_all()
        self.judge(number, round_.ends)

    def judge(self, number: int, ends: Ends) -> None:
        if violations := ends.violations():
            raise AssertionError(f"seed {self.seed}, round {number}: {ends.report(violations)}")
        acked = {"revocations": sum(each.acked for each in ends.revocations)}
        acked |= {"logouts": sum(each.acked for each in ends.logouts), "logins": len(ends.chains)}
        acked |= {"spared": sum(each.spared is not None for each in ends.revocations), "looks": len(ends.looks)}
        acked |= {"IDs": sum(len(chain.tokens) for chain in ends.chains), "stamps lost": int(ends.stamp_lost)}
        acked |= {"alive at the end": sum(ends.lives(chain) for chain in ends.chains)}
        for name, count in acked.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def until_up(self, round_: "Round") -> None:
        """Lets both web nodes find out that all nodes are well."""
        deadline = time.monotonic() + PATIENCE
        for web in self.webs:
            while any(node.get("state") == "down" for node in web.node.manager.health()["backend"].get("nodes", ())):
                assert time.monotonic() < deadline, "a node does not come back"
                for chain in round_.ends.chains:
                    web.node.request(read("who"), chain.tokens[-1].cookie)
                web.node.request(lambda session: session.update(a=1))  # any node may own it


class Round:
    """One principal's round.

    Args:
        campaign: that it belongs to.
        principal: whose sessions.
        chance: of the round.
    """

    def __init__(self, campaign: Campaign, principal: str, chance: random.Random) -> None:
        self.campaign = campaign
        self.webs = campaign.webs
        self.ends = Ends(principal)
        self.chance = chance
        self.is_calm = chance.random() < 0.4  # then few sessions end, and it shows if one is lost
        self.strike: Callable[[], None] | None = None
        self._steps = 0
        self._moment = threading.Condition()
        self._over = False

    # -- what happens

    def play(self) -> None:
        """Lets the visitors visit, and the operator operate, until all are done."""
        chance = self.chance
        visitors = range(chance.randint(3, 5))
        jobs = [(self._operate, deed, chance.randint(2, 20), chance.random()) for deed in self._deeds()]
        jobs += [(self._visit, number, chance.randint(3, 7), chance.random()) for number in visitors]
        running = [self.campaign.pool.submit(*job) for job in jobs]
        for done in running[len(jobs) - len(visitors) :]:
            done.result()
        with self._moment:
            self._over = True
            self._moment.notify_all()
        for done in running:
            done.result()

    def _deeds(self) -> list[str]:
        weights = [1, 3, 4] if self.is_calm else [5, 2, 2]
        deeds = self.chance.choices(["revoke", "spare", "nothing"], weights, k=1 if self.is_calm else 2)
        if self.strike is not None:
            return [*deeds, "strike"]
        return [*deeds, self.chance.choice(["forget index", "forget both", "nothing", "nothing", "nothing"])]

    def _operate(self, deed: str, step: int, seed: float) -> None:
        """Waits until so many steps were taken, and does its deed."""
        chance = random.Random(seed)
        with self._moment:
            self._moment.wait_for(lambda: self._over or self._steps >= step, PATIENCE)
        web = chance.choice(self.webs)
        if deed == "revoke":
            self._revoke(web, None)
        elif deed == "spare" and self.ends.chains:
            self._revoke(web, chance.choice(self.ends.chains))
        elif deed == "strike" and self.strike is not None:
            self.strike()
        elif deed.startswith("forget"):
            self._forget(web, chance, stamp=deed == "forget both")

    def _forget(self, web: Web, chance: random.Random, *, stamp: bool) -> None:
        key = engines_of(web.node.manager).settings.machine_key()
        kinds = [STAMP, INDEX] if stamp else [INDEX]
        self.ends.stamp_lost |= stamp
        keys = [key.of_principal(self.ends.principal, kind)[0].store_key for kind in kinds]
        begin = time.monotonic()
        if self.campaign.place.forget(keys, chance) and stamp and self.campaign.place.keeps_copies:
            self.ends.evictions.append(Span(begin, time.monotonic()))

    def _revoke(self, web: Web, spared: Chain | None) -> Revocation:
        options = {} if spared is None else {"except_": spared.handle}
        begin = time.monotonic()
        try:
            web.verb("revoke_all", self.ends.principal, **options)
            acked = True
        except LogoutNotConfirmed:
            acked = False
        each = Revocation(Span(begin, time.monotonic()), acked, spared)
        self.ends.revocations.append(each)
        return each

    def _visit(self, number: int, steps: int, seed: float) -> None:
        chance = random.Random(seed)
        chain = self._login(chance, f"{number}")
        for step in range(steps):
            chain = self._step(chance, chain) if chain else self._login(chance, f"{number}.{step}")
            with self._moment:
                self._steps += 1
                self._moment.notify_all()

    def _step(self, chance: random.Random, chain: Chain) -> Chain | None:
        web, dice = chance.choice(self.webs), chance.random() * (0.53 if self.is_calm else 1.0)
        if dice < 0.2:
            self._write(web, chain, chance)
        elif dice < 0.3:
            self._look(web, chain, chance.choice(chain.tokens))
        elif dice < 0.5:
            self._regenerate(web, chain, chance)
        elif dice < 0.64:  # a request in flight beside it
            other, rival = chance.choice(self.webs), chance.choice([self._write, self._logout])
            racing: Future[Any] = self.campaign.pool.submit(rival, other, chain, random.Random(chance.random()))
            self._regenerate(web, chain, chance)
            racing.result()
            return None if rival == self._logout else chain
        elif dice < 0.74:
            if self._logout(web, chain, chance):
                return None
        elif dice < 0.84:
            self._revoke_from(web, chain, chance, racing=chance.random() < 0.5)
        elif dice < 0.9:
            self._revoke_others(web, chain, chance)
        else:
            return None
        return chain

    # -- requests

    def _login(self, chance: random.Random, name: str) -> Chain | None:
        web, principal = chance.choice(self.webs), self.ends.principal
        ticket, since, began = None, None, time.monotonic()
        if chance.random() < 0.25:
            try:
                ticket, since = web.verb("begin_login", principal), time.monotonic()
            except SessionError:
                return None
        pause = _pause(chance)

        def handler(session: Any) -> str:
            session.principal = ticket or principal
            session["who"], session["chain"] = principal, name
            pause()
            return str(session.id)

        answer, span = self._ask(web, handler, "")
        cookie = _cookie(answer)
        if not cookie:
            if answer.status == 200:
                self.ends.refused.append(Span(began, span.end))
            return None
        chain = Chain(name, span, since or span.end, [Token(cookie)], handle=answer.body.strip("'"))
        self.ends.chains.append(chain)
        return chain

    def _write(self, web: Web, chain: Chain, chance: random.Random) -> None:
        pause, key = _pause(chance), f"k{chance.random()}"

        def handler(session: Any) -> Seen:
            seen = _seen(session)
            if seen:
                session[key] = 1
            pause()
            return seen

        self._see(web, chain, chain.tokens[-1], handler)

    def _look(self, web: Web, chain: Chain, token: Token) -> bool:
        """Returns whether it was answered."""
        return self._see(web, chain, token, _seen).status == 200

    def _regenerate(self, web: Web, chain: Chain, chance: random.Random) -> None:
        token, pause = chain.tokens[-1], _pause(chance)
        grace = chance.choice([0.0, 0.0, 1.0, 20.0])

        def handler(session: Any) -> tuple[Seen, str]:
            seen = _seen(session)
            if seen:
                session.regenerate(grace)
            pause()
            return seen, session.id if seen else ""

        self._renewed(web, chain, token, grace, handler)

    def _renewed(
        self, web: Web, chain: Chain, token: Token, grace: float, handler: Any, *, leaves: bool = True
    ) -> tuple[Answer, Span]:
        """Sends a request that may give the chain a new ID, and then has done other things, too."""
        token.leaving = time.monotonic() if leaves else token.leaving
        answer, span = self._ask(web, handler, token.cookie)
        seen, handle = _told(answer) or (None, "")
        if answer.status != 200:
            chain.doubtful |= leaves
            return answer, span
        self._note(web, chain, token, span, seen)
        cookie = _cookie(answer)
        if cookie:
            token.left, token.grace, chain.handle = span.end, grace, handle
            chain.tokens.append(Token(cookie))
        elif not seen and leaves:
            token.leaving = Token("").leaving
        return answer, span

    def _logout(self, web: Web, chain: Chain, chance: random.Random) -> bool:
        """By the newest ID, or the one before. Returns whether it was acknowledged."""
        token = chain.tokens[-2] if len(chain.tokens) > 1 and chance.random() < 0.2 else chain.tokens[-1]
        pause = _pause(chance)

        def handler(session: Any) -> None:
            session.destroy()
            pause()

        answer, span = self._ask(web, handler, token.cookie)
        cleared = [line for line in answer.set_cookies if line.partition(";")[0].endswith("=")]
        if len(answer.set_cookies) != len(cleared) or len(cleared) != (answer.status == 200):
            self.ends.faults.append(f"cookie: logout of {chain.name} by {web.name}: {answer.status} {len(cleared)}")
        self.ends.logouts.append(Logout(chain, token, span, answer.status == 200, web.name))
        return answer.status == 200

    def _revoke_from(self, web: Web, chain: Chain, chance: random.Random, *, racing: bool) -> None:
        """Ends all others in a request of the session, with a new ID before that, after it or not at all."""
        manager, principal = web.node.manager, self.ends.principal
        order = chance.choice(["revoke", "revoke", "regenerate revoke", "revoke regenerate"])
        pauses = [_pause(chance), _pause(chance)]
        made: list[Revocation] = []

        def handler(session: Any) -> tuple[Seen, str]:
            seen = _seen(session)
            for verb, pause in zip(order.split() if seen else (), pauses, strict=False):
                if verb == "regenerate":
                    session.regenerate()
                else:
                    made.append(self._revoked(lambda: manager.revoke_all(principal, except_=session.id), chain))
                pause()
            return seen, session.id if seen else ""

        rivals = self._rivals(chain, chance) if racing else []
        _, span = self._renewed(web, chain, chain.tokens[-1], 0.0, handler, leaves="regenerate" in order)
        for each in made:
            each.request = span
        for rival in rivals:
            rival.result()

    def _rivals(self, chain: Chain, chance: random.Random) -> "list[Future[Any]]":
        """Requests of the same session beside the one that revokes."""
        deed = chance.choice([self._write, self._logout])
        return [self.campaign.pool.submit(deed, chance.choice(self.webs), chain, random.Random(chance.random()))]

    def _revoke_others(self, web: Web, chain: Chain, chance: random.Random) -> None:
        """The same by the session's own verb; it says if the session has ended itself."""
        regenerates, pauses = chance.random() < 0.4, [_pause(chance), _pause(chance)]
        made: list[Revocation] = []

        def before(session: Any) -> Seen:
            seen = _seen(session)
            if seen and regenerates:
                session.regenerate()
            pauses[0]()
            return seen

        def after(session: Any, seen: Seen, begin: float, problem: Exception | None) -> tuple[Seen, str]:
            if seen and not isinstance(problem, SessionEnded):
                span = Span(begin, time.monotonic())
                made.append(Revocation(span, problem is None, chain, holds=True))
                self.ends.revocations.append(made[-1])
            pauses[1]()
            return seen, session.id if seen else ""

        def blocking(session: Any) -> tuple[Seen, str]:
            seen, begin, problem = before(session), time.monotonic(), None
            try:
                session.revoke_others() if seen else None
            except (SessionEnded, LogoutNotConfirmed) as error:
                problem = error
            return after(session, seen, begin, problem)

        async def on_loop(session: Any) -> tuple[Seen, str]:
            seen, begin, problem = before(session), time.monotonic(), None
            try:
                await session.revoke_others() if seen else None
            except (SessionEnded, LogoutNotConfirmed) as error:
                problem = error
            return after(session, seen, begin, problem)

        handler = blocking if web.node.colour == "wsgi" else on_loop
        self._renewed(web, chain, chain.tokens[-1], 0.0, handler, leaves=regenerates)

    def _revoked(self, verb: Callable[[], object], chain: Chain) -> Revocation:
        begin = time.monotonic()
        try:
            verb()
            acked = True
        except LogoutNotConfirmed:
            acked = False
        each = Revocation(Span(begin, time.monotonic()), acked, chain, request=Span(begin, float("inf")))
        self.ends.revocations.append(each)
        return each

    # -- what is seen

    def verify(self, *, fresh: bool = False, old: bool = False) -> None:
        """Looks at every token that was ever handed out, through a fresh web node, and those that ran all the time."""
        place = self.campaign.place
        with ExitStack() as stack:
            webs = list(self.webs) if old else []
            if fresh:
                web = Web("fresh", self.chance.choice(COLOURS), place.fresh_url, **place.settings)
                stack.enter_context(web.node)
                webs.insert(0, web)
            for web in webs:
                for chain in self.ends.chains:
                    for token in chain.tokens:
                        self._until_seen(web, chain, token)

    def read_often(self) -> None:
        """Looks a thousand times at what was logged out, from several threads: no look brings it back."""
        over = [(each.chain, token) for each in self.ends.logouts if each.acked for token in each.chain.tokens]
        if not over:
            return
        looks = [(self.chance.choice(self.webs), *self.chance.choice(over)) for _ in range(MANY_READS)]
        for done in [self.campaign.pool.submit(self._look, *look) for look in looks]:
            done.result()

    def end_all(self) -> None:
        """One more "log out everywhere": nothing lives, and nothing is listed."""
        web = self.chance.choice(self.webs)
        if self._revoke(web, None).acked:
            self.verify(fresh=True)
            if listed := web.verb("list", self.ends.principal):
                self.ends.faults.append(f"listed: {len(listed)} sessions after the last one was ended")

    def _until_seen(self, web: Web, chain: Chain, token: Token) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._look(web, chain, token):
            assert time.monotonic() < deadline, f"{web.name} does not answer"

    def _see(self, web: Web, chain: Chain, token: Token, handler: Any) -> Answer:
        answer, span = self._ask(web, handler, token.cookie)
        if answer.status == 200:
            self._note(web, chain, token, span, _told(answer))
        if answer.set_cookies:
            self.ends.faults.append(f"cookie: a look at {chain.name} by {web.name} set one")
        return answer

    def _note(self, web: Web, chain: Chain, token: Token, span: Span, seen: Seen) -> None:
        self.ends.looks.append(Look(chain, token, span, seen, web.name))

    @staticmethod
    def _ask(web: Web, handler: Any, cookie: str) -> tuple[Answer, Span]:
        begin = time.monotonic()
        try:
            answer = web.node.request(handler, cookie)
        except SessionError as error:  # the middleware's answer where the application lets it pass
            answer = Answer(500, [], repr(error))
        return answer, Span(begin, time.monotonic())


def _pause(chance: random.Random) -> Callable[[], None]:
    """What a request does besides."""
    seconds = chance.choice([0.0, chance.random() * _LONGEST_PAUSE])
    return lambda: time.sleep(seconds) if seconds else None


def _seen(session: Any) -> Seen:
    return (session["who"], session["chain"]) if "chain" in session else None


def _told(answer: Answer) -> Any:
    """What the handler returned."""
    return eval(answer.body, {}) if answer.status == 200 and answer.body else None  # its own repr


def _cookie(answer: Answer) -> str:
    pairs: Sequence[str] = [line.partition(";")[0] for line in answer.set_cookies]
    return next((pair for pair in pairs if not pair.endswith("=")), "")
