"""``--app module:name``: the manager of an application, found in what the name stands for.

The module is imported from the working directory, as gunicorn, uvicorn and flask do; that runs its top level. A factory
is called. No request and no lifespan begins. Then the manager is looked for, nearest first:

1. the object itself: a `SessionManager`, our `SessionMiddleware`, a Flask application with `SharedSession`, a handler
   of a Django project that uses our sessions, a Starlette or FastAPI application to which our middleware was added;
2. what it wraps, by the names that wrappers give it (`_WRAPPED`), or, of a function, what its body refers to;
3. what is mounted in it.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import FunctionType, ModuleType
from typing import Any

from sharedsession import asgi, wsgi
from sharedsession.errors import ConfigurationError
from sharedsession.manager import SessionManager

EXPECTED = (
    "expected is a WSGI, ASGI, Starlette, FastAPI, Flask or Django application with our SessionMiddleware or "
    "SharedSession, or a SessionManager"
)
_USUAL = ("app", "application", "create_app", "make_app")  # where no name is given
_WRAPPED = (
    "app",
    "application",
    "wsgi_app",
    "wsgi_application",
    "asgi_app",
    "asgi_handler",
    "other_asgi_app",
    "func",
    "__func__",
    "__self__",
    "__wrapped__",
)
_MOUNTED = ("mounts", "application_mapping")  # of Werkzeug's dispatcher, of Channels' router
_MOST = 300  # objects that are looked at


class ApplicationNotFoundError(ConfigurationError):
    """``--app`` names nothing, something that cannot be imported, or something without shared sessions."""


@contextmanager
def imported(spec: str) -> Iterator[SessionManager]:
    """Imports an application and yields its manager; keeps the application alive meanwhile.

    Args:
        spec: ``module:name``, ``module:factory()`` or ``module``.

    Raises:
        ApplicationNotFoundError: there is none; the message tells what was found and what is expected.
        ConfigurationError: the application's settings are wrong.
    """
    with redirect_stdout(sys.stderr):  # what an application prints is no part of our JSON
        found = load(spec)
    yield manager_of(found, f"--app {spec}")


def manager_of(application: Any, named: str) -> SessionManager:
    """Returns the manager of an application.

    Args:
        application: the object.
        named: how its user named it.

    Raises:
        ApplicationNotFoundError: it has no shared sessions.
    """
    manager = find(application)
    if manager is None:
        raise ApplicationNotFoundError(f"{named}: {_described(application)} has no shared sessions: {EXPECTED}")
    return manager


def load(spec: str) -> Any:
    """Returns what an import string stands for; a factory's result in its place."""
    module_name, _, expression = spec.partition(":")
    if not module_name or "/" in module_name or module_name.endswith(".py"):
        raise ApplicationNotFoundError(f"--app {spec}: write MODULE:NAME as for your web server, like shop:app")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    module = _imported(module_name, spec)
    expression = expression or next((name for name in _USUAL if name in vars(module)), _USUAL[0])
    with _reported(spec, f"calling {expression}"):
        return _evaluated(module, expression, spec)


def find(application: Any) -> SessionManager | None:
    """Returns the manager of an application by the rule of this file."""
    waiting, seen = [application], set[int]()
    while waiting and len(seen) < _MOST:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            if (manager := _own(each)) is not None:
                return manager
            waiting += [*_wrapped(each), *_mounted(each)]
    return None


# -- importing


def _imported(name: str, spec: str) -> ModuleType:
    with _reported(spec, f"importing {name}"):
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if not f"{name}.".startswith(f"{error.name}."):
                raise  # of something that the application imports
            raise ApplicationNotFoundError(
                f"--app {spec}: there is no module {error.name!r} in {Path.cwd()}: run this where your web server "
                "runs, or set PYTHONPATH"
            ) from None


def _evaluated(module: ModuleType, expression: str, spec: str) -> Any:
    """Returns the value of a dotted name, or of a call of one with literals, as in gunicorn and flask."""
    name, arguments = expression, None
    if expression.endswith(")"):
        name, arguments = _call(expression, spec)
    found: Any = module
    for part in name.split("."):
        if part not in dir(found):
            raise ApplicationNotFoundError(f"--app {spec}: module {module.__name__} has no {name!r}{_names(module)}")
        found = getattr(found, part)
    if arguments is not None:
        return found(*arguments)
    return found() if _is_factory(found) else found


def _call(expression: str, spec: str) -> tuple[str, list[Any]]:
    try:
        call = ast.parse(expression, mode="eval").body
        if isinstance(call, ast.Call) and not call.keywords:
            return ast.unparse(call.func), [ast.literal_eval(argument) for argument in call.args]
    except (SyntaxError, ValueError):
        pass
    raise ApplicationNotFoundError(f"--app {spec}: {expression!r} is no call of a factory with plain values")


def _is_factory(found: Any) -> bool:
    """Returns whether an object is a function without required arguments: an application has two or three."""
    if not inspect.isfunction(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    open_ended = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return all(each.default is not each.empty or each.kind in open_ended for each in parameters)


def _names(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if not name.startswith("_") and find(value) is not None]
    return f"; shared sessions are in {', '.join(names)}" if names else ""


@contextmanager
def _reported(spec: str, deed: str) -> Iterator[None]:
    """Turns whatever an application raises into one line; a wrong setting keeps its own words."""
    try:
        yield
    except ConfigurationError:
        raise
    except (Exception, SystemExit) as error:
        raise ApplicationNotFoundError(
            f"--app {spec}: {deed} failed: {type(error).__name__}: {error} ({_place(error)})"
        ) from error


def _place(error: BaseException) -> str:
    """Returns the innermost line of the application itself; where none is known, of what it called."""
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(f"{Path.cwd()}/")]
    last = [*frames, *(frame for frame in own if "site-packages" not in frame.filename)][-1]
    return f"{last.filename}, line {last.lineno}"


# -- looking


def _own(each: Any) -> SessionManager | None:
    if isinstance(each, SessionManager):
        return each
    if isinstance(each, wsgi.SessionMiddleware | asgi.SessionMiddleware):
        return each.manager
    finders = (finder for module, finder in _FINDERS.items() if module in sys.modules)
    return next((manager for finder in finders if (manager := finder(each)) is not None), None)


def _of_flask(each: Any) -> SessionManager | None:
    from sharedsession.frameworks.flask import manager_in  # noqa: PLC0415 - only where Flask is loaded

    return manager_in(each)


def _of_django(each: Any) -> SessionManager | None:
    from sharedsession.frameworks.django import manager_in  # noqa: PLC0415 - only where Django is loaded

    return manager_in(each)


def _of_starlette(each: Any) -> SessionManager | None:
    from sharedsession.frameworks.starlette import manager_in  # noqa: PLC0415 - only where Starlette is loaded

    return manager_in(each)


_FINDERS: dict[str, Callable[[Any], SessionManager | None]] = {
    "flask.app": _of_flask,
    "django.core.handlers.base": _of_django,
    "starlette.applications": _of_starlette,
}


def _wrapped(each: Any) -> list[Any]:
    found = [getattr(each, name, None) for name in _WRAPPED]
    if isinstance(each, FunctionType):
        used = inspect.getclosurevars(each)
        found += [*used.nonlocals.values(), *used.globals.values()]
    return [value for value in found if callable(value)]


def _mounted(each: Any) -> list[Any]:
    tables = [table for name in _MOUNTED if isinstance(table := getattr(each, name, None), dict)]
    routes = getattr(each, "routes", ())
    inside = [route.app for route in routes if hasattr(route, "app")] if isinstance(routes, list) else []
    return [*(value for table in tables for value in table.values()), *inside]


def _described(found: Any) -> str:
    if isinstance(found, FunctionType | type):
        return f"{'class' if isinstance(found, type) else 'function'} {found.__qualname__}"
    kind = type(found)
    return f"an object of {kind.__module__}.{kind.__qualname__}"
