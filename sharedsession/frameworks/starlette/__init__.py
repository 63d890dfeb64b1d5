"""Starlette and FastAPI: ``request.session`` is shared with the farm."""

from typing import TYPE_CHECKING, Any

from sharedsession.frameworks.starlette import middleware
from sharedsession.frameworks.starlette.middleware import SessionMiddleware, StarletteSession

if TYPE_CHECKING:
    from sharedsession.frameworks.starlette.middleware import CurrentSession

__all__ = ["CurrentSession", "SessionMiddleware", "StarletteSession"]


def __getattr__(name: str) -> Any:
    if name != "CurrentSession":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return middleware.CurrentSession  # imports FastAPI
