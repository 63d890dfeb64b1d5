"""Child processes that cannot outlive the demo, whatever they run.

Each child is the leader of its own process session, so that the terminal's Ctrl-C reaches the supervisor alone, which
then shuts them down in order. If the supervisor itself is killed, Linux kills them (`die_with_parent`), and on any
system a web node exits, since its standard input closes.
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

SHUTDOWN_LIMIT = 3.0
"""Seconds that a process has to exit when it is asked to. Then it is killed."""

_PR_SET_PDEATHSIG = 1


class DemoError(SessionError):
    """The demo cannot run, or a part of it did not start; the message names the fix."""


class Child:
    """One process of the demo that can be killed, stopped, resumed and started again.

    Args:
        name: on the pages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: Process | None = None
        self._is_stopped = False

    @property
    def is_up(self) -> bool:
        """Whether its process runs, as far as the supervisor knows."""
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
        """Starts a process unless there is one; resumes a stopped one."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Kills the process with SIGKILL: it cannot clean up."""
        self._is_stopped = False
        if self._process:
            await kill(self._process)

    async def stop(self) -> None:
        """Stops it with SIGSTOP: it keeps its connections and does not answer, like a machine that hangs."""
        if self.state == "up" and self._process:
            self._process.send_signal(signal.SIGSTOP)
            self._is_stopped = True

    async def resume(self) -> None:
        """Resumes a stopped one with SIGCONT."""
        if self.state == "stopped" and self._process:
            self._process.send_signal(signal.SIGCONT)
        self._is_stopped = False

    async def restart(self) -> None:
        """Kills it and starts another one in its place, which has none of its memory."""
        await self.kill()
        await self.start()


async def shut_down(process: Process, ask: Callable[[], object]) -> None:
    """Asks a process to exit, waits, and kills it if it does not. Does nothing if it has exited already.

    Args:
        process: the process.
        ask: asks it.
    """
    if process.returncode is not None:
        return
    ask()
    try:
        async with asyncio.timeout(SHUTDOWN_LIMIT):
            await process.wait()
    except TimeoutError:
        await kill(process)


async def kill(process: Process) -> None:
    """Kills a process and those it started, as a crash would; waits until it is gone."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def die_with_parent(parent: int) -> Callable[[], None] | None:
    """Returns what a new child must run first, so that Linux kills it with its parent; ``None`` on other systems."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_exec
