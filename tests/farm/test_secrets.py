"""A farm that does not agree about its secret, and one that changes it: nobody is logged out who need not be."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sharedsession import MachineKey
from tests.farm.laboratory import LOGINS, Laboratory, Visit, Visitors, until
from tests.farm.nemeses import NEMESES
from tests.farm.test_clocks import SKEW
from tests.support.history import ENDED
from tests.support.webprocess import WebProcess

COLOURS = ("wsgi", "asgi")
A, B = MachineKey.generate(), MachineKey.generate()
STEPS = ([A], [A, B], [B, A], [B])


@pytest.mark.parametrize("colour", COLOURS)
def test_one_node_has_another_secret(laboratory: Callable[..., Laboratory], colour: str) -> None:
    """There the visitor is anonymous and keeps the cookie; it says so, and does nothing to the session."""
    lab = laboratory()
    visitors = Visitors([lab.web("first", "wsgi", secret_key=A), lab.web("second", "asgi", secret_key=A)])
    odd = lab.web("odd", colour, secret_key=B)
    visitors.run(20)
    stored = [node.server.dump() for node in lab.nodes]
    for visit in visitors.visits:
        for deed in ("read", "write", "regenerate"):
            reply = odd.ask(deed, visit.cookie, "odd")
            assert (reply.status, reply.seen, reply.cookies) == (200, ENDED, [])
    assert [node.server.dump() for node in lab.nodes] == stored
    assert odd.health()["counters"]["forged"] == 3 * len(visitors.visits)
    assert odd.health()["fingerprint"]["secret_key"] != visitors.webs[0].health()["fingerprint"]["secret_key"]
    for visit in visitors.visits[::2]:
        made, ended = odd.ask("insist", visit.cookie, "odd"), odd.ask("logout", visit.cookie)
        assert made.cookie.partition("=")[2] not in ("", visit.cookie)
        assert ended.cookies[0].partition(";")[0].endswith("=")
    for held, node in zip(stored, lab.nodes, strict=True):
        assert held.items() <= node.server.dump().items()
    visitors.verify([*visitors.webs, lab.web("fresh", colour, secret_key=A)])
    visitors.expect_no_violation()


class Rotation:
    """Two web nodes whose secrets change one after the other, each in a file of its own that it reads again.

    Args:
        lab: where they run.
        directory: for the files.
        ahead: by how many seconds the clock of the first is ahead, and that of the second behind.
    """

    def __init__(self, lab: Laboratory, directory: Path, ahead: float) -> None:
        self.files = [directory / name for name in ("first", "second")]
        for file in self.files:
            write_secrets(file, STEPS[0])
        webs = [
            lab.web(file.name, colour, ahead=skew, secret_key=None, key_file=str(file))
            for file, colour, skew in zip(self.files, COLOURS, (ahead, -ahead), strict=True)
        ]
        self.visitors = Visitors(webs)

    def step(self, number: int, load: Callable[[], None]) -> None:
        """Takes one web node after the other to the next secrets, with load on both in between."""
        for web, file in zip(self.visitors.webs, self.files, strict=True):
            before = fingerprint(web)
            write_secrets(file, STEPS[number])
            until(lambda web=web, before=before: fingerprint(web) != before)
            load()


@pytest.mark.parametrize("nemesis", ["stop", "restart empty", "zombie"])
def test_a_rotation_under_a_fault(laboratory: Callable[..., Laboratory], tmp_path: Path, nemesis: str) -> None:
    """Nodes one step apart, their clocks twenty minutes apart, and a store node fails meanwhile: 0 violations.

    When the old secret is gone, so is what was signed with it, and only that.
    """
    fault, victim = NEMESES[nemesis], 1
    lab = laboratory(relayed=[victim] if fault.relayed else [])
    farm = Rotation(lab, tmp_path, SKEW)
    visitors = farm.visitors
    share = LOGINS // 4 + 1
    visitors.run(share)
    for number in (1, 2):
        with fault.strike(lab.nodes[victim]):
            farm.step(number, lambda: visitors.run(share // 2 + 1))
        visitors.run(share // 2 + 1)
    visitors.verify([*visitors.webs, lab.web("fresh", "wsgi", secret_key=[B, A])])
    visitors.expect_no_violation()
    old, new = ([visit for visit in visitors.visits if signed_with(visit, secret)] for secret in (A, B))
    assert old
    assert new
    farm.step(3, lambda: None)
    visitors.visits = new
    visitors.verify(visitors.webs)
    visitors.expect_no_violation()
    for visit in old:
        for web in visitors.webs:
            reply = web.ask("read", visit.cookie)
            assert (reply.status, reply.seen, reply.cookies) == (200, ENDED, [])


def test_the_secret_that_was_taken_away_opens_nothing(laboratory: Callable[..., Laboratory]) -> None:
    """A token of a session that is in the store, signed with it now, is refused; and it finds none of the new ones."""
    lab = laboratory()
    mine, thief = lab.web("farm", "wsgi", secret_key=B), lab.web("thief", "asgi", secret_key=A)
    forged, genuine = thief.ask("login", "", "forged").cookie, mine.ask("login", "", "genuine").cookie
    assert thief.ask("read", forged).seen == "forged"
    assert mine.ask("read", genuine).seen == "genuine"
    for web, cookie in ((mine, forged), (thief, genuine)):
        assert (reply := web.ask("read", cookie)).seen is ENDED
        assert reply.cookies == []
        assert web.health()["counters"]["forged"] == 1


def write_secrets(file: Path, secrets: list[str]) -> None:
    """Puts the whole file there at once: its reader may come at any time."""
    new = file.with_suffix(f".{time.monotonic_ns()}")
    new.write_text("\n".join(secrets))
    new.replace(file)


def fingerprint(web: WebProcess) -> str:
    return str(web.health()["fingerprint"]["secret_key"])


def signed_with(visit: Visit, secret: str) -> bool:
    """Whether this is the secret that is named in the cookie."""
    return visit.cookie.partition("=")[2][32:38] in MachineKey(secret).fingerprints()
