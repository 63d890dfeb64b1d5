"""``sharedsession list`` and ``revoke``: the sessions of a principal from the command line, on real servers."""

import json

import pytest

from sharedsession import MachineKey, SessionManager
from sharedsession.keys.derivation import HANDLE_BYTES, url_text
from sharedsession.manager import engines_of
from sharedsession.session import Session, state_of

SECRET = MachineKey.generate()
HANDLE = url_text(bytes(HANDLE_BYTES))  # of some session
SHARED = ("sqlite", "redis", "memcached", "ring")


@pytest.fixture
def manager(url, monkeypatch):
    """A web node; the command line has its settings in the environment."""
    for name, value in {"secret_key": SECRET, "backend": url, "app_name": "shop", "timeout": "5"}.items():
        monkeypatch.setenv(f"SHAREDSESSION_{name.upper()}", value)
    made = SessionManager.from_settings(remember_client=True)
    yield made
    engines_of(made).settings.backend.close()


@pytest.fixture
def cli(capsys):
    """Runs a command. Returns its exit code, and its JSON or its lines."""
    from sharedsession.cli.__main__ import main

    def ran(*arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, json.loads(out) if "--json" in arguments else (out + err).splitlines()

    return ran


def login(manager, principal, agent="Firefox"):
    """A session of somebody. Returns its handle and its token."""
    engine = engines_of(manager).blocking
    session = engine.open(Session, [])
    state_of(session).client = (agent, "192.0.2.7")
    session.principal = principal
    engine.finish(session)
    return session.id, state_of(session).outcome.token.encode()


def handle(manager, principal):
    """One that does not begin with a dash."""
    while (found := login(manager, principal))[0].startswith("-"):
        manager.revoke(found[0])
    return found


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_principal_s_sessions_are_listed(manager, cli):
    """Oldest first, with what is known of the client; nobody else's, and no token."""
    mine = [login(manager, "user:42") for _ in range(2)]
    login(manager, "user:43")
    code, said = cli("list", "user:42", "--json")
    assert code == 0
    assert {session["id"] for session in said} == {handle for handle, _ in mine}
    assert {(session["user_agent"], session["address"]) for session in said} == {("Firefox", "192.0.2.7")}
    assert not any(token.decode() in str(said) for _, token in mine)
    code, lines = cli("list", "user:42")
    assert (code, lines[0].split()[:2], len(lines)) == (0, ["id", "began"], 3)
    assert cli("list", "user:44") == (0, ["no session"])


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_one_session_is_ended(manager, cli):
    """At once, for every web node; a second time there is none."""
    public, token = handle(manager, "user:42")
    assert cli("revoke", public, "--json") == (0, {"ended": 1})
    session = engines_of(manager).blocking.open(Session, [token])
    assert session.is_new
    assert cli("revoke", public) == (1, ["no such session"])


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_all_sessions_but_one_are_ended(manager, cli):
    """Log out everywhere else."""
    sessions = [login(manager, "user:42") for _ in range(3)]
    assert cli("revoke", "--all", "user:42", f"--except={sessions[0][0]}") == (0, ["2 sessions ended"])
    assert cli("revoke", "--all", "user:42") == (0, ["1 session ended"])
    assert cli("revoke", "--all", "user:42", "--json") == (1, {"ended": 0})


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_handle_that_begins_with_a_dash_stands_behind_two(manager, cli):
    """As the help says."""
    assert cli("revoke", "--", "-no-such-session") == (1, ["no such session"])


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_what_a_client_said_of_itself_is_made_fit_for_a_terminal(manager, cli):
    """No control characters, nothing long."""
    login(manager, "user:42", agent="evil\x1b[2J" + "x" * 150)
    _, lines = cli("list", "user:42")
    assert "\x1b" not in lines[1]
    assert len(lines[1]) < 200


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "arguments",
    [("revoke",), ("revoke", "a", "--all", "b"), ("revoke", "a", "--except", "b"), ("revoke", "--except", "b")],
)
def test_a_wrong_combination_is_one_line(manager, cli, arguments):
    """Exit code 2."""
    code, lines = cli(*arguments)
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith("sharedsession revoke: ")


@pytest.mark.parametrize("command", [("list", "user:42"), ("revoke", "x"), ("revoke", "--all", "user:42")])
def test_without_a_secret_the_fix_is_one_line(cli, command):
    """A setting is wrong: exit code 2."""
    code, lines = cli(*command, "--backend", "memory://")
    assert (code, len(lines)) == (2, 1)
    assert "genkey" in lines[0]


@pytest.mark.parametrize("command", [("list", "user:42"), ("revoke", HANDLE), ("revoke", "--all", "user:42")])
def test_a_store_that_is_down_is_one_line(fresh, cli, monkeypatch, command):
    """It says which server, and exit code 2: nothing is confirmed."""
    server = fresh("memcached")
    server.kill()
    monkeypatch.setenv("SHAREDSESSION_SECRET_KEY", SECRET)
    code, lines = cli(*command, "--backend", server.url)
    assert (code, len(lines)) == (2, 1)
    assert f"127.0.0.1:{server.port} does not answer" in lines[0]
