"""A real HAProxy in front of web servers, on a free loopback port: `haproxy` starts one and stops it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.binaries import environment
from tests.support.nginx import needed
from tests.support.processes import HOST, free_port
from tests.support.webserver import WebServer


@contextlib.contextmanager
def haproxy(config: str) -> Iterator[str]:
    """Runs HAProxy.

    Args:
        config: its whole configuration; ``LISTEN`` is replaced by its address.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    program, port = needed("haproxy"), free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "haproxy.cfg"
        file.write_text(config.replace("LISTEN", f"{HOST}:{port}"))
        with WebServer([str(program), "-db", "-f", str(file)], port, environment(program)) as web:
            web.await_connection()
            yield web.url
