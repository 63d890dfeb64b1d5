"""The farm page of the demo over plain HTTP: what its buttons do, who may press them, what is on it."""

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

import pytest

from sharedsession.demo import load
from sharedsession.demo.console import Console, combined, health_of, summed
from sharedsession.demo.http1 import BadRequest, BrowserRequest
from sharedsession.demo.load import Load
from sharedsession.demo.processes import Child, kill
from sharedsession.demo.servers import Store
from sharedsession.demo.webprocess import WebProcess
from sharedsession.manager import SessionManager
from tests.integration.demofarm import LINUX, Demo, Page, need, poll

ACROSS = [
    {"Origin": "http://evil.example"},
    {"Origin": "http://["},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.fixture(scope="module")
def ring_demo(tmp_path_factory):
    """Three web nodes over a ring of three memcached nodes."""
    need("memcached")
    with Demo("memcached", tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture(scope="module")
def file_demo(tmp_path_factory):
    """Three web nodes over a file."""
    with Demo("sqlite", tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def browser(ring_demo):
    with ring_demo.browser() as client:
        yield client


LIVE = 'class="progress" data-live>'


def token_of(browser):
    return re.search(r'name="token" value="(\w+)"', browser.get("/farm").text)[1]


def press(browser, verb, node="", **headers):
    form = {"token": token_of(browser), "do": verb, "node": node}
    return browser.post("/farm", data=form, headers=headers, follow_redirects=False)


def facts(browser):
    return browser.get("/farm?json").json()["facts"]


def states(browser):
    return {node["name"]: node["state"] for node in facts(browser)["nodes"]}


def test_a_killed_store_node_costs_nothing(browser):
    """The count goes on with the same cookie; the page says which node is down, and when it is back."""
    assert [Page.of(browser.get("/")).visits for _ in range(3)] == [1, 2, 3]
    cookie = browser.cookies["session"]
    assert press(browser, "kill", "mc-2").headers["Location"] == "?#mc-2"
    poll(lambda: states(browser) == {"mc-1": "up", "mc-2": "down", "mc-3": "up"})
    assert [Page.of(browser.get("/")).visits for _ in range(6)] == list(range(4, 10))
    assert browser.cookies["session"] == cookie
    press(browser, "restart", "mc-2")
    poll(lambda: set(states(browser).values()) == {"up"})
    assert Page.of(browser.get("/")).visits == 10


def test_a_stopped_store_node_costs_nothing(browser):
    """It hangs, and is left alone; then it goes on."""
    browser.get("/")
    press(browser, "stop", "mc-3")
    poll(lambda: states(browser)["mc-3"] == "down")
    assert '<b>mc-3</b> <b class="stopped">stopped</b>' in browser.get("/farm").text
    assert [Page.of(browser.get("/")).visits for _ in range(4)] == [2, 3, 4, 5]
    press(browser, "continue", "mc-3")
    poll(lambda: states(browser)["mc-3"] == "up")


def test_a_stopped_web_node_is_passed_over(browser):
    """Until it is continued; whoever starts it on the shop's page continues it as well."""
    for go_on in (lambda: press(browser, "continue", "web-2"), lambda: browser.post("/farm/start/web-2")):
        press(browser, "stop", "web-2")
        assert {Page.of(browser.get("/")).node for _ in range(6)} == {"web-1", "web-3"}
        go_on()
        assert {Page.of(browser.get("/")).node for _ in range(6)} == {"web-1", "web-2", "web-3"}


def test_a_web_node_starts_anew(browser):
    """Another process has its name, and what the old one counted is still counted."""
    browser.get("/")
    before, created = browser.get("/farm").text, facts(browser)["counters"]["created"]
    press(browser, "restart", "web-1")
    processes = [re.search(r"<b>web-1</b>.*?process (\d+)", text)[1] for text in (before, browser.get("/farm").text)]
    assert processes[0] != processes[1]
    assert facts(browser)["counters"]["created"] >= created


def test_load_is_counted(browser):
    """Its visitors come through the front, and each count goes on by one."""
    press(browser, "load")

    def visits():
        text = browser.get("/farm").text
        return {name: int(re.search(rf'id="load-{name}">([\d,]+)<', text)[1].replace(",", "")) for name in counts}

    counts = ("visits", "lost", "failed")
    poll(lambda: visits()["visits"] > 20)
    press(browser, "load")  # those that are under way go on alone
    assert visits()["visits"] > 20
    text = browser.get("/farm").text
    assert LIVE in text
    assert re.search(r'<progress id="load-progress" max="30" value="[\d.]+">\d+ of 30 s, running<', text)
    answered = re.search(r'id="load-nodes">(.*?)</p>', text)[1]
    assert all(f"{node}: " in answered for node in ("web-1", "web-2", "web-3"))
    assert press(browser, "unload").headers["Location"] == "?#load"
    text, stopped = browser.get("/farm").text, visits()
    assert (stopped["lost"], stopped["failed"]) == (0, 0)
    assert (LIVE in text, "start-load" in text, "s, ended<" in text) == (False, True, True)
    assert visits() == stopped


def test_a_form_needs_the_token_of_its_visitor(browser, ring_demo):
    """None, a wrong one and somebody else's are refused, and nothing happens."""
    with ring_demo.browser() as other:
        foreign = token_of(other)
    for token in ("", "0" * 64, foreign):
        token_of(browser)
        assert browser.post("/farm", data={"token": token, "do": "kill", "node": "web-1"}).status_code == 403
    assert '<b>web-1</b> <b class="up">' in browser.get("/farm").text


@pytest.mark.parametrize("headers", ACROSS)
def test_another_site_presses_no_button(browser, headers):
    """Not even with the right token."""
    assert press(browser, "kill", "web-1", **headers).status_code == 403
    assert '<b>web-1</b> <b class="up">' in browser.get("/farm").text


def test_a_foreign_name_for_this_machine_is_refused(browser):
    """A name that somebody else's server had resolved to 127.0.0.1 (DNS rebinding)."""
    for host in ("evil.example", "["):
        for path in ("/", "/farm", "/farm?json"):
            assert browser.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(("verb", "node"), [("kill", "web-9"), ("dance", "web-1"), ("", "")])
def test_there_is_no_other_button(browser, verb, node):
    """404, for a name or a verb that is not on the page."""
    assert press(browser, verb, node).status_code == 404


def test_the_page_is_there_to_be_looked_at(browser):
    """HEAD has no body, PUT is refused, and the web nodes' own facts are not for visitors."""
    assert browser.head("/farm").content == b""
    assert browser.put("/farm").status_code == 405
    assert browser.get("/farm/health").status_code == 404


def test_it_neither_counts_nor_touches_a_session(browser):
    """Looking at the farm is no visit."""
    browser.get("/")
    browser.get("/farm")
    assert "farmpage-anonymous" in browser.cookies
    assert Page.of(browser.get("/")).visits == 2


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_the_secret_is_not_on_it(browser, ring_demo):
    """Nor is a session's cookie."""
    browser.get("/")
    shown = browser.get("/farm").text + browser.get("/farm?json").text
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in ring_demo.children()]
    (secret,) = {s for text in environments for s in re.findall(rb"SHAREDSESSION_SECRET_KEY=([^\0]+)", text)}
    assert secret.decode() not in shown
    assert browser.cookies["session"].split(".")[0] not in shown


def test_the_web_nodes_are_listed_and_agree(browser, ring_demo):
    """Each announces itself with its first request; the process is the one that its buttons are for."""
    for _ in range(3):
        browser.get("/")

    def running():
        return set(re.findall(r"<b>web-\d</b>.*?process (\d+)", browser.get("/farm").text))

    def announced():
        return {node["name"].rpartition(":")[2] for node in facts(browser)["web_nodes"] or ()}

    poll(lambda: running() <= announced())
    assert not [node for node in facts(browser)["web_nodes"] if node["faults"] or node["notes"]]
    assert '<b class="up">agrees</b>' in browser.get("/farm").text


def test_what_the_next_kill_costs_is_said_before(browser):
    """With all nodes up, with one down, and when all of them come back."""

    def advice():
        return re.search(r'class="(\w+)" id="advice">([^<]*)<', browser.get("/farm").text).groups()

    level, text = advice()
    assert (level, "Kill any one of them: nothing is lost" in text) == ("up", True)
    press(browser, "kill", "mc-1")
    level, text = advice()
    assert (level, "before you do" in text) == ("warn", True)
    press(browser, "restart", "mc-1")
    poll(lambda: set(states(browser).values()) == {"up"})
    assert advice()[0] == "up"


def test_a_file_has_no_ring(file_demo):
    """The page then shows the web nodes, the counters and the latency."""
    with file_demo.browser() as browser:
        browser.get("/")
        text = browser.get("/farm").text
        assert 'id="ring"' not in text
        assert "ombstone" not in text
        assert "<dt>Kind</dt><dd>sqlite</dd>" in text
        assert '<b>web-3</b> <b class="up">' in text
        assert facts(browser)["totals"]["Sessions created"] == 1
        assert 'role="status"><span class="up">The store answers' in text


# -- the parts


def test_what_the_nodes_counted_is_added_up():
    """The state of a store's server is the front's own finding, failures are everybody's."""

    def health(state, failures, **counters):
        node = {"name": "a", "state": state, "failures": failures, "tombstones_waiting": 1}
        return {"backend": {"nodes": [node], "counters": counters}, "counters": counters, "fingerprint": {}}

    told = combined(health("down", 1), [health("up", 2, x=1), health("up", 3, x=2, y=5)])
    assert told["counters"] == told["backend"]["counters"] == {"x": 3, "y": 5}
    assert told["backend"]["nodes"] == [{"name": "a", "state": "down", "failures": 6, "tombstones_waiting": 3}]
    assert summed([]) == {}


def test_a_silent_web_node_says_nothing():
    """And holds nobody up."""
    assert asyncio.run(health_of(WebProcess("web-1", {}))) is None


def test_lost_counts_and_silence_are_told_apart(monkeypatch):
    """A count that is not the one that was due is lost; no answer is no answer, and may have been counted."""
    monkeypatch.setattr(load, "VISITORS", 1)
    monkeypatch.setattr(load, "SECONDS", 60)
    monkeypatch.setattr(load, "PAUSE", 0)
    answers = iter([b'id="visits">1<', b'id="visits">9<', b'id="visits">10<', b"Sorry", b'id="visits">12<'])

    async def answered(_port, _path, *_fields):
        try:
            return [], next(answers)
        except StopIteration:
            raise ConnectionRefusedError from None

    monkeypatch.setattr(load, "fetch", answered)

    async def run():
        visitors = Load(1)
        await visitors.close()
        await visitors.start()
        while visitors.failed < 2:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0)
        assert visitors.is_running
        await visitors.close()
        assert not visitors.is_running
        return visitors.visits, visitors.lost

    assert asyncio.run(run()) == (3, 1)


def test_a_process_is_stopped_once_and_killed_while_stopped():
    """Stopping one that is not there, or twice, does nothing."""

    class Sleeper(Child):
        async def start(self):
            self._process = await asyncio.create_subprocess_exec("/bin/sleep", "60", start_new_session=True)

    async def live():
        child = Sleeper("sleeper")
        seen = [child.state]
        await child.stop()
        await child.kill()
        for step in (child.start, child.stop, child.stop, child.resume, child.resume, child.stop, child.restart):
            await step()
            seen.append(child.state)
        await kill(child._process)
        return [*seen, child.state]

    assert asyncio.run(live()) == ["down", "up", "stopped", "stopped", "up", "up", "stopped", "up", "down"]


def test_a_page_without_an_address_is_refused(tmp_path):
    """As one of a foreign name."""

    async def ask():
        manager = SessionManager.from_settings(secret_key="x", backend="memory://", development=True)
        await Console(manager, [], Store("", "", ""), Load(1)).answer(BrowserRequest("GET", "/farm", []))

    with pytest.raises(BadRequest) as fault:
        asyncio.run(ask())
    assert fault.value.status is HTTPStatus.MISDIRECTED_REQUEST
