"""An outage of the store, as an application of Starlette's kind answers it by itself: inside of its middlewares.

Our own 503 is made where our middleware stands. What stands behind it, Starlette's CORSMiddleware for instance, would
have no part in it. So where the session is loaded before the application runs, an outage waits for the first look, and
is an `HTTPException` there. A page that does not look at its session is served.
"""

from collections.abc import Awaitable
from typing import NoReturn

from starlette.exceptions import HTTPException

from sharedsession.errors import BackendUnavailable
from sharedsession.frameworks.starlette.session import StarletteSession
from sharedsession.session import SessionState
from sharedsession.settings import Settings


class StoreUnavailable(BackendUnavailable, HTTPException):
    """The store cannot be asked: a `BackendUnavailable` that Starlette answers with 503, or the application does."""


def store_unavailable(settings: Settings) -> StoreUnavailable:
    """Returns the error that stands for the 503 of an outage."""
    answer = settings.transport.unavailable(settings.breaker_window)
    headers = {name: value for name, value in answer.headers if not name.startswith("Content-")}
    return StoreUnavailable(answer.status, answer.body.decode().strip(), headers)


class SessionOutOfReach(StarletteSession):
    """A session that could not be loaded: to look at it is an error; it can be ended, if the store is back by then.

    Args:
        state: of the session.
        error: raised at each look.
    """

    __slots__ = ("_error",)

    def __init__(self, state: SessionState, error: StoreUnavailable) -> None:
        super().__init__(state)
        self._error = error

    def load(self) -> Awaitable[None]:
        """Same as a look."""
        self._look()

    def _look(self) -> NoReturn:
        self._state.accessed = True
        raise self._error
