"""Starlette and FastAPI: ``request.session`` is shared with the farm.

`CurrentSession` and `CurrentManager` are FastAPI's; FastAPI is imported only by code that asks for one of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sharedsession.extras import needs

with needs("starlette"):
    from sharedsession.frameworks.starlette.middleware import SessionMiddleware, manager_in
    from sharedsession.frameworks.starlette.session import StarletteSession

if TYPE_CHECKING:
    from sharedsession.frameworks.starlette.dependencies import CurrentManager, CurrentSession

__all__ = ["CurrentManager", "CurrentSession", "SessionMiddleware", "StarletteSession", "manager_in"]


def __getattr__(name: str) -> Any:
    if name not in {"CurrentManager", "CurrentSession"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs("fastapi"):
        return getattr(import_module("sharedsession.frameworks.starlette.dependencies"), name)
