"""The pages that name files and classes: each exists, so that a move or a new name is noticed."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("src", "tests", "conformance", "benchmarks", "fuzz", "soak")
PATH = re.compile(rf"`((?:docs|{'|'.join(FOLDERS)})/[\w./-]+)(?:::\w+)?`")
NAME = re.compile(r"`(\w+\.py)`")
IN_SOURCE = re.compile(r"`((?:_\w+|telemetry)/[\w./]+)`")
CLASS = re.compile(r"`([A-Z][a-z]\w+)(?:\.(\w+))?(?:\([^`]*\))?`")
FILTERED = re.compile(
    r"^::: (\S+)\n {4}options:\n(?: {6}.*\n)*? {6}filters: .*\"!\^\(?([\w|]+)\)?\$\"\]",
    re.MULTILINE,
)

# Names of other libraries, and of header fields.
FOREIGN = {
    "BlockingPortal",
    "Cookie",
    "Date",
    "Location",
    "MockClock",
    "None",
    "Path",
    "PoolTimeout",
    "ProcessPoolExecutor",
    "TaskGroup",
}


def test_each_file_that_a_page_names_exists() -> None:
    """Whether by its path from the root, or by its name alone."""
    names = {path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}

    missing = []
    for page in PAGES:
        text = page.read_text()
        wanted = {path for path in PATH.findall(text) if not (ROOT / path).exists()}
        wanted |= set(NAME.findall(text)) - names
        missing += [f"{page.relative_to(ROOT)}: {each}" for each in sorted(wanted)]

    assert missing == []


def test_the_way_of_a_newcomer_leads_somewhere() -> None:
    """`CONTRIBUTING.md` names each entry of `src/asyncbatch`, and only files that are there."""
    text, source = (ROOT / "CONTRIBUTING.md").read_text(), ROOT / "src" / "asyncbatch"
    entries = {path.stem for path in source.iterdir() if path.suffix in ("", ".py")}

    unnamed = [entry for entry in entries - {"__pycache__"} if f"`{entry}`" not in text]
    missing = [path for path in IN_SOURCE.findall(text) if not (source / path).exists()]

    assert (unnamed, missing) == ([], [])


def test_each_class_that_the_design_names_exists() -> None:
    """And so does what is named of it, in `CONTRIBUTING.md` and `docs/design.md`."""
    members = _members_of_classes()
    missing = []
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "design.md"):
        for name, member in sorted(set(CLASS.findall(page.read_text()))):
            if name not in FOREIGN and (name not in members or member not in {"", *members[name]}):
                missing.append(f"{page.name}: {name}.{member}")

    assert missing == []


def _members_of_classes() -> dict[str, set[str]]:
    """Return what each class of the source defines or inherits; nothing of an alias of types."""
    members: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                members.setdefault(node.name, set()).update(_names_in(node))
                known = {base.id for base in node.bases if isinstance(base, ast.Name)}
                bases.setdefault(node.name, set()).update(known)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                members.setdefault(node.target.id, set())
    for name in bases:
        waiting = list(bases[name])
        while waiting:
            base = waiting.pop()
            members[name] |= members.get(base, set())
            waiting += bases.get(base, ())
    return members


def _names_in(node: ast.ClassDef) -> Iterator[str]:
    """Yield the methods of a class, its fields, and the attributes that it sets."""
    for each in ast.walk(node):
        if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield each.name
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id
        elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store):
            yield each.attr


def test_each_member_that_the_reference_leaves_out_exists() -> None:
    """A filter with an old name would let its member into the reference under the new one."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    found = []
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for name, left_out in FILTERED.findall(page.read_text()):
            module, _, member = name.rpartition(".")
            value = getattr(importlib.import_module(module), member)
            found += [
                f"{name}.{each}"
                for each in left_out.split("|")
                if not (hasattr(value, each) or f"self.{each} = " in source)
            ]

    assert found == []
