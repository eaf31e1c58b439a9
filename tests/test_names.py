"""A method name stands for one action, so that a search finds it: few classes may share one."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

import asyncbatch

Classes: TypeAlias = dict[str, ast.ClassDef]
Methods: TypeAlias = dict[str, ast.FunctionDef | ast.AsyncFunctionDef]

SOURCE = Path(asyncbatch.__path__[0])
MOST_OWNERS = 9

# The words of files, sets, futures, tasks, transports and constructors, which everybody knows, and
# `take_out`: it takes the time of a blocked event loop out of whatever measures time.
KNOWN = frozenset(
    {"open", "close", "aclose", "read", "write", "add", "of"}
    | {"submit", "cancel", "run", "start", "wait", "get_extra_info", "take_out"}
)


def classes_in(root: Path) -> Classes:
    """Return the classes of a package by name; a name that is taken follows that of its file."""
    classes: Classes = {}
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                name = f"{path.stem}.{node.name}" if node.name in classes else node.name
                classes[name] = node
    return classes


def bases_of(node: ast.ClassDef) -> set[str]:
    """Return the names of the bases."""
    return {ast.unparse(base).partition("[")[0] for base in node.bases}


@functools.cache
def own_methods(node: ast.ClassDef) -> Methods:
    """Return what a class defines, by names without underscores; properties are no actions."""
    return {
        item.name.strip("_"): item
        for item in node.body
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
        and not item.name.startswith("__")
        and not any("property" in ast.unparse(one) for one in item.decorator_list)
    }


def methods_of(name: str, classes: Classes) -> Methods:
    """Return what a class defines and what it inherits."""
    inherited: Methods = {}
    for base in bases_of(classes[name]) & classes.keys():
        inherited |= methods_of(base, classes)
    return inherited | own_methods(classes[name])


def implements(methods: Methods, protocol: Methods, verb: str) -> bool:
    """Whether a class has the methods of a protocol, and `verb` with the same parameters."""
    mine, asked = (
        [node.arg for node in ast.walk(one[verb].args) if isinstance(node, ast.arg)]
        for one in (methods, protocol)
    )
    return protocol.keys() <= methods.keys() and mine == asked


def passes_on(node: ast.ClassDef, verb: str) -> bool:
    """Whether the method calls that of another object."""
    return any(
        isinstance(one, ast.Attribute)
        and one.attr.strip("_") == verb
        and ast.unparse(one.value) != "self"
        for one in ast.walk(own_methods(node)[verb])
    )


def owners_of(verb: str, classes: Classes) -> list[str]:
    """
    Return the classes that have an action of this name.

    A protocol stands for what implements it, a base for what is derived from it, and the last
    object of a chain for those that pass the call on.
    """
    having = {name for name, node in classes.items() if verb in own_methods(node)}
    methods = {name: methods_of(name, classes) for name in having}
    # The smaller protocol first, which the larger one implements.
    protocols = [name for name in having if "Protocol" in bases_of(classes[name])]
    protocols.sort(key=lambda name: (len(methods[name]), name))
    owners: list[str] = []
    for name in [*protocols, *sorted(having - {*protocols})]:
        stand_for_it = bases_of(classes[name]) & having or any(
            implements(methods[name], methods[owner], verb)
            for owner in owners
            if owner in protocols
        )
        if not stand_for_it and not passes_on(classes[name], verb):
            owners.append(name)
    return owners


def overloaded(classes: Classes) -> list[str]:
    """Name the verbs with too many owners."""
    verbs = Counter(verb for node in classes.values() for verb in own_methods(node))
    found = (
        (verb, owners_of(verb, classes))
        for verb, count in sorted(verbs.items())
        if count > MOST_OWNERS and verb not in KNOWN
    )
    return [
        f"{len(owners)} classes have a `{verb}`; say what is meant: {', '.join(owners)}"
        for verb, owners in found
        if len(owners) > MOST_OWNERS
    ]


@pytest.fixture(autouse=True)
def no_class_is_kept() -> Iterator[None]:
    """Forget the classes: the garbage collector would visit them in every later test."""
    yield
    own_methods.cache_clear()


def test_no_verb_has_ten_owners() -> None:
    """Of the private methods too."""
    found = overloaded(classes_in(SOURCE))

    assert not found, "\n".join(found)


PROTOCOL = "class P(Protocol):\n    def end(self, at: float) -> None: ...\n    def go(self): ...\n"


@pytest.mark.parametrize(
    ("more", "is_too_much"),
    [
        ("class B:\n    def _end(self): ...", True),
        ("class B:\n    async def end(self): self.end()", True),
        ("class B(A0):\n    def end(self): ...", False),
        ("class B:\n    def end(self): self.a.end()", False),
        ("class B:\n    def __end__(self): ...", False),
        ("class B:\n    @property\n    def end(self): ...", False),
        (PROTOCOL, True),
    ],
)
def test_a_tenth_owner_is_named(more: str, is_too_much: bool, tmp_path: Path) -> None:
    """Not what derives from another one, or passes the call on."""
    nine = [f"class A{number}:\n    def end(self): ...\n" for number in range(MOST_OWNERS)]
    (tmp_path / "code.py").write_text("".join([*nine, more]))

    assert len(overloaded(classes_in(tmp_path))) == is_too_much


@pytest.mark.parametrize(
    ("more", "owners"),
    [
        ("class B:\n    def end(self, at): ...\n    def go(self): ...", ["P"]),
        ("class B:\n    def end(self, at): ...", ["P", "B"]),
        ("class B:\n    def end(self): ...\n    def go(self): ...", ["P", "B"]),
        ("class B(C):\n    def end(self, at): ...\nclass C:\n    def go(self): ...", ["P"]),
        ("class Q(Protocol):\n    def end(self, at): ...", ["Q"]),
    ],
)
def test_a_protocol_stands_for_what_implements_it(
    more: str, owners: list[str], tmp_path: Path
) -> None:
    """All its methods count, and the parameters of this one."""
    (tmp_path / "code.py").write_text(PROTOCOL + more)

    assert owners_of("end", classes_in(tmp_path)) == owners
