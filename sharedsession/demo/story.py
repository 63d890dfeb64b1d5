"""The top of the shop's page: what a visitor looks at, and three things to try, in order. Pure."""

from collections.abc import Mapping
from html import escape

from sharedsession.demo.actions import SLOWLY
from sharedsession.demo.advice import Farm
from sharedsession.demo.names import UNSHARED
from sharedsession.demo.page import MAX_TEXT, command


def introduction(farm: Farm) -> str:
    """Returns what a visitor looks at, in a few sentences."""
    count = len(farm.nodes)
    nodes = f"{count} web nodes take turns behind this address, each" if count > 1 else "One web node answers here,"
    return f"""<section class="wide">
<h2>What you are looking at</h2>
<p>{nodes} a process of its own. Your session (the count, your name, your cart) is in none of them: it is in
{escape(farm.store)}, which all of them share. So every web node knows you, and any of them may die.</p>
<p><a class="button plain" href="{UNSHARED}">Side by side: the same without sharing</a></p>
</section>
"""


def three_things(farm: Farm, answering: str) -> str:
    """Returns the three things to try.

    Args:
        farm: as it is now.
        answering: the web node that makes the page.
    """
    steps = "".join(f"<li>{step}</li>\n" for step in (_web_node(farm, answering), _server(farm), _TWO_TABS))
    return f"""<section class="wide">
<h2>Three things to try, in order</h2>
<ol class="steps">
{steps}</ol>
</section>
"""


def _web_node(farm: Farm, answering: str) -> str:
    title = "<h3>Kill a web node</h3>"
    if down := _first(farm.nodes, is_up=False):
        return f"""{title}
<p>{escape(down)} is dead. Visit again, a few times: the others answer, the count goes on, you are still logged in.</p>
{command("start", down, f"Start {down} again", "plain")}"""
    return f"""{title}
<p>{escape(answering)} has just made this page. Kill it, and the next one goes on with your session.</p>
{command("kill", answering, f"Kill {answering}", "danger")}"""


def _server(farm: Farm) -> str:
    title = "<h3>Kill a store node</h3>"
    if not farm.servers:
        return f"""{title}
<p>In this run the store is a file, and there is no server to kill. To see a store node die, run
<code>make demo BACKEND=memcached</code>, a ring of three; or <code>BACKEND=redis</code>.</p>"""
    if down := _first(farm.servers, is_up=False):
        return f"""{title}
<p>{escape(down)} is dead. Visit again: the count goes on, from the copies on the other nodes.</p>
{command("start", down, f"Start {down} again", "plain")}"""
    promise = (
        "Each session is on two of them. Kill one: nothing is lost, and you do not wait."
        if len(farm.servers) > 1
        else "The shop then says that the store is away, and keeps your cookie. Started again, it has your session."
    )
    first = next(iter(farm.servers))
    return f"""{title}
<p>{promise}</p>
{command("kill", first, f"Kill {first}", "danger")}"""


_TWO_TABS = f"""<h3>Two tabs at once</h3>
<p>A second tab writes a note, for {SLOWLY:g} seconds. Meanwhile put something into the cart here. Both are kept:
the changes are merged.</p>
<form method="post" action="/note" target="_blank">
<label for="note">A note</label>
<input id="note" name="note" maxlength="{MAX_TEXT}" autocomplete="off" value="For grandma" required>
<button>Write it in a second tab</button>
</form>"""


def _first(states: Mapping[str, bool], *, is_up: bool) -> str | None:
    return next((name for name, state in states.items() if state is is_up), None)
