"""Plain code in a process of its own: Ctrl-C, exit, fork, and the choice of the event loop."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from asyncbatch.testing import LoopbackServer, Reply

PROGRAMS = Path(__file__).parent
ROOT = Path(__file__).parents[3]


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """Run a loopback server in a thread of its own."""
    with LoopbackServer(default=Reply(body=b"ok")).in_thread() as server:
        yield server


def start(program: str, *arguments: str, warnings: str = "error") -> subprocess.Popen[str]:
    command = [sys.executable, "-W", warnings, str(PROGRAMS / program), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str], *, seconds: float = 100.0) -> tuple[str, str]:
    """Return what the process wrote; one that does not end is killed, and fails the test."""
    with process:
        try:
            return process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize(
    "way",
    [
        "plain-script",
        "asyncio-script",
        "trio-script",
        "notebook-script",
        "plain-fetch",
        "plain-fetch_many",
        "asyncio-fetch_many",
        "plain-stream",
        "asyncio-stream",
        "trio-stream",
        "notebook-stream",
        "plain-caught",
    ],
)
def test_one_interrupt_ends_everything(loopback: LoopbackServer, way: str) -> None:
    """Ctrl-C raises KeyboardInterrupt once, and leaves no request, thread, socket or warning."""
    arrived = threading.Semaphore(0)

    def answer(_: object) -> Reply:
        arrived.release()
        return Reply().hang()

    loopback.on("/hang", answer)
    process = start("interrupted.py", way, loopback.url("/hang"))
    for _ in range(1 if way.endswith("-fetch") else 5):
        assert arrived.acquire(timeout=100)
    process.send_signal(signal.SIGINT)
    output, errors = finish(process)

    assert process.returncode == -signal.SIGINT
    assert [line for line in errors.splitlines() if line == "KeyboardInterrupt"] == [
        "KeyboardInterrupt"
    ]
    assert "Warning" not in errors
    # In async code, how its loop was cancelled is shown by whoever runs the loop.
    assert not way.startswith("plain") or "CancelledError" not in errors
    assert "Empty" not in errors  # how we wait is nobody's concern
    assert json.loads(output) == {"threads": ["MainThread"], "sockets": 0}


@pytest.mark.parametrize(
    "way",
    [
        "stream",
        "survived",
        "left_free",
        "left_idle",
        pytest.param("fetch_many", marks=pytest.mark.slow),
        pytest.param("in_a_notebook", marks=pytest.mark.slow),
    ],
)
@pytest.mark.once
def test_an_interrupt_at_any_line_leaves_nothing(loopback: LoopbackServer, way: str) -> None:
    """Before each line of ours in turn: nothing hangs, and no thread is left."""
    # One that comes in the middle of closing leaves that to the garbage collector, which tells.
    process = start(
        "interrupted_anywhere.py", way, loopback.url(), warnings="ignore::ResourceWarning"
    )
    output, _ = finish(process, seconds=50)

    assert process.returncode == 0
    assert int(output) > 50


@pytest.mark.parametrize("state", ["idle", "streaming", "waiting", "raising"])
def test_an_unclosed_fetcher_does_not_keep_the_interpreter(
    loopback: LoopbackServer, state: str
) -> None:
    """The process exits by itself, with its own code and a ResourceWarning, whatever goes on."""
    loopback.on("/hang", Reply().hang())
    url = loopback.url("/").replace("127.0.0.1", "localhost")  # looked up in a thread
    process = start("unclosed.py", state, url, loopback.url("/hang"), warnings="default")
    output, errors = finish(process)

    assert process.returncode == (3 if state == "raising" else 0)
    assert output == ("" if state == "raising" else "last line\n")
    assert "ResourceWarning: a SyncFetcher was not closed" in errors
    assert "Traceback" not in errors


def test_a_closed_fetcher_exits_silently(loopback: LoopbackServer) -> None:
    """A process that closed its fetcher has nothing to say."""
    process = start("unclosed.py", "closed", loopback.url(), loopback.url())

    assert finish(process) == ("last line\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fetcher_does_not_cross_a_fork(loopback: LoopbackServer) -> None:
    """In a forked child an open fetcher refuses and lets it exit; in the parent it goes on."""
    process = start("forked.py", loopback.url(), warnings="ignore")
    output, errors = finish(process)

    assert output.splitlines() == [
        "child: this fetcher was opened in another process; open one after a fork",
        "child exited with 7",
    ]
    assert errors == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("tls", [False, True])
def test_a_fork_leaves_the_connections_to_the_parent(tls: bool) -> None:
    """The child is told to open a fetcher of its own; the parent goes on where it was."""
    context = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with LoopbackServer(ssl_context=context, default=Reply(body=b"ok")).in_thread() as server:
        output, _ = finish(start("forked_pool.py", server.url(), warnings="ignore"))

    assert output.splitlines() == [
        "child: this fetcher belongs to another event loop",
        "child, with its own: True",
        "child exited with 3",
        "parent, on its old connection: True",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_child_that_was_forked_in_a_task_fetches(loopback: LoopbackServer, backend: str) -> None:
    """The loop of its parent does not run there, whatever the variable of sniffio says."""
    process = start("forked_in_task.py", backend, loopback.url(), warnings="ignore")

    assert finish(process)[0].splitlines() == [
        "child, alone: True",
        "child, with a fetcher: True",
        "child exited with 3",
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_forked_child_may_exit_as_it_likes(loopback: LoopbackServer, host: str) -> None:
    """With threads of libuv's in the parent, which uvloop starts to look names up, it would die."""
    url = loopback.url().replace("127.0.0.1", host)
    process = start("forked_exit.py", url, warnings="ignore")

    assert finish(process) == ("child exited with 3\n", "")


@pytest.mark.parametrize(
    ("uvloop", "module"),
    [
        pytest.param(
            "with",
            "uvloop",
            marks=pytest.mark.skipif(
                importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed"
            ),
        ),
        ("without", "asyncio"),
    ],
)
def test_uvloop_runs_plain_code_where_it_is_installed(
    loopback: LoopbackServer, uvloop: str, module: str
) -> None:
    """The event loops of plain code are uvloop's if there is one, and asyncio's own if not."""
    process = start("loops.py", uvloop, loopback.url())
    output, errors = finish(process)

    assert output.splitlines() == [module] * 3
    assert errors == ""


@pytest.mark.parametrize("way", ["thread", "atexit"])
def test_the_first_fetch_may_come_after_the_main_thread_has_ended(
    loopback: LoopbackServer, way: str
) -> None:
    """A worker thread that is still at work, or what is sent as the program exits."""
    loopback.on("/packed", Reply(body=bytes(3_000_000)).gzipped())
    url = loopback.url().replace("127.0.0.1", "localhost")
    process = start("late.py", way, url, loopback.url("/packed"))
    output, errors = finish(process)

    first, *others = output.splitlines()
    assert first == "[True, True]"
    assert others == ["3000000", "3"] or sys.version_info >= (3, 12)
    assert errors == ""


@pytest.mark.skipif(importlib.util.find_spec("gevent") is None, reason="gevent is not installed")
@pytest.mark.parametrize("way", ["before", "after"])
def test_plain_code_works_where_threads_are_greenlets(loopback: LoopbackServer, way: str) -> None:
    """Patched before we are imported, or after; names resolve, and large bodies are decoded."""
    loopback.on("/packed", Reply(body=bytes(3_000_000)).gzipped())
    url = loopback.url().replace("127.0.0.1", "localhost")
    process = start("greenlets.py", way, url, loopback.url("/packed"), warnings="ignore")
    output, _ = finish(process, seconds=30)

    assert output.splitlines() == ["10", "10", "10", "3000000"]
