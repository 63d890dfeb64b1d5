"""The straight-line floor: what a session costs somebody who writes by hand what we promise, for one store, once.

The cookie has the shape of ours: an ID and its HMAC-SHA256. The store key is a keyed hash of the ID, the record is
MessagePack under AES-256-GCM. Reading renews in the same round trip; a write is refused if another request wrote in
between. There is no failure, no merge, no timeout, no rotation of secrets, no second server and no layer; one key seals
all sessions. `floor` is the raw one, without cookie, seal and store key.
"""

import os
from base64 import urlsafe_b64encode
from collections.abc import Callable, Generator
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import ormsgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from benchmarks.deeds import deed
from benchmarks.floor import TaskWire, Wire, connected, words

COOKIE = "__Host-session"
_ATTRIBUTES = "; Path=/; HttpOnly; Secure; SameSite=Lax"
_NONCE = 12
_SIGNED = 40  # characters of an ID

Step = Generator[tuple[bytes, Callable[[bytes], Any]], Any, tuple[str, str]]


class Straight:
    """The keys of one secret, and one request without its I/O."""

    def __init__(self, secret: str, url: str, payload: dict[str, Any]) -> None:
        self._speak = words(url)
        self._payload = payload
        self._sign = HMAC(sha256(f"sign {secret}".encode()).digest(), SHA256())
        self._name = HMAC(sha256(f"name {secret}".encode()).digest(), SHA256())
        self._cipher = AESGCM(sha256(f"seal {secret}".encode()).digest())

    def session(self, path: str, cookie: bytes) -> Step:
        """Yields what to ask; returns the body, and a cookie to set."""
        if path == "/untouched":
            return "-", ""
        key = self._key_of(cookie) if cookie else b""
        if not key:
            return (yield from self._new(path))
        value, version = yield self._speak.get(key.decode()), self._speak.found
        data = ormsgpack.unpackb(self._cipher.decrypt(value[:_NONCE], value[_NONCE:], key))
        text = deed(path, lambda: data, self._payload)
        if path == "/write":
            swap = self._speak.swap(key.decode(), self._sealed(data, key), version)
            if not (yield swap, self._speak.stored):
                raise RuntimeError("another request won")
        return text, ""

    def _new(self, path: str) -> Step:
        session_id = urlsafe_b64encode(os.urandom(30))
        key = self._store_key(session_id)
        data: dict[str, Any] = {}
        text = deed(path, lambda: data, self._payload)
        yield self._speak.add(key.decode(), self._sealed(data, key)), self._speak.stored
        return text, f"{session_id.decode()}.{self._signature(session_id).decode()}"

    def _key_of(self, header: bytes) -> bytes:
        """Returns the store key of the genuine token in a Cookie header; nothing if there is none."""
        for pair in header.split(b";"):
            name, _, token = pair.strip().partition(b"=")
            if name == b"__Host-session":
                session_id = token[:_SIGNED]
                if compare_digest(token[_SIGNED + 1 :], self._signature(session_id)):
                    return self._store_key(session_id)
        return b""

    def _signature(self, session_id: bytes) -> bytes:
        hashing = self._sign.copy()
        hashing.update(session_id)
        return urlsafe_b64encode(hashing.finalize()).rstrip(b"=")

    def _store_key(self, session_id: bytes) -> bytes:
        hashing = self._name.copy()
        hashing.update(session_id)
        return b"ss:" + urlsafe_b64encode(hashing.finalize()[:15])

    def _sealed(self, data: dict[str, Any], key: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, ormsgpack.packb(data), key)


def wsgi(url: str, payload: dict[str, Any], secret: str) -> Any:
    """The straight-line floor as a WSGI application."""
    straight, wire = Straight(secret, url, payload), Wire(url)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        path = environ["PATH_INFO"]
        step = straight.session(path, environ.get("HTTP_COOKIE", "").encode("latin-1"))
        try:
            ask = next(step)
            while True:
                ask = step.send(wire.ask(*ask))
        except StopIteration as done:
            text, token = done.value
        headers = [("Content-Type", "text/plain")]
        if path != "/untouched":
            headers.append(("Vary", "Cookie"))
        if token:
            headers += [("Set-Cookie", f"{COOKIE}={token}{_ATTRIBUTES}"), ("Cache-Control", "no-store")]
        start_response("200 OK", headers)
        return [text.encode()]

    return app


def asgi(url: str, payload: dict[str, Any], secret: str) -> Any:
    """The straight-line floor as an ASGI application: a task (``scope["bench.task"]``) has a connection of its own."""
    straight = Straight(secret, url, payload)
    wires: dict[int, TaskWire] = {}

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        cookie = next((value for name, value in scope["headers"] if name == b"cookie"), b"")
        wire = wires.get(scope["bench.task"])
        if wire is None:
            wire = wires[scope["bench.task"]] = await connected(url)
        step = straight.session(scope["path"], cookie)
        try:
            ask = next(step)
            while True:
                ask = step.send(await wire.ask(*ask))
        except StopIteration as done:
            text, token = done.value
        headers = [(b"content-type", b"text/plain")]
        if scope["path"] != "/untouched":
            headers.append((b"vary", b"Cookie"))
        if token:
            headers.append((b"set-cookie", f"{COOKIE}={token}{_ATTRIBUTES}".encode()))
            headers.append((b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    return app
