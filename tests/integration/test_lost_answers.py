"""A store that carries a write out and whose answer gets lost: the write counts once, whatever others do meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

from sharedsession.backends import connect
from sharedsession.errors import BackendUnavailable
from sharedsession.manager import engines_of
from tests.support.farm import Browser, WebNode, everything, write


class LosesAnswers:
    """A real backend in front of which the answer to a replace gets lost, once; then somebody else writes."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.meanwhile: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        if name in {"asynchronous", "never_waits"}:
            raise AttributeError(name)
        return getattr(self._backend, name)

    def get(self, *arguments: Any) -> Any:
        return self._backend.get(*arguments)

    def replace(self, *arguments: Any) -> Any:
        version = self._backend.replace(*arguments)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is None:
            return version
        meanwhile()
        return None


@pytest.mark.parametrize("writers", [0, 1, 3])
def test_a_lost_answer_does_not_write_twice(web_node: Callable[..., WebNode], writers: int) -> None:
    """However many requests built on the write before it was looked for: it is found, and not made again."""
    backend = connect("memory://")
    lossy = LosesAnswers(backend)
    node, other = web_node(lossy), web_node(backend)
    browser = Browser([node])
    browser.go(write("n", 0))

    def build_on_it() -> None:
        for _ in range(writers):
            other.request(lambda session: session.increment("n"), browser.cookie)

    lossy.meanwhile = build_on_it
    assert browser.go(lambda session: session.increment("n")).status == 200
    assert browser.go(everything).body == repr({"n": 1 + writers})
    assert engines_of(node.manager).observer.counters["merged"] == 0


class LosesEnds(LosesAnswers):
    """A real backend in front of which the answer to an end gets lost, once."""

    def end(self, *arguments: Any) -> Any:
        note = self._backend.end(*arguments)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            raise BackendUnavailable("the answer was lost")
        return note


def test_a_logout_by_an_old_id_is_told_only_if_the_session_has_ended(web_node: Callable[..., WebNode]) -> None:
    """The note that leads to the new ID goes with the end of the old one: so the session is ended before that."""
    lossy = LosesEnds(connect("memory://"))
    node = web_node(lossy)
    browser = Browser([node])
    browser.go(write("n", 0))
    old = browser.cookie
    browser.go(lambda session: session.regenerate())

    def log_out(session: Any) -> None:
        assert "n" not in session
        session.destroy()

    lossy.meanwhile = lambda: None
    assert node.request(log_out, old).status == 503
    assert node.request(log_out, old).status == 200
    assert browser.go(everything).body == "{}"
