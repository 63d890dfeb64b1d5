"""What a fault costs in time: one wait per process and breaker window, never more than two, then answers at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from sharedsession.manager import engines_of
from tests.farm.laboratory import TIMEOUT, VICTIMS, WINDOW, Laboratory, until
from tests.support import stopwatch
from tests.support.farm import COLOURS, Answer, Browser, Handler, WebNode, destroy, read, write
from tests.support.stopwatch import AT_ONCE, SLACK

SPAN = 0.9  # seconds to look at: two windows, and a little
SLOW = 0.1  # between a request that waited for a timeout and one that did not


@pytest.fixture(params=COLOURS)
def web_node(request: pytest.FixtureRequest) -> Iterator[Callable[[str], WebNode]]:
    """Makes web nodes of each colour."""
    with ExitStack() as stack:
        yield lambda url, **settings: stack.enter_context(
            WebNode(request.param, url, **{"timeout": TIMEOUT, "breaker_window": WINDOW} | settings)
        )


@pytest.fixture
def lab(laboratory: Callable[..., Laboratory]) -> Laboratory:
    return laboratory()


def visitors(node: WebNode, many: int = 12) -> list[Browser]:
    """So many that each node of the ring is somebody's."""
    browsers = [Browser([node]) for _ in range(many)]
    for number, browser in enumerate(browsers):
        until(lambda browser=browser, number=number: browser.go(write("n", number)).status == 200)
    return browsers


def timed(browser: Browser, handler: Handler) -> tuple[Answer, float]:
    return stopwatch.timed(lambda: browser.go(handler))


def states(node: WebNode) -> list[str]:
    return [fact["state"] for fact in node.manager.health()["backend"]["nodes"]]


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("writing", [False, True], ids=["read", "write"])
def test_one_node_stopped(lab: Laboratory, web_node: Callable[..., WebNode], victim: int, writing: bool) -> None:
    """All requests are answered, each in T + 50 ms, and only one of a breaker window has to wait."""
    node = web_node(lab.url())
    browsers = visitors(node)
    lab.nodes[victim].server.freeze()
    begin, slow, number = time.monotonic(), 0, 0
    while time.monotonic() < begin + SPAN:
        browser = browsers[number % len(browsers)]
        answer, took = timed(browser, write("x", number) if writing else read("n"))
        assert answer.status == 200
        assert took < TIMEOUT + SLACK
        slow += took > SLOW
        number += 1
    windows = (time.monotonic() - begin) / WINDOW + 1
    assert number > 8  # had each waited, there would have been four
    assert 1 <= slow <= windows
    lab.nodes[victim].server.resume()


def test_one_node_stopped_with_many_requests_at_a_time(lab: Laboratory, web_node: Callable[..., WebNode]) -> None:
    """Those that were on their way wait together; the next ones not at all."""
    from concurrent.futures import ThreadPoolExecutor

    node = web_node(lab.url())
    browsers = visitors(node, 20)
    lab.nodes[0].server.freeze()
    with ThreadPoolExecutor(20) as crowd:
        for answer, took in crowd.map(lambda browser: timed(browser, read("n")), browsers):
            assert answer.status == 200
            assert took < TIMEOUT + SLACK
    assert states(node).count("down") == 1
    assert min(timed(browser, read("n"))[1] for browser in browsers) < SLOW


@pytest.mark.parametrize("deed", ["read", "write", "login", "logout"])
def test_all_nodes_stopped(lab: Laboratory, web_node: Callable[..., WebNode], deed: str) -> None:
    """Two timeouts at most, then 503 at once; when the nodes go on, all is as it was."""
    node = web_node(lab.url())
    browsers = visitors(node)
    handler = {"read": read("n"), "write": write("x", 1), "login": write("x", 1), "logout": destroy}[deed]
    cookies = [browser.cookie for browser in browsers]
    for each in lab.nodes:
        each.server.freeze()
    times = []
    for browser in browsers:
        browser.cookie = "" if deed == "login" else browser.cookie
        answer, took = timed(browser, handler)
        assert (answer.status, answer.set_cookies) == (503, [])
        assert took < 2 * TIMEOUT + SLACK
        times.append(took)
    assert min(times) < AT_ONCE
    assert sum(times) < 2 * TIMEOUT * (len(browsers) / 2)
    for each in lab.nodes:
        each.server.resume()
    for number, (browser, cookie) in enumerate(zip(browsers, cookies, strict=True)):
        browser.cookie = cookie
        answer = until(lambda browser=browser: (answer := browser.go(read("n"))).status == 200 and answer)
        assert answer.body in ({repr(number), "None"} if deed == "logout" else {repr(number)})


@pytest.mark.parametrize("deed", ["read", "login"])
def test_all_nodes_stay_stopped(lab: Laboratory, web_node: Callable[..., WebNode], deed: str) -> None:
    """The probes too take two timeouts at most, and there is one a window at most for each node."""
    node = web_node(lab.url())
    browsers = visitors(node)
    for each in lab.nodes:
        each.server.freeze()
    begin, slow, number = time.monotonic(), 0, 0
    while time.monotonic() < begin + SPAN:
        browser = Browser([node]) if deed == "login" else browsers[number % len(browsers)]
        answer, took = timed(browser, read("n") if deed == "read" else write("x", number))
        assert (answer.status, answer.set_cookies) == (503, [])
        assert took < 2 * TIMEOUT + SLACK
        slow += took > SLOW
        number += 1
    assert slow <= len(lab.nodes) * (SPAN / WINDOW + 1)
    for each in lab.nodes:
        each.server.resume()


@pytest.mark.parametrize("deed", ["read", "login", "logout"])
def test_all_nodes_are_probed_by_one_request(lab: Laboratory, web_node: Callable[..., WebNode], deed: str) -> None:
    """It opens three connections to nodes that stand still: two timeouts at most, not one for each."""
    node = web_node(lab.url())
    browsers = visitors(node)
    handler = {"read": read("n"), "login": write("x", 1), "logout": destroy}[deed]
    for each in lab.nodes:
        each.server.freeze()
    for browser in browsers:
        browser.go(read("n"))
    assert states(node) == ["down"] * 3
    for browser in browsers[:2]:
        until(lambda: all(server.guard.is_askable() for server in engines_of(node.manager).settings.backend.servers))
        browser.cookie = "" if deed == "login" else browser.cookie
        answer, took = timed(browser, handler)
        assert (answer.status, answer.set_cookies) == (503, [])
        assert took < 2 * TIMEOUT + SLACK
    for each in lab.nodes:
        each.server.resume()


@pytest.mark.parametrize("deed", ["write", "regenerate", "logout"])
def test_all_nodes_stop_in_the_middle_of_a_request(
    lab: Laboratory, web_node: Callable[..., WebNode], deed: str
) -> None:
    """What remains of the request takes two timeouts at most, and is no success."""
    browser = visitors(web_node(lab.url()), 1)[0]

    def work(session):
        {"write": lambda: session.update(x=1), "regenerate": session.regenerate, "logout": session.destroy}[deed]()
        len(session)
        for each in lab.nodes:
            each.server.freeze()

    answer, took = timed(browser, work)
    assert (answer.status, answer.set_cookies) == (503, [])
    assert took < 2 * TIMEOUT + SLACK
    for each in lab.nodes:
        each.server.resume()


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_node_that_goes_on_is_used_again(lab: Laboratory, web_node: Callable[..., WebNode], victim: int) -> None:
    """Within one breaker window and a second, and without a single error."""
    node = web_node(lab.url())
    browsers = visitors(node)
    lab.nodes[victim].server.freeze()
    for browser in browsers:
        assert browser.go(read("n")).status == 200
    assert states(node)[victim] == "down"
    lab.nodes[victim].server.resume()
    begin = time.monotonic()
    while states(node)[victim] == "down":
        for number, browser in enumerate(browsers):
            assert browser.go(read("n")).body == repr(number)
        assert time.monotonic() < begin + WINDOW + 1
    assert time.monotonic() < begin + WINDOW + 1


def test_what_a_node_missed_is_told_without_holding_up_requests(
    laboratory: Callable[..., Laboratory], web_node: Callable[..., WebNode]
) -> None:
    """Fifty logouts while a node was away; when it is back, though far away, no request pays for them all."""
    lab = laboratory(relayed=[0])
    node = web_node(lab.url())
    leaving, staying = visitors(node, 50), visitors(node)
    lab.nodes[0].wire.refuse()
    lab.nodes[0].wire.cut()
    for browser in leaving:
        assert browser.go(destroy).status == 200
    assert node.manager.health()["backend"]["nodes"][0]["tombstones_waiting"] >= 45
    lab.nodes[0].wire.delay(0.02)
    lab.nodes[0].wire.refuse(False)
    deadline = time.monotonic() + 20
    while node.manager.health()["backend"]["nodes"][0]["tombstones_waiting"]:
        for number, browser in enumerate(staying):
            answer, took = timed(browser, read("n"))
            assert answer.body == repr(number)
            assert took < TIMEOUT + SLACK
        assert time.monotonic() < deadline
