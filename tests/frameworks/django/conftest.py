"""One Django project over each backend, and browsers of either colour that visit it."""

import ast
import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("django", reason="pip install django")

import django
from django.core.management import call_command
from django.test import AsyncClient, Client, override_settings

from sharedsession.frameworks.django.configuration import configuration
from tests.frameworks.django import site

BACKENDS = ("sqlite", "memcached", "redis", "ring")
Deed = tuple[Any, ...]


class Browser:
    """One cookie jar; what it does to the session is a list of deeds: the name of a method, and its arguments."""

    def __init__(self, colour: str, runner: asyncio.Runner) -> None:
        self.colour = colour
        self._runner = runner
        self.client: Any = Client() if colour == "sync" else AsyncClient()

    def go(self, *deeds: Deed, **request: Any) -> Any:
        """Sends one request that does this, and says what the last deed gave as ``response.seen``."""
        return self.visit(self.doing(*deeds), **request)

    def doing(self, *deeds: Deed) -> Callable[[Any], Any]:
        """The page that does this."""

        def page(request: Any) -> Any:
            name, result = "", None
            for name, *arguments in deeds:
                result = getattr(request.session, "__setitem__" if name == "set" else name)(*arguments)
            return sorted(result) if name in {"keys", "items"} else result

        async def apage(request: Any) -> Any:
            name, result = "", None
            for name, *arguments in deeds:
                result = await getattr(request.session, f"a{name}")(*arguments)
            return sorted(result) if name in {"keys", "items"} else result

        return page if self.colour == "sync" else apage

    def visit(self, page: Callable[[Any], Any], kind: str = "", **request: Any) -> Any:
        """Sends one request that this page serves."""
        response = self.get(site.address(kind or self.colour, page), **request)
        if not response.streaming and response.status_code == 200:
            response.seen = ast.literal_eval(response.content.decode())
        return response

    def get(self, path: str, **request: Any) -> Any:
        return self.wait(self.client.get(path, **request))

    def post(self, path: str, data: Any = None, **request: Any) -> Any:
        return self.wait(self.client.post(path, data, **request))

    def wait(self, answer: Any) -> Any:
        """What comes of a call of the client, or of a session's own ``a*`` method."""
        return self._runner.run(answer) if asyncio.iscoroutine(answer) else answer

    @property
    def cookie(self) -> str:
        morsel = self.client.cookies.get("sessionid")
        return morsel.value if morsel else ""

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.client.cookies["sessionid"] = value

    def other(self) -> "Browser":
        """Another browser of the same colour that carries the same cookie."""
        copy = Browser(self.colour, self._runner)
        copy.cookie = self.cookie
        return copy


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Any) -> str:
    """The URL of an empty backend."""
    if "://" in request.param:
        return str(request.param)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sessions.db"
    return str(request.getfixturevalue(request.param).url)


@pytest.fixture
def shared(url: str) -> Iterator[Callable[..., None]]:
    """Django's settings of this test: ``SHAREDSESSION`` by keywords, over the test's backend."""
    with override_settings(SHAREDSESSION={"BACKEND": url, "TIMEOUT": 5}):
        yield lambda **more: override_settings(SHAREDSESSION={"BACKEND": url, "TIMEOUT": 5, **more})


@pytest.fixture
def runner(shared: Any) -> Iterator[asyncio.Runner]:
    """An event loop of the test's own, closed with what is connected to it."""
    with asyncio.Runner() as runner:
        yield runner
        native = getattr(configuration().settings.backend, "asynchronous", None)
        if native is not None:
            runner.run(native.close())
    configuration().settings.backend.close()


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def browser(colour: str, runner: asyncio.Runner) -> Browser:
    return Browser(colour, runner)


@pytest.fixture(scope="session")
def _tables() -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)


@pytest.fixture
def user(_tables: None, colour: str) -> Iterator[Any]:
    """Alice, who may use the admin."""
    from django.contrib.auth.models import User

    if colour == "async" and django.VERSION < (5,):
        pytest.skip("Django has no asynchronous logins before 5.0")

    alice = User.objects.create_superuser("alice", password="wonderland")
    yield alice
    alice.delete()
