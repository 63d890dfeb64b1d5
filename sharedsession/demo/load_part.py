"""The part of the farm page with the simulated visitors: what they found, how far they are, start and stop. Pure."""

from html import escape

from sharedsession.demo.load import SECONDS, VISITORS, Load
from sharedsession.demo.names import FARM_PAGE


def load_part(load: Load, token: str) -> str:
    """Returns its HTML.

    Args:
        load: the visitors.
        token: for the form.
    """
    return f"""<p>{VISITORS} visitors, for {SECONDS:g} seconds. Each has a session of its own and expects its count to
grow by one. Start them, then kill a process: “counts lost” stays at 0.</p>
{_progress(load)}{_results(load)}
<form method="post" action="{FARM_PAGE}"><input type="hidden" name="token" value="{token}">
{_button(load)}</form>"""


def _progress(load: Load) -> str:
    seconds = min(load.elapsed, SECONDS)
    words = "not started yet" if not load.began else "running" if load.is_running else "ended"
    live = " data-live" if load.is_running else ""
    text = f"{seconds:.0f} of {SECONDS:g} s, {words}"
    return f"""<div class="progress"{live}><label for="load-progress">{text}</label>
<progress id="load-progress" max="{SECONDS:g}" value="{seconds:.1f}">{text}</progress></div>
"""


def _results(load: Load) -> str:
    rate = f"{load.visits / load.elapsed:.0f}" if load.elapsed else "-"
    slowest = f"{load.slowest * 1000:.0f} ms" if load.slowest else "-"
    found = (
        ("visits", "Visits", f"{load.visits:,}"),
        ("lost", "Counts lost", f"{load.lost:,}"),
        ("failed", "Without an answer", f"{load.failed:,}"),
        ("rate", "Visits a second", rate),
        ("slowest", "Slowest answer", slowest),
    )
    entries = "".join(f'<div><dt>{label}</dt><dd id="load-{name}">{value}</dd></div>' for name, label, value in found)
    answered = ", ".join(
        f'<span class="whole">{escape(name)}: {count:,}</span>' for name, count in sorted(load.answered.items())
    )
    return (
        f'<dl class="totals">{entries}</dl><p class="quiet" id="load-nodes">Answered by {answered or "nobody yet"}.</p>'
    )


def _button(load: Load) -> str:
    if load.is_running:
        return '<button class="danger" name="do" value="unload" id="stop-load">Stop load</button>'
    return '<button name="do" value="load" id="start-load">Start load</button>'
