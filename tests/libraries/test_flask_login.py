"""Flask-Login over two processes."""

from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import live_through


def test_a_login_lives_on_both_processes_and_ends_on_both(two_processes: TwoProcesses) -> None:
    """Log in, change, log out; a planted ID and the old cookie are dead."""
    live_through(
        two_processes("tests.libraries.apps.flask_login:app", "gunicorn"),
        plant=lambda visitor: visitor.post(0, "/cart", data={"item": "bait"}),
        log_in=lambda visitor, node: visitor.post(node, "/login", data={"name": "alice"}),
        who=lambda visitor, node: visitor.get(node, "/me").json()["name"],
        change=lambda visitor, node: visitor.post(node, "/cart", data={"item": "book"}),
        changed=lambda visitor, node: visitor.get(node, "/me").json()["cart"] == ["bait", "book"],
        log_out=lambda visitor, node: visitor.post(node, "/logout"),
    )
