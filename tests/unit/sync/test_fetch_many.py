"""
`fetch_many_sync`: where its event loop runs.

What it has in common with `SyncFetcher.fetch_many` is in `test_fetcher.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncbatch import fetch_many_sync
from asyncbatch._sync._portal import Portal
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.may_block


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """Run a loopback server in a thread of its own."""
    server = LoopbackServer(default=Reply(body=b"ok"))
    with server.in_thread():
        yield server


def test_a_script_reads_its_input_in_its_own_thread(loopback: LoopbackServer) -> None:
    """In a script everything runs in the calling thread."""
    threads = []

    def urls() -> Iterator[str]:
        threads.append(threading.current_thread())
        yield loopback.url()

    fetch_many_sync(urls())

    assert threads == [threading.current_thread()]


def test_elsewhere_the_input_is_read_in_a_thread_that_ends_with_the_call(
    loopback: LoopbackServer,
) -> None:
    """In another thread, and where a loop is running, the event loop has a thread of its own."""
    threads: list[threading.Thread] = []

    def urls() -> Iterator[str]:
        threads.append(threading.current_thread())
        yield loopback.url()

    async def cell() -> None:
        fetch_many_sync(urls())

    with ThreadPoolExecutor(1) as executor:
        caller = executor.submit(threading.current_thread).result()
        executor.submit(fetch_many_sync, urls()).result()
    asyncio.run(cell())

    assert len(threads) == 2
    assert not {caller, threading.main_thread()}.intersection(threads)
    assert not any(thread.is_alive() for thread in threads)


def test_an_interruption_before_the_end_is_told_to_the_loop_ends_it_all_the_same(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread is left that nobody can end any more."""
    threads: list[threading.Thread] = []

    def urls() -> Iterator[str]:
        threads.append(threading.current_thread())
        yield loopback.url()

    def interrupt(portal: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Portal, "close", interrupt)
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(fetch_many_sync, urls())
        with pytest.raises(KeyboardInterrupt):
            call.result()
    (thread,) = threads
    thread.join(10)

    assert not thread.is_alive()
