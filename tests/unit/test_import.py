"""What ``import sharedsession`` costs: nothing that an application did not ask for."""

import json
import subprocess
import sys
from pathlib import Path

import sharedsession

CLIENTS = ["redis", "hiredis", "pymemcache", "sqlalchemy", "psycopg", "sqlite3"]
BRIDGES = ["backports", "prometheus_client", "opentelemetry"]
FRAMEWORKS = ["flask", "werkzeug", "django", "starlette", "fastapi", "uvicorn", "gunicorn"]

_WATCH = """
import json, sys, threading
done = []
def watch(event, args):
    root = event.split(".")[0]
    if event == "open":
        harmless = str(args[0]).endswith((".py", ".pyc", ".so", ".pyd", ".dylib")) and args[1] in ("r", "rb", None)
        harmless or done.append(f"open {args[0]}")
    elif root in ("socket", "subprocess", "sqlite3", "shutil", "tempfile", "webbrowser") or event in (
        "os.mkdir", "os.remove", "os.rename", "os.system", "os.fork", "os.putenv", "_thread.start_new_thread"):
        done.append(event)
sys.addaudithook(watch)
before = set(sys.modules)  # whatever measures the tests may have loaded something
import sharedsession
print(json.dumps({"modules": sorted(set(sys.modules) - before), "done": done, "threads": threading.active_count()}))
"""


def test_importing_the_library_loads_no_client_and_does_no_work():
    """A fresh interpreter has no client, no framework, no open file, no thread and no socket after the import."""
    command = [sys.executable, "-B", "-c", _WATCH]
    answer = subprocess.run(
        command, capture_output=True, check=True, cwd=Path(sharedsession.__file__).parents[1], text=True, timeout=60
    )
    seen = json.loads(answer.stdout)
    loaded = {name.split(".")[0] for name in seen["modules"]}
    assert loaded & set(CLIENTS + FRAMEWORKS + BRIDGES) == set()
    assert not {"sharedsession.asgi", "sharedsession.wsgi", "sharedsession.cli"} & set(seen["modules"])
    assert seen["done"] == []
    assert seen["threads"] == 1


def test_every_public_name_is_there():
    """What ``__all__`` promises can be imported, and is named once."""
    assert len(set(sharedsession.__all__)) == len(sharedsession.__all__)
    assert all(hasattr(sharedsession, name) for name in sharedsession.__all__)


def test_every_error_is_a_session_error():
    """``except SessionError`` catches whatever the library raises on purpose."""
    errors = [getattr(sharedsession, name) for name in sharedsession.__all__]
    errors = [error for error in errors if isinstance(error, type) and issubclass(error, Exception)]
    assert len(errors) == 11
    assert all(issubclass(error, sharedsession.SessionError) for error in errors)
    assert issubclass(sharedsession.BackendUnavailable, sharedsession.BackendError)
