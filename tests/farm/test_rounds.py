"""Rounds on each store: whatever ends sessions at whatever moment, an end is an end, and what is spared lives."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.farm.places import MemcachedPlace, Place, RedisPlace, RingPlace, SqlitePlace
from tests.farm.rounds import Campaign
from tests.support.binaries import MissingServerError

ROUNDS = int(os.environ.get("FARM_ROUNDS", "60"))  # on each store; `make farm` asks for 10,000
PARTS = 4 if ROUNDS >= 1000 else 1
STORES = ("sqlite", "redis", "memcached", "ring")


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kinds = {"redis": RedisPlace, "memcached": MemcachedPlace, "ring": RingPlace}
    try:
        made = SqlitePlace(tmp_path) if request.param == "sqlite" else kinds[request.param]()
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
    with made:
        yield made


@pytest.mark.parametrize("part", range(PARTS))
def test_an_end_is_an_end(place: Place, part: int) -> None:
    """No session outlives its end, none shows another's data, none is lost: see `ends` for the rules."""
    rounds = range(part, ROUNDS, PARTS)
    with Campaign(place, seed=int(os.environ.get("FARM_SEED", "1"))) as campaign:
        for number in rounds:
            campaign.run(number)
        counts = campaign.counts
    print(len(rounds), "rounds:", counts)  # noqa: T201  # with -s, for the record
    for name, least in {"revocations": 1, "spared": 0.2, "logouts": 0.5, "IDs": 4, "looks": 30}.items():
        assert counts[name] >= least * len(rounds), counts
    assert counts["alive at the end"] > 0
