"""The boundaries of docs/architecture.md, kept over the syntax trees of the package: one test a rule.

A test lists every violation. An exception stands beside its reason; one that is no longer needed is a violation, too.
"""

import ast
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support.source_tree import Import, Module, SourceTree, climbs, is_below

TREE = SourceTree(Path(__file__).resolve().parents[1] / "sharedsession")
MOST_LINES = 450  # of a file
MOST_BODY_LINES = 30  # of code in one function

# The rooms, lowest rung first. A room imports what stands lower, and nothing of its own rung.
LADDER = (
    {"errors", "durations", "environment", "extras", "file_rights", "_version"},
    {"observe", "concurrency"},
    {"backends", "keys", "http"},
    {"records"},
    {"settings"},
    {"session"},
    {"farm"},
    {"engine"},
    {"manager"},
    {"asgi", "wsgi", ""},  # "": the public names in sharedsession/__init__
    {"readiness"},
    {"frameworks", "telemetry", "farmpage", "testing"},
    {"demo"},
    {"cli"},
    {"__main__"},
)
BELOW_BACKENDS = LADDER[0] | LADDER[1]
# What stands higher than its room: importer -> (what it imports, why it stands there). Nothing imports it.
OUTPOSTS = {"frameworks.django.management": ("cli", "Django looks for its commands in the app that brings them")}

# fmt: off
PURE = {
    "errors", "durations", "extras",
    "backends.base", "backends.wire.protocol", "backends.wire.deadline", "backends.wire.urls", "backends.wire.breaker",
    "backends.wire.refusals", "backends.wire.strangers",
    "backends.memcached.protocol", "backends.memcached.refusals", "backends.memcached.text", "backends.redis.refusals",
    "backends.ring.hashring", "backends.ring.read_result", "backends.tombstone", "backends.ring.hints",
    "keys.derivation", "keys.idle_code", "keys.identity", "keys.machine_key", "keys.reloading", "keys.strength",
    "keys.typed", "keys.words",
    "http.cookie", "http.outcome", "http.path",
    "records.codec", "records.compression", "records.record", "records.refused", "records.stamp", "records.time_budget",
    "records.timeouts",
    "settings.converters",
    "session.changes", "session.host", "session.mapping", "session.merge", "session.state", "session.status",
    "session.steps",
    "farm.drift",
}
IO = {
    "asyncio", "concurrent", "fcntl", "glob", "http", "importlib", "io", "logging", "multiprocessing", "os", "pathlib",
    "queue", "random", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys",
    "tempfile", "threading", "time", "urllib",
}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"}
PURE_BUT = {
    ("records.codec", "sys"): "Markup is of the type that this process has, if any",
    ("records.compression", "sys"): "which Python has zstd of its own",
    ("backends.wire.protocol", "ssl"): "the type of what a TLS connection is made with",
    ("backends.wire.breaker", "threading"): "a lock around a few fields, which several threads ask",
    ("backends.wire.breaker", "concurrency.fork"): "in a child of a fork the lock is open",
    ("backends.ring.hints", "threading"): "a lock around a dictionary, which several threads change",
    ("backends.ring.hints", "concurrency.fork"): "in a child of a fork the lock is open",
    ("keys.machine_key", "environment"): "MachineKey.generate needs no manager, and so nobody hands it random bytes",
}

LOOPS = ("asyncio", "anyio", "trio", "uvloop")
ON_LOOPS = {
    "concurrency": "the room that knows colour",
    "backends.wire.connection": "the asynchronous half of network stores",
    "backends.wire.multiplexed_client": "the asynchronous half of network stores",
    "backends.sqlite.worker": "the asynchronous half of SQLite",
    "frameworks.starlette.session": "a worker thread of Starlette waits for the loop that it belongs to",
    "testing.calls": "calls backends of both colours",
    "demo": "a supervisor of processes, and a front that is a server",
}
THREADS = ("threading", "_thread", "queue", "concurrent", "multiprocessing")
WITH_THREADS = {
    "concurrency": "the room that knows colour",
    "backends.wire.breaker": "a lock around a few fields",
    "backends.ring.hints": "a lock around a dictionary",
    "backends.memory": "a lock around the dictionary of records, and whether this is a child process",
    "backends.sqlite.session_file": "a connection for each thread",
    "backends.sqlite.worker": "one thread that drains a queue",
    "farmpage.latency": "a lock around a few samples",
    "cli.ring_report": "asks the nodes of a ring side by side",
    "testing.calls": "many callers at the same time",
    "testing.contract": "many callers at the same time",
    "demo.node": "counts what it serves",
}

# Whatever is neither ours nor the standard library's stands in its own file: library -> who may import it.
OUTSIDERS = {
    "itsdangerous": {"keys.derivation", "frameworks.starlette.adoption"},
    "cryptography": {"keys.derivation", "keys.identity"},
    "ormsgpack": {"records.codec", "records.record"},
    "backports": {"records.compression"},
    "redis": {"backends.redis"},
    "hiredis": {"backends.redis"},
    "sqlalchemy": {"backends.sql"},
    "anyio": {"frameworks.starlette.session"},
    "asgiref": {"frameworks.django"},
    "flask": {"frameworks.flask"},
    "werkzeug": {"frameworks.flask"},
    "django": {"frameworks.django"},
    "starlette": {"frameworks.starlette"},
    "fastapi": {"frameworks.starlette"},
    "h11": {"demo"},
    "uvicorn": {"demo"},
    "click": {"cli"},
    "rich": {"cli"},
    "pytest": {"testing.contract"},
    "prometheus_client": {"telemetry.prometheus"},
    "opentelemetry": {"telemetry.opentelemetry"},
    "_typeshed": {"wsgi", "readiness", "frameworks", "farmpage"},
}
# The standard library's clients, which are clients all the same.
CLIENTS = {"sqlite3": {"backends.sqlite"}, "compression": {"records.compression"}}

HTTP_WORDS = {"header", "headers", "environ", "scope", "vary", "samesite", "httponly"}

# What may be reached inside of a room from outside, though the room's `__init__` does not offer it.
PUBLIC_INSIDE = ("backends.base", "backends.connect", "backends.adapters", "frameworks")
REACHES_INSIDE = {
    ("testing", "backends.memory"): "its backend in memory is made with a clock, and a URL has none",
    ("farmpage.facts", "backends.ring"): "what it shows of a ring, no other backend has",
    ("cli.ring_report", "backends"): "it explains a ring: where a key lives, and what each node holds",
    ("demo", "farmpage"): "its console puts the parts of the farm page together in its own way",
    ("cli", "demo"): "`sharedsession demo` is the demo",
    ("frameworks.django.management", "cli"): "`manage.py sharedsession` is the command line",
    ("__main__", "cli"): "`python -m sharedsession` is the command line",
}

# `getattr` with a default, and `hasattr`: (module, attribute) -> why the object may have it or not.
MAY_BE_MISSING = {
    ("wsgi", "close"): "PEP 3333: the body may have one",
    ("asgi", "is_mount"): "of the routes of Litestar those have it that serve another application",
    ("asgi", "middleware"): "Litestar takes a middleware, or a `DefineMiddleware` of one",
    ("frameworks.flask.interface", "close"): "PEP 3333: the body may have one",
    ("frameworks.flask.stream", "close"): "PEP 3333: the body may have one",
    ("settings.build", "verb"): "whether a user's backend has the verbs, with a message that names them",
    ("settings.converters", "__fspath__"): "the protocol of paths",
    ("records.codec", "__html__"): "the protocol of markup, whichever library it comes from",
    ("backends.sqlite.session_file", "sqlite_errorcode"): "not every error of sqlite3 has a code",
    ("backends.wire.blocking_client", "pending"): "sockets of TLS have it, others do not",
    ("frameworks.starlette.adoption", "total_seconds"): "Starlette's max_age is a number, or else a duration",
    ("frameworks.django.configuration", "SHAREDSESSION"): "a Django project may have no such setting",
    ("frameworks.django.logins", "_cached_user"): "where Django keeps the user, once a request has asked who that is",
    ("frameworks.django.logins", "_acached_user"): "the same on an event loop",
    ("frameworks.django.logins", "get_session_auth_fallback_hash"): "a project's own class of users may have none",
    ("frameworks.django.engine_checks", "SessionStore"): "SESSION_ENGINE may name a module that is no engine",
    ("frameworks.django.middleware", "session"): "another middleware may have set none",
    ("frameworks.django.middleware", "scope"): "requests under WSGI have none",
    ("frameworks.django.stream", "file_to_stream"): "responses that send a file have it",
    ("cli.options", "name"): "each command has some of the options",
    ("cli.application", "name"): "what wraps an application keeps it under one of these names",
    ("cli.application", "routes"): "applications of Starlette have some",
    ("cli.application", "app"): "routes that lead to another application have it",
    ("cli.captured_log", "event"): "log records of other libraries have none",
    ("demo.loopback", "event"): "log records of other libraries have none",
}
CATCHES_ATTRIBUTE_ERROR = {"backends.connect": "an entry point of another package may name what is not there"}

# Words of earlier days; the words that are used now are in section 6 of the architecture.
BANNED = {
    "Allowance", "Backlog", "Beat", "Clockwork", "Dialect", "Door", "Draft", "Farewell", "GUEST", "Guard", "Held",
    "Keeper", "Kept", "Lifted", "Link", "Lowered", "Pass", "Pulse", "Said", "Silence", "Survey", "Turns", "Vault",
    "agreement", "allowance", "bury", "checkup", "clockwork", "diagnosis", "draft", "farewell", "farmcheck",
    "heed_the_scope", "keepalive", "keeper", "knock", "livekey", "loads_on_demand", "mend", "nobody", "overheard",
    "oversight", "ringfacts", "somebody", "stone", "told", "turns", "vault", "vitals", "whoever", "within",
}
# fmt: on


def nothing(violations: Iterable[str]) -> None:
    """Fails with a list of all violations."""
    listed = sorted(set(violations))
    assert not listed, "\n" + "\n".join(listed)


def imports(chosen: Callable[[Module], bool] = lambda _module: True) -> Iterator[tuple[Module, Import]]:
    """Every import of the chosen modules."""
    return ((module, found) for module in TREE if chosen(module) for found in TREE.imports(module))


def of_libraries(*libraries: str) -> Iterator[tuple[Module, Import]]:
    """Every import of some libraries."""
    return ((module, found) for module, found in imports() if not found.is_own and is_below(found.target, *libraries))


def elsewhere(found: Iterable[tuple[Module, Import]], places: Collection[str]) -> Iterator[str]:
    """What is imported outside of the places where it may be, and the places that have no use for it any more."""
    used = set()
    for module, each in found:
        here = {place for place in places if module.is_in(place)}
        used |= here
        if not here:
            yield f"{module.at(each.line)} imports {each.target}"
    yield from (f"{place} is listed as an exception and is none" for place in set(places) - used)


def names_in(module: Module) -> Iterator[tuple[str, ast.AST]]:
    """Every identifier of a module, and where."""
    fields = ("id", "attr", "arg", "name", "asname")
    for node in module.nodes:
        yield from ((str(name), node) for field in fields if isinstance(name := getattr(node, field, None), str))


# -- the rooms


def test_the_rooms_are_those_of_the_ladder():
    """Nothing stands in the package that has no rung."""
    assert TREE.rooms == set().union(*LADDER)


def test_no_import_leads_up():
    """A room knows what stands lower and nothing else, also in functions and for type checkers."""
    nothing(climbs(TREE, LADDER, {name: target for name, (target, _) in OUTPOSTS.items()}))
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports(lambda module: not module.is_in(*OUTPOSTS))
        if found.is_own and is_below(found.target, *OUTPOSTS)
    )


def test_no_circle():
    """No module needs itself, however long the way: one can be read after the other."""
    assert TREE.circle() == []


def test_inside_of_a_room_files_import_files():
    """The room's own `__init__` would be a circle."""
    nothing(
        f"{module.at(found.line)} imports its own package {found.target or TREE.package}"
        for module, found in imports()
        if found.is_own and module.name != found.target and is_below(module.name, found.target)
        if TREE[found.target].is_package
    )


def test_from_outside_a_room_is_imported_by_its_init():
    """What a room's `__init__` does not hand out is the room's own business."""
    unused = set(REACHES_INSIDE)
    violations = []
    for module, found in imports():
        is_inside = found.is_own and "." in found.target and not found.target.startswith(f"{module.room}.")
        if is_inside and not is_below(found.target, *PUBLIC_INSIDE):
            allowed = {pair for pair in REACHES_INSIDE if module.is_in(pair[0]) and is_below(found.target, pair[1])}
            unused -= allowed
            if not allowed:
                violations.append(f"{module.at(found.line)} reaches into {found.target}")
    nothing([*violations, *(f"{pair} is listed as an exception and is none" for pair in unused)])


def test_backends_know_nothing_of_what_stands_above_them():
    """A backend moves sealed bytes: never a cookie, a session ID, a dictionary."""
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports(lambda module: module.room == "backends")
        if found.is_own and found.target.partition(".")[0] not in BELOW_BACKENDS | {"backends"}
    )


def test_nothing_leans_on_the_outermost_rooms():
    """Frameworks, command line and demo import the library, never the other way round."""
    outermost = {"frameworks": {"frameworks", "cli"}, "demo": {"demo", "cli"}, "cli": {"cli", "__main__"}}
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports()
        for room in [found.target.partition(".")[0]]
        if found.is_own and room in outermost and module.room not in outermost[room]
        if not module.is_in(*OUTPOSTS)
    )


# -- pure files


def test_pure_files_do_no_io():
    """What can be decided without I/O imports nothing that waits, logs or tells the time."""
    found = {
        (module.name, each.target.partition(".")[0]): module.at(each.line)
        for module, each in imports(lambda module: module.name in PURE)
        if not each.is_own and each.target.partition(".")[0] in IO
    }
    nothing(f"{place} imports {pair[1]}" for pair, place in found.items() if pair not in PURE_BUT)
    nothing(f"{pair} is listed as an exception and is none" for pair in PURE_BUT if pair[1] in IO and pair not in found)


def test_pure_files_import_pure_files_only():
    """A pure file has no I/O behind it either, whatever else the room of its neighbour holds."""
    nothing(
        f"{module.at(found.line)} imports {found.name or 'all'} of {origin}"
        for module, found in imports(lambda module: module.name in PURE)
        if found.is_own
        for origin in [TREE.origin(found)]
        if origin not in PURE and (module.name, origin) not in PURE_BUT
    )


def test_pure_files_read_no_clock():
    """The time is passed in."""
    nothing(
        f"{module.at(node)} calls {ast.unparse(node.func)}"
        for module in TREE
        if module.name in PURE
        for node in module.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS
    )


def test_every_pure_file_is_there():
    """A file that was moved is still pure."""
    nothing(name for name in PURE if name not in TREE.modules)


# -- who may see what


def test_engine_and_manager_know_nothing_of_http():
    """No header, environ, scope or cookie attribute has a name there."""
    nothing(
        f"{module.at(node)} names {name}"
        for module in TREE
        if module.room in {"engine", "manager"}
        for name, node in names_in(module)
        if HTTP_WORDS & set(name.lower().split("_"))
    )


def test_engine_and_manager_know_no_client():
    """Of backends they see the contract and its adapters; of libraries nothing but the standard one."""
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports(lambda module: module.room in {"engine", "manager"})
        if (found.is_own and is_below(found.target, "backends") and not is_below(found.target, *PUBLIC_INSIDE))
        or (not found.is_own and found.target.partition(".")[0] not in sys.stdlib_module_names)
    )


def test_middlewares_see_no_backend():
    """The engine is the only meeting point of HTTP and store."""
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports(lambda module: module.room in {"asgi", "wsgi"})
        if found.is_own and is_below(found.target, "backends", "records", "keys", "concurrency")
    )


def test_event_loops_stay_where_colour_is_known():
    """A file that knows an event loop cannot serve an application that blocks."""
    nothing(elsewhere(of_libraries(*LOOPS), ON_LOOPS))


def test_threads_stay_where_they_are_needed():
    """A lock, a thread or a pool stands in a file that says why."""
    nothing(elsewhere(of_libraries(*THREADS), WITH_THREADS))


def test_time_and_chance_come_from_the_environment():
    """So a test or a simulator hands in its own."""
    readings = {"now", "utcnow", "today", "urandom", "getrandom", "uuid1", "uuid4", "SystemRandom"}
    sources = of_libraries("time", "random", "secrets")
    nothing(elsewhere(sources, {"environment": "it is what the others are handed"}))
    nothing(
        f"{module.at(node)} asks for {ast.unparse(node)}"
        for module in TREE
        if module.name != "environment"
        for node in module.nodes
        if isinstance(node, ast.Attribute) and node.attr in readings
    )


def test_libraries_of_others_stay_in_their_own_file():
    """A client, a framework and a cipher are each known to one place."""
    nothing(
        f"{module.at(found.line)} imports {found.target}"
        for module, found in imports()
        for root in [found.target.partition(".")[0]]
        if not found.is_own and (root not in sys.stdlib_module_names or root in CLIENTS)
        if not module.is_in(*OUTSIDERS.get(root, ()), *CLIENTS.get(root, ()), "nowhere")
    )


# -- powers that may be missing


def test_optional_powers_are_protocols():
    """What a backend may have or not is a protocol of backends/base.py, not a `getattr` with a default."""
    found = {}
    for module in TREE:
        for node in module.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _asks_for_an_attribute(node):
                found[module.name, _text(node.args[1])] = module.at(node)
    nothing(f"{place} asks for {pair[1]}" for pair, place in found.items() if pair not in MAY_BE_MISSING)
    nothing(f"{pair} is listed as an exception and is none" for pair in MAY_BE_MISSING if pair not in found)


def _asks_for_an_attribute(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Name)
    return call.func.id == "hasattr" or (call.func.id == "getattr" and len(call.args) == 3)


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


def test_no_attribute_error_is_caught():
    """It hides misspelt names."""
    found = {
        module.name: module.at(node)
        for module in TREE
        for node in module.nodes
        if isinstance(node, ast.ExceptHandler) and node.type and "AttributeError" in ast.unparse(node.type)
    }
    nothing(f"{place} catches AttributeError" for name, place in found.items() if name not in CATCHES_ATTRIBUTE_ERROR)
    nothing(f"{name} is listed as an exception and is none" for name in CATCHES_ATTRIBUTE_ERROR if name not in found)


# -- files, functions, words


def test_every_file_opens_with_its_law():
    """A module says in its docstring what it is for."""
    nothing(module.at(1) for module in TREE if not ast.get_docstring(module.tree))


def test_files_are_small():
    """A file that grows past the limit holds two ideas."""
    nothing(
        f"{module.at(1)} has {lines} lines" for module in TREE if (lines := len(module.text.splitlines())) > MOST_LINES
    )


def test_functions_are_small():
    """A function that does not fit on a screen does two things."""
    nothing(
        f"{module.at(node)} {node.name} has {size} lines of code"
        for module in TREE
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (size := _code_lines(module, node)) > MOST_BODY_LINES
    )


def _code_lines(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    lines = module.text.splitlines()[body[0].lineno - 1 : function.end_lineno] if body else []
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines)


def test_the_words_are_those_of_the_field():
    """A stranger need not learn a private language."""
    nothing(
        f"{module.at(node)} says {name}"
        for module in TREE
        for name, node in names_in(module)
        if name.strip("_") in BANNED
    )
    nothing(module.name for module in TREE if BANNED & set(module.name.split(".")))


# -- the checkers themselves


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., SourceTree]:
    """Plants a package of a few files, each with its imports."""

    def plant(**files: str) -> SourceTree:
        for name, text in files.items():
            path = tmp_path / "shop" / name.replace("__", "/")
            path = path.with_suffix(".py") if path.name != "init" else path.with_name("__init__.py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return SourceTree(tmp_path / "shop")

    return plant


SHOP = ({"till", "shelf"}, {"door"})
UP = "from shop.door import Bell"


@pytest.mark.parametrize(
    "text",
    [
        UP,
        "import shop.door",
        f"def ring():\n    {UP}",
        f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {UP}",
        "from shop.shelf import Book",
    ],
    ids=["at the start", "by its full name", "lazy", "for types only", "aside"],
)
def test_the_ladder_is_kept_by_every_import(planted: Callable[..., SourceTree], text: str):
    """An import up or aside is found wherever it stands; one down is none."""
    tree = planted(init="", till=text, shelf="", door="from shop.till import Coin")
    assert len(climbs(tree, SHOP)) == 1
    assert climbs(planted(till=""), SHOP) == []


@pytest.mark.parametrize(
    "files",
    [
        {"till": "from shop.shelf import Book", "shelf": "from shop.till import Coin"},
        {"till": "from shop.shelf import Book", "shelf": "def price():\n    from shop.till import Coin"},
        {"shelf__init": "from shop.shelf.book import Book", "shelf__book": "from shop.shelf import Page"},
        {
            "shelf__init": "from shop.shelf.book import Book",
            "shelf__book": "import shop.till",
            "till": "import shop.shelf",
        },
        {"shelf__init": "import shop.till", "shelf__book": "", "till": "import shop.shelf.book"},
        {"init": "from shop.till import Coin", "till": "from shop import Coin"},
    ],
    ids=["two files", "lazy", "its own init", "by way of a room", "the init around a file", "the package's own init"],
)
def test_every_circle_is_found(planted: Callable[..., SourceTree], files: dict[str, str]):
    """Also through the `__init__` that an import of a file runs."""
    assert planted(**{"init": "", **files}).circle()


def test_what_looks_like_a_circle_and_is_none(planted: Callable[..., SourceTree]):
    """Files of one room import each other's files, and a room's `__init__` imports them all."""
    tree = planted(
        init="from shop.shelf import Book",
        shelf__init="from shop.shelf.book import Book",
        shelf__book="from shop.shelf import page",
        shelf__page="",
        till="from shop.shelf import Book",
    )
    assert tree.circle() == []
