"""The farm behind each front of ``examples/``: sticky or not, a web node less or not, no visitor can tell."""

from functools import partial
from typing import Any

import pytest

from tests.farm.laboratory import until
from tests.fronts.conftest import FRONTS, NODES

PLAIN = [name for name in FRONTS if "bold" not in name]
STICKY = [name for name in FRONTS if "affinity" in name]


@pytest.mark.parametrize("name", PLAIN)
def test_a_visit_is_the_same_behind_each_front(front: Any, farm: Any, browser: Any, name: str) -> None:
    """Anonymous, login, twelve changes, a new ID, logout: the same words behind every front, sticky or not."""
    with front(name, farm) as url:
        ada, bob = browser(url, "ada"), browser(url, "bob")
        assert [ada.go("/mine").text, ada.go("/enter").text, bob.go("/enter").text] == ["nobody", "ada", "bob"]
        for number in range(1, 13):
            for visitor in (ada, bob):
                assert visitor.go("/count", "POST").text == f"{visitor.name} {number}"
        stolen = dict(ada.cookies)
        assert ada.go("/renew").text == "ada"
        assert ada.go("/count", "POST").text == "ada 13"
        assert ada.go("/leave").text == "goodbye"
        assert "__Host-session" not in ada.cookies
        thief = browser(url, "ada")
        thief.cookies = stolen
        assert [thief.go("/home").text, ada.go("/home").text, bob.go("/home").text] == ["nobody", "nobody", "bob"]


@pytest.mark.parametrize("name", PLAIN)
def test_what_a_visitor_says_of_the_scheme_is_not_heard(front: Any, farm: Any, browser: Any, name: str) -> None:
    """Gunicorn refuses a request whose headers contradict each other, with 400."""
    lies = {"X-Forwarded-Ssl": "on", "X-Forwarded-Protocol": "http"}
    with front(name, farm) as url:
        served = set()
        for number in range(20):
            visitor = browser(url, f"v{number}")
            answer = visitor.go("/enter", headers=lies)
            assert (answer.status_code, answer.text) == (200, visitor.name)
            served.add(answer.headers["x-node"])
    assert served & {"a", "c"}  # gunicorn's


@pytest.mark.parametrize("name", PLAIN)
def test_a_front_is_sticky_if_it_says_so(front: Any, farm: Any, browser: Any, name: str) -> None:
    """Affinity is real where it is on, and each node serves where it is off; so both are really tried."""
    with front(name, farm) as url:
        served = []
        for number in range(40):
            visitor = browser(url, f"v{number}")
            visitor.go("/enter")
            served.append({visitor.go("/count", "POST").headers["x-node"] for _ in range(4)})
    assert set.union(*served) == NODES.keys()
    assert max(map(len, served)) == 1 if name in STICKY else max(map(len, served)) > 1


@pytest.mark.parametrize("killed", ["a", "b"], ids=["wsgi", "asgi"])
@pytest.mark.parametrize("name", PLAIN)
def test_a_killed_node_loses_no_session(front: Any, mortal: Any, browser: Any, name: str, killed: str) -> None:
    """50 visitors, SIGKILL for one of three web nodes: each is still logged in, and their counts go on."""
    with front(name, mortal) as url:
        visitors = [browser(url, f"v{number}") for number in range(50)]
        served = set()
        for visitor in visitors:
            visitor.go("/enter")
            served.add(visitor.go("/count", "POST").headers["x-node"])
        assert killed in served
        mortal.kill(killed)
        for visitor in visitors:
            assert visitor.go("/mine").text == visitor.name
        refused = []
        for visitor in visitors:
            answer = until(partial(answered, visitor, refused))
            assert answer.text == f"{visitor.name} 2"
            assert answer.headers["x-node"] != killed
        assert refused == [] or name == "varnish"  # it sends no POST twice: 503 until its probe has found the node dead


def answered(visitor: Any, refused: list[Any]) -> Any:
    """The answer to a change, if the front has found a node for it."""
    answer = visitor.go("/count", "POST")
    if answer.status_code == 200:
        return answer
    refused.append(answer.status_code)
    return None
