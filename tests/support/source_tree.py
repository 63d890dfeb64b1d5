"""A package as syntax trees: its modules, and what each of them imports, wherever in the file.

Modules are named without the name of the package: ``records.codec``; the package's own ``__init__`` is ``""``. A room
is what stands directly in the package: a folder, or a single file.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One name that a module imports.

    Attributes:
        line: where.
        target: the module that is imported: of this package, or of a library by its full name.
        is_own: whether it is of this package.
        name: what is imported from the module; empty if it is the module itself.
    """

    line: int
    target: str
    is_own: bool
    name: str = ""


@dataclass(frozen=True)
class Module:
    """One file.

    Attributes:
        name: without the name of the package.
        path: of the file.
    """

    name: str
    path: Path

    @property
    def room(self) -> str:
        """The part of the package that it belongs to."""
        return self.name.partition(".")[0]

    @property
    def is_package(self) -> bool:
        """Whether it is an ``__init__``."""
        return self.path.name == "__init__.py"

    @cached_property
    def text(self) -> str:
        """What is in the file."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """The same as a syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.tree))

    def at(self, node: ast.AST | int) -> str:
        """Returns a place in the file, for a message."""
        line = node if isinstance(node, int) else getattr(node, "lineno", 1)
        return f"{self.name or '__init__'}:{line}"

    def is_in(self, *names: str) -> bool:
        """Returns whether it is one of these modules, or stands in one of these packages."""
        return is_below(self.name, *names)


class SourceTree:
    """The modules of a package.

    Args:
        folder: of the package.

    Attributes:
        package: its name.
        modules: by name.
    """

    def __init__(self, folder: Path) -> None:
        self.package = folder.name
        paths = sorted(folder.rglob("*.py"))
        self.modules = {name: Module(name, path) for path in paths for name in [_name(path.relative_to(folder))]}

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules.values())

    def __getitem__(self, name: str) -> Module:
        return self.modules[name]

    @property
    def rooms(self) -> set[str]:
        """All rooms; the package's own ``__init__`` is the room ``""``."""
        return {module.room for module in self}

    def imports(self, module: Module) -> Iterator[Import]:
        """Yields everything that a module imports: at its start, in functions, and for type checkers only."""
        for node in module.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield self._import(node.lineno, alias.name)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{module.at(node)} is a relative import"
                for alias in node.names:
                    yield self._import_from(module, node, alias.name)

    def own_imports(self, module: Module) -> Iterator[Import]:
        """Yields what a module imports of this package."""
        return (found for found in self.imports(module) if found.is_own)

    def _import(self, line: int, full_name: str) -> Import:
        root, _, name = full_name.partition(".")
        return Import(line, name, True) if root == self.package else Import(line, full_name, False)

    def _import_from(self, module: Module, node: ast.ImportFrom, name: str) -> Import:
        found = self._import(node.lineno, str(node.module))
        if not found.is_own:
            return found._replace(name=name)
        inner = f"{found.target}.{name}" if found.target else name
        if inner not in self.modules:
            return found._replace(name=name)
        # A module that its package offers under this name is taken from there, except by the package's own files.
        offered = name in self.offered(found.target) and not is_below(module.name, found.target)
        return found._replace(name=name) if offered else found._replace(target=inner)

    def offered(self, package: str) -> Mapping[str, str]:
        """Returns the names that a package's ``__init__`` imports, and the module that each comes from."""
        names: dict[str, str] = {}
        if package in self.modules and self[package].is_package:
            for node in ast.walk(self[package].tree):
                if isinstance(node, ast.ImportFrom):
                    source = self._import(node.lineno, str(node.module))
                    if source.is_own:
                        for alias in node.names:
                            inner = f"{source.target}.{alias.name}"
                            names[alias.name] = inner if inner in self.modules else source.target
        return names

    def origin(self, found: Import) -> str:
        """Returns the module that defines what is imported, though a room's ``__init__`` hands it on."""
        return self.offered(found.target).get(found.name, found.target)

    def runs(self, module: Module, found: Import) -> set[str]:
        """Returns the modules that an import runs: its target, and the packages around that."""
        parts = found.target.split(".")
        around = {".".join(parts[:length]) for length in range(1, len(parts))}
        return {found.target} | {package for package in around if not is_below(module.name, package)}

    def circle(self) -> list[str]:
        """Returns the modules of one import circle, lazy and typing-only imports included; empty if there is none."""
        graph = {
            module.name: {name for found in self.own_imports(module) for name in self.runs(module, found)}
            for module in self
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            names: list[str] = error.args[1]
            return names[::-1]
        return []


def climbs(tree: SourceTree, ladder: Iterable[Iterable[str]], outposts: Mapping[str, str] | None = None) -> list[str]:
    """Returns each import that leads up the ladder, or aside to another room of the same rung.

    Args:
        tree: the package.
        ladder: the rooms on each rung, lowest first.
        outposts: parts of a room that may import what stands higher, and that.
    """
    rungs = {room: height for height, rooms in enumerate(ladder) for room in rooms}
    return [
        f"{module.at(found.line)} imports {found.target}"
        for module in tree
        for found in tree.own_imports(module)
        for room in [found.target.partition(".")[0]]
        if room != module.room and rungs[room] >= rungs[module.room]
        if not any(module.is_in(part) and room == above for part, above in (outposts or {}).items())
    ]


def is_below(name: str, *packages: str) -> bool:
    """Returns whether a dotted name is one of these packages or stands in one."""
    return any(not package or name == package or name.startswith(f"{package}.") for package in packages)


def _name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
