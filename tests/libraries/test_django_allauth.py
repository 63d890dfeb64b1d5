"""django-allauth with its list of sessions and its second factor, over two processes; also on PostgreSQL."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.libraries.apps.django_site.prepare import DEVICE_KEY
from tests.libraries.conftest import TwoProcesses
from tests.libraries.django_site import SHOPPING, log_in, me, press, site, who
from tests.libraries.visitor import Visitor, live_through
from tests.support.binaries import MissingServerError
from tests.support.postgresql import PostgreSQL

enter = partial(log_in, path="/accounts/login/", field="login")
leave = partial(press, path="/accounts/logout/")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where the project keeps its users; only a PostgreSQL insists on the length of a column."""
    if request.param == "sqlite":
        yield tmp_path / "users.db"
        return
    try:
        with PostgreSQL() as server:
            yield server.directory
    except MissingServerError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_a_login_lives_on_both_processes_and_ends_on_both(two_processes: TwoProcesses, database, server) -> None:
    """Log in, change, log out; a planted ID and the old cookie are dead."""
    live_through(site(two_processes, "allauth", database, server), log_in=enter, log_out=leave, **SHOPPING)


def test_the_list_of_sessions(two_processes: TwoProcesses, database) -> None:
    """Its rows have the key of the sessions as they are; who ends the others ends them on both processes."""
    nodes = site(two_processes, "allauth", database)
    with Visitor(nodes) as phone, Visitor(nodes) as laptop:
        phone.post(0, "/cart", data={"item": "before the login"})
        enter(phone, 0)
        enter(laptop, 1)
        rows = [visitor.get(1, "/rows").json() for visitor in (phone, laptop)]
        assert sorted(rows[0]["keys"]) == sorted(row["mine"] for row in rows)
        assert [len(row["mine"]) for row in rows] == [40, 40]
        assert me(laptop, 0)["sessions"] == 2
        press(laptop, 0, "/accounts/sessions/")
        assert [who(visitor, node) for visitor in (phone, laptop) for node in (0, 1)] == [None, None, "alice", "alice"]
        assert laptop.get(1, "/rows").json()["keys"] == [rows[1]["mine"]]


def test_a_changed_password(two_processes: TwoProcesses, database) -> None:
    """The others are out, the one who changed it is in, and stands in the list under the new key."""
    nodes = site(two_processes, "allauth", database)
    with Visitor(nodes) as phone, Visitor(nodes) as laptop:
        for visitor in (phone, laptop):
            enter(visitor, 0)
        before = laptop.cookie
        new = {"oldpassword": "wonderland", "password1": "looking-glass", "password2": "looking-glass"}
        laptop.submit(1, "/accounts/password/change/", new)
        assert laptop.cookie != before
        assert [who(visitor, 0) for visitor in (phone, laptop)] == [None, "alice"]
        row = laptop.get(0, "/rows").json()
        assert row["mine"] in row["keys"]


def test_a_second_factor(two_processes: TwoProcesses, tmp_path: Path) -> None:
    """The password on one process, the code on the other: nobody is in before, and the planted ID never is."""
    from django_otp.oath import totp

    nodes = site(two_processes, "allauth", tmp_path / "users.db")
    with Visitor(nodes) as attacker:
        attacker.post(0, "/cart", data={"item": "bait"})
        with Visitor(nodes, attacker.cookie) as visitor:
            enter(visitor, 0, "root")
            half_way = visitor.cookie
            assert [who(visitor, node) for node in (0, 1)] == [None, None]
            code = {"code": f"{totp(bytes.fromhex(DEVICE_KEY)):06}"}
            visitor.submit(1, "/accounts/2fa/authenticate/", code)
            assert [who(visitor, node) for node in (0, 1)] == ["root", "root"]
            assert visitor.cookie not in {attacker.cookie, half_way}
            with Visitor(nodes, half_way) as thief:
                assert [who(other, node) for other in (attacker, thief) for node in (0, 1)] == [None] * 4
