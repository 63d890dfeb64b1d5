"""The judge of the rounds: what it acquits, and each crime, planted here."""

import pytest

from tests.support.ends import Chain, Ends, Logout, Look, Revocation, Seen, Span, Token

PRINCIPAL = "user:1"
ALIVE: Seen = (PRINCIPAL, "s")
DEAD: Seen = None


class Story:
    """One session that logged in from 0 to 1, and another one."""

    def __init__(self) -> None:
        self.ends = Ends(PRINCIPAL)
        self.token = Token("cookie")
        self.chain = Chain("s", Span(0, 1), 1, [self.token])
        self.other = Chain("o", Span(0, 1), 1, [Token("other")])
        self.ends.chains += [self.chain, self.other]

    def look(self, begin: float, end: float, seen: Seen, token: Token | None = None) -> None:
        self.ends.looks.append(Look(self.chain, token or self.token, Span(begin, end), seen, "web"))

    def revoke(
        self, begin: float, end: float, *, acked: bool = True, spared: Chain | None = None, holds: bool = False
    ) -> Revocation:
        self.ends.revocations.append(Revocation(Span(begin, end), acked, spared, holds))
        return self.ends.revocations[-1]

    def regenerate(self, begin: float, end: float, grace: float = 0.0) -> Token:
        last = self.chain.tokens[-1]
        last.leaving, last.left, last.grace = begin, end, grace
        self.chain.tokens.append(Token("next"))
        return self.chain.tokens[-1]

    def logout(self, begin: float, end: float, token: Token | None = None, *, acked: bool = True) -> None:
        self.ends.logouts.append(Logout(self.chain, token or self.token, Span(begin, end), acked, "web"))

    @property
    def verdict(self) -> list[str]:
        return [line.partition(":")[0] for line in self.ends.violations()]


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_life_without_an_end(story: Story) -> None:
    """Alive all the time; dead is a loss, and so is another's data."""
    story.look(2, 3, ALIVE)
    assert story.verdict == []
    story.look(4, 5, DEAD)
    story.look(4, 5, ("user:2", "s"))
    story.look(4, 5, (PRINCIPAL, "o"))
    assert story.verdict == ["lost", "mixed up", "mixed up"]


def test_alive_after_everything_was_revoked(story: Story) -> None:
    """Neither its own ID nor a new one, whenever that was handed out."""
    story.revoke(2, 3)
    story.look(2.5, 4, ALIVE)
    story.look(3, 4, DEAD)
    assert story.verdict == []
    renewed = story.regenerate(2, 5)
    story.look(6, 7, ALIVE, renewed)
    assert story.verdict == ["revoked"]


def test_a_login_beside_a_revocation(story: Story) -> None:
    """It may stand before or after it; but not be dead first, and then alive."""
    story.revoke(0.5, 2)
    story.look(3, 4, ALIVE)
    assert story.verdict == []
    story.look(5, 6, DEAD)
    assert story.verdict == []
    story.look(7, 8, ALIVE)
    assert story.verdict == ["revived"]


def test_a_login_by_a_ticket_that_was_taken_before(story: Story) -> None:
    """It must not live, though it was answered long after."""
    story.chain.login, story.chain.since = Span(5, 6), 1
    story.revoke(2, 3)
    story.look(7, 8, ALIVE)
    assert story.verdict == ["revoked"]


def test_a_login_after_a_revocation_lives(story: Story) -> None:
    """What was revoked before it began is no excuse."""
    story.chain.login, story.chain.since = Span(5, 6), 6
    story.revoke(2, 3)
    story.look(7, 8, DEAD)
    assert story.verdict == ["lost"]


def test_what_was_not_acknowledged_proves_nothing(story: Story) -> None:
    """It may have been done, or not."""
    story.revoke(2, 3, acked=False)
    story.look(4, 5, ALIVE)
    assert story.verdict == []
    story.look(6, 7, DEAD)
    assert story.verdict == []


def test_one_that_was_spared_lives(story: Story) -> None:
    """Dead it was lost; unless another revocation ran beside the request that asked, and it was not `revoke_others`."""
    story.revoke(2, 3, spared=story.chain).request = Span(1.5, 4)
    story.look(5, 6, DEAD)
    assert story.verdict == ["lost"]
    story.revoke(3.5, 4.5, spared=story.chain, holds=True)
    assert story.verdict == []
    story.ends.revocations[0].holds = True
    assert story.verdict == ["lost"]


def test_one_that_was_not_spared_does_not_live(story: Story) -> None:
    """Another one was."""
    story.revoke(2, 3, spared=story.other)
    story.look(4, 5, ALIVE)
    assert story.verdict == ["revoked"]


def test_alive_after_its_logout(story: Story) -> None:
    """By its ID, by the one that was handed out meanwhile, or by an older one that has its grace."""
    story.logout(2, 3)
    story.look(2, 4, ALIVE)
    assert story.verdict == []
    renewed = story.regenerate(2, 5, grace=60)
    story.look(6, 7, ALIVE, renewed)
    story.look(6, 7, ALIVE)
    assert story.verdict == ["logged out", "logged out"]


def test_a_logout_by_an_id_that_is_two_changes_old(story: Story) -> None:
    """Its note leads one step: of the third ID it says nothing."""
    second = story.regenerate(2, 3, grace=60)
    third = story.regenerate(4, 6, grace=60)
    story.logout(5, 7)
    story.look(8, 9, ALIVE, third)
    story.look(8, 9, ALIVE, second)
    assert story.verdict == []
    story.look(8, 9, ALIVE)
    assert story.verdict == ["logged out"]


def test_an_old_id_shows_nothing_but_in_its_grace(story: Story) -> None:
    """Without one, from the answer on."""
    story.regenerate(2, 3)
    story.look(2.5, 4, ALIVE)
    assert story.verdict == []
    story.look(4, 5, ALIVE)
    assert story.verdict == ["old ID"]
    story.token.grace = 20
    assert story.verdict == []
    story.look(30, 31, ALIVE)
    assert story.verdict == ["old ID"]


def test_a_forgotten_stamp_ends_sessions_and_revives_none_that_was_revoked(story: Story) -> None:
    """It is an excuse for a loss."""
    story.ends.stamp_lost = True
    story.look(2, 3, DEAD)
    assert story.verdict == []
    story.revoke(4, 5)
    story.look(6, 7, ALIVE)
    assert story.verdict == ["revoked"]


def test_a_stamp_that_is_evicted_in_the_moment_of_its_change(story: Story) -> None:
    """Then a read that is under way may put the old one back; evicted before or later it excuses nothing."""
    story.revoke(4, 5)
    story.look(6, 7, ALIVE)
    for span, verdict in [(Span(3, 3.9), ["revoked"]), (Span(4.9, 5.1), []), (Span(5.2, 5.3), ["revoked"])]:
        story.ends.evictions[:] = [span]
        assert story.verdict == verdict


def test_a_login_that_is_refused(story: Story) -> None:
    """Only where something was revoked meanwhile."""
    story.ends.refused.append(Span(4, 5))
    assert story.verdict == ["refused"]
    story.revoke(4.5, 6)
    assert story.verdict == []
