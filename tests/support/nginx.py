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
{user}
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
        user = "user root;" if os.geteuid() == 0 else ""  # what it writes is in folders of the tests' own
        conf.write_text(_CONF.format(folder=folder, user=user, http=http.replace("LISTEN", f"{HOST}:{port}")))
        program = needed("nginx")
        words = [str(program), "-p", folder, "-c", str(conf), "-e", "stderr"]
        with WebServer(words, port, environment(program)) as web:
            web.await_connection()
            yield web.url


def by_path(upstreams: dict[str, str]) -> str:
    """The block of a server that hands ``/name/…`` to the address of that name."""
    places = "".join(f"location /{name}/ {{ proxy_pass {url}/; }}" for name, url in upstreams.items())
    return f"server {{ listen LISTEN; {places} }}"


def needed(name: str) -> Path:
    """The program of a front; a missing one skips the test, and fails it in CI."""
    try:
        return binary(name)
    except MissingServerError as missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(missing))
