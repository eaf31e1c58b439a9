"""
Which file of a package imports which, and which files do so in a circle.

Imports made for types only, imports inside functions and modules asked for by their name
(`importlib.import_module`) count like any other: each is knowledge of the other file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

Graph: TypeAlias = dict[str, set[str]]


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


def _module_name(package: str, path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _imported(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, package)
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                yield from (one for one in [full if full in files else origin] if one in files)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from _named(node.args[0], name, files)


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def _named(argument: ast.expr, name: str, files: dict[str, Path]) -> Iterator[str]:
    """Yield what a call of `import_module` may mean."""
    if isinstance(argument, ast.Constant):
        yield from (one for one in [argument.value] if one in files)
    elif ast.unparse(argument).startswith("f'{__name__}."):
        yield from (one for one in files if one.startswith(f"{name}."))


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
