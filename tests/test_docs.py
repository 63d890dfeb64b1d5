"""The documentation is run: its Python code, its links, and the names it must not forget.

Each page is one test with one namespace, in an empty directory that holds a `farm.key`, and without a network. A block
marked ``text`` right behind a ``python`` one is what that one prints.
"""

import ast
import asyncio
import importlib
import io
import multiprocessing
import os
import re
import socket
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

from sharedsession import MachineKey, Session
from sharedsession.frameworks.flask import FlaskSession
from sharedsession.settings.settings import _SETTINGS, Settings
from tests.support.pages import FIRST_STEPS, ROOT, blocks, prose
from tests.test_architecture import LADDER

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PUBLISHED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"] + "/blob/main/"
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
FOLLOWED = {"quickstart.md"}  # by `test_first_steps`, which saves its files and types its commands
ELSEWHERE = {"libraries.md"}  # by tests/libraries/test_page.py, which has what it needs
ALONE = {"django.md"}  # in a process of its own: a process has one Django, and other tests configure that


def each(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[page.relative_to(ROOT).as_posix() for page in pages])


def table_rows(page: Path) -> Iterator[list[str]]:
    for line in prose(page).splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def documented_names(page: Path) -> set[str]:
    return {row[0].strip("`") for row in table_rows(page) if row[0].startswith("`")}


# -- code


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands where a reader does who followed the console blocks."""
    for variable in [name for name in os.environ if name.startswith("SHAREDSESSION_")]:
        monkeypatch.delenv(variable)
    (tmp_path / "farm.key").write_text(MachineKey.generate() + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what is logged once has not been logged yet


@each([page for page in PAGES if page.name not in ELSEWHERE])
@pytest.mark.usefixtures("reader")
def test_python_code_runs_and_prints_what_the_page_says(page: Path):
    """Every Python block works as it stands, after those before it on its page."""
    if page.name not in ALONE:
        run(page)
        return
    process = multiprocessing.get_context("spawn").Process(target=run, args=(page,))
    process.start()
    process.join()
    assert process.exitcode == 0, "its traceback is above"


def run(page: Path) -> None:
    """Runs a page as a module of its own, with the network unplugged."""

    def refuse(*_args: Any) -> NoReturn:
        raise AssertionError("documentation needs no network")

    module = ModuleType(f"{page.stem}_page")
    printed = ""
    with pytest.MonkeyPatch.context() as patch:
        for function in ("connect", "connect_ex"):
            patch.setattr(socket.socket, function, refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        patch.setattr(asyncio.BaseEventLoop, "getaddrinfo", refuse)
        patch.setitem(sys.modules, module.__name__, module)
        for block in blocks(page):
            if page.name in FOLLOWED or block.section == FIRST_STEPS:
                continue
            if block.language == "python":
                code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
                with redirect_stdout(io.StringIO()) as output:
                    exec(code, vars(module))  # the page's own code
                printed = output.getvalue()
            elif block.language == "text" and block.follows == "python":
                assert printed == block.text, f"{page.name}, line {block.line}"


@each(PAGES)
def test_every_block_says_what_it_is(page: Path):
    """A block of a misspelt language would silently not be run."""
    assert {block.language for block in blocks(page)} <= {"python", "console", "sh", "text", "toml", "apache"}


def test_the_code_is_found():
    """The other tests look at something."""
    with_code = {page.name for page in PAGES for block in blocks(page) if block.language == "python"}
    assert with_code >= {"README.md", "quickstart.md", "writing-a-backend.md", "behaviour.md", "security.md"}


PUBLIC = {
    "sharedsession", "sharedsession.asgi", "sharedsession.wsgi", "sharedsession.errors", "sharedsession.manager",
    "sharedsession.readiness", "sharedsession.farmpage", "sharedsession.testing",
    "sharedsession.backends", "sharedsession.backends.base", "sharedsession.backends.connect",
}  # fmt: skip
PUBLIC_WITH_ALL_INSIDE = ("sharedsession.frameworks.", "sharedsession.telemetry.", "sharedsession.testing.")


def imported(source: str, place: str, first_line: int = 1) -> Iterator[tuple[str, str, str]]:
    """Yields the place, the module and the name of each import from the library."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                module, name = (node.module, alias.name) if isinstance(node, ast.ImportFrom) else (alias.name, "")
                if str(module).split(".")[0] == "sharedsession":
                    yield f"{place}:{node.lineno + first_line - 1}", str(module), name


def is_public(module: str, name: str) -> bool:
    if module.startswith(PUBLIC_WITH_ALL_INSIDE):
        return not name.startswith("_")
    if module not in PUBLIC:
        return False
    offered = getattr(importlib.import_module(module), "__all__", None)
    return not name.startswith("_") and (offered is None or name in {"", *offered} or f"{module}.{name}" in PUBLIC)


def test_documentation_and_examples_import_public_modules_only():
    """What a reader copies goes on working when the inside of the library changes."""
    found = [
        each
        for page in PAGES
        for block in blocks(page)
        if block.language == "python"
        for each in imported(block.text, page.name, block.line)
    ]
    for path in sorted((ROOT / "examples").rglob("*.py")):
        found += imported(path.read_text(), path.relative_to(ROOT).as_posix())
    assert len({place for place, _, _ in found}) > 20
    private = [f"{place} imports {name} of {module}" for place, module, name in found if not is_public(module, name)]
    assert not private, "\n" + "\n".join(private)


# -- links


def slugs(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them from its headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def targets(page: Path) -> list[str]:
    """What the links of a page name, in the text or below it."""
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^]]+\]: (\S+)", prose(page), re.MULTILINE)
    return [in_text or below for in_text, below in found]


def links(page: Path) -> list[tuple[Path, str]]:
    """The pages and headings of this project that a page links to."""
    found = []
    for target in targets(page):
        path, _, anchor = target.removeprefix(PUBLISHED).partition("#")
        if "://" not in path:
            folder = ROOT if target.startswith(PUBLISHED) else page.parent
            found.append(((folder / path).resolve() if path else page, anchor))
    return found


@each(LINKED)
def test_links_lead_somewhere(page: Path):
    """Every link to another page, or to a heading, resolves."""
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in slugs(target), f"{page.name} links to {target.name}#{anchor}"


def test_the_readme_is_read_elsewhere_too():
    """It is the page of the package as well: there a link from folder to folder leads nowhere."""
    assert [target for target in targets(ROOT / "README.md") if not target.startswith("https://")] == []
    unresolved = re.findall(r"\[[^]]+\](?!\(|: )", prose(ROOT / "README.md"))
    below = set(re.findall(r"^\[[^]]+\](?=: )", prose(ROOT / "README.md"), re.MULTILINE))
    assert {name.replace("\n", " ") for name in unresolved} == below


def test_every_page_is_in_the_index():
    """The index leads to every page."""
    reached = {target for target, _ in links(ROOT / "docs" / "index.md")}
    assert reached >= {page for page in PAGES if page.parent.name == "docs"} - {ROOT / "docs" / "index.md"}


# -- settings


def settings_rows(page: Path) -> dict[str, str]:
    """Setting -> default, from the rows that begin with the name of a setting."""
    rows = (row for row in table_rows(page) if len(row) == 3)
    return {row[0].strip("`"): row[1].strip("`") for row in rows if row[0].strip("`") in _SETTINGS}


def shown_default(name: str) -> str | None:
    """What stands as the default of a setting whose own is made from others; else ``None``."""
    settings = Settings.load({"secret_key": MachineKey.generate()}, environ={})
    cookie = settings.transport.cookie
    assert cookie
    assert settings.backend.health()["kind"] == "sqlite"
    return {
        "secret_key": "required",
        "key_file": "none",
        "backend": "sqlite:///",
        "cookie_name": cookie.name,
        "cookie_domain": "none",
        "cookie_secure": str(cookie.secure),
        "regenerate_on": f"{Session._login_keys}`; Flask: `{FlaskSession._login_keys}".replace("'", '"'),
    }.get(name)


def test_the_settings_page_has_every_setting_and_no_other():
    """The table and the code name the same settings."""
    assert documented_names(ROOT / "docs" / "settings.md") == set(_SETTINGS)


@each([ROOT / "README.md", ROOT / "docs" / "settings.md"])
def test_defaults_are_those_of_the_code(page: Path):
    """What a table calls the default is the default."""
    for name, said in settings_rows(page).items():
        shown = shown_default(name)
        assert said == shown if shown else ast.literal_eval(said) == _SETTINGS[name][1], name


# -- events


def names_in_code() -> set[str]:
    """The first argument of every call of `Observer.event`, `.once` and `.count` in the package."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "sharedsession").rglob("*.py"))
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return {name for call in calls if is_observed(call.func) for name in strings_in(call.args[0])}


def is_observed(function: ast.expr) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr not in {"event", "once", "count"}:
        return False
    return ast.unparse(function.value).lower().removesuffix("()").endswith("observer")


def strings_in(argument: ast.expr) -> set[str]:
    """The names an argument can be; of ``"a" if x else "b"`` both."""
    if isinstance(argument, ast.IfExp):
        return strings_in(argument.body) | strings_in(argument.orelse)
    return {argument.value} if isinstance(argument, ast.Constant) else set()


def test_the_operations_page_has_every_event():
    """Whoever sees an event or a counter finds it explained."""
    assert {"created", "regenerated", "forged", "node_down"} <= names_in_code()
    missing = names_in_code() - documented_names(ROOT / "docs" / "operations.md")
    assert not missing, "docs/operations.md needs a row for each of them"


# -- architecture


def test_the_architecture_page_has_every_file():
    """The tree on the page has every file of the package; command line and demo are named as a whole."""
    tree = next(block.text for block in blocks(ROOT / "docs" / "architecture.md") if block.language == "text")
    files = [path for path in (ROOT / "sharedsession").rglob("*.py") if path.parent.name not in {"cli", "demo"}]
    missing = [path.name for path in files if path.name not in tree]
    assert not missing, "docs/architecture.md, section 2, needs a line for each of them"


def test_the_architecture_page_has_the_ladder_that_is_kept():
    """Every room stands on it, no rung above one that is higher."""
    rows = [row for row in table_rows(ROOT / "docs" / "architecture.md") if row[0].isdecimal()]
    shown = [room for _, rooms in rows for room in re.findall(r"`(\w+)`", rooms)]
    heights = {room: height for height, rooms in enumerate(LADDER) for room in rooms if room}
    assert set(shown) == set(heights)
    assert shown == sorted(shown, key=heights.__getitem__)
