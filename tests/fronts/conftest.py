"""Three real web nodes, and the fronts of ``examples/`` before them: the files as they are, but for names of places."""

import contextlib
import datetime as dt
import ipaddress
import os
import re
import signal
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sharedsession import MachineKey
from tests.support.haproxy import haproxy
from tests.support.nginx import nginx
from tests.support.varnish import varnish
from tests.support.webserver import ROOT, WebServer, running

NODES = {"a": ("gunicorn-gthread", "wsgi_site()"), "b": ("uvicorn", ""), "c": ("gunicorn-gthread", "wsgi_site()")}


class Front(NamedTuple):
    """One front.

    Attributes:
        example: its file in ``examples/``.
        changes: of the example, for the sake of a test: what stands there, and what shall.
    """

    example: str
    changes: tuple[tuple[str, str], ...] = ()


FRONTS = {
    "nginx": Front("nginx/round-robin.conf"),
    "nginx-affinity": Front("nginx/affinity.conf"),
    "nginx-cache": Front("nginx/cache.conf"),
    "nginx-cache-bold": Front(
        "nginx/cache.conf", (("proxy_cache shop;", "proxy_cache shop; proxy_ignore_headers Set-Cookie;"),)
    ),
    "haproxy": Front("haproxy/round-robin.cfg"),
    "haproxy-affinity": Front("haproxy/affinity.cfg"),
    "varnish": Front("varnish/default.vcl"),
    "varnish-bold": Front(
        "varnish/default.vcl", (("sub vcl_deliver", "sub vcl_beresp_cookie { return; }\nsub vcl_deliver"),)
    ),
}


class Farm:
    """Three web nodes over one SQLite file."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        settings = {"backend": f"sqlite:///{directory}/s.db", "secret_key": MachineKey.generate(), "timeout": "5"}
        env = {f"SHAREDSESSION_{name.upper()}": value for name, value in settings.items()}
        self.nodes: dict[str, WebServer] = {}
        for name, (server, factory) in NODES.items():
            words: Any = server if factory else ("python", "-m", "uvicorn", "--factory", *_UVICORN)
            app = f"tests.fronts.site:{factory or 'asgi_site'}"
            self.nodes[name] = stack.enter_context(running(words, app, env={**env, "NODE": name}, workers=1))
        self.ports = [node.url.rpartition(":")[2] for node in self.nodes.values()]

    def kill(self, name: str) -> None:
        """Ends a node and its workers at once."""
        os.killpg(self.nodes[name].pid, signal.SIGKILL)


_UVICORN = ("--host", "127.0.0.1", "--port", "{port}", "{app}")


class Browser:
    """A visitor with a cookie jar of their own, who trusts the front's certificate.

    Args:
        url: of the front.
        trust: what the certificate is checked with.
        name: under which the visitor enters.
    """

    def __init__(self, url: str, trust: ssl.SSLContext, name: str) -> None:
        self.name = name
        self.cookies: dict[str, str] = {}
        self._client = httpx.Client(base_url=url, verify=trust, timeout=30)
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # Secure, and no TLS in Varnish

    def go(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One request; what it sets is kept."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"X-Name": self.name, **(headers or {})} | ({"Cookie": cookie} if cookie else {})
        answer = self._client.request(method, path, headers=sent)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return answer

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "front")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption()))
    return path


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Three web nodes that nobody breaks."""
    with ExitStack() as stack:
        yield Farm(stack, tmp_path_factory.mktemp("farm"))


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Farm]:
    """Three web nodes to kill."""
    with ExitStack() as stack:
        yield Farm(stack, tmp_path)


@pytest.fixture
def front(tmp_path: Path, certificate: Path) -> Callable[..., contextlib.AbstractContextManager[str]]:
    """Starts a row of `FRONTS`; it is a context manager that gives the address."""

    @contextlib.contextmanager
    def started(name: str, farm: Farm) -> Iterator[str]:
        kind = name.partition("-")[0]
        text = _placed(FRONTS[name], farm.ports, certificate, tmp_path)
        run = {"nginx": nginx, "haproxy": haproxy, "varnish": varnish}[kind]
        with run(text) as url:
            yield url if kind == "varnish" else url.replace("http:", "https:")

    return started


@pytest.fixture
def browser(certificate: Path) -> Iterator[Callable[..., Browser]]:
    """Makes visitors: ``browser(url, name)``."""
    trust = ssl.create_default_context(cafile=str(certificate))
    with ExitStack() as stack:
        yield lambda url, name="": stack.enter_context(contextlib.closing(Browser(url, trust, name)))


def _placed(front: Front, ports: list[str], certificate: Path, directory: Path) -> str:
    """An example with the addresses and paths of a test. Each must be where it is expected."""
    text = (ROOT / "examples" / front.example).read_text()
    for number, port in enumerate(ports, 1):
        text = re.sub(rf'10\.0\.0\.1{number}(:|"; \.port = ")8000', rf"127.0.0.1\g<1>{port}", text)
    for old, new in front.changes:
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r"listen 443\b|bind :443\b", lambda found: f"{found[0].split()[0]} LISTEN", text)
    text = re.sub(r"/etc/ssl/shop\.(pem|key)", str(certificate), text).replace("/var/cache/nginx", str(directory))
    assert not re.search(r"10\.0\.0|/etc/ssl|/var/cache|:443", text)
    return text
