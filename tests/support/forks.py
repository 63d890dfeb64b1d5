"""A child of a fork of this very process: it does something and hands back what that returned.

The child ends without any clean-up, as a worker that is killed; one that hangs is killed by its own alarm.
"""

import os
import pickle
import signal
import warnings
from collections.abc import Callable
from typing import Any

from tests.support.processes import PATIENCE


def in_child(do: Callable[[], Any]) -> Any:
    """Forks, and returns what the function returned in the child; an error there is an `AssertionError` here."""
    listening, telling = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks while there are threads, which is the point
        child = os.fork()
    if not child:
        _work(do, telling)
    os.close(telling)
    with os.fdopen(listening, "rb") as answers:
        answer = answers.read()
    os.waitpid(child, 0)
    assert answer, f"the child hung for {PATIENCE} s"
    worked, result = pickle.loads(answer)
    assert worked, result
    return result


def _work(do: Callable[[], Any], telling: int) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(PATIENCE))
    try:
        answer = (True, do())
    except BaseException as error:
        answer = (False, repr(error))
    try:
        os.write(telling, pickle.dumps(answer))
    finally:
        os._exit(0)
