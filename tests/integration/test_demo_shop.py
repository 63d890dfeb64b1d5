"""The demo's shop in this process: two web nodes over one file, and what their page shows of it."""

import asyncio
import re
from itertools import pairwise

import httpx
import pytest

from sharedsession import BackendUnavailable, MachineKey, SessionManager
from sharedsession.demo import actions, shop
from sharedsession.demo.names import UNSHARED
from tests.integration.demofarm import Page


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """The applications of two web nodes."""
    monkeypatch.setenv("SHAREDSESSION_SECRET_KEY", MachineKey.generate())
    monkeypatch.setenv("SHAREDSESSION_BACKEND", f"sqlite:///{tmp_path / 'sessions.db'}")
    return [shop.shop("web-1"), shop.shop("web-2")]


def tab(node, cookies=None):
    """A tab of a browser at one web node, with a copy of the cookies of another one."""
    transport = httpx.ASGITransport(app=node)
    return httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", cookies=cookies, follow_redirects=True, timeout=30
    )


def text_in(element, response):
    """The text of an element by its ID, without tags."""
    found = re.search(rf'<(\w+)[^>]* id="{element}"[^>]*>(.*?)</\1>', response.text, re.DOTALL)
    return found and " ".join(re.sub(r"<[^>]+>", " ", found[2]).split())


def test_two_tabs_at_once_are_merged(nodes, monkeypatch):
    """While one web node writes the note, the other fills the cart; the page says that none overwrote the other."""

    async def run():
        async with tab(nodes[0]) as first:
            await first.get("/")
            other = tab(nodes[1], first.cookies)

            async def meanwhile():
                await other.post("/cart", data={"item": "tea"})
                await other.get("/")

            monkeypatch.setattr(actions, "_think", meanwhile)
            shown = await first.post("/note", data={"note": "For <grandma>"})
            await other.aclose()
            return shown

    shown = asyncio.run(run())
    assert Page.of(shown).cart == ["tea"]
    assert text_in("note-text", shown) == "For &lt;grandma&gt;"
    assert "web-1 held your session" in text_in("merged", shown)
    assert "this browser visited 2 more times" in text_in("merged", shown)
    assert "merged : none overwrote the other" in text_in("merged", shown)


def test_a_note_that_nobody_interrupts_says_so(nodes, monkeypatch):
    """And an empty one is none."""

    async def at_once():
        pass

    async def run():
        monkeypatch.setattr(actions, "_think", at_once)
        async with tab(nodes[0]) as browser:
            return [await browser.post("/note", data={"note": note}) for note in ("", "alone")]

    empty, alone = asyncio.run(run())
    assert 'id="merged"' not in empty.text
    assert "Meanwhile nothing happened" in text_in("merged", alone)


def test_the_voucher_is_redeemed_once(nodes, monkeypatch):
    """The second request waits for the lock of the first, on another web node, and finds the voucher spent."""

    async def run():
        async with tab(nodes[0]) as first:
            await first.get("/")
            second, late = tab(nodes[1], first.cookies), []

            async def press_again():
                late.append(asyncio.create_task(second.post("/voucher")))
                await asyncio.sleep(0)

            monkeypatch.setattr(actions, "_think", press_again)
            await first.post("/voucher")
            await late[0]
            await second.aclose()
            return await first.get("/"), await first.post("/voucher/new")

    spent, fresh = asyncio.run(run())
    assert re.fullmatch(
        r"Redeemed once, by web-1\. web-2 waited [\d.]+ s for the lock, and was told that it is spent\.",
        text_in("voucher", spent),
    )
    assert "Redeem it in a new tab" in fresh.text


def test_a_lock_that_is_not_to_be_had_changes_nothing(nodes, monkeypatch):
    """The visitor gets the page, not an error."""

    async def run():
        async with tab(nodes[0]) as first:
            await first.get("/")
            second, answers = tab(nodes[1], first.cookies), []

            async def press_again():
                answers.append(await second.post("/voucher"))

            monkeypatch.setattr(actions, "LOCK_LIMIT", 0.05)
            monkeypatch.setattr(actions, "_think", press_again)
            await first.post("/voucher")
            await second.aclose()
            return answers[0], await first.get("/")

    refused, after = asyncio.run(run())
    assert refused.status_code == 200
    assert text_in("voucher", after) == "Redeemed once, by web-1."


@pytest.mark.parametrize(("verb", "left"), [("everywhere", []), ("others", ["Ada"])])
def test_log_out_everywhere(nodes, verb, left):
    """Two browsers of one person are listed; one ends the others, or all. Another person stays."""

    async def run():
        async with tab(nodes[0]) as phone, tab(nodes[1]) as laptop, tab(nodes[0]) as stranger:
            for browser, name in ((phone, "Ada"), (stranger, "Bob"), (laptop, "Ada")):
                listed = await browser.post("/login", data={"name": name})
            await laptop.post(f"/logout/{verb}")
            pages = [Page.of(await browser.get("/")) for browser in (phone, laptop, stranger)]
            return text_in("logins", listed), [page.user for page in pages]

    listed, users = asyncio.run(run())
    assert listed.count("since") == 2
    assert listed.count("(this one)") == 1
    assert users == ["not logged in", *(left or ["not logged in"]), "Bob"]


def test_a_list_that_cannot_be_had_is_said_to_be_none(nodes, monkeypatch):
    """The page is there all the same."""

    async def fail(_manager, _principal):
        raise BackendUnavailable("down")

    async def run():
        async with tab(nodes[0]) as browser:
            await browser.get("/")
            monkeypatch.setattr(SessionManager, "alist", fail)
            return await browser.post("/login", data={"name": "Ada"})

    shown = asyncio.run(run())
    assert Page.of(shown).user == "Ada"
    assert "does not say now where else you are logged in" in shown.text


@pytest.mark.parametrize("path", ["/logout/others", "/logout/everywhere"])
def test_nobody_is_logged_out_by_somebody_who_is_not_logged_in(nodes, path):
    """The visitor keeps the session."""

    async def run():
        async with tab(nodes[0]) as browser:
            await browser.get("/")
            return Page.of(await browser.post(path))

    assert asyncio.run(run()).visits == 2


def test_side_by_side_only_the_shared_session_goes_on(nodes):
    """Each web node knows the one; of the other only its own. The shop has no cookie more."""

    async def run():
        async with tab(nodes[0]) as first:
            await first.get("/")
            before, seen = dict(first.cookies), []
            await first.post(f"{UNSHARED}/login", data={"name": "Ada"})
            await first.post(f"{UNSHARED}/cart", data={"item": "tea"})
            other = tab(nodes[1], first.cookies)
            for browser in (first, other, first):
                shown = await browser.get(UNSHARED)
                first.cookies.update(browser.cookies)
                seen.append((text_in("shared", shown), text_in("alone", shown)))
            shown = await first.get("/")
            await other.aclose()
            return before, seen, first.cookies, shown

    before, seen, cookies, shown = asyncio.run(run())
    assert seen[0] == (
        "Sharing on 4 visits User Ada Cart 1 item",
        "Sharing off 3 visits User Ada Cart 1 item",
    )
    assert seen[1] == (
        "Sharing on 5 visits User Ada Cart 1 item",
        "Sharing off 1 visit User not logged in Cart nothing",
    )
    assert seen[2][0].startswith("Sharing on 6 visits User Ada")
    assert seen[2][1] == "Sharing off 1 visit User not logged in Cart nothing"
    assert (Page.of(shown).visits, Page.of(shown).user) == (7, "Ada")
    assert {cookie.name: cookie.path for cookie in cookies.jar} == {"session": "/", "unshared": UNSHARED}
    assert before.keys() == {"session"}


def test_the_page_tells_its_story(nodes):
    """What a visitor sees, three things in order, a label for each field, and no heading left out."""

    async def run():
        async with tab(nodes[0]) as browser:
            return (await browser.get("/")).text

    text = asyncio.run(run())
    titles = re.findall(r"<h3>(.*?)</h3>", text)[:3]
    assert titles == ["Kill a web node", "Kill a store node", "Two tabs at once"]
    assert "What you are looking at" in text
    fields = re.findall(r'<input id="(\w+)"', text)
    assert len(fields) == len(set(fields)) == 3
    assert all(f'<label for="{name}">' in text for name in fields)
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
