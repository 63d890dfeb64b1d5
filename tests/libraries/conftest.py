"""`two_processes`: an application in two web processes over one Redis. The settings come from the environment alone."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from sharedsession import MachineKey
from tests.libraries.visitor import PATIENCE
from tests.support.servers import Redis
from tests.support.webserver import running

TwoProcesses = Callable[..., list[str]]


@pytest.fixture
def two_processes(redis: Redis) -> Iterator[TwoProcesses]:
    """Starts ``"module:name"`` twice under one kind of web server (see `SERVERS`) and gives both addresses."""
    env = {
        "SHAREDSESSION_BACKEND": redis.url,
        "SHAREDSESSION_SECRET_KEY": MachineKey.generate(),
        "SHAREDSESSION_DEVELOPMENT": "1",  # plain HTTP; all else is as shipped
        "SHAREDSESSION_TIMEOUT": "5",
    }
    with ExitStack() as stack:

        def start(app: str, server: str, more: Mapping[str, str] | None = None) -> list[str]:
            options = {"env": env | dict(more or {}), "workers": 1, "patience": PATIENCE}
            both = [running(server, app, **options) for _ in range(2)]
            with ThreadPoolExecutor() as side_by_side:  # some take seconds to import
                return [web.url for web in side_by_side.map(stack.enter_context, both)]

        yield start
