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


class Child:
    """One process of the farm that can be killed, stopped, continued and started again.

    Args:
        name: what the pages call it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: Process | None = None
        self._is_stopped = False

    @property
    def is_up(self) -> bool:
        """Whether its process runs, as far as is known."""
        return self.state == "up"

    @property
    def state(self) -> str:
        """``up``, ``stopped`` (SIGSTOP) or ``down``."""
        if self._process is None or self._process.returncode is not None:
            return "down"
        return "stopped" if self._is_stopped else "up"

    @property
    def pid(self) -> int | None:
        """The process ID of its latest process."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts a process unless there is one, and lets a stopped one go on."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Kills the process with SIGKILL: it says goodbye to nobody."""
        self._is_stopped = False
        if self._process:
            await kill(self._process)

    async def stop(self) -> None:
        """Stops it with SIGSTOP: it holds its connections and answers nobody, as a machine that hangs."""
        if self.state == "up" and self._process:
            self._process.send_signal(signal.SIGSTOP)
            self._is_stopped = True

    async def proceed(self) -> None:
        """Lets a stopped one go on, with SIGCONT."""
        if self.state == "stopped" and self._process:
            self._process.send_signal(signal.SIGCONT)
        self._is_stopped = False

    async def restart(self) -> None:
        """Kills it and starts another one in its place, which knows nothing."""
        await self.kill()
        await self.start()


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


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """What a new child runs first, so that Linux ends it with its parent, stopped or not; elsewhere nothing."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
