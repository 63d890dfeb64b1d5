"""A farm changes its secret under traffic, with the real command and on real stores: nobody is logged out."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sharedsession import MachineKey
from sharedsession.cli.__main__ import main
from sharedsession.keys import key_file
from sharedsession.manager import engines_of
from sharedsession.records.sealed_store import SealedStore
from tests.farm.laboratory import until
from tests.support.farm import WebNode, read, write

STORES = ("sqlite", "redis", "memcached", "ring")
COLOURS = ("wsgi", "asgi", "wsgi")
PROGRESS = 5  # requests of each visitor with the nodes as they are


class Visitor:
    """A browser that sends two requests at a time to any of the nodes, and knows what the farm must know."""

    def __init__(self, name: str, node: WebNode) -> None:
        self.name, self.counted, self.logged = name, 0, 0
        self.wrong: list[Any] = []
        answer = node.request(write("name", name))
        self.cookie = answer.set_cookies[0].partition(";")[0]

    @property
    def key_id(self) -> str:
        return self.cookie.partition("=")[2][32:38]

    def count(self, node: WebNode) -> None:
        self._ask(node, lambda session: (session.get("name"), session.increment("n"))[0])
        self.counted += 1

    def log(self, node: WebNode) -> None:
        number = self.logged
        self._ask(node, lambda session: (session.get("name"), session.append("log", number))[0])
        self.logged += 1

    def check(self, node: WebNode) -> None:
        """Nothing that was answered is missing, and nothing is there twice."""
        seen = node.request(lambda session: [session["name"], session["n"], session["log"]], self.cookie)
        assert seen.body == repr([self.name, self.counted, list(range(self.logged))])

    def _ask(self, node: WebNode, handler: Callable[[Any], Any]) -> None:
        answer = node.request(handler, self.cookie)
        if (answer.status, answer.body, answer.set_cookies) != (200, repr(self.name), []):
            self.wrong.append(answer)


class Farm:
    """Three web nodes with a copy of one key file each, and their visitors."""

    def __init__(self, url: str, directory: Path, stack: ExitStack) -> None:
        self.master = directory / "farm.key"
        self.master.write_text(f"{MachineKey.generate()}\n")
        self.copies = [directory / f"copy{number}" for number in range(len(COLOURS))]
        for copy in self.copies:
            self._deliver(copy)
        self.nodes = [
            stack.enter_context(WebNode(colour, url, secret_key=None, key_file=str(copy), timeout=5.0))
            for colour, copy in zip(COLOURS, self.copies, strict=True)
        ]
        self.visitors: list[Visitor] = []

    def greet(self, visitors: int) -> list[Visitor]:
        """More visitors, one node after the other."""
        born = len(self.visitors)
        new = [Visitor(f"v{born + n}", self.nodes[n % len(self.nodes)]) for n in range(visitors)]
        self.visitors.extend(new)
        return new

    def rotate(self, between: Callable[[], Any]) -> None:
        """One step of the command, brought to one node after the other; the last one is behind for a while."""
        assert main(["genkey", "--rotate", str(self.master), "--force"]) == 0
        for node, copy in zip(self.nodes, self.copies, strict=True):
            before = node.manager.fingerprint()
            self._deliver(copy)
            until(lambda node=node, before=before: node.manager.fingerprint() != before)
            between()

    def progress(self) -> None:
        """Every visitor has sent so many more requests of each kind."""
        goals = [(visitor, visitor.counted + PROGRESS, visitor.logged + PROGRESS) for visitor in self.visitors]
        until(lambda: all(v.counted >= counted and v.logged >= logged for v, counted, logged in goals), 60)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """All visitors at work; none sees anything but its own session."""
        over = threading.Event()

        def work(deed: str) -> None:
            chance = random.Random(deed)
            while not over.wait(0.002):
                for visitor in list(self.visitors):
                    getattr(visitor, deed)(chance.choice(self.nodes))

        with ThreadPoolExecutor(2) as pool:
            running = [pool.submit(work, deed) for deed in ("count", "log")]
            try:
                yield
            finally:
                over.set()
            for done in running:
                done.result()
        assert [visitor.wrong for visitor in self.visitors if visitor.wrong] == []
        for visitor in self.visitors:
            for node in self.nodes:
                visitor.check(node)

    def _deliver(self, copy: Path) -> None:
        new = copy.with_suffix(".new")
        new.write_bytes(self.master.read_bytes())
        new.replace(copy)


@pytest.fixture(autouse=True)
def _files_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not once a second."""
    monkeypatch.setattr(key_file, "_LOOK_EVERY", 0.01)


@pytest.fixture
def farm(url: str, tmp_path: Path) -> Iterator[Farm]:
    with ExitStack() as stack:
        yield Farm(url, tmp_path, stack)


@pytest.mark.parametrize("url", STORES, indirect=True)
def test_a_rotation_under_traffic_logs_nobody_out(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    """[A], [A, B], [B, A], [B], a node behind at each step: 0 log-outs and 0 lost updates, until A is dropped.

    Then the sessions of A end, at no cost; those of B live, and so does one of A that was given a new ID under B.
    """
    old = farm.greet(3)
    with farm.traffic():
        for _ in range(2):  # to [A, B], to [B, A]
            farm.rotate(lambda: (farm.progress(), old.extend(farm.greet(1)), farm.progress()))
    moved, *_ = old
    answer = farm.nodes[0].request(lambda session: session.regenerate(), moved.cookie)
    moved.cookie = answer.set_cookies[0].partition(";")[0]
    farm.greet(3)
    newest = engines_of(farm.nodes[0].manager).settings.machine_key().fingerprints()[0]
    old = [visitor for visitor in farm.visitors if visitor.key_id != newest]
    farm.visitors = [visitor for visitor in farm.visitors if visitor.key_id == newest]
    assert len(old) >= 4
    assert moved in farm.visitors
    with farm.traffic():
        farm.progress()
        farm.rotate(farm.progress)  # to [B]
    forbid_questions(monkeypatch)
    for visitor in old:
        for node in farm.nodes:
            answer = node.request(read("name"), visitor.cookie)
            assert (answer.status, answer.body, answer.set_cookies) == (200, "None", [])


@pytest.mark.parametrize("url", STORES, indirect=True)
@pytest.mark.parametrize("colour", ["wsgi", "asgi"])
def test_a_record_is_sealed_anew_at_its_next_write(url: str, colour: str) -> None:
    """A node that was behind sealed it with the old secret; one write later the old secret is not needed any more."""
    old, new = MachineKey.generate(), MachineKey.generate()
    with ExitStack() as stack:

        def node(*secrets: str) -> WebNode:
            return stack.enter_context(WebNode(colour, url, secret_key=list(secrets), timeout=5.0))

        behind, ahead, done = node(old, new), node(new, old), node(new)
        cookie = ahead.request(write("name", "alice")).set_cookies[0].partition(";")[0]
        assert done.request(read("name"), cookie).body == "'alice'"
        behind.request(write("seen", 1), cookie)
        assert done.request(read("name"), cookie).body == "None"
        ahead.request(write("seen", 2), cookie)
        assert done.request(read("name"), cookie).body == "'alice'"


def test_a_secret_that_was_taken_away_is_dead_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a leak: no steps. Old cookies, genuine ones too, are refused without a question to the store."""
    leaked = MachineKey.generate()
    file = tmp_path / "farm.key"
    file.write_text(leaked)
    with WebNode("wsgi", f"sqlite:///{tmp_path}/s.db", secret_key=None, key_file=str(file)) as node:
        cookie = node.request(write("name", "alice")).set_cookies[0].partition(";")[0]
        key = MachineKey(leaked)
        before = node.manager.fingerprint()
        file.write_text(MachineKey.generate())
        until(lambda: node.manager.fingerprint() != before)
        forbid_questions(monkeypatch)
        for token in (cookie.partition("=")[2], key.new_identity(bytes(16)).token):
            assert node.request(read("name"), f"__Host-session={token}").body == "None"
        assert node.manager.health()["counters"]["forged"] == 2


def forbid_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a question to the store is an error."""

    async def forbidden(*_: object) -> None:
        raise AssertionError("the store was asked")

    for verb in ("read", "add", "swap", "supersede", "end", "renew", "read_beside", "read_rivals"):
        monkeypatch.setattr(SealedStore, verb, forbidden)
