"""The process of one web node, as the supervisor controls it: start, kill, stop, resume, shut down.

The process prints the port at which it listens, and runs while its standard input is open.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping

from sharedsession.demo.processes import Child, DemoError, kill, shut_down

START_LIMIT = 20.0
"""Seconds that a web node has to listen: generous, for a machine that is busy."""


class WebProcess(Child):
    """The process of one web node, up or down.

    Args:
        name: on the pages.
        environment: the variables of its process; they hold the secret, which is never part of a command line.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        super().__init__(name)
        self.port: int | None = None
        self._environment = environment
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<WebProcess {self.name} {self.state} pid={self.pid} port={self.port}>"

    @property
    def state(self) -> str:
        """Same as `Child.state`; a web node is up when it listens."""
        return super().state if self.port is not None else "down"

    async def start(self) -> None:
        """Starts a process and waits until it listens. Does nothing if the web node is up.

        Raises:
            DemoError: the process exited instead, or did not listen in time.
        """
        async with self._starting:
            await self.resume()
            if not self.is_up:
                self.port = None
                self._process = process = await self._spawn()
                self.port = await self._port_of(process)

    async def kill(self) -> None:
        """Same as `Child.kill`."""
        self.port = None
        await super().kill()

    async def shut_down(self) -> None:
        """Lets the process exit by itself: closes its standard input."""
        await self.resume()
        self.port = None
        if self._process and self._process.stdin:
            await shut_down(self._process, self._process.stdin.close)

    async def _spawn(self) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sharedsession.demo.node",
            self.name,
            env=self._environment,
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
        )

    async def _port_of(self, process: Process) -> int:
        try:
            async with asyncio.timeout(START_LIMIT):
                return int(await process.stdout.readline())  # type: ignore[union-attr] # it is a pipe
        except (TimeoutError, ValueError) as error:
            await kill(process)
            raise DemoError(f"{self.name} did not start; the lines above this one may tell why") from error
