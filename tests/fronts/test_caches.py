"""Caching fronts, and pages that all ask to be kept: nobody gets another visitor's page or cookie."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

CACHES = ("nginx-cache", "nginx-cache-bold", "varnish", "varnish-bold")
VISITORS, REQUESTS, AT_A_TIME = 50, 20, 10
PAGES = ("/mine", "/home", "/stream", "/public", "/public", "/renew", "/enter")


class Register:
    """Who was given which cookie, and what came out of the cache."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.hits: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def note(self, visitor: Any, path: str, expected: str, answer: Any) -> None:
        """Writes down one answer, and whatever is wrong with it."""
        set_cookies = answer.headers.get_list("set-cookie")
        with self._lock:
            if (answer.status_code, answer.text) != (200, expected):
                self.wrong.append(f"{visitor.name} at {path}: {answer.status_code} {answer.text!r}")
            if len(set_cookies) != (path in ("/enter", "/renew", "/leave")):
                self.wrong.append(f"{visitor.name} at {path}: {len(set_cookies)} Set-Cookie")
            token = visitor.cookies.get("__Host-session")
            if token and self.owners.setdefault(token, visitor.name) != visitor.name:
                self.wrong.append(f"{visitor.name} at {path}: the cookie of {self.owners[token]}")
            self.hits[path] += answer.headers["x-cache"] == "HIT"


def wander(visitor: Any, register: Register) -> None:
    """Comes anonymously, enters, looks around, leaves, and is nobody again: 20 requests."""
    chance = random.Random(visitor.name)
    way = [("/mine", "nobody"), ("/enter", visitor.name)]
    way += [(chance.choice(PAGES), visitor.name) for _ in range(REQUESTS - 4)]
    for path, name in [*way, ("/leave", "goodbye"), ("/mine", "nobody")]:
        register.note(visitor, path, "for everybody" if path == "/public" else name, visitor.go(path))


@pytest.mark.parametrize("name", CACHES)
def test_a_thousand_requests_mix_nobody_up(front: Any, farm: Any, browser: Any, name: str) -> None:
    """50 visitors, ten at a time: own pages and own cookies only, though the cache is at work.

    The bold ones are told to store responses with a Set-Cookie, too.
    """
    register = Register()
    with front(name, farm) as url:
        visitors = [browser(url, f"v{number}") for number in range(VISITORS)]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            for done in [pool.submit(wander, visitor, register) for visitor in visitors]:
                done.result()
    assert register.wrong == []
    assert len(register.owners) > VISITORS
    assert register.hits["/public"] > VISITORS
    assert register.hits["/mine"] > 0  # one's own, or of somebody who is nobody either
    assert register.hits["/enter"] == register.hits["/renew"] == register.hits["/leave"] == 0


@pytest.mark.parametrize("name", CACHES)
def test_a_page_without_session_comes_out_of_the_cache(front: Any, farm: Any, browser: Any, name: str) -> None:
    """For visitors with and without a cookie, whoever asked first; it has no ``Vary: Cookie``."""
    with front(name, farm) as url:
        ada, bob, anonymous = browser(url, "ada"), browser(url, "bob"), browser(url)
        ada.go("/enter")
        bob.go("/enter")
        answers = [visitor.go("/public") for visitor in (ada, bob, anonymous, ada)]
    assert [answer.headers["x-cache"] for answer in answers] == ["MISS", "HIT", "HIT", "HIT"]
    assert len({answer.headers["x-node"] for answer in answers}) == 1
    assert not [answer for answer in answers if "vary" in answer.headers]
    if name.startswith("varnish"):
        assert all("age" in answer.headers for answer in answers)


@pytest.mark.parametrize("name", CACHES)
def test_the_library_s_headers_are_what_keeps_them_apart(front: Any, farm: Any, browser: Any, name: str) -> None:
    """The same page with these headers taken away: the cache does hand it to the wrong visitor."""
    with front(name, farm) as url:
        ada, bob = browser(url, "ada"), browser(url, "bob")
        ada.go("/enter")
        bob.go("/enter")
        assert [ada.go("/mine").text, bob.go("/mine").text] == ["ada", "bob"]
        assert [ada.go("/careless").text, bob.go("/careless").text] == ["ada", "ada"]
