"""A browser that goes from one web process to the other, and what each login library must show: `live_through`."""

import re
from collections.abc import Callable, Sequence
from typing import Any, Self

import httpx

from tests.support.processes import HOST

COOKIE = "session"  # the name in development
PATIENCE = 60.0  # seconds; the first request waits until the application is imported


class Visitor:
    """One browser. Cookies do not know ports (RFC 6265, 8.5), so both processes get the same ones.

    Args:
        nodes: the addresses of the web processes.
        cookie: of a session, to begin with.
    """

    def __init__(self, nodes: Sequence[str], cookie: str = "") -> None:
        self.nodes = nodes
        self.client = httpx.Client(follow_redirects=True, timeout=PATIENCE)
        if cookie:
            self.client.cookies.set(COOKIE, cookie, domain=HOST)

    @property
    def cookie(self) -> str:
        """The value of the session cookie; empty if there is none."""
        return self.client.cookies.get(COOKIE, "")

    def get(self, node: int, path: str, **options: Any) -> httpx.Response:
        """Asks the process of this number."""
        return self._succeeded(self.client.get(self.nodes[node] + path, **options))

    def post(self, node: int, path: str, **options: Any) -> httpx.Response:
        """Sends a form (``data=``) to the process of this number."""
        return self._succeeded(self.client.post(self.nodes[node] + path, **options))

    def submit(self, node: int, path: str, fields: dict[str, str], page: str = "") -> httpx.Response:
        """Sends a form with the hidden token against forgery that is in its page, by default at the same path."""
        form = self.get(node, page or path).text
        hidden = dict(re.findall(r'name="(csrf\w*)"[^>]*?value="([^"]*)"', form))
        return self.post(node, path, data=fields | hidden, headers={"Referer": self.nodes[node] + path})

    @staticmethod
    def _succeeded(response: httpx.Response) -> httpx.Response:
        assert response.status_code < 400, (response.status_code, response.text[-2000:])
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def live_through(
    nodes: Sequence[str],
    *,
    plant: Callable[[Visitor], object],
    log_in: Callable[[Visitor, int], object],
    who: Callable[[Visitor, int], str | None],
    change: Callable[[Visitor, int], object],
    changed: Callable[[Visitor, int], bool],
    log_out: Callable[[Visitor, int], object],
) -> None:
    """Logs in on one process, changes something on the other, logs out; no old cookie lives on.

    Args:
        nodes: the addresses of two web processes.
        plant: makes an anonymous session.
        log_in: does what a user does to log in, on one process.
        who: returns who is logged in, ``None`` if nobody is.
        change: changes something in the session.
        changed: returns whether the change is there.
        log_out: logs out.
    """
    with Visitor(nodes) as attacker:
        plant(attacker)
        planted = attacker.cookie
        assert planted
        with Visitor(nodes, planted) as visitor:
            log_in(visitor, 0)
            assert [who(visitor, node) for node in (1, 0)] == ["alice", "alice"]
            live = visitor.cookie
            assert live not in {"", planted}
            assert [who(attacker, node) for node in (0, 1)] == [None, None], "the planted ID is logged in"
            change(visitor, 1)
            assert changed(visitor, 0)
            log_out(visitor, 1)
            assert [who(visitor, node) for node in (0, 1)] == [None, None]
    with Visitor(nodes, live) as thief:
        assert [who(thief, node) for node in (0, 1)] == [None, None], "the cookie outlived the logout"
