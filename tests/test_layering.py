"""
The shape of the house: which module may import which, and who may use which library.

A room is what lies at the top of the package; to add one, give it a place in `HOUSE`. Imports made
for types only and imports inside functions count like any other, since they too are knowledge of
the other module. No files import each other in a circle, whichever package they are in.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import asyncbatch
from tests.import_graph import (
    Graph,
    asked_by_name,
    circles,
    hidden_imports,
    imports_between_files,
)

SOURCE = Path(asyncbatch.__path__[0])
REPOSITORY = Path(__file__).parents[1]

# Imports go down only, and the rooms on one row do not know each other. `_engine.http11` is a room
# of its own: it reads what strangers send, and knows nothing but the grammar of fields. So does
# `_engine.http2`, by ngh2, which only it knows; it gives heads in the form of `http11`.
HOUSE = """
    __main__
    _cli
    testing         cluster     report      arrow       telemetry
    __init__
    _entry_points
    _sync
    _api
    _journal
    _batch
    _lanes          _schedule   _progress
    _engine         _policies   _decoding   _files   _results
    _engine.http2
    _engine.http11
    _values     _runtime
"""

# The rooms of the engine, from what httpx sees down to what the kernel does: folders, and files
# that stand together. A file knows those of its own room and of lower rows; rooms in one row do not
# know each other.
ENGINE = [
    [frozenset({"bridge"})],
    [frozenset({"_engine", "_body_stream", "_bounds"})],
    [frozenset({"pool"})],
    [frozenset({"connection"}), frozenset({"connect"})],
    [frozenset({"io"}), frozenset({"_minimum_rate"})],
    [frozenset({"_exchange", "_errors"})],
    [frozenset({"_event_loop"})],
    [frozenset({"http2"})],
    [frozenset({"http11"})],
]

INNER_ROOMS = {"_engine.http11", "_engine.http2"}

# A policy never sees a socket, and what talks to servers never sees a policy.
POLICIES = {"_schedule", "_policies"}
WIRE = {"_lanes", "_engine", "_engine.http11", "_engine.http2", "_decoding"}

# What users import by name. They are built on the public names and on private rooms.
PUBLIC_ROOMS = {"arrow", "cluster", "report", "telemetry", "testing"}

# Who may import a module that most must not. The public module `testing` stands alone: it is built
# on the public names, so that users could have written it, and nothing but the command needs it.
ONLY_IMPORTED_BY = {
    "testing": {"_cli", "__main__"},
    "_cli": {"__main__"},
    "__init__": {"_cli", "__main__", "arrow", "cluster", "telemetry", "testing"},
}

# What `testing` may import beside the public names: it says that its own are public.
KNOWN_TO_TESTING = "asyncbatch._values._pickling."

# What `_engine.http11` may import; it has patterns, and no imports of its own.
KNOWN_TO_HTTP11 = "asyncbatch._values._fields."

# Who may import a library. One that is not named here is free for all.
LIBRARIES = {
    "asyncio": {"_engine", "_runtime"},
    "httpcore": {"_engine"},
    "httpcore2": {"_engine"},
    "httptools": set(),
    # For types only; otherwise asked for by name where a client of it shows up.
    "httpx2": {"_api", "_batch"},
    "rich": {"_progress", "_cli"},
    "tqdm": {"_progress", "_cli"},
    "uvloop": set(),  # chosen by name, through anyio
    "trio": {"_runtime"},  # where it runs
    "h11": set(),
    "h2": set(),
    "ngh2": {"_engine.http2"},
    "opentelemetry": {"telemetry"},
}

# Who finds the name of a library at run time, and so asks for it by that. It is never one of ours.
NAMING_LIBRARIES = {
    "asyncbatch._decoding._brotli",  # the one of two that is installed
    "asyncbatch._decoding._zstd",  # the one of three
    "asyncbatch._engine.bridge._pristine",  # the module of a method of httpcore
    "asyncbatch._engine.bridge._transports",  # httpcore or httpcore2
    "asyncbatch._lanes.client._binding",  # httpx or httpx2
    "asyncbatch._results._arrow",  # an extra
    "asyncbatch._values._pickling",  # httpx or httpx2
}

# What decides takes the time, the bytes and the dice as arguments, and so needs none of these.
PURE = POLICIES | {"_engine.http11", "_engine.http2", "_decoding"}
IMPURE_LIBRARIES = {
    "anyio",
    "asyncio",
    "httpcore",
    "logging",
    "os",
    "random",
    "select",
    "socket",
    "ssl",
    "threading",
    "time",
}

# Only the lanes drive an httpx client. Its other methods have names too common to look for.
CLIENT_METHODS = {"aiter_raw", "build_request", "extract_cookies"}
DRIVERS = {"_lanes"}


class Tree:
    """
    What a package's source imports and names, by the module or sub-package at its top level.

    The syntax trees are not kept: the garbage collector would visit them in every later test.
    """

    def __init__(self, root: Path) -> None:
        self.package = root.name
        self.root = root
        self.imports: dict[str, set[str]] = {}
        self.coroutine_functions: dict[str, list[str]] = {}
        self.attributes: dict[str, set[str]] = {}
        for path in sorted(root.rglob("*.py")):
            self._read(path)

    def _read(self, path: Path) -> None:
        inside = path.relative_to(self.root).with_suffix("").parts
        module, package = self.place_of(inside), (self.package, *inside[:-1])
        imports = self.imports.setdefault(module, set())
        coroutine_functions = self.coroutine_functions.setdefault(module, [])
        attributes = self.attributes.setdefault(module, set())
        tree = ast.parse(path.read_text())
        for asked in asked_by_name(tree, ".".join((self.package, *inside)), ".".join(package)):
            # A library is asked for so where it may be missing, or its types are in the way.
            if (asked.name or "").partition(".")[0] == self.package:
                imports.add(asked.name or "")
        for node in ast.walk(tree):
            match node:
                case ast.Attribute():
                    attributes.add(node.attr)
                case ast.AsyncFunctionDef():
                    coroutine_functions.append(node.name)
                case ast.Import() | ast.ImportFrom():
                    imports.update(self._names(node, package))

    @staticmethod
    def _names(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        above = package[: len(package) - node.level + 1] if node.level else ()
        origin = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{origin}.{alias.name}" for alias in node.names)

    def known_to(self, module: str) -> set[str]:
        """Return the other modules of the package that `module` imports."""
        known = set()
        for name in self.imports[module]:
            package, *rest = name.split(".")
            if package == self.package:
                is_module = rest and self._is_module(rest[0])
                known.add(self.place_of(rest) if is_module else "__init__")
        return known - {module}

    @staticmethod
    def place_of(inside: Sequence[str]) -> str:
        """Return the room, or the one within it, of a path within the package."""
        inner = ".".join(inside[:2])
        return inner if inner in INNER_ROOMS else inside[0]

    def _is_module(self, name: str) -> bool:
        # A private name is a module, even one that is not there: the package exports none.
        return name in self.imports or (name.startswith("_") and not name.startswith("__"))

    def libraries_of(self, module: str) -> set[str]:
        """Return the distributions and standard modules that `module` imports."""
        return {name.split(".")[0] for name in self.imports[module]} - {self.package}


def levels() -> dict[str, int]:
    """Return the level of each module of the house, the lowest first."""
    rows = [row.split() for row in HOUSE.strip().splitlines()]
    return {room: level for level, row in enumerate(reversed(rows)) for room in row}


def wrong_imports(tree: Tree, module: str) -> list[str]:
    """Say what is wrong with the imports of one module."""
    level = levels()
    if module not in level:
        return [f"{module} has no place in the house"]
    wrong = []
    for other in sorted(tree.known_to(module)):
        allowed = ONLY_IMPORTED_BY.get(other)
        if other not in level:
            wrong.append(f"{module} imports {other}, which has no place in the house")
        elif level[other] > level[module]:
            wrong.append(f"{module} imports {other}, which is above it")
        elif level[other] == level[module]:
            wrong.append(f"{module} imports {other}, which is beside it")
        elif meet(module, other):
            wrong.append(f"{module} imports {other}: policies and the wire do not meet")
        elif module == "testing" and not is_public(tree, other):
            wrong.append(f"{module} imports {other}, which is not public")
        elif module == "_engine.http11" and not only_knows(tree, module, other, KNOWN_TO_HTTP11):
            wrong.append(f"{module} imports more of {other} than the grammar of fields")
        elif allowed is not None and module not in allowed:
            wrong.append(f"{module} imports {other}, which is for {sorted(allowed)} only")
    return wrong


def is_public(tree: Tree, other: str) -> bool:
    """Is all that `testing` imports of a room known to it?"""
    return other == "__init__" or only_knows(tree, "testing", other, KNOWN_TO_TESTING)


def only_knows(tree: Tree, module: str, other: str, known: str) -> bool:
    """Does all that a module imports of a room begin with `known`?"""
    package = f"{tree.package}.{other}"
    names = {name for name in tree.imports[module] if f"{name}.".startswith(f"{package}.")}
    return all(name.startswith(known) for name in names)


def meet(module: str, other: str) -> bool:
    """Is one of the two a policy, and the other on the way to the wire?"""
    pair = {module, other}
    return bool(pair & POLICIES and pair & WIRE)


def wrong_libraries(tree: Tree, module: str) -> list[str]:
    """Say which libraries a module uses without leave."""
    used = tree.libraries_of(module)
    strangers = {name for name in used if module not in LIBRARIES.get(name, {module})}
    if module in PURE:
        strangers |= used & IMPURE_LIBRARIES
    if module == "_engine.http11":
        strangers |= used & {"httpx"}
    return sorted(strangers)


def room_of(file: str) -> frozenset[str]:
    """Return the room of a file of the engine: a folder, or files that stand together."""
    first = file.split(".")[0]
    return next((room for row in ENGINE for room in row if first in room), frozenset())


def wrong_rooms(graph: Graph) -> list[str]:
    """Say which files of the engine import what they must not know."""
    package, wrong = "asyncbatch._engine", []
    rows = {room: row for row, beside in enumerate(reversed(ENGINE)) for room in beside}
    for module in sorted(graph):
        file = module.removeprefix(f"{package}.")
        room = room_of(file)
        if room not in rows:
            wrong += [f"{file} has no room"] if module != package else []
            continue
        for other in sorted(one.removeprefix(f"{package}.") for one in graph[module]):
            there = room_of(other)
            if other == package:
                wrong.append(f"{file} imports the package that it is in")
            elif there in rows and there != room and rows[there] >= rows[room]:
                wrong.append(f"{file} imports {other}, which is not below it")
    return wrong


def client_calls(tree: Tree, module: str) -> list[str]:
    """Return the methods of an httpx client that a module calls."""
    return sorted(tree.attributes[module] & CLIENT_METHODS)


@functools.cache
def asyncbatch() -> Tree:
    """Read the package once, and not where the tests are only collected."""
    return Tree(SOURCE)


MODULES = sorted(
    {Tree.place_of(path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("*.py")}
)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    """A module imports from lower levels only, and none that is closed to it."""
    assert wrong_imports(asyncbatch(), module) == []


@pytest.mark.parametrize("module", MODULES)
def test_libraries_are_used_where_they_belong(module: str) -> None:
    """A module uses no library that is another module's task."""
    assert wrong_libraries(asyncbatch(), module) == []


@pytest.mark.parametrize("module", sorted(PURE & set(MODULES)))
def test_what_decides_does_not_wait(module: str) -> None:
    """A pure module has no coroutine function."""
    assert asyncbatch().coroutine_functions[module] == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - DRIVERS))
def test_only_the_lanes_drive_a_client(module: str) -> None:
    """No module but the lanes calls the methods that send a request by an httpx client."""
    assert client_calls(asyncbatch(), module) == []


@pytest.mark.parametrize(
    "root",
    [SOURCE, REPOSITORY / "benchmarks", REPOSITORY / "conformance"],
    ids=lambda root: root.name,
)
def test_no_files_import_one_another_in_a_circle(root: Path) -> None:
    """Within a package and across its packages imports have one direction, types included."""
    found = circles(imports_between_files(root))

    assert [sorted(circle) for circle in found] == []


def test_no_file_asks_for_ours_in_a_hidden_way() -> None:
    """What a file of ours knows of another can be read in its import statements."""
    assert hidden_imports(SOURCE, NAMING_LIBRARIES) == []


@pytest.mark.parametrize("module", sorted(NAMING_LIBRARIES))
def test_who_is_said_to_name_libraries_does(module: str) -> None:
    """A file that no longer does is taken from the list."""
    assert hidden_imports(SOURCE, NAMING_LIBRARIES - {module})


def test_the_rooms_of_the_engine_know_only_those_below() -> None:
    """Each file of the engine has its room, and imports from there and from lower rows."""
    graph = imports_between_files(SOURCE / "_engine", "asyncbatch._engine")

    found = {room_of(file.removeprefix("asyncbatch._engine.")) for file in graph}

    assert wrong_rooms(graph) == []
    assert found - {frozenset()} == {room for row in ENGINE for room in row}


@pytest.mark.parametrize(
    ("file", "known", "complaint"),
    [
        (
            "io._transport",
            "connection._x",
            "io._transport imports connection._x, which is not below it",
        ),
        ("connection._x", "connect._y", "connection._x imports connect._y, which is not below it"),
        ("connection._x", "pool._pool", "connection._x imports pool._pool, which is not below it"),
        ("pool._pool", None, "pool._pool imports the package that it is in"),
        ("_new", "io._transport", "_new has no room"),
        ("pool._pool", "pool._idle", None),
        ("_engine", "_bounds", None),
        ("pool._pool", "io._transport", None),
    ],
)
def test_a_wrong_room_is_found(file: str, known: str | None, complaint: str | None) -> None:
    """An import from a higher room, from one beside, or from no room at all is found."""
    package = "asyncbatch._engine"
    graph = {f"{package}.{file}": {package if known is None else f"{package}.{known}"}}

    assert wrong_rooms(graph) == ([complaint] if complaint else [])


def test_the_house_has_one_place_for_each_room() -> None:
    """No room is listed twice, none is missing, and there are as many as one can keep in mind."""
    listed = HOUSE.split()

    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(MODULES)
    assert (POLICIES | WIRE | INNER_ROOMS).issubset(listed)
    assert len(set(listed) - INNER_ROOMS - PUBLIC_ROOMS) <= 18


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        (
            "_values/_x.py",
            "from asyncbatch._batch import x",
            "_values imports _batch, which is above",
        ),
        ("_values/_x.py", "from .._batch import x", "_values imports _batch, which is above"),
        ("_values/_x.py", "def f():\n from .. import _batch", "_batch, which is above"),
        ("_values/_x.py", "import asyncbatch", "_values imports __init__, which is above"),
        ("_values/_x.py", "from asyncbatch import Request", "__init__, which is above"),
        (
            "_values/_x.py",
            "from importlib import import_module as load\ndef f():\n load('asyncbatch._batch')",
            "_batch, which is above",
        ),
        (
            "_values/_x.py",
            "import asyncbatch._runtime",
            "_values imports _runtime, which is beside",
        ),
        ("_lanes/_x.py", "from ..  import _schedule", "_lanes imports _schedule, which is beside"),
        ("_lanes/_x.py", "from .._policies import x", "policies and the wire do not meet"),
        ("_schedule/_x.py", "from .._engine import x", "policies and the wire do not meet"),
        ("_engine/http11/_x.py", "from asyncbatch._engine._y import x", "_engine, which is above"),
        ("_engine/http11/_x.py", "from .._errors import x", "_engine, which is above"),
        (
            "_engine/http11/_x.py",
            "from asyncbatch._values._errors import x",
            "more of _values than the grammar of fields",
        ),
        (
            "_engine/http11/_x.py",
            "from asyncbatch._runtime import x",
            "more of _runtime than the grammar of fields",
        ),
        (
            "testing/_x.py",
            "from asyncbatch._values._checks import x",
            "_values, which is not public",
        ),
        ("_new.py", "", "_new has no place in the house"),
        ("_sync/_x.py", "from .._new import x", "_sync imports _new, which has no place"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    """Each rule finds the import that breaks it, however it is written."""
    tree = Tree(_package(tmp_path, {path: source}))

    complaints = wrong_imports(tree, room_at(path))

    assert [text for text in complaints if complaint in text], complaints


@pytest.mark.parametrize(
    "source",
    [
        "from asyncbatch._batch import x",
        "from ._batch import x",
        "from . import _batch",
        "import asyncbatch._batch",
        "if TYPE_CHECKING:\n from ._batch import x",
        "def f():\n from . import _batch",
        "def f():\n return importlib.import_module('asyncbatch._batch')",
        "from ._hosts import x",
        "from asyncbatch import x",
        "from . import x",
    ],
)
def test_a_circle_is_found(tmp_path: Path, source: str) -> None:
    """A circle is found however its imports are written, and over however many files it leads."""
    sources = {"_retry.py": source, "_batch.py": "from . import _retry"}
    others = {"_hosts.py": "from ._batch import x", "__init__.py": "from ._retry import y"}
    graph = imports_between_files(_package(tmp_path, sources | others))

    (circle,) = circles(graph)

    assert "asyncbatch._retry" in circle


def test_a_package_that_asks_for_its_modules_by_name_knows_them_all(tmp_path: Path) -> None:
    """A module that is imported by a name put together at run time may be any of its package."""
    ask = "def f(m):\n return importlib.import_module(f'{__name__}.{m}')"
    graph = imports_between_files(_package(tmp_path, {"__init__.py": ask, "_batch.py": ""}))

    assert "asyncbatch._batch" in graph["asyncbatch"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import sys\nsys.modules['asyncbatch'].x", "_x.py:2 takes asyncbatch from sys.modules"),
        ("import sys\nsys.modules['asyncbatch._y']", "_x.py:2 takes asyncbatch._y from"),
        ("import sys\nsys.modules.get('asyncbatch._y')", "_x.py:2 takes asyncbatch._y from"),
        ("import sys as s\ns.modules['asyncbatch']", "_x.py:2 takes asyncbatch from"),
        ("from sys import modules\nmodules['asyncbatch']", "_x.py:2 takes asyncbatch from"),
        ("from sys import modules as m\nm['asyncbatch']", "_x.py:2 takes asyncbatch from"),
        ("import sys\nsys.modules[__name__.partition('.')[0]]", "_x.py:2 finds a name at run"),
        ("import sys\nloaded = sys.modules", "_x.py:2 finds a name at run time"),
        ("import importlib\nimportlib.import_module('asyncbatch.' + y)", "_x.py:2 finds a name"),
        ("import importlib as i\ni.import_module(f'asyncbatch.{y}')", "_x.py:2 finds a name"),
        ("import importlib\nimportlib.import_module(f'{__name__}.{y}')", "_x.py:2 finds a name"),
        ("from importlib import import_module\nimport_module(name=y)", "_x.py:2 finds a name"),
        ("from importlib import import_module as m\nm(y)", "_x.py:2 finds a name at run time"),
        ("import importlib\nload = importlib.import_module", "_x.py:2 finds a name at run time"),
        ("__import__(y)", "_x.py:1 finds a name at run time"),
        ("import builtins\nbuiltins.__import__(y)", "_x.py:2 finds a name at run time"),
    ],
)
def test_a_hidden_import_is_found(tmp_path: Path, source: str, complaint: str) -> None:
    """However it is hidden."""
    (found,) = hidden_imports(_package(tmp_path, {"_x.py": source}))

    assert found.startswith(complaint)


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.modules.get('sniffio')",
        "import importlib\nimportlib.import_module('pyarrow.compute')",
        "import importlib\nimportlib.import_module('asyncbatch._batch')",
        "__import__('asyncbatch._batch')",
    ],
)
def test_a_name_that_is_written_down_hides_nothing(tmp_path: Path, source: str) -> None:
    """It is that of a library, or counts as an import."""
    assert hidden_imports(_package(tmp_path, {"_x.py": source})) == []


@pytest.mark.parametrize(
    "call",
    [
        "importlib.import_module('asyncbatch._batch')",
        "i.import_module('asyncbatch._batch')",
        "load('asyncbatch._batch')",
        "load('._batch', 'asyncbatch')",
        "load(name='asyncbatch._batch')",
        "__import__('asyncbatch._batch')",
        "__import__('asyncbatch._batch', fromlist=['x']).x",
    ],
)
def test_a_module_asked_for_by_its_name_is_imported(tmp_path: Path, call: str) -> None:
    """Under whatever name the means was imported."""
    means = "import importlib, importlib as i\nfrom importlib import import_module as load\n"
    graph = imports_between_files(_package(tmp_path, {"_x.py": f"{means}{call}"}))

    assert graph["asyncbatch._x"] == {"asyncbatch._batch"}


def test_imports_in_one_direction_are_no_circle(tmp_path: Path) -> None:
    """Two ways from one module to another make no circle."""
    sources = {"_retry.py": "from . import _batch, _hosts", "_hosts.py": "from . import _batch"}
    graph = imports_between_files(_package(tmp_path, sources))

    assert circles(graph) == set()


@pytest.mark.parametrize(
    ("path", "source", "library"),
    [
        ("_batch/_x.py", "import asyncio", "asyncio"),
        ("_lanes/_x.py", "from httpcore import ConnectError", "httpcore"),
        ("_engine/http11/_x.py", "import httpx", "httpx"),
        ("_schedule/_x.py", "from time import monotonic", "time"),
        ("_api/_x.py", "def f():\n import tqdm.auto", "tqdm"),
    ],
)
def test_a_stray_library_is_found(tmp_path: Path, path: str, source: str, library: str) -> None:
    """The use of a library outside its place is found."""
    tree = Tree(_package(tmp_path, {path: source}))

    assert wrong_libraries(tree, room_at(path)) == [library]


def room_at(path: str) -> str:
    """Return the room of a file by its path."""
    return (
        "_engine.http11"
        if path.startswith("_engine/http11")
        else Path(path).parts[0][: -3 if path.count("/") == 0 else None]
    )


def _package(directory: Path, sources: dict[str, str]) -> Path:
    root = directory / "asyncbatch"
    files = ("__init__.py", "_batch.py", "_retry.py", "_hosts.py", "_new.py")
    for name, source in (dict.fromkeys(files, "") | sources).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root
