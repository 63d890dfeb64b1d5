"""Each message of the library can be told from others in the log of a big application, without a format."""

import ast

from tests.test_architecture import TREE


def _begin(message: ast.expr) -> str | None:
    """The text that a message begins with; ``None`` if that is made elsewhere."""
    if isinstance(message, ast.JoinedStr):
        message = message.values[0]
    return str(message.value) if isinstance(message, ast.Constant) else None


def test_each_message_begins_with_what_it_is_about() -> None:
    """A session, its store, its farm."""
    calls = [node for module in TREE for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    events = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in {"event", "once"}]
    begins = {
        str(call.args[0].value): _begin(call.args[1])
        for call in events
        if len(call.args) > 1 and isinstance(call.args[0], ast.Constant)
    }
    assert len(begins) > 20
    odd = {event: text for event, text in begins.items() if text is not None and not text.startswith("session")}
    assert not odd
