"""Child processes that cannot outlive the farm. What they are is no matter here.

Each child gets a session of its own, so the terminal's Ctrl-C reaches the supervisor alone, which then ends
them in order. If the supervisor itself is killed, Linux ends them (`die_with_parent`), and a web node ends
anywhere, since its standard input closes.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import suppress

from sharedsession.errors import SessionError

PATIENCE = 3.0
"""How long a process may take to end when asked, in seconds. Then it is killed."""

_PR_SET_PDEATHSIG = 1


class FarmError(SessionError):
    """The demo cannot run, or a part of it did not start; the message says what to do."""


async def end(process: Process, ask: Callable[[], object]) -> None:
    """Asks a process to end, waits, kills it if it does not. An ended process is left alone."""
    if process.returncode is not None:
        return
    ask()
    try:
        async with asyncio.timeout(PATIENCE):
            await process.wait()
    except TimeoutError:
        await kill(process)


async def kill(process: Process) -> None:
    """Kills a process and whatever it started, without a word, as a crash would; waits until it is gone."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def die_with_parent() -> Callable[[], None] | None:
    """What a new child runs first, so that Linux ends it with its parent; elsewhere nothing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
