"""The race: contenders visited in turn, round by round, so that all meet the same machine; and proof that they work.

A driver serves one kind of request to many visitors and says what it cost; `Wsgi` and `Asgi` differ only in that. What
a session costs is the difference to the bare application of the same framework in the same round.
"""

import gc
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from benchmarks.contenders import BARE, Contender
from benchmarks.deeds import PAYLOADS, REQUESTS, Request

Answer = tuple[Any, bytes]  # headers as the server gets them, body

SETTLING = 0.01  # seconds until what a peer sent without waiting for the answer has arrived


class Served(NamedTuple):
    """One measurement.

    Attributes:
        cpu: microseconds of this process for one request.
        wall: microseconds from the first request to the end of the last, divided by their number.
        waits: what each visitor waited, in microseconds.
        answers: what each visitor got.
    """

    cpu: float
    wall: float
    waits: list[float]
    answers: list[Answer]


class Driver(Protocol):
    """Serves requests, so many at a time."""

    crowd: int

    def serve(self, app: Any, path: str, cookies: Sequence[str]) -> Served:
        """Serves one request for each cookie."""
        ...


class NotWorkingError(Exception):
    """A contender did not do what it was asked."""


class Entrant:
    """A contender on one store with one payload.

    Those that must be told whether to slide have two applications; they find each other's sessions in the store.

    Raises:
        Exception: of whatever kind: it is not installed, or refuses the store.
    """

    def __init__(self, row: Contender, url: str, payload: str) -> None:
        self.row = row
        self.payload = payload
        self._apps = {slide: row.build(url, PAYLOADS[payload], slide) for slide in (False, *row.told_to_slide)}
        self.cookies: list[str] = []

    def visit(self, driver: Driver, request: Request, visitors: int) -> Served:
        """Serves one request to each visitor, and sees that it happened."""
        app = self._apps.get(request.slides, self._apps[False])
        getattr(app, "activate", _nothing)()
        cookies = self.cookies if request.has_cookie else [""] * visitors
        gc.collect()
        served = driver.serve(app, request.path, cookies)
        self._check(request, served)
        if not request.has_cookie:
            self.cookies = ["nobody=1" if self.row.name == BARE else cookie_of(each) for each in served.answers]
        return served

    def prove(self, driver: Driver, visitors: int) -> None:
        """A whole round, and that what was written is there afterwards."""
        for request in REQUESTS:
            self.visit(driver, request, visitors)
            time.sleep(SETTLING)
        if self.row.name != BARE:
            again = driver.serve(self._apps[False], "/read", self.cookies)
            self._check(REQUESTS[-1], again)

    def _check(self, request: Request, served: Served) -> None:
        wrong = {body for _, body in served.answers} - {request.answer.encode()}
        if wrong:
            raise NotWorkingError(f"{self.row.label}: {request.name} answered {sorted(wrong)[0]!r}")


def _nothing() -> None:
    pass


def cookie_of(answer: Answer) -> str:
    """The cookie that an answer sets, as the visitor brings it back."""
    for name, value in answer[0]:
        if name.lower() in {"set-cookie", b"set-cookie"}:
            text: str = value if isinstance(value, str) else value.decode("latin-1")
            return text.partition(";")[0]
    raise NotWorkingError("a new session, and no cookie")


def entrants(rows: Sequence[Contender], url: str, payload: str, driver: Driver, visitors: int) -> list[Entrant]:
    """Those that can be built and do work; why the others do not is said on standard error."""
    fit = []
    for row in rows:
        try:
            entrant = Entrant(row, url, payload)
            entrant.prove(driver, visitors)
        except Exception as error:  # noqa: BLE001  (any library may fail in its own way)
            sys.stderr.write(f"left out: {row.label} on {url.partition(':')[0]}: {error!r}\n")
        else:
            fit.append(entrant)
    gc.collect()
    gc.freeze()  # the more libraries are loaded, the more a collection would cost whoever happens to trigger it
    return fit


def run(fit: Sequence[Entrant], driver: Driver, rounds: int, visitors: int, only: Sequence[str] = ()) -> list[Any]:
    """The rounds. Returns one record for each contender and request, with what every round measured."""
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for turn in range(rounds):
        order = list(fit) if turn % 2 else list(reversed(fit))
        for request in REQUESTS:
            if request.has_cookie and only and request.name not in only:
                continue
            for entrant in order:
                served = entrant.visit(driver, request, max(visitors // entrant.row.slowness, driver.crowd))
                record = records.setdefault((entrant.row.label, request.name), _record(entrant, request, driver))
                record["cpu"].append(served.cpu)
                record["wall"].append(served.wall)
                record["waits"].extend(served.waits)
    return list(records.values())


def _record(entrant: Entrant, request: Request, driver: Driver) -> dict[str, Any]:
    row = entrant.row
    names = {"frame": row.frame, "name": row.name, "payload": entrant.payload, "request": request.name}
    return {**names, "crowd": driver.crowd, "cpu": [], "wall": [], "waits": []}
