"""
The shape of the house: which module may import which, and who may use which library.

To add a module, give it a place in `HOUSE`. Imports made for types only and imports inside
functions count like any other, since they too are knowledge of the other module. No files import
each other in a circle, whichever package they are in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import asyncbatch
from tests.import_graph import Graph, circles, imports_between_files

SOURCE = Path(asyncbatch.__path__[0])
REPOSITORY = Path(__file__).parents[1]

# Imports go down only, and the modules on one level do not know each other.
HOUSE = """
    __main__
    _cli
    testing
    __init__
    _entry_points
    _api       _sync
    _result_stream
    _fetcher
    _setup     _streaming  _client_options  _statistics
    _options
    _batch
    _tally
    _input     _output     _ending    _progress    _handover    _portal    _log
    _schedule  _attempt   _patience   _signals
    _hosts     _lanes     _host_limits
    _limits    _timers     _slots     _transport  _retry_after
    _http11    _decoding   _pace    _threads
"""

# The values at the bottom know nobody above; among themselves they may, so long as no circle comes
# of it: a result holds its request.
VALUES = """
    _checks    _errors    _event_loop            _origin    _outcome    _quantiles  _request
    _result    _results   _retry     _stalls     _summary   _timeouts   _timing    _portable   _text
    _body_source    _redaction _urls
"""

# What users write down in types goes in a circle: a request has its policy, the policy asks about
# a failure, and that holds its request. At run time the policy knows no result.
TYPES_ONLY = {("_retry", "_result")}

# The files that import one another in a circle, for types only or within functions. No circle may
# be added, and none may grow: this list only gets shorter. What is left is said by public types
# (`Request.retry`, `Retry.when`, `Failure.request`), which could only be untied in one file of all.
CIRCLES = {
    "asyncbatch": ["_request _result _retry"],
    "benchmarks": [],
    "conformance": [],
}

# The rooms of the engine, from what httpx sees down to what the kernel does. A file knows those of
# its own room and of lower rows; rooms in one row do not know each other.
ENGINE = [
    {"bridge": "_transports _bridge _backend _socks _stock _trace"},
    {"engine": "_engine _stream _bounds"},
    {"pool": "_pool _origin _idle _waiters _dialling"},
    {
        "connection": "_connection _arrival _sending _verdicts",
        "connect": """
            _connector _resolver _addresses _eyeballs _sockets _phases _tls_context _tls_roots
        """,
    },
    {"io": "_wire _socket _tls _loop_transport _attach _watch _outbox _sweep _unfinished"},
    {"values": "_exchange _errors"},
]

# A policy never sees a socket, and what talks to servers never sees a policy.
POLICIES = {"_schedule", "_hosts", "_retry", "_retry_after", "_limits", "_timers"}
WIRE = {"_lanes", "_transport", "_http11", "_decoding", "_pace"}

# Who may import a module that most must not. The public module `testing` stands alone: it is built
# on the public names, so that users could have written it, and nothing but the command needs it.
ONLY_IMPORTED_BY = {
    "testing": {"_cli", "__main__"},
    "_cli": {"__main__"},
    "__init__": {"_cli", "__main__", "testing"},
}

# What `testing` may import beside the public names: it says that its own are public.
KNOWN_TO_TESTING = {"__init__", "_portable"}

# Who may import a library. One that is not named here is free for all.
LIBRARIES = {
    "asyncio": {"_transport"},
    "httpcore": {"_transport"},
    "httpcore2": {"_transport"},
    "httptools": set(),
    # For types only; otherwise asked for by name where a client of it shows up.
    "httpx2": {"_options", "_input"},
    "rich": {"_progress", "_cli"},
    "tqdm": {"_progress", "_cli"},
    "uvloop": set(),  # chosen by name, through anyio
    "trio": set(),
    "h11": set(),
}

# What decides takes the time, the bytes and the dice as arguments, and so needs none of these.
PURE = POLICIES | {"_http11", "_decoding", "_pace"}
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
    """The imports of a package's source, by the module or sub-package at its top level."""

    def __init__(self, root: Path) -> None:
        self.package = root.name
        self.root = root
        self.modules: dict[str, list[ast.Module]] = {}
        self.imports: dict[str, set[str]] = {}
        for path in sorted(root.rglob("*.py")):
            self._read(path)

    def _read(self, path: Path) -> None:
        inside = path.relative_to(self.root).with_suffix("").parts
        module, tree = inside[0], ast.parse(path.read_text())
        self.modules.setdefault(module, []).append(tree)
        package = (self.package, *inside[:-1])
        self.imports.setdefault(module, set()).update(self._names(tree, package))

    def _names(self, tree: ast.Module, package: tuple[str, ...]) -> Iterator[str]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else ()
                origin = ".".join([*above, *([node.module] if node.module else [])])
                yield from (f"{origin}.{alias.name}" for alias in node.names)

    def known_to(self, module: str) -> set[str]:
        """Return the other modules of the package that `module` imports."""
        known = set()
        for name in self.imports[module]:
            package, *rest = name.split(".")
            if package == self.package:
                known.add(rest[0] if rest and self._is_module(rest[0]) else "__init__")
        return known - {module}

    def _is_module(self, name: str) -> bool:
        # A private name is a module, even one that is not there: the package exports none.
        return name in self.modules or (name.startswith("_") and not name.startswith("__"))

    def libraries_of(self, module: str) -> set[str]:
        """Return the distributions and standard modules that `module` imports."""
        return {name.split(".")[0] for name in self.imports[module]} - {self.package}


def levels() -> dict[str, int]:
    """Return the level of each module of the house, the lowest first."""
    rows = [row.split() for row in HOUSE.strip().splitlines()]
    above_the_values = {
        module: level for level, row in enumerate(reversed(rows), 1) for module in row
    }
    return above_the_values | dict.fromkeys(VALUES.split(), 0)


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
        elif level[other] == level[module] > 0:
            wrong.append(f"{module} imports {other}, which is beside it")
        elif meet(module, other):
            wrong.append(f"{module} imports {other}: policies and the wire do not meet")
        elif module == "testing" and other not in KNOWN_TO_TESTING:
            wrong.append(f"{module} imports {other}, which is not public")
        elif allowed is not None and module not in allowed:
            wrong.append(f"{module} imports {other}, which is for {sorted(allowed)} only")
    return wrong


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
    if module == "_http11":
        strangers |= used & {"httpx"}
    return sorted(strangers)


def rooms() -> dict[str, tuple[int, str]]:
    """Return the row and the room of each file of the engine, the lowest row first."""
    return {
        file: (row, room)
        for row, beside in enumerate(reversed(ENGINE))
        for room, files in beside.items()
        for file in files.split()
    }


def wrong_rooms(graph: Graph) -> list[str]:
    """Say which files of the engine import what they must not know."""
    package, places, wrong = "asyncbatch._transport", rooms(), []
    for module in sorted(graph):
        file = module.removeprefix(f"{package}.")
        if file not in places:
            wrong += [f"{file} has no room"] if module != package else []
            continue
        (row, room), known = places[file], graph[module]
        for other in sorted(one.removeprefix(f"{package}.") for one in known):
            if other == package:
                wrong.append(f"{file} imports the package that it is in")
            elif other in places and not (places[other][0] < row or places[other][1] == room):
                wrong.append(f"{file} in {room} imports {other} in {places[other][1]}")
    return wrong


def async_functions(tree: Tree, module: str) -> list[str]:
    """Return the names of the coroutine functions of a module."""
    nodes = (node for source in tree.modules[module] for node in ast.walk(source))
    return [node.name for node in nodes if isinstance(node, ast.AsyncFunctionDef)]


def client_calls(tree: Tree, module: str) -> list[str]:
    """Return the methods of an httpx client that a module calls."""
    nodes = (node for source in tree.modules[module] for node in ast.walk(source))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return sorted(used & CLIENT_METHODS)


ASYNCBATCH = Tree(SOURCE)
MODULES = sorted(ASYNCBATCH.modules)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    """A module imports from lower levels only, and none that is closed to it."""
    assert wrong_imports(ASYNCBATCH, module) == []


@pytest.mark.parametrize("module", MODULES)
def test_libraries_are_used_where_they_belong(module: str) -> None:
    """A module uses no library that is another module's task."""
    assert wrong_libraries(ASYNCBATCH, module) == []


@pytest.mark.parametrize("module", sorted(PURE & set(MODULES)))
def test_what_decides_does_not_wait(module: str) -> None:
    """A pure module has no coroutine function."""
    assert async_functions(ASYNCBATCH, module) == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - DRIVERS))
def test_only_the_lanes_drive_a_client(module: str) -> None:
    """No module but the lanes calls the methods that send a request by an httpx client."""
    assert client_calls(ASYNCBATCH, module) == []


def test_the_values_know_each_other_without_a_circle() -> None:
    """The modules of the bottom row can be put into an order."""
    values = set(VALUES.split()) & set(MODULES)
    graph = {module: ASYNCBATCH.known_to(module) & values for module in values}
    for module, other in TYPES_ONLY:
        graph[module].discard(other)

    assert set(TopologicalSorter(graph).static_order()) == values


@pytest.mark.parametrize(
    "root",
    [SOURCE, REPOSITORY / "benchmarks", REPOSITORY / "conformance"],
    ids=lambda root: root.name,
)
def test_no_files_import_one_another_in_a_circle(root: Path) -> None:
    """Within a package and across its packages imports have one direction, types included."""
    listed = {frozenset(f"{root.name}.{file}" for file in c.split()) for c in CIRCLES[root.name]}
    found = circles(imports_between_files(root))

    assert [sorted(circle) for circle in found - listed] == [], "a circle that is new, or has grown"
    assert [sorted(circle) for circle in listed - found] == [], "no circle any more: take it out"


def test_the_rooms_of_the_engine_know_only_those_below() -> None:
    """Each file of the engine has its room, and imports from there and from lower rows."""
    graph = imports_between_files(SOURCE / "_transport", "asyncbatch._transport")
    listed = [file for beside in ENGINE for files in beside.values() for file in files.split()]

    assert wrong_rooms(graph) == []
    assert sorted(listed) == sorted(path.stem for path in (SOURCE / "_transport").glob("_[a-z]*"))


@pytest.mark.parametrize(
    ("file", "known", "complaint"),
    [
        ("_wire", "_connection", "_wire in io imports _connection in connection"),
        ("_connection", "_connector", "_connection in connection imports _connector in connect"),
        ("_connection", "_pool", "_connection in connection imports _pool in pool"),
        ("_pool", None, "_pool imports the package that it is in"),
        ("_new", "_wire", "_new has no room"),
        ("_pool", "_idle", None),
        ("_pool", "_wire", None),
    ],
)
def test_a_wrong_room_is_found(file: str, known: str | None, complaint: str | None) -> None:
    """An import from a higher room, from one beside, or from no room at all is found."""
    package = "asyncbatch._transport"
    graph = {f"{package}.{file}": {package if known is None else f"{package}.{known}"}}

    assert wrong_rooms(graph) == ([complaint] if complaint else [])


def test_the_house_has_one_place_for_each_module() -> None:
    """No module is listed twice, and the two columns stand in the house."""
    listed = HOUSE.split() + VALUES.split()

    assert sorted(listed) == sorted(set(listed))
    assert (POLICIES | WIRE).issubset(listed)


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("_retry.py", "from asyncbatch._batch import x", "_retry imports _batch, which is above"),
        ("_retry.py", "from ._batch import x", "_retry imports _batch, which is above"),
        ("_retry.py", "def f():\n from . import _batch", "_retry imports _batch, which is above"),
        ("_retry.py", "import asyncbatch", "_retry imports __init__, which is above"),
        ("_retry.py", "from asyncbatch import Request", "_retry imports __init__, which is above"),
        ("_limits.py", "import asyncbatch._timers", "_limits imports _timers, which is beside"),
        ("_lanes/_x.py", "from ..  import _hosts", "_lanes imports _hosts, which is beside"),
        ("_lanes/_x.py", "from .._retry import x", "policies and the wire do not meet"),
        ("_hosts.py", "from ._transport import x", "policies and the wire do not meet"),
        (
            "testing/_x.py",
            "from asyncbatch._event_loop import x",
            "_event_loop, which is not public",
        ),
        ("_request.py", "from ._decoding import x", "_decoding, which is above"),
        ("_new.py", "", "_new has no place in the house"),
        ("_sync.py", "from ._new import x", "_sync imports _new, which has no place"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    """Each rule finds the import that breaks it, however it is written."""
    tree = Tree(_package(tmp_path, {path: source}))

    complaints = wrong_imports(tree, Path(path).parts[0].removesuffix(".py"))

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


def test_imports_in_one_direction_are_no_circle(tmp_path: Path) -> None:
    """Two ways from one module to another make no circle."""
    sources = {"_retry.py": "from . import _batch, _hosts", "_hosts.py": "from . import _batch"}
    graph = imports_between_files(_package(tmp_path, sources))

    assert circles(graph) == set()


@pytest.mark.parametrize(
    ("path", "source", "library"),
    [
        ("_batch.py", "import asyncio", "asyncio"),
        ("_lanes/_x.py", "from httpcore import ConnectError", "httpcore"),
        ("_http11/_x.py", "import httpx", "httpx"),
        ("_schedule.py", "from time import monotonic", "time"),
        ("_fetcher.py", "def f():\n import tqdm.auto", "tqdm"),
    ],
)
def test_a_stray_library_is_found(tmp_path: Path, path: str, source: str, library: str) -> None:
    """The use of a library outside its place is found."""
    tree = Tree(_package(tmp_path, {path: source}))

    assert wrong_libraries(tree, Path(path).parts[0].removesuffix(".py")) == [library]


def _package(directory: Path, sources: dict[str, str]) -> Path:
    root = directory / "asyncbatch"
    known = dict.fromkeys((f"{name}.py" for name in ("__init__", "_batch", "_retry")), "")
    others = dict.fromkeys(
        ("_limits.py", "_timers.py", "_hosts.py", "_transport.py", "_decoding.py"), ""
    )
    extra = dict.fromkeys(("_event_loop.py", "_new.py", "_timers.py"), "")
    for name, source in (known | others | extra | sources).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root
