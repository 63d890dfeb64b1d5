"""The farm page in a real browser, over the demo's ring of memcached nodes: by its buttons, by keyboard, on a phone.

Chromium is fetched as the servers are; where it is missing these tests are skipped, and fail with ``CI=true``.
"""

import json
import re

import pytest

from tests.integration.demofarm import Demo, need, poll

pytestmark = pytest.mark.timeout(300)  # Chromium takes its time where others work as well


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    need("memcached")
    with Demo("memcached", tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def browser(chromium, demo):
    """A browser that looks at the farm page; all of the farm is up again afterwards."""
    chromium.look(1100, 900)
    chromium.run_scripts(wanted=True)
    chromium.complaints.clear()
    chromium.open(f"{demo.address}/farm")
    yield chromium
    heal(demo)


def heal(demo):
    """Restarts whatever is not up."""
    with demo.browser() as client:
        for name, state in re.findall(r"<b>([\w-]+)</b> <b class=\"(\w+)\">", client.get("/farm").text):
            if state != "up":
                press(demo, name, "restart")
        poll(lambda: all(node["state"] == "up" for node in client.get("/farm?json").json()["facts"]["nodes"]))


def press(demo, name, verb):
    """Presses a button as another visitor."""
    with demo.browser() as client:
        token = re.search(r'name="token" value="(\w+)"', client.get("/farm").text)[1]
        assert client.post("/farm", data={"token": token, "node": name, "do": verb}).status_code == 200


def shows(name, state):
    """What is true in the page when a node is shown in a state: in the table, and in the picture."""
    words = json.dumps(f"{name}: ")
    return (
        f"[...document.querySelectorAll('#nodes tbody tr')].some(row => row.cells[0].textContent.includes('{name}') "
        f"&& row.cells[1].textContent === '{state}') && "
        f"document.querySelector('#ring title').textContent.split('; ').some("
        f"told => told.startsWith({words}) && told.endsWith(', {state}'))"
    )


def visit(browser, demo):
    """Reloads the shop, and returns the count it shows."""
    browser.open(demo.address)
    return int(browser.text("#visits"))


def test_a_store_node_is_killed_by_its_button_and_nothing_is_lost(browser, demo):
    """The count goes on with the same cookie, and the ring shows the node down, without a reload."""
    first = visit(browser, demo)
    visits = [visit(browser, demo) for _ in range(3)]
    browser.open(f"{demo.address}/farm")
    cookie = browser.call("Network.getCookies", urls=[demo.address])["cookies"]
    browser.value("document.getElementById('kill-mc-1').click()")
    browser.wait(shows("mc-1", "down"))
    assert browser.text("#state") == "The store answers; down: mc-1"
    assert browser.value("document.querySelectorAll('#ring .arc.down').length") == 1
    visits += [visit(browser, demo) for _ in range(6)]
    assert visits == list(range(first + 1, first + 10))
    after = browser.call("Network.getCookies", urls=[demo.address])["cookies"]
    assert {c["name"]: c["value"] for c in after} == {c["name"]: c["value"] for c in cookie}
    browser.open(f"{demo.address}/farm")
    browser.value("document.getElementById('restart-mc-1').click()")
    browser.wait(shows("mc-1", "up"))
    assert visit(browser, demo) == visits[-1] + 1
    assert browser.complaints == []


def test_the_page_refreshes_itself_until_it_is_told_not_to(browser, demo):
    """What happens meanwhile appears by itself; the button says whether it does."""
    with demo.browser() as other:
        seen = int(browser.text("#totals dd").replace(",", ""))
        other.get("/")
        browser.wait(f"Number(document.querySelector('#totals dd').textContent.replace(',', '')) === {seen + 1}")
    assert browser.value("document.getElementById('pause').getAttribute('aria-pressed')") == "false"
    browser.value("document.getElementById('pause').click()")
    assert browser.value("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    assert browser.complaints == []


def test_it_works_by_keyboard_alone(browser):
    """Tab leads to every button, Enter presses it, and the focus can be seen."""
    browser.press_until("Tab", "#stop-mc-3")
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    browser.wait("document.querySelector('#continue-mc-3:not([disabled])') !== null")
    browser.wait(shows("mc-3", "down"))
    browser.press("Tab")  # goes on where the node is, not at the top of the page
    browser.wait("document.activeElement.id === 'kill-mc-3'")
    browser.press_until("Tab", "#continue-mc-3")
    browser.press("Space")
    browser.wait(shows("mc-3", "up"))
    assert browser.complaints == []


def test_a_refresh_keeps_the_focus(browser, demo):
    """Whoever is on a button stays on it when the part around it is drawn anew."""
    browser.press_until("Tab", "#restart-mc-1")
    browser.value("document.activeElement.dataset.mark = 'drawn before'")
    press(demo, "web-3", "stop")
    browser.wait("!document.getElementById('restart-mc-1').dataset.mark")
    assert browser.value("document.activeElement.id") == "restart-mc-1"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_all_of_it_in_both_colours(browser, dark):
    """Nothing is wider than the screen, and text stands out against its ground."""
    browser.look(360, 740, phone=True, dark=dark)
    assert browser.value("document.documentElement.scrollWidth") == 360
    assert browser.value("innerWidth") == 360
    dim = [browser.value(f"getComputedStyle(document.querySelector('{part}')).color") for part in ("body", "dt", ".up")]
    ground = browser.value("getComputedStyle(document.querySelector('section')).backgroundColor")
    assert all(contrast(colour, ground) >= 4.5 for colour in dim), (dim, ground)
    assert (luminance(ground) < 0.1) is dark


def test_without_a_script_the_link_refreshes(browser, demo):
    """And there is no button that would need one."""
    browser.run_scripts(wanted=False)
    browser.open(f"{demo.address}/farm")
    assert browser.value("document.getElementById('pause').hidden") is True
    browser.press_until("Tab", "a[href='?']")
    browser.press("Enter")
    browser.wait("document.querySelectorAll('#nodes tbody tr').length === 3 && location.search === ''")


def test_a_frozen_web_node_is_passed_over(browser, demo):
    """Stopped by its button, it gets no visitors; continued, it does."""
    browser.value("document.getElementById('stop-web-2').click()")
    browser.wait("document.querySelector('#continue-web-2:not([disabled])') !== null")
    with demo.browser() as client:
        assert {client.get("/").headers["X-Web-Node"] for _ in range(6)} == {"web-1", "web-3"}
        browser.value("document.getElementById('continue-web-2').click()")
        browser.wait("document.querySelector('#continue-web-2[disabled]') !== null")
        assert {client.get("/").headers["X-Web-Node"] for _ in range(6)} == {"web-1", "web-2", "web-3"}


def test_load_loses_no_visit_while_a_node_is_killed(browser):
    """Six visitors reload; the node that holds some of their sessions goes; each count goes on by one."""
    browser.value("document.getElementById('start-load').click()")
    many = "Number(document.getElementById('load-visits').textContent.replace(',', '')) > "
    browser.wait(f"{many} 20")
    browser.value("document.getElementById('kill-mc-2').click()")
    browser.wait(f"{shows('mc-2', 'down')} && {many} 60")
    assert browser.text("#load-lost") == "0"
    assert browser.text("#load-failed") == "0"


def luminance(colour):
    """Of a colour, as WCAG has it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    """Between two colours, from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
