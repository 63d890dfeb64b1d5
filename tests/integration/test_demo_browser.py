"""The demo's pages in a real browser: on a phone and a screen, light and dark; by keyboard; in two tabs at once.

Chromium is fetched as the servers are; where it is missing these tests are skipped, and fail with ``CI=true``.
"""

import pytest

from tests.integration.demofarm import Demo, poll
from tests.integration.test_farm_page_browser import contrast

pytestmark = pytest.mark.timeout(300)  # Chromium takes its time where others work as well

CUT_OFF = """
[...document.querySelectorAll('main :not(thead *), header *')].filter(element => {
  const box = element.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > innerWidth + 0.5);
}).map(element => element.outerHTML.slice(0, 80))
"""
TEXTS = """
[...document.querySelectorAll('section:not(.hero) :is(p, dt, dd, label, h2, h3, small)')]
  .filter(element => element.offsetParent).map(element => [element.textContent, getComputedStyle(element).color])
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with Demo("sqlite", tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def browser(chromium, demo):
    """A browser on the shop's page."""
    chromium.look(1280, 900)
    chromium.complaints.clear()
    chromium.open(demo.address)
    yield chromium
    assert chromium.complaints == []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/", "/unshared", "/farm"])
def test_nothing_is_cut_off_and_all_is_readable(browser, demo, path, width, dark):
    """No element is wider than the screen, and text stands out against its ground (WCAG 2.2, 1.4.3)."""
    browser.look(width, 844, dark=dark, phone=width < 500)
    browser.open(f"{demo.address}{path}")
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(CUT_OFF) == []
    ground = browser.value("getComputedStyle(document.querySelector('section:not(.hero)')).backgroundColor")
    texts = browser.value(TEXTS)
    assert texts
    assert [text for text, colour in texts if contrast(colour, ground) < 4.5] == []


def test_a_second_tab_writes_while_this_one_fills_the_cart(browser, demo):
    """The page's own policy lets the form open a tab; both changes are there."""
    browser.open(demo.address)
    tabs = len(browser.call("Target.getTargets")["targetInfos"])
    browser.value("document.querySelector('form[action=\"/note\"] button').click()")
    poll(lambda: len(browser.call("Target.getTargets")["targetInfos"]) > tabs)
    browser.value("document.querySelector('form[action=\"/cart\"] button').click()")
    browser.wait("document.querySelector('#cart li')?.textContent === 'Tea'")

    def shown():
        browser.open(demo.address)
        return browser.text("#merged")

    poll(lambda: "merged" in shown())
    assert browser.text("#cart") == "Tea"
    assert browser.text("#note-text") == "For grandma"


def test_it_works_by_keyboard_alone(browser, demo):
    """Tab leads to the login, and to each button; the focus can be seen."""
    browser.open(demo.address)
    browser.press_until("Tab", "#name")
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.type("Ada")
    browser.press("Enter")
    browser.wait("document.querySelector('#user')?.textContent === 'Ada'")
    browser.press_until("Tab", "button[formaction='/logout/everywhere']")
    browser.press("Space")
    browser.wait("document.querySelector('#user')?.textContent === 'not logged in'")
