"""The farm of ``make demo``, as a person meets it: started as a command, used through its one address."""

import http.client
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.demofarm import LINUX, NODES, PATIENCE, PROGRAMS, ROOT, Demo, Page, need, parent_of, poll


@pytest.fixture(params=PROGRAMS, scope="module")
def demo(request, tmp_path_factory):
    """One farm of each backend for the tests that leave it as it was."""
    need(request.param)
    with Demo(request.param, tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture(params=PROGRAMS)
def own_demo(request, tmp_path):
    """A farm for one test that ends it."""
    need(request.param)
    with Demo(request.param, tmp_path) as running:
        yield running


@pytest.fixture
def browser(demo):
    """A browser that was never here before."""
    with demo.browser() as client:
        yield client


def test_a_browser_has_one_count_on_all_nodes(browser):
    """A hundred visits are answered by all three nodes, and each counts one more."""
    pages = [Page.of(browser.get("/")) for _ in range(100)]
    assert [page.visits for page in pages] == list(range(1, 101))
    assert {page.node for page in pages} == NODES


def test_visits_at_the_same_time_all_count(demo, browser):
    """Three tabs reload at once, on different nodes: no visit is lost."""
    browser.get("/")

    def reload_ten_times(_tab):
        with demo.browser(cookies=dict(browser.cookies)) as tab:
            return [Page.of(tab.get("/")).visits for _ in range(10)]

    with ThreadPoolExecutor(3) as tabs:
        list(tabs.map(reload_ten_times, range(3)))
    assert Page.of(browser.get("/")).visits == 32


def test_requests_of_one_connection_go_round(demo):
    """Also where a browser keeps its connection, each request goes to the next node."""
    connection = http.client.HTTPConnection(demo.address.removeprefix("http://"), timeout=PATIENCE)
    nodes = []
    for _ in range(6):
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        nodes.append(response.headers["X-Web-Node"])
    connection.close()
    assert nodes[:3] == nodes[3:]
    assert set(nodes) == NODES


def test_browsers_do_not_share_a_count(demo):
    """Another browser begins with one."""
    with demo.browser() as one, demo.browser() as other:
        one.get("/")
        one.get("/")
        assert Page.of(other.get("/")).visits == 1


def test_only_the_page_counts(browser):
    """An icon or a wrong address neither counts nor touches the session."""
    browser.get("/")
    for path in ("/favicon.ico", "/robots.txt", "/login"):
        response = browser.get(path)
        assert response.status_code in {404, 405}
        assert "set-cookie" not in response.headers
    assert Page.of(browser.get("/")).visits == 2


def test_login_keeps_the_data_and_changes_the_id(browser):
    """The cart is still there, and the cookie is another one."""
    browser.post("/cart", data={"item": "tea"})
    before = dict(browser.cookies)
    page = Page.of(browser.post("/login", data={"name": "Ada"}))
    assert (page.user, page.cart) == ("Ada", ["tea"])
    assert browser.cookies.keys() == before.keys()
    assert dict(browser.cookies) != before


def test_a_cart_grows_across_nodes_and_is_emptied(browser):
    """Each item is appended to the list inside the session, by whichever node."""
    for item in ("tea", "bread", "salt"):
        page = Page.of(browser.post("/cart", data={"item": item}))
    assert page.cart == ["tea", "bread", "salt"]
    assert Page.of(browser.post("/cart/empty")).cart == []


def test_logout_ends_the_session_everywhere(browser, demo):
    """A copy of the old cookie opens nothing, whichever node is asked."""
    browser.post("/login", data={"name": "Ada"})
    stolen = dict(browser.cookies)
    page = Page.of(browser.post("/logout"))
    assert (page.visits, page.user) == (1, "not logged in")
    for _ in NODES:
        with demo.browser(cookies=stolen) as thief:
            assert Page.of(thief.get("/")).visits == 1


def test_what_a_visitor_types_is_text(browser):
    """Mark-up is shown, not obeyed; long input is cut."""
    response = browser.post("/login", data={"name": "<script>alert(1)</script>" + 99 * "x"})
    assert "<script>" not in response.text
    assert Page.of(response).user == ("<script>alert(1)</script>" + 99 * "x")[:40]
    assert "script-src" not in response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_a_killed_node_costs_nothing(browser):
    """The others go on with the same count; started again, it joins them."""
    visits = Page.of(browser.get("/")).visits
    pages = [Page.of(browser.post("/farm/kill/web-2"))]
    pages += [Page.of(browser.get("/")) for _ in range(9)]
    assert {page.node for page in pages} == {"web-1", "web-3"}
    pages += [Page.of(browser.post("/farm/start/web-2"))]
    pages += [Page.of(browser.get("/")) for _ in range(9)]
    assert {page.node for page in pages} == NODES
    assert [page.visits for page in pages] == list(range(visits + 1, visits + 21))


def test_the_session_outlives_all_web_nodes(browser):
    """With no node up the front says so and can start one, which goes on with the count."""
    browser.get("/")
    answers = [browser.post(f"/farm/kill/{node}") for node in sorted(NODES)]
    assert answers[-1].status_code == 503
    assert "/farm/start/web-1" in answers[-1].text
    pages = [Page.of(browser.post(f"/farm/start/{node}")) for node in sorted(NODES)]
    assert pages[-1].visits == 6  # one, after two of the kills, after each start


def test_the_store_is_killed_on_the_page_and_the_shop_stays_one(own_demo):
    """One node of a ring costs nothing; Redis alone is a page of the shop meanwhile, and comes back with its data."""
    servers = {"memcached": "mc-1", "redis": "redis"}
    with own_demo.browser() as browser:
        browser.get("/")
        (server,) = [servers[kind] for kind in servers if f"/farm/kill/{servers[kind]}" in browser.get("/").text] or [
            ""
        ]
        if not server:
            assert "the store is a file" in browser.get("/").text
            return
        killed = browser.post(f"/farm/kill/{server}")
        assert f"/farm/start/{server}" in killed.text
        if server == "redis":
            assert killed.status_code == 503
            assert "The store does not answer" in killed.text
            assert "you are not logged out" in killed.text
            assert (killed.headers["Retry-After"], killed.headers["X-Web-Node"] in NODES) == ("2", True)
        browser.post(f"/farm/start/{server}")
        poll(lambda: all(browser.get("/").status_code == 200 for _ in NODES))
        before = Page.of(browser.get("/")).visits
        assert before > len(NODES) + 1
        assert Page.of(browser.get("/")).visits == before + 1


def test_the_end_of_all_store_nodes_is_said_before_and_after(own_demo):
    """Of a ring in memory: which kill loses everything, and that it did; then the visitor begins anew."""
    with own_demo.browser() as browser:
        if "/farm/kill/mc-1" not in browser.get("/").text:
            return
        said = [browser.post(f"/farm/kill/mc-{number}").text for number in (1, 2, 3)]
        assert "Start the first one again before you do" in said[0]
        assert "EVERY session is lost for good" in said[1]
        assert "what it stood for is gone" in said[2]
        for number in (1, 2, 3):
            browser.post(f"/farm/start/mc-{number}")
        cookie = browser.cookies["session"]
        poll(lambda: all(browser.get("/").status_code == 200 for _ in NODES))
        assert browser.cookies["session"] != cookie


@pytest.mark.skipif(not LINUX, reason="finds the node's process by /proc")
def test_a_crash_that_nobody_announced_costs_nothing(demo, browser):
    """The front finds out by itself, without an error for anybody."""
    browser.get("/")
    pid = int(re.search(r"process (\d+)", browser.get("/").text)[1])
    os.kill(pid, signal.SIGKILL)
    pages = [Page.of(browser.get("/")) for _ in range(6)]
    assert pages[-1].visits - pages[0].visits == 5
    (gone,) = NODES - {page.node for page in pages}
    browser.post(f"/farm/start/{gone}")


@pytest.mark.parametrize("field", [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")])
def test_another_site_cannot_press_the_buttons(browser, field):
    """A form on a stranger's page kills no node and logs nobody in."""
    for path in ("/farm/kill/web-1", "/login"):
        assert browser.post(path, data={"name": "Eve"}, headers=dict([field])).status_code == 403
    assert {Page.of(browser.get("/")).node for _ in range(6)} == NODES


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/farm/kill/web-1", 405),
        ("POST", "/farm/kill/web-9", 404),
        ("POST", "/farm/dance/web-1", 404),
        ("GET", "/login", 405),
        ("POST", "/", 405),
    ],
)
def test_what_the_page_does_not_offer_is_refused(browser, method, path, status):
    """And nothing comes of it."""
    assert browser.request(method, path).status_code == status


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_the_secret_is_on_no_command_line_and_in_no_output(demo):
    """It is in the environment of the web nodes, the same in each."""
    children = demo.children()
    found = [Path(f"/proc/{pid}/environ").read_bytes() for pid in children]
    secrets = {s for text in found for s in re.findall(rb"SHAREDSESSION_SECRET_KEY=([^\0]+)", text)}
    (secret,) = secrets
    assert not [pid for pid in children if secret in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert secret.decode() not in demo.said + demo.stderr.read_text()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(own_demo, signum):
    """No traceback, no process, no file is left, and the exit code says that all is well."""
    children = own_demo.children() if LINUX else []
    with own_demo.browser() as browser:
        browser.get("/")
        code, said = own_demo.end(signum)
    assert (code, said.strip()) == (0, "")
    assert [pid for pid in children if parent_of(pid) is not None] == []
    assert list(own_demo.temporary.iterdir()) == []


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_killed_supervisor_leaves_no_process(own_demo):
    """The children notice, and go."""
    children = own_demo.children()
    assert len(children) >= 3
    own_demo.end(signal.SIGKILL)
    poll(lambda: not [pid for pid in children if parent_of(pid) is not None])


def test_a_port_in_use_is_one_line(demo):
    """The demo does not start, and says which port and what to do."""
    port = demo.address.rpartition(":")[2]
    command = [sys.executable, "-m", "sharedsession", "demo", "--port", port]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert re.fullmatch(rf"sharedsession demo: port {port} is not available .*--port\n", done.stderr)
