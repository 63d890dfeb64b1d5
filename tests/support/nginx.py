"""A real nginx in front of web servers, on a free loopback port: `nginx` starts one and stops it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.binaries import MissingServerError, binary, environment
from tests.support.processes import HOST, free_port
from tests.support.webserver import WebServer

_CONF = """
pid {folder}/pid;
error_log stderr;
daemon off;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    proxy_set_header Host $host;
    {http}
}}
"""


@contextlib.contextmanager
def nginx(http: str) -> Iterator[str]:
    """Runs nginx.

    Args:
        http: what stands in its ``http`` block; ``LISTEN`` is replaced by its address.

    Yields:
        Its address, ``http://127.0.0.1:PORT``.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "nginx.conf"
        conf.write_text(_CONF.format(folder=folder, http=http.replace("LISTEN", f"{HOST}:{port}")))
        program = _program()
        words = [str(program), "-p", folder, "-c", str(conf), "-e", "stderr"]
        with WebServer(words, port, environment(program)) as web:
            web.await_connection()
            yield web.url


def by_path(upstreams: dict[str, str]) -> str:
    """The block of a server that hands ``/name/…`` to the address of that name."""
    places = "".join(f"location /{name}/ {{ proxy_pass {url}/; }}" for name, url in upstreams.items())
    return f"server {{ listen LISTEN; {places} }}"


def _program() -> Path:
    try:
        return binary("nginx")
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
