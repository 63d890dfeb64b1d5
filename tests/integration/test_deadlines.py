"""Each request keeps its own time, whoever else waits on the same connection."""

import asyncio
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.errors import BackendUnavailable
from tests.support.stopwatch import Stopwatch


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_short_wait_beside_a_long_one(kind: str, fresh: Any) -> None:
    """A request with little time left is answered in that time, though another has set the clock for later."""
    server = fresh(kind)

    async def main() -> None:
        store: Any = connect(server.url).asynchronous
        await store.get("k", None, 5.0)
        server.freeze()
        patient = asyncio.create_task(store.get("k", None, 5.0))
        await asyncio.sleep(0)
        with Stopwatch() as stopwatch, pytest.raises(BackendUnavailable):
            await store.get("k", None, 0.1)
        assert stopwatch.passed >= 0.1
        assert stopwatch.took < 0.5
        with pytest.raises(BackendUnavailable):
            await patient  # nobody behind a request that got no answer will get one

    asyncio.run(main())
