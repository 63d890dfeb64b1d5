"""What the demo says before a kill: as bad as it is, for each store and each state."""

import pytest

from sharedsession.demo.advice import BAD, CAREFUL, GOOD, Farm, after_outage, on_store, without_web_nodes

NODES = {"web-1": True}


def ring(up):
    """A farm over three memcached nodes, of which the first ones are up."""
    return Farm(NODES, {f"mc-{number}": number <= up for number in (1, 2, 3)}, "memcached")


def redis(*, up):
    """A farm over Redis."""
    return Farm(NODES, {"redis": up}, "redis")


@pytest.mark.parametrize(
    ("farm", "level", "words"),
    [
        (Farm(NODES, {}, "sqlite"), GOOD, "no server of it to kill"),
        (redis(up=True), GOOD, "started again, it has every session"),
        (redis(up=False), CAREFUL, "Nothing is lost"),
        (ring(3), GOOD, "Kill any one of them: nothing is lost"),
        (ring(2), CAREFUL, "Start the first one again before you do"),
        (ring(1), BAD, "EVERY session is lost for good"),
        (ring(0), BAD, "every session is lost"),
    ],
)
def test_what_the_next_kill_costs_is_said(farm, level, words):
    """Nothing, something, everything."""
    said, text = on_store(farm)
    assert said == level
    assert words in text


@pytest.mark.parametrize("farm", [Farm(NODES, {}, "sqlite"), redis(up=False), ring(1)])
def test_what_is_kept_is_not_called_lost(farm):
    """A file, a disk, and a last copy."""
    assert "you are not logged out" in after_outage(farm)
    assert "safe in the store" in without_web_nodes(farm)


def test_what_is_lost_is_not_called_kept():
    """When the last memory is gone, with web nodes up or without."""
    assert "not logged out" not in after_outage(ring(0))
    assert "gone" in after_outage(ring(0))
    assert "begins anew" in without_web_nodes(ring(0))
