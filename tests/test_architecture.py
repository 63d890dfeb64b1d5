"""The boundaries of docs/architecture.md, section 5, kept over the syntax trees of the package."""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sharedsession"
MOST_LINES = 450  # a file; the house wants 300
MOST_BODY_LINES = 30  # of code in one function

# fmt: off
PURE = {
    "settings.converters", "errors", "keys.derivation", "session.host", "keys.machine_key", "keys.strength",
    "http.cookie", "records.codec", "records.record", "session.merge", "records.timeouts", "session.changes",
    "http.outcome", "records.compression", "farm.drift", "session.state", "session.mapping", "backends.base",
    "backends.wire.breaker", "backends.memcached.protocol",
}
IO = {
    "asyncio", "concurrent", "fcntl", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue",
    "random", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib",
}
ABOVE_BACKENDS = (
    "http", "keys", "session", "records", "manager", "asgi", "wsgi", "frameworks", "settings.settings", "readiness",
    "telemetry", "farmpage", "farm",
)
# fmt: on
# What a pure file may have all the same, and why.
PURE_BUT = {
    ("backends.memcached.protocol", "time"): "memcached reads a time to live over 30 days as a date",
    ("records.codec", "sys"): "Markup is of the type that this process has, if any",
    ("records.compression", "sys"): "which Python has zstd of its own",
    ("backends.wire.breaker", "threading"): "a lock around a few fields, which several threads ask",
}

COLOURED = {
    "concurrency.driver", "concurrency.timers", "concurrency.keyed_queue", "concurrency.per_loop",
    "backends.wire.multiplexed_client", "backends.sqlite.worker",
}  # fmt: skip
WAITING = {"frameworks.starlette.middleware"}  # for the event loop, from a worker thread; it runs none
# Whatever is neither ours nor the standard library's stands in its own file: module -> who may import it.
OUTSIDERS = {
    "itsdangerous": {"keys.derivation", "frameworks.starlette.adoption"},
    "cryptography": {"keys.derivation", "keys.machine_key"},
    "ormsgpack": {"records.codec", "records.record"},
    "zstandard": {"records.compression"},
    "compression": {"records.compression"},  # the standard library's, from Python 3.14 on
    "redis": {"backends.redis"},
    "hiredis": {"backends.redis"},
    "sqlalchemy": {"backends.sql"},
    "anyio": {"frameworks.starlette.middleware"},
    "asgiref": {"frameworks.django"},
    "flask": {"frameworks.flask"},
    "werkzeug": {"frameworks.flask"},
    "django": {"frameworks.django"},
    "starlette": {"frameworks.starlette"},
    "fastapi": {"frameworks.starlette"},
    "uvicorn": {"demo"},
    "h11": {"demo.http1"},
    "prometheus_client": {"telemetry.prometheus"},
    "opentelemetry": {"telemetry.opentelemetry"},
    "_typeshed": {"wsgi", "readiness"},
}


@dataclass(frozen=True)
class Module:
    """One file of the package; its name without the package's."""

    path: Path

    @property
    def name(self) -> str:
        parts = self.path.relative_to(ROOT / PACKAGE).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @cached_property
    def imports(self) -> set[str]:
        """Every module that is imported anywhere in the file, by its full name."""
        return {name for node in ast.walk(self.tree) for name in self._imported(node)}

    @cached_property
    def imports_at_start(self) -> set[str]:
        """What is imported when the module is."""
        return {name for node in self.tree.body for name in self._imported(node)}

    @property
    def own_imports(self) -> set[str]:
        """The modules of this package that it imports, without the package's name."""
        return {name.partition(".")[2] for name in self.imports if below(name, PACKAGE)}

    def is_in(self, *packages: str) -> bool:
        return below(self.name, *packages)

    def _imported(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{self.name}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if (ROOT / whole.replace(".", "/")).with_suffix(".py").exists() else str(node.module)


MODULES = [Module(path) for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
BY_NAME = {module.name: module for module in MODULES}


def below(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of these packages or stands in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def each(condition: Callable[[Module], bool] = lambda _module: True) -> pytest.MarkDecorator:
    """Runs a test for each module, or for each of some kind."""
    chosen = [module for module in MODULES if condition(module)]
    return pytest.mark.parametrize("module", chosen, ids=[module.name or PACKAGE for module in chosen])


def test_the_modules_are_found():
    """The other tests look at something."""
    assert {"manager", "backends.base", "backends.memcached.node", ""} <= BY_NAME.keys()
    assert "sharedsession.backends.base" in BY_NAME["manager"].imports
    assert BY_NAME.keys() >= PURE


@each(lambda module: module.is_in("backends"))
def test_backends_know_nothing_of_what_stands_above_them(module):
    """A backend moves sealed bytes: never a cookie, a session ID, a dict."""
    assert not [name for name in module.own_imports if below(name, *ABOVE_BACKENDS)]


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_files_do_no_io(name):
    """What can be decided without I/O imports nothing that waits, logs or tells the time."""
    roots = {imported.split(".")[0] for imported in BY_NAME[name].imports}
    assert {root for root in roots & IO if (name, root) not in PURE_BUT} == set()


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_files_import_pure_files_only(name):
    """A pure file has no I/O behind it either."""
    allowed = {*PURE, "backends.wire.protocol"}  # the protocols' own vocabulary: types and an error
    assert BY_NAME[name].own_imports <= allowed


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_files_read_no_clock(name):
    """The time is passed in; `datetime.now` is a clock too."""
    readings = {"now", "utcnow", "today"}
    calls = [node.func for node in ast.walk(BY_NAME[name].tree) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if isinstance(call, ast.Attribute) and call.attr in readings] == []


def test_the_exceptions_are_still_needed():
    """An exception that nobody uses any more is a hole."""
    assert all(root in BY_NAME[name].imports for name, root in PURE_BUT)


def test_the_manager_knows_nothing_of_http():
    """No header, environ, scope or cookie attribute has a name in the manager."""
    tree = BY_NAME["manager"].tree
    fields = {ast.Name: "id", ast.Attribute: "attr", ast.arg: "arg", ast.FunctionDef: "name", ast.keyword: "arg"}
    names = {
        str(getattr(node, field)) for node in ast.walk(tree) for kind, field in fields.items() if type(node) is kind
    }
    words = {word for name in names for word in name.lower().split("_")}
    assert words & {"header", "headers", "environ", "scope", "http", "vary", "samesite", "request", "response"} == set()


@pytest.mark.parametrize("name", ["asgi", "wsgi"])
def test_middlewares_see_no_backend(name):
    """The manager is the only meeting point of HTTP and store."""
    assert not [
        imported for imported in BY_NAME[name].own_imports if below(imported, "backends", "records", "concurrency")
    ]


@each(lambda module: module.name not in COLOURED | WAITING and not module.is_in("demo"))
def test_asyncio_stays_where_colour_is_known(module):
    """Only `_drive`, the asynchronous half of a backend and the demo have an event loop."""
    assert not [name for name in module.imports if below(name, "asyncio", "anyio", "trio")]


@each()
def test_libraries_of_others_stay_in_their_own_file(module):
    """A client, a framework and a cipher are each known to one place."""
    for imported in module.imports:
        root = imported.split(".")[0]
        if root != PACKAGE and root not in sys.stdlib_module_names:
            assert module.is_in(*OUTSIDERS.get(root, ())), f"{module.name} imports {imported}"


@each(lambda module: not module.is_in("backends.sqlite.backend", "backends.sqlite.rows", "backends.sqlite.worker"))
def test_sqlite3_stays_in_its_backend(module):
    """The standard library's database client is a client library like any other."""
    assert "sqlite3" not in module.imports


@each(lambda module: not module.is_in("frameworks", "cli", "demo", "__main__"))
def test_nothing_leans_on_the_outermost_layer(module):
    """Frameworks, command line and demo import the library, never the other way round."""
    assert not [name for name in module.own_imports if below(name, "frameworks", "cli", "demo")]


def test_no_module_needs_itself_to_be_imported():
    """The graph of what modules import when they are imported has no circle."""
    graph = {}
    for module in MODULES:
        graph[module.name] = {name.partition(".")[2] for name in module.imports_at_start if below(name, PACKAGE)}
    TopologicalSorter(graph).prepare()


@each()
def test_every_file_opens_with_its_law(module):
    """A module says in its docstring what it is for."""
    assert ast.get_docstring(module.tree)


@each()
def test_files_are_small(module):
    """A file that grows past the limit holds two ideas."""
    assert len(module.path.read_text().splitlines()) <= MOST_LINES


@each()
def test_functions_are_small(module):
    """No function body has more than thirty lines of code."""
    lines = module.path.read_text().splitlines()
    long = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            code = [line.strip() for line in lines[body[0].lineno - 1 : node.end_lineno]] if body else []
            long[node.name] = sum(bool(line) and not line.startswith("#") for line in code)
    assert {name: size for name, size in long.items() if size > MOST_BODY_LINES} == {}
