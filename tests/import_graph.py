"""
Which file of a package imports which, and which files do so in a circle.

Imports made for types only, imports inside functions and modules asked for by their name
(`importlib.import_module`) count like any other: each is knowledge of the other file. Names that
are found at run time, and modules taken from `sys.modules`, are for `hidden_imports` to report.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

Graph: TypeAlias = dict[str, set[str]]

IMPORTERS = {
    *("__import__", "builtins.__import__", "importlib.__import__", "importlib.import_module"),
}
LOADED = "sys.modules"


class Asked(NamedTuple):
    """A module that is asked for by its name, and not by an import statement."""

    line: int
    name: str | None
    """`None`: it is found at run time; with `.*` at its end: any module of the package."""
    is_loaded: bool
    """Whether it is taken from `sys.modules`, where somebody else must have put it."""


def imports_between_files(root: Path, package: str | None = None) -> Graph:
    """
    Return the files of a package, by their full module names, and which others each imports.

    Args:
        root: The directory of the package.
        package: Its full name; None: that of the directory.
    """
    files = {
        _module_name(package or root.name, path.relative_to(root)): path
        for path in sorted(root.rglob("*.py"))
    }
    return {name: set(_imported(name, path, files)) - {name} for name, path in files.items()}


def circles(graph: Graph) -> set[frozenset[str]]:
    """Return the sets of modules of which each imports, over others, each other one."""
    reached = {module: _reachable(graph, module) for module in graph}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }


def hidden_imports(root: Path, naming_libraries: Collection[str] = ()) -> list[str]:
    """
    Say where a package may ask for its own modules in a way that its graph does not show.

    Args:
        root: The directory of the package.
        naming_libraries: The modules that find the name of a library at run time.
    """
    hidden = []
    for path in sorted(root.rglob("*.py")):
        name = _module_name(root.name, path.relative_to(root))
        tree = ast.parse(path.read_text())
        for asked in asked_by_name(tree, name, _package_of(name, path)):
            where = f"{path.relative_to(root)}:{asked.line}"
            if asked.name is None or asked.name.endswith(".*"):
                found = [] if name in naming_libraries else [f"{where} finds a name at run time"]
            elif asked.is_loaded and asked.name.partition(".")[0] == root.name:
                found = [f"{where} takes {asked.name} from {LOADED}"]
            else:
                found = []
            hidden += found
    return hidden


def asked_by_name(tree: ast.AST, module: str, package: str) -> Iterator[Asked]:
    """
    Yield the modules that a file asks for by name, under whatever name it has imported the means.

    The means themselves, if they are not used at once, ask for a module that is found at run time.
    """
    full = _full_names(tree)
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        means = _full_name(node, full)
        if means not in IMPORTERS and means != LOADED:
            continue
        assert isinstance(node, ast.expr)
        user = above.get(node)
        if isinstance(user, ast.Attribute):  # `sys.modules.get`
            user = above.get(user)
        name = _static_name(_argument(user), module, package)
        yield Asked(node.lineno, name, means == LOADED)


def _package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def _module_name(package: str, path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _imported(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    package = _package_of(name, path)
    tree = ast.parse(path.read_text())
    for asked in asked_by_name(tree, name, package):
        yield from _files_of(asked.name or "", files)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                yield from (one for one in [full if full in files else origin] if one in files)


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _files_of(name: str, files: Collection[str]) -> Iterator[str]:
    """Yield the files that a name may mean."""
    if name.endswith(".*"):
        yield from (one for one in files if one.startswith(name[:-1]))
    elif name in files:
        yield name


def _full_names(tree: ast.AST) -> dict[str, str]:
    """Return what the imported names of a file stand for; `s` for `sys` with `import sys as s`."""
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            full |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return full


def _full_name(node: ast.AST | None, full: dict[str, str]) -> str:
    """Return what a name stands for, or a name with attributes; else nothing."""
    match node:
        case ast.Name():
            return full.get(node.id, node.id)
        case ast.Attribute():
            return f"{_full_name(node.value, full)}.{node.attr}"
        case _:
            return ""


def _argument(node: ast.AST | None) -> ast.expr | None:
    """Return the key or the first argument."""
    match node:
        case ast.Subscript():
            return node.slice
        case ast.Call(args=[first, *_]):
            return first
        case ast.Call(keywords=[ast.keyword(arg="name", value=value), *_]):
            return value
        case _:
            return None


def _static_name(argument: ast.expr | None, module: str, package: str) -> str | None:
    match argument:
        case ast.Constant(value=str(name)):
            return importlib.util.resolve_name(name, package)
        case ast.JoinedStr() if ast.unparse(argument).startswith("f'{__name__}."):
            return f"{module}.*"
        case _:
            return None


def _reachable(graph: Graph, module: str) -> set[str]:
    """Return what `module` imports, directly or over others; itself only in a circle."""
    found: set[str] = set()
    pending = [*graph[module]]
    while pending:
        other = pending.pop()
        if other not in found:
            found.add(other)
            pending.extend(graph[other])
    return found
