"""The command line: what it prints, where, and with which exit code. The farm itself is in `integration`."""

import json
import os
import stat
import subprocess
import sys

import pytest

from sharedsession.cli.__main__ import main
from sharedsession.demo import supervisor
from sharedsession.errors import BackendUnavailable
from sharedsession.keys import KeyFile, MachineKey


def run(*arguments: str) -> int:
    """Runs a command line to its end, also one that argparse ends."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_genkey_prints_one_line_that_is_a_valid_key(capsys):
    """What ``sharedsession genkey > file`` writes is a secret that the library takes without complaint."""
    assert run("genkey") == 0
    (line,) = capsys.readouterr().out.splitlines()
    MachineKey(line)


def test_genkey_never_prints_a_key_twice(capsys):
    """Each key is new."""
    run("genkey")
    run("genkey")
    first, second = capsys.readouterr().out.splitlines()
    assert first != second


def test_genkey_speaks_json(capsys):
    """With ``--json`` the key is the one member of an object."""
    assert run("genkey", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer.keys() == {"key"}
    MachineKey(answer["key"])


def test_genkey_makes_a_file_that_nobody_else_reads(tmp_path, capsys):
    """Whatever the umask is; the key is not printed, and no file is overwritten."""
    path = tmp_path / "farm.key"
    before = os.umask(0)
    try:
        assert run("genkey", "--out", str(path)) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text().strip()
    assert KeyFile(path, app_name="shop", development=False)()
    assert run("genkey", "--out", str(path)) == 2
    assert run("genkey", "--out", str(tmp_path / "no" / "farm.key")) == 2
    assert path.read_text().strip() == key
    printed = capsys.readouterr()
    assert key not in printed.out + printed.err
    assert "exists already" in printed.err


def test_genkey_needs_no_server_and_no_client():
    """``python -m sharedsession genkey`` loads neither uvicorn nor redis nor the demo."""
    program = (
        "import sys; from sharedsession.cli.__main__ import main; main(['genkey'])\n"
        "print({'uvicorn', 'redis', 'sharedsession.demo'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "set()"


def test_the_package_runs_as_a_module():
    """``python -m sharedsession`` is the command."""
    command = [sys.executable, "-m", "sharedsession", "genkey"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    MachineKey(done.stdout.strip())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("gnekey",), "gnekey"),
        (("genkey", "--jason"), "--jason"),
        (("demo", "--backend", "oracle"), "oracle"),
        (("demo", "--port", "65536"), "65535"),
        (("demo", "--port", "http"), "'http'"),
        (("demo", "--nodes", "0"), "from 1 to 9"),
    ],
)
def test_a_wrong_command_line_is_one_line_on_stderr(capsys, arguments, said):
    """It names what is wrong, and the exit code is 2."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


@pytest.mark.parametrize("name", ["genkey", "demo", "doctor", "farm", "ring", "list", "revoke", "bench"])
def test_each_command_has_its_exit_codes_in_its_help_and_its_errors_in_json(capsys, name):
    """A script need not read a line that is written for people."""
    assert run(name, "--help") == 0
    assert "exit codes: 0 all is well; 1 there is a fault" in " ".join(capsys.readouterr().out.split())
    assert run(name, "--json", "--no-such-flag") == 2
    out, err = capsys.readouterr()
    assert (list(json.loads(out)), err) == (["error"], "")


@pytest.mark.parametrize("arguments", [("--help",), ("genkey", "--help"), ("demo", "--help"), ("--version",)])
def test_help_and_version_are_no_errors(capsys, arguments):
    """They go to standard output, and the exit code is 0."""
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    assert "sharedsession" in out
    assert err == ""


def test_the_demo_runs_as_it_was_told(monkeypatch):
    """The arguments arrive at the farm."""
    plans = []
    monkeypatch.setattr(supervisor, "run_demo", plans.append)
    assert run("demo", "--backend", "redis", "--port", "8000", "--nodes", "2", "--json") == 0
    assert plans == [supervisor.Plan("redis", 8000, 2, True)]


def test_by_default_the_demo_has_three_nodes_on_sqlite_and_a_free_port(monkeypatch):
    """``sharedsession demo`` needs no argument."""
    plans = []
    monkeypatch.setattr(supervisor, "run_demo", plans.append)
    run("demo")
    assert plans == [supervisor.Plan("sqlite", 0, 3, False)]


@pytest.mark.parametrize(
    "fault", [BackendUnavailable("the store does not answer"), OSError("the store does not answer")]
)
def test_an_expected_failure_is_one_line_on_stderr(monkeypatch, capsys, fault):
    """No traceback, and the exit code is 2; with ``--json`` it is an object on standard output."""

    def fail(plan):
        raise fault

    monkeypatch.setattr(supervisor, "run_demo", fail)
    assert run("demo") == 2
    assert capsys.readouterr() == ("", "sharedsession demo: the store does not answer\n")
    assert run("demo", "--json") == 2
    assert capsys.readouterr() == ('{"error": "the store does not answer"}\n', "")


def test_a_defect_keeps_its_traceback(monkeypatch):
    """What nobody expected is not dressed up as a user's mistake."""

    def fail(plan):
        raise ZeroDivisionError

    monkeypatch.setattr(supervisor, "run_demo", fail)
    with pytest.raises(ZeroDivisionError):
        run("demo")


def test_an_interrupt_before_the_farm_stands_is_no_traceback(monkeypatch):
    """The exit code is that of a program ended by Ctrl-C."""

    def interrupt(plan):
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "run_demo", interrupt)
    assert run("demo") == 130


def test_a_missing_package_is_named_with_the_fix(monkeypatch, capsys):
    """Without uvicorn the demo says how to install it."""
    monkeypatch.setitem(supervisor.NEEDS, "sqlite", ("no_such_package",))
    assert run("demo") == 2
    assert capsys.readouterr().err == (
        "sharedsession demo: the demo needs no_such_package: pip install 'sharedsession[demo]'\n"
    )
