"""Other clients of memcached for the library to be compared with: libmemcached, and PHP's sessions, which use it.

Both are taken from the system or from among what `tests.support.fetch` unpacked.
"""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support import binaries
from tests.support.binaries import MissingServerError, environment

HOW = "or run: python -m tests.support.fetch"
BEHAVIOURS = {"ketama": 3, "ketama_weighted": 16}  # MEMCACHED_BEHAVIOR_KETAMA, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED
NEEDED = ("libsasl2.so.2", "libhashkit.so.2", "libmemcached.so.11")


def is_there(name: str) -> bool:
    """Whether a peer can be used."""
    try:
        {"libmemcached": libmemcached, "php": php}[name]()
    except MissingServerError:
        return False
    return True


@cache
def libmemcached() -> ctypes.CDLL:
    """The library, of the system or fetched; its own libraries are loaded first, so that it finds them."""
    try:
        library = [ctypes.CDLL(str(_fetched(name) or name), mode=ctypes.RTLD_GLOBAL) for name in NEEDED][-1]
    except OSError:
        raise MissingServerError(f"libmemcached is missing: install the package libmemcached11, {HOW}") from None
    library.memcached_create.restype = ctypes.c_void_p
    library.memcached_strerror.restype = ctypes.c_char_p
    library.memcached_get.restype = ctypes.c_void_p
    library.memcached_generate_hash.restype = ctypes.c_uint32
    return library


class Host(NamedTuple):
    """A server of a list.

    Attributes:
        name: of the host, its number, or the path of a UNIX socket.
        port: of TCP; 0 for a UNIX socket.
        weight: 1 for a server like the others.
    """

    name: str
    port: int
    weight: int = 1


class Libmemcached:
    """One libmemcached client.

    Args:
        hosts: its servers.
        behaviour: ``"ketama"`` or ``"ketama_weighted"``.
    """

    def __init__(self, hosts: Sequence[Host], behaviour: str) -> None:
        self._library = libmemcached()
        self._client = ctypes.c_void_p(self._library.memcached_create(None))
        self._check(self._library.memcached_behavior_set(self._client, BEHAVIOURS[behaviour], ctypes.c_uint64(1)))
        for host in hosts:
            self._check(self._add(host))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.memcached_free(self._client)

    def node(self, key: str) -> int:
        """The index of the server that holds a key."""
        name = key.encode()
        return int(self._library.memcached_generate_hash(self._client, name, ctypes.c_size_t(len(name))))

    def get(self, key: str) -> bytes | None:
        """What is stored under a key, as far as this client finds it."""
        name, length, flags, status = key.encode(), ctypes.c_size_t(), ctypes.c_uint32(), ctypes.c_int()
        found = self._library.memcached_get(
            self._client,
            name,
            ctypes.c_size_t(len(name)),
            ctypes.byref(length),
            ctypes.byref(flags),
            ctypes.byref(status),
        )
        if not found:
            return None
        value = ctypes.string_at(found, length.value)
        ctypes.CDLL(None).free(ctypes.c_void_p(found))
        return value

    def _add(self, host: Host) -> int:
        name, weight = host.name.encode(), ctypes.c_uint32(host.weight)
        if host.port:
            port = ctypes.c_uint16(host.port)
            return int(self._library.memcached_server_add_with_weight(self._client, name, port, weight))
        return int(self._library.memcached_server_add_unix_socket_with_weight(self._client, name, weight))

    def _check(self, status: int) -> None:
        if status:
            raise ValueError(self._library.memcached_strerror(self._client, status).decode())


@cache
def php() -> tuple[str, ...]:
    """The command that runs PHP with its memcached extension."""
    bare = shutil.which("php")
    for command in ((bare,) if bare else (), *_fetched_php()):
        if command and _runs(command):
            return tuple(command)
    raise MissingServerError(f"php is missing: install the packages php-cli and php-memcached, {HOW}")


def run_php(program: str, settings: dict[str, Any]) -> list[str]:
    """Runs a program. Returns the lines it printed; anything on standard error is an error."""
    options = [word for name, value in settings.items() for word in ("-d", f"{name}={value}")]
    done = _run([*php(), *options, "-r", program])
    if done.returncode or done.stderr:
        raise ChildProcessError(done.stderr or done.stdout)
    return done.stdout.splitlines()


def _fetched(library: str) -> Path | None:
    return next(binaries.SERVERS.glob(f"usr/lib/*-linux-*/{library}"), None)


def _fetched_php() -> list[tuple[str, ...]]:
    """The fetched PHP reads no configuration; its extensions are told one by one, memcached after what it uses."""
    commands = []
    for program in binaries.SERVERS.glob("usr/bin/php[0-9]*"):
        for memcached in binaries.SERVERS.glob("usr/lib/php/*/memcached.so"):
            needed = [memcached.with_name(f"{name}.so") for name in ("igbinary", "msgpack", "memcached")]
            options = [word for file in needed if file.exists() for word in ("-d", f"extension={file}")]
            commands.append((str(program), "-n", *options))
    return commands


def _runs(command: Sequence[str]) -> bool:
    try:
        return _run([*command, "-r", "echo (int) extension_loaded('memcached');"]).stdout == "1"
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    env = environment(Path(command[0]))
    return subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
