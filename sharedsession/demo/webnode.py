"""The supervisor's hold on one web node: start its process, kill it, stop it, end it.

A web node says on its standard output at which port it listens, and lives while its standard input is open.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping

from sharedsession.demo.processes import Child, FarmError, end, kill

START_LIMIT = 20.0
"""How long a web node may take to listen, in seconds: generous, for a machine that is busy."""


class WebNode(Child):
    """One web node of the farm, up or down.

    Args:
        name: what the page calls it.
        environment: the variables of its process; the secret travels there, never on a command line.
    """

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        super().__init__(name)
        self.port: int | None = None
        self._environment = environment
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<WebNode {self.name} {self.state} pid={self.pid} port={self.port}>"

    @property
    def state(self) -> str:
        """Same as `Child.state`; it is up when it listens."""
        return super().state if self.port is not None else "down"

    async def start(self) -> None:
        """Starts a process and waits until it listens. A node that is up stays as it is.

        Raises:
            FarmError: the process ended or stayed silent instead.
        """
        async with self._starting:
            await self.proceed()
            if not self.is_up:
                self.port = None
                self._process = process = await self._spawn()
                self.port = await self._port_of(process)

    async def kill(self) -> None:
        """Same as `Child.kill`."""
        self.port = None
        await super().kill()

    async def end(self) -> None:
        """Ends the process in peace: it sees the end of its standard input."""
        await self.proceed()
        self.port = None
        if self._process and self._process.stdin:
            await end(self._process, self._process.stdin.close)

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
        except (TimeoutError, ValueError) as fault:
            await kill(process)
            raise FarmError(f"{self.name} did not start; the lines above this one may say why") from fault
