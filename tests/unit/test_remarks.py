"""What the log says at the start: each thing once, in the words of whoever wrote the setting."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sharedsession import MachineKey, Settings
from sharedsession.observe import LOGGER
from sharedsession.settings import Spelling
from sharedsession.settings.process_group import is_first_in_group

SECRET = str(MachineKey.generate())
ASKS = "from sharedsession.settings.process_group import is_first_in_group as f; print(f('x'), f('x'))"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    """A temporary directory in which nobody has said anything yet."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def events(caplog):
    return [record.event for record in caplog.records]


def load(**keywords):
    return Settings.load({"secret_key": SECRET, "backend": "memory://", **keywords}, {})


def test_development_is_logged_once(caplog):
    """A process may have many middlewares."""
    for _ in range(3):
        load(development=True)
    assert events(caplog) == ["development"]


@pytest.mark.parametrize("unwanted", ["filter", "level"])
def test_what_is_not_wanted_leaves_no_file(unwanted, directory, monkeypatch):
    """The demo, say, drops the warning, and leaves nothing behind."""
    if unwanted == "filter":
        monkeypatch.setattr(LOGGER, "filters", [lambda record: record.event != "development"])
    else:
        monkeypatch.setattr(LOGGER, "disabled", True)
    load(development=True)
    assert list(directory.iterdir()) == []


def ask(**options):
    """Two answers of a new process."""
    return subprocess.run([sys.executable, "-c", ASKS], capture_output=True, text=True, check=True, **options).stdout


def test_workers_of_one_server_are_one_group():
    """Siblings that share no memory, as those of gunicorn; also one that is started after another has ended."""
    server = f"import subprocess, sys\nfor _ in range(3): subprocess.run([sys.executable, '-c', {ASKS!r}], check=True)"
    done = subprocess.run(
        [sys.executable, "-c", server], capture_output=True, text=True, check=True, start_new_session=True
    )
    assert done.stdout.split() == ["True", "False", "False", "False", "False", "False"]


def test_another_server_is_another_group(directory):
    """It says it again, and leaves no more than one file behind."""
    assert [ask(start_new_session=True).split() for _ in range(3)] == [["True", "False"]] * 3
    assert len(list(directory.iterdir())) == 1


def test_a_group_is_known_by_more_than_its_number(monkeypatch):
    """Numbers come back: in a container the first process is always 1."""
    assert is_first_in_group("x")
    stat = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: stat(path).replace(b" ", b" 9"))
    assert is_first_in_group("x")


def test_where_nothing_can_be_remembered_it_is_said_each_time(monkeypatch):
    """Twice is better than never."""
    monkeypatch.setattr(tempfile, "tempdir", "nothing/here")
    assert is_first_in_group("x")
    assert is_first_in_group("x")


@pytest.mark.parametrize(
    ("idle", "absolute", "is_said"),
    [
        (60, 3600, False),
        (3600, 3600, False),
        (3601, 3600, True),
        (timedelta(days=31), 43200, True),
        (10**6, None, False),
    ],
)
def test_an_idle_timeout_above_the_absolute_one_is_logged(idle, absolute, is_said, caplog):
    """It has no effect: the absolute end comes first. It may be meant so, and stops nobody."""
    load(idle_timeout=idle, absolute_timeout=absolute)
    assert events(caplog) == ["idle_above_absolute"] * is_said
    assert not is_said or caplog.records[0].message.startswith("session settings: idle_timeout (")


def test_a_default_that_has_no_effect_is_not_said(caplog):
    """Whoever sets the absolute end alone has written nothing in vain; also where the default is a framework's."""
    load(absolute_timeout=60)
    spelling = Spelling(native={"idle_timeout": "AGE"}, defaults=("idle_timeout",))
    keywords = {"secret_key": SECRET, "backend": "memory://", "absolute_timeout": 60}
    Settings.load(keywords, {}, {"idle_timeout": 1209600}, spelling)
    assert events(caplog) == []
    Settings.load(keywords, {}, {"idle_timeout": 1209600}, replace(spelling, defaults=()))
    assert events(caplog) == ["idle_above_absolute"]
    assert "AGE (1209600 seconds) is longer than absolute_timeout (60)" in caplog.text


def test_it_is_said_in_the_words_of_the_user(caplog):
    """One of the two from the environment, the other by its default."""
    Settings.load({}, {"SHAREDSESSION_SECRET_KEY": SECRET, "SHAREDSESSION_IDLE_TIMEOUT": "86400"})
    assert (
        "SHAREDSESSION_IDLE_TIMEOUT (86400 seconds) is longer than SHAREDSESSION_ABSOLUTE_TIMEOUT (43200)"
        in caplog.text
    )
