"""Starlette and FastAPI: ``request.session`` is shared with the farm; Starlette's argument names count beside ours.

The middleware is that of `sharedsession.asgi`. Here are its other names, what a session can do in a worker thread,
and ``CurrentSession`` for FastAPI, which is imported only for who asks for that name.
"""

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Unpack

import anyio.from_thread
from starlette.datastructures import Secret
from starlette.requests import HTTPConnection

from sharedsession import asgi
from sharedsession.errors import ConfigurationError, SessionError
from sharedsession.frameworks.starlette.adoption import Adopting
from sharedsession.keys.machine_key import SecretKey
from sharedsession.manager import SessionManager
from sharedsession.session.host import Tokens
from sharedsession.session.mapping import Session
from sharedsession.settings.settings import Keywords, Settings

_OURS = {
    "session_cookie": "cookie_name",
    "max_age": "idle_timeout",
    "path": "cookie_path",
    "same_site": "cookie_samesite",
    "https_only": "cookie_secure",
    "domain": "cookie_domain",
    "partitioned": "cookie_partitioned",
}
_SAYS_NOTHING: dict[str, Any] = {"max_age": None, "https_only": False, "domain": None}  # then our default holds
_HALF_A_DAY = 43200  # the default of absolute_timeout
_MEND = "app.add_middleware(sharedsession.frameworks.starlette.SessionMiddleware, secret_key=...)"

if TYPE_CHECKING:
    CurrentSession: TypeAlias = Session
else:

    def __getattr__(name: str) -> Any:
        if name != "CurrentSession":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from fastapi import Depends  # noqa: PLC0415  (Starlette's users need not have it)

        globals()[name] = Annotated[Session, Depends(_current)]
        return globals()[name]


class StarletteKeywords(Keywords, total=False):
    """The settings, and the names that Starlette's own middleware has for some of them."""

    session_cookie: str
    max_age: float | timedelta | None
    path: str
    same_site: str
    https_only: bool
    domain: str | None
    partitioned: bool


class StarletteSession(Session):
    """A `Session` that waits for the store where it may: in a ``def`` endpoint, which runs in a worker thread."""

    __slots__ = ()

    def mark_accessed(self) -> None:
        """Starlette calls it for ``request.session``: from then on the response depends on the session."""
        self._accessed = True

    def mark_modified(self) -> None:
        """Has it saved even if nothing changed; changes inside values are noticed without it."""
        self._look_to_write()
        self.keep_anyway = bool(self)

    def at_once(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Carries a step out before it returns: in a worker thread, as the event loop must not wait."""
        if not _done_from_thread(lambda: self._keeper.do(step)):
            super().at_once(step)

    def _look(self) -> None:
        if self._loaded or not _done_from_thread(self.load):
            super()._look()


class SessionMiddleware(asgi.SessionMiddleware):
    """Gives a Starlette or FastAPI application its sessions.

    Args:
        app: the application.
        *key: the `secret_key` may be given by position, as with Starlette's.
        **settings: see the table of settings; ``secret_key`` is required. Or by Starlette's names: ``max_age`` is
            the idle timeout, of a cookie that outlives the browser unless it is ``None``; ``session_cookie``,
            ``path``, ``same_site``, ``https_only``, ``domain``, ``partitioned``.

    Raises:
        ConfigurationError: a setting is wrong, or two names of one setting contradict each other.
    """

    def __init__(self, app: asgi.App, *key: SecretKey | Secret, **settings: Unpack[StarletteKeywords]) -> None:
        given = {**settings, "secret_key": key[0]} if key else {**settings}
        self.manager = _Manager(_settings(given), blocking=False)
        self.app = app
        if self.manager.settings.adopt:
            self.app = Adopting(app, self.manager.settings, given | {"secret_key": _revealed(given.get("secret_key"))})


class _Manager(SessionManager):
    def open(self, tokens: Tokens) -> Session:
        return self.open_as(StarletteSession, tokens)


async def _current(connection: HTTPConnection) -> Session:
    """The dependency behind ``CurrentSession``: loads once, however many ask."""
    session = connection.scope.get("session")
    if not isinstance(session, Session):
        raise SessionError(f"a route asks for a session where there is none: {_MEND}, and let no `exclude` match it")
    if not session.is_loaded:
        await session.load()
    return session


def _done_from_thread(step: Callable[[], Awaitable[None]]) -> bool:
    """Has the event loop do it while this worker thread waits; ``False`` where there is no loop to wait for."""
    begun = False

    async def begin() -> None:
        nonlocal begun
        begun = True
        await step()

    try:
        anyio.from_thread.run(begin)
    except RuntimeError:  # not a worker thread: that of the event loop itself, or one of the application's own
        if begun:
            raise
    return begun


# -- settings


def _settings(given: Mapping[str, Any]) -> Settings:
    """Translates Starlette's names; what is wrong is said in the words that the user wrote."""
    theirs = {name: value for name, value in given.items() if name in _OURS and not _says_nothing(name, value)}
    ours = {name: value for name, value in given.items() if name not in _OURS}
    for name, value in theirs.items():
        _add(ours, _OURS[name], value, name)
    if "max_age" in given:
        _add(ours, "cookie_persistent", given["max_age"] is not None, f"max_age={given['max_age']!r}, which means")
    ours["secret_key"] = _revealed(ours.get("secret_key"))
    try:
        return Settings.load(ours, native=_native(theirs))
    except ConfigurationError as error:
        raise ConfigurationError(_in_their_words(str(error), theirs)) from None


def _says_nothing(name: str, value: Any) -> bool:
    return name in _SAYS_NOTHING and value is _SAYS_NOTHING[name]


def _add(ours: dict[str, Any], name: str, value: Any, said: str) -> None:
    if name in ours and _plain(ours[name]) != _plain(value):
        raise ConfigurationError(f"{said} and {name} are two names of one setting and differ: keep one of them")
    ours.setdefault(name, value)


def _plain(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _revealed(secret: Any) -> Any:
    if isinstance(secret, list | tuple):
        return [_revealed(each) for each in secret]
    return str(secret) if isinstance(secret, Secret) else secret


def _native(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """A ``max_age`` of two weeks is meant to last: the absolute end, where nobody set it, does not come before."""
    age = _plain(theirs.get("max_age"))
    lasting = isinstance(age, int | float) and age > _HALF_A_DAY
    return {"adopt": False} | ({"absolute_timeout": age} if lasting else {})


def _in_their_words(message: str, theirs: Mapping[str, Any]) -> str:
    for name in theirs:
        message = re.sub(rf"\b{_OURS[name]}\b", f"{name} ({_OURS[name]})", message)
    return message
