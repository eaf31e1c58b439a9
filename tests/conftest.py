"""
What every test runs under: the async back ends, the leak checks and the ban on blocking.

Async tests run on each entry of `BACKENDS`, those marked `asyncio_only` on all but trio.
Fixtures of one subject live beside its tests, not here.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import gc
import importlib.util
import inspect
import os
import re
import signal
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import certifi
import hypothesis
import pytest
import trustme
from blockbuster import BlockBuster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from asyncbatch.testing import LoopbackServer

pytest_plugins = ["pytester"]

# No wall times: an example of a few milliseconds may take a second on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
if importlib.util.find_spec("uvloop") is None:
    del BACKENDS["uvloop"]

# Libraries keep these threads for later calls, so that they outlive the test that started them.
LASTING_THREADS = ("Trio thread",)

# Marks that a file names by these words, or has none of. One that is asked for by `-m` need not be
# looked for in the other files, most of which are not even imported then.
NAMED_IN_FILES = {"once": ("mark.once", "hypothesis"), "extras": ("mark.extras",)}

SECONDS_TO_END = 20.0

DESCRIPTORS = "/proc/self/fd"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite run with what another machine has for sockets."""
    parser.addoption(
        "--sockets-of",
        choices=["macos", "windows"],
        help="take the sockets as on that machine, which has no epoll (see tests/machines.py)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the project's own markers, and let the tests' own processes have their Ctrl-C."""
    # What a script starts with `&` ignores it, and so does everything that comes of that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "asyncio_only: run on asyncio and uvloop, not on trio.")
    config.addinivalue_line(
        "markers", "may_block: the test calls the blocking API inside a running loop on purpose."
    )
    config.addinivalue_line(
        "markers", "any_loop: what is tested has no part in the event loop; leave uvloop out."
    )
    config.addinivalue_line("markers", "once: run on one Python; it tells nothing about others.")
    config.addinivalue_line(
        "markers", "extras: needs large libraries or Chromium; `nox -s extras`."
    )
    config.addinivalue_line("markers", "slow: run only where `-m` asks for it by name.")
    if machine := config.getoption("--sockets-of"):
        from tests.machines import use_sockets_of

        use_sockets_of(machine)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Keep the garbage collector from what is collected, which is large and lasts to the end."""
    gc.disable()
    try:
        result = yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()
    return result


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files without a test that `-m` asks for; `None` leaves it to others."""
    if collection_path.suffix != ".py":
        return None
    terms = config.option.markexpr.split(" and ")
    # Other operators may ask for more.
    if not all(re.fullmatch(r"(not )?\w+", term) for term in terms):
        return None
    wanted = [mark for mark in NAMED_IN_FILES if mark in terms]
    if not all(_names(collection_path, mark) for mark in wanted):
        return True
    unwanted = {term.removeprefix("not ") for term in terms if term.startswith("not ")}
    return True if unwanted & _marks_of_all_tests_in(collection_path) else None


@functools.cache
def _names(path: Path, mark: str) -> bool:
    text = path.read_text(encoding="utf-8")
    return any(word in text for word in NAMED_IN_FILES[mark])


def _marks_of_all_tests_in(path: Path) -> set[str]:
    """Read the names in the `pytestmark` of a file, which is not imported."""
    text = path.read_text(encoding="utf-8")
    # Most have no such line, and parsing takes a while.
    if re.search(r"^pytestmark\b", text, re.MULTILINE) is None:
        return set()
    # A line that looks like one may be part of a string, as in the tests of this file.
    marks: set[str] = set()
    for statement in ast.parse(text).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                values = value.elts if isinstance(value, ast.List) else [value]
                marks = set(map(ast.unparse, values))
    prefix = "pytest.mark."
    return {mark.removeprefix(prefix) for mark in marks if mark.startswith(prefix)}


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let each worker begin with another file: it finds compiled what the others have read."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker is not None and isinstance(collector, pytest.Directory) and report.passed:
        number = int(worker["workerid"].removeprefix("gw"))
        first = len(report.result) * number // worker["workercount"]
        report.result[:] = report.result[first:] + report.result[:first]
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each property `once`: it draws other examples in each run, and so on each Python."""
    is_property = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
    if is_property and item.get_closest_marker("extras") is None:
        item.add_marker("once")
    for mark in NAMED_IN_FILES:
        if item.get_closest_marker(mark) is not None and not _names(item.path, mark):
            raise pytest.UsageError(
                f"{item.nodeid} is marked {mark!r}, and its file does not say so"
            )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests and those of one loop too many, unless `-m` speaks of them."""
    # The workers have read the files in different orders.
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path)
    asked_for = config.option.markexpr
    # uvloop does not exist there.
    has_uvloop = config.getoption("--sockets-of") != "windows"
    left_out = {
        item
        for item in items
        if ("slow" not in asked_for and item.get_closest_marker("slow") is not None)
        or ("any_loop" not in asked_for and _is_on_one_loop_too_many(item))
        or (not has_uvloop and "uvloop" in _parameters_of(item))
    }
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _is_on_one_loop_too_many(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    if callspec is None or item.get_closest_marker("any_loop") is None:
        return False
    return callspec.params.get("anyio_backend", "") == BACKENDS.get("uvloop")


def _parameters_of(item: pytest.Item) -> list[str]:
    callspec = getattr(item, "callspec", None)
    return [] if callspec is None else callspec.id.split("-")


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: Any) -> None:
    """Watch the tasks of async tests only, and leave trio out where a test asks for that."""
    if not inspect.iscoroutinefunction(obj):
        return
    pytest.mark.usefixtures("no_leaked_tasks")(obj)
    own_marks = {mark.name for mark in getattr(obj, "pytestmark", ())}
    if "asyncio_only" in own_marks or collector.get_closest_marker("asyncio_only"):
        pytest.mark.parametrize("anyio_backend", _backends("asyncio"), scope="module")(obj)


def _backends(*names: str) -> list[Any]:
    return [
        pytest.param(backend, id=name)
        for name, backend in BACKENDS.items()
        if not names or backend[0] in names
    ]


@pytest.fixture(scope="module", params=_backends())
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each async test on every back end."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend


@pytest.fixture(autouse=True, scope="session")
def one_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let clients trust one authority: to read the system's takes each of them 20 ms."""
    roots = tmp_path_factory.mktemp("roots") / "roots.pem"
    trustme.CA().cert_pem.write_to_path(roots)
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile=str(roots))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.delenv("SSL_CERT_DIR", raising=False)
        patch.setattr(certifi, "where", lambda: str(roots))
        patch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        yield


@pytest.fixture(scope="session")
def detector() -> Iterator[BlockBuster]:
    """Turn a blocking call that asyncbatch makes inside a running asyncio loop into an error."""
    detector = BlockBuster("asyncbatch")
    # Files that are sent are read where they are sent, a piece at a time, as httpx does.
    reader = "asyncbatch/_values/_body_source.py", "_read_at"
    # A `check` of the caller's may look at the beginning of the file that it is given.
    check = "asyncbatch/_batch/_callbacks.py", "_called"
    for function in ("io.BufferedReader.read", "io.BufferedRandom.read"):
        if function in detector.functions:
            detector.functions[function].can_block_in(*reader).can_block_in(*check)
    # One look at each file that may be there already, before its request waits for anything.
    for function in ("os.lstat", "os.stat"):
        if function in detector.functions:
            detector.functions[function].can_block_in("asyncbatch/_files/_target.py", "look_for")
            detector.functions[function].can_block_in("asyncbatch/_files/_files.py", "_resolved")
    # Small files in memory, where nothing waits for a disk.
    for function in detector.functions.values():
        function.can_block_in("asyncbatch/_files/_groups.py", "_make_quick")
    # One look at each folder, which may be reached by several paths.
    for function in ("os.getcwd", "os.path.abspath", "os.lstat", "os.stat", "os.readlink"):
        if function in detector.functions:
            for name in ("_place_of", "_in_current_folder"):
                detector.functions[function].can_block_in("asyncbatch/_files/_files.py", name)
    detector.activate()
    yield detector
    detector.deactivate()


@pytest.fixture(autouse=True)
def no_blocking_call(request: pytest.FixtureRequest, detector: BlockBuster) -> Iterator[None]:
    """Let the test block that does so on purpose."""
    if request.node.get_closest_marker("may_block") is None:
        yield
        return
    detector.deactivate()
    yield
    detector.activate()


@pytest.fixture(scope="session", autouse=True)
def threads_of_the_disk_end_at_once() -> None:
    """Let them wait for no further calls: each test waits until its threads have ended."""
    from asyncbatch._files import _disk

    for threads in (_disk._threads, _disk._receiving_threads):
        threads._linger = 0.001


@pytest.fixture(scope="session", autouse=True)
def folders_are_on_a_disk() -> Iterator[None]:
    """Take the folders of tests for those on a disk, wherever they are: threads write there."""
    from asyncbatch._files import _absence

    with mock.patch.object(_absence, "_is_in_memory", return_value=False):
        yield


@pytest.fixture(autouse=True)
def no_leaked_threads_or_sockets() -> Iterator[None]:
    """Fail the test that leaves a thread running or a socket open."""
    threads = set(threading.enumerate())
    sockets = _open_sockets()

    yield

    if new_sockets := _open_sockets() - sockets:
        # Only garbage may still hold them: its ResourceWarning is then the error.
        gc.collect()
        new_sockets &= _open_sockets()
    new_threads = [thread for thread in threading.enumerate() if thread not in threads]
    new_threads = [thread for thread in new_threads if not _ends_soon(thread)]
    assert not new_threads, f"the test left threads running: {new_threads}"
    assert not new_sockets, f"the test left sockets open: {sorted(new_sockets)}"


def _ends_soon(thread: threading.Thread) -> bool:
    """Wait for a thread to end, as anyio's workers do a moment after their loop."""
    if thread.name.startswith(LASTING_THREADS):
        return True
    thread.join(SECONDS_TO_END)
    return not thread.is_alive()


@pytest.fixture
async def no_leaked_tasks(anyio_backend_name: str) -> AsyncIterator[None]:
    """Fail the async test that leaves an asyncio task running. Trio has no such thing."""
    if anyio_backend_name != "asyncio":
        yield
        return
    tasks = asyncio.all_tasks()

    yield

    new_tasks = [task for task in asyncio.all_tasks() - tasks if not _is_test_runner(task)]
    assert not new_tasks, f"the test left tasks running: {new_tasks}"


def _is_test_runner(task: asyncio.Task[Any]) -> bool:
    """Is this the task in which anyio runs the fixture that asks?"""
    return task.get_coro().__qualname__.startswith("TestRunner.")


def _open_sockets() -> set[str]:
    """Name the open sockets of this process by inode: a descriptor's number is soon used again."""
    sockets = set()
    # Without paths as objects: this comes before and after each test.
    with contextlib.suppress(FileNotFoundError):
        for descriptor in os.listdir(DESCRIPTORS):  # noqa: PTH208
            with contextlib.suppress(FileNotFoundError):
                sockets.add(os.readlink(f"{DESCRIPTORS}/{descriptor}"))  # noqa: PTH115
    return {name for name in sockets if name.startswith("socket:")}


@pytest.fixture
def tasks_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trio run tasks in the order in which they were begun, as asyncio does, and not in any."""
    monkeypatch.setattr("trio._core._run._r.random", lambda: 1.0)


@pytest.fixture
def wide_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hosts be wide open from their first request on, for tests of what else bounds them."""
    monkeypatch.setattr("asyncbatch._schedule._host.FIRST", 1_000_000)


@pytest.fixture
def short_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an outage of no time at all be enough to give a host up, for tests of what counts."""
    monkeypatch.setattr("asyncbatch._policies._health.GIVE_UP_TIME", 0.0)


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a loopback server for one test."""
    from asyncbatch.testing import LoopbackServer, Reply

    # Most tests do not care what a server says that says something.
    async with LoopbackServer(default=Reply(body=b"ok")) as server:
        yield server
