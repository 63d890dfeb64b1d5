"""A real Varnish in front of web servers, on a free loopback port: `varnish` starts one and stops it."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.binaries import HOW, environment
from tests.support.nginx import needed
from tests.support.processes import HOST, free_port
from tests.support.webserver import WebServer


@contextlib.contextmanager
def varnish(vcl: str) -> Iterator[str]:
    """Runs Varnish.

    Args:
        vcl: the configuration that it compiles.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    program, port = needed("varnishd"), free_port()
    if not shutil.which("gcc"):
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"gcc is missing: {HOW['varnishd']}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "default.vcl"
        file.write_text(vcl)
        own = ["-n", f"{folder}/work", "-s", "malloc,32m", "-T", "none", "-j", "none", *_modules(program)]
        words = [str(program), "-F", "-f", str(file), "-a", f"{HOST}:{port}", *own]
        with WebServer(words, port, environment(program)) as web:
            web.await_connection()
            yield web.url


def _modules(program: Path) -> list[str]:
    """Where those of a fetched Varnish are; an installed one knows by itself."""
    found = sorted(program.parents[1].glob("lib/*-linux-*/varnish/vmods"))
    return ["-p", f"vmod_path={found[0]}"] if found else []
