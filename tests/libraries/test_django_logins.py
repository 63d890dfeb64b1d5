"""What stands around Django's own login: axes, hijack, two-factor, Wagtail. Each over two processes."""

from functools import partial
from pathlib import Path

import pytest

from tests.libraries.apps.django_site.prepare import DEVICE_KEY
from tests.libraries.conftest import TwoProcesses
from tests.libraries.django_site import PASSWORD, SHOPPING, log_in, log_out, me, press, site, who
from tests.libraries.visitor import Visitor, live_through

SERVERS = pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The project's database."""
    return tmp_path / "users.db"


@SERVERS
def test_axes(two_processes: TwoProcesses, users: Path, server: str) -> None:
    """Its log finds the login again by the session's key, though another process does the logout."""
    nodes = site(two_processes, "axes", users, server)
    live_through(nodes, log_in=log_in, log_out=log_out, **SHOPPING)
    with Visitor(nodes) as visitor:
        assert visitor.get(0, "/rows").json() == {"open": 0, "all": 1}


@SERVERS
def test_hijack(two_processes: TwoProcesses, users: Path, server: str) -> None:
    """Who becomes somebody else has a new session, and the old one is dead; the way back likewise."""
    nodes = site(two_processes, "hijack", users, server)
    live_through(nodes, log_in=log_in, log_out=log_out, **SHOPPING)
    with Visitor(nodes) as root:
        log_in(root, 0, "root")
        cookies = [root.cookie]
        press(root, 1, "/hijack/acquire/", {"user_pk": "1"})
        assert [who(root, node) for node in (0, 1)] == ["alice", "alice"]
        assert me(root, 0)["sessions"] == 1
        cookies.append(root.cookie)
        press(root, 0, "/hijack/release/")
        assert [who(root, node) for node in (0, 1)] == ["root", "root"]
        cookies.append(root.cookie)
        assert len(set(cookies)) == 3
        press(root, 1, "/logout")
    for cookie in cookies:
        with Visitor(nodes, cookie) as thief:
            assert [who(thief, node) for node in (0, 1)] == [None, None]


@SERVERS
def test_two_factor(two_processes: TwoProcesses, users: Path, server: str) -> None:
    """The password on one process, the second factor on the other; then the visitor is verified on both."""
    from django_otp.oath import totp

    def enter(visitor: Visitor, node: int) -> None:
        path, step = "/account/login/", "login_view-current_step"
        with_password = {"auth-username": "alice", "auth-password": PASSWORD, step: "auth"}
        visitor.submit(node, path, with_password)
        assert who(visitor, node) is None
        code = f"{totp(bytes.fromhex(DEVICE_KEY)):06}"
        press(visitor, 1 - node, path, {"token-otp_token": code, step: "token"})
        assert [me(visitor, number)["verified"] for number in (0, 1)] == [True, True]

    nodes = site(two_processes, "two_factor", users, server)
    live_through(nodes, log_in=enter, log_out=log_out, **SHOPPING)


@pytest.mark.timeout(300)  # it has hundreds of migrations
def test_wagtail(two_processes: TwoProcesses, users: Path) -> None:
    """Its admin."""
    nodes = site(two_processes, "wagtail", users)
    enter, leave = partial(log_in, path="/admin/login/"), partial(press, path="/admin/logout/")
    live_through(nodes, log_in=enter, log_out=leave, **SHOPPING)
