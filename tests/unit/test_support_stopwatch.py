"""The stopwatch of the tests: what is waited for counts, and what the machine took away does not."""

import os
import signal
import subprocess
import sys
import time

from tests.support.stopwatch import timed

STOPPED = 0.5
CHILD = """
import time
from tests.support.stopwatch import timed

def work():
    print("go", flush=True)
    time.sleep(0.3)

print(timed(work)[1])
"""


def test_waiting_counts() -> None:
    """A result, and about the time that it took."""
    result, took = timed(lambda: time.sleep(0.2) or "done")
    assert result == "done"
    assert took > 0.1


def test_what_the_machine_took_away_does_not_count() -> None:
    """A process that is stopped for half a second while it works for less."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "go\n"
        began = time.monotonic()
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(STOPPED)
        os.kill(child.pid, signal.SIGCONT)
        took = float(child.stdout.read())
    assert time.monotonic() - began >= STOPPED
    assert took < STOPPED
