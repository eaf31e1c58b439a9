"""The resolver: cached, coalesced, and never in anybody else's way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from asyncbatch._engine import ResolveFailed
from asyncbatch._engine._event_loop import running_loop
from asyncbatch._engine.connect import _resolver
from asyncbatch._engine.connect._resolver import (
    CACHE_SECONDS,
    MAX_ADDRESSES,
    Address,
    ConnectThreads,
    Resolver,
    parse_literal,
)
from tests import aio
from tests.waiting import until


class Names:
    """A system that can be counted, held up and made to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.now = 0.0

    def look_up(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        assert self.free.wait(100)
        if self.error is not None:
            raise self.error
        return [Address(socket.AF_INET, (f"10.0.0.{self.asked}", port))]

    def resolver(self, **options: object) -> Resolver:
        return Resolver(self.look_up, clock=lambda: self.now, **options)  # type: ignore[arg-type]


async def test_an_answer_is_kept_for_a_minute() -> None:
    """And asked for again after that."""
    names = Names()
    resolver = names.resolver()
    first = await resolver.resolve("a", 80)
    names.now = CACHE_SECONDS - 1
    second = await resolver.resolve("a", 80)
    names.now = CACHE_SECONDS + 1
    third = await resolver.resolve("a", 80)

    assert first == second != third
    assert names.asked == 2


async def test_of_many_names_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a batch over millions of hosts keeps no answers but the latest."""
    monkeypatch.setattr("asyncbatch._engine.connect._resolver.MAX_CACHED_NAMES", 3)
    names = Names()
    resolver = names.resolver()
    for name in "abcd":
        await resolver.resolve(name, 80)
    await resolver.resolve("d", 80)
    assert names.asked == 4
    await resolver.resolve("a", 80)

    assert names.asked == 5


async def test_concurrent_questions_share_one_answer() -> None:
    """A thousand exchanges to one name ask once."""
    names = Names()
    names.free.clear()
    resolver = names.resolver()
    tasks = [aio.ensure_future(resolver.resolve("a", 80)) for _ in range(1000)]
    await aio.sleep(0.01)
    names.free.set()
    await aio.gather(*tasks)

    assert names.asked == 1


async def test_a_caller_that_gives_up_does_not_take_the_answer_from_the_others() -> None:
    """Not even the one who asked first."""
    names = Names()
    names.free.clear()
    resolver = names.resolver()
    first = aio.ensure_future(resolver.resolve("a", 80))
    second = aio.ensure_future(resolver.resolve("a", 80))
    await aio.sleep(0.01)
    first.cancel()
    names.free.set()

    assert await second
    assert first.cancelled()


@pytest.mark.any_loop
def test_an_answer_on_one_loop_leaves_the_question_of_another_alone() -> None:
    """A look-up that is shared belongs to the loop that asked."""
    names = Names()
    resolver = names.resolver()
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    with contextlib.closing(one), contextlib.closing(other):
        names.free.clear()
        first, second = (loop.create_task(resolver.resolve("a", 80)) for loop in (one, other))
        for loop in one, other:
            loop.run_until_complete(asyncio.sleep(0))
        names.free.set()
        one.run_until_complete(first)
        resolver.forget("a", 80)
        third = other.create_task(resolver.resolve("a", 80))
        assert other.run_until_complete(second) == other.run_until_complete(third)

    assert names.asked == 2


@pytest.mark.parametrize("error", [socket.gaierror(-2, "no"), UnicodeError("bad label")])
async def test_a_failure_is_not_kept(error: Exception) -> None:
    """The next call looks the name up again."""
    names = Names()
    resolver = names.resolver()
    names.error = error
    with pytest.raises(ResolveFailed):
        await resolver.resolve("a", 80)
    names.error = None

    assert await resolver.resolve("a", 80)


async def test_a_forgotten_name_is_asked_for_again() -> None:
    """As after a failed connect."""
    names = Names()
    resolver = names.resolver()
    await resolver.resolve("a", 80)
    resolver.forget("a", 80)
    await resolver.resolve("a", 80)

    assert names.asked == 2


async def test_a_name_with_thousands_of_addresses_is_cut_to_some() -> None:
    """So that a hostile name cannot keep us busy for long."""
    many = [Address(socket.AF_INET, (f"10.0.{i >> 8}.{i & 255}", 80)) for i in range(4000)]
    resolver = Resolver(lambda _host, _port: many)
    asked = await resolver.resolve("a", 80)
    cached = await resolver.resolve("a", 80)

    assert len(asked) == len(cached) == MAX_ADDRESSES


async def test_addresses_that_were_silent_come_last_for_a_while() -> None:
    """In answers that are kept, and in those to come; the others stay in the system's order."""
    now = 0.0
    first, second, third = (Address(socket.AF_INET, (f"10.0.0.{i}", 80)) for i in range(3))
    resolver = Resolver(lambda _host, _port: [first, second, third], clock=lambda: now)
    await resolver.resolve("a", 80)
    resolver.note_silent("a", 80, [first])
    kept = resolver.known("a", 80)
    resolver.forget("a", 80)
    asked = await resolver.resolve("a", 80)
    now = CACHE_SECONDS
    asked_later = await resolver.resolve("a", 80)

    assert kept == asked == [second, third, first]
    assert asked_later == [first, second, third]


async def test_only_so_many_silent_addresses_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The latest: names are strangers', and there is no end of them."""
    monkeypatch.setattr("asyncbatch._engine.connect._resolver.MAX_CACHED_NAMES", 2)
    many = [Address(socket.AF_INET, (f"10.0.0.{i}", 80)) for i in range(4)]
    resolver = Resolver(lambda _host, _port: many)
    resolver.note_silent("a", 80, many[:3])

    assert await resolver.resolve("a", 80) == [many[0], many[3], many[1], many[2]]


async def test_a_hanging_name_holds_up_no_other() -> None:
    """There are threads for others, and none is left behind."""
    held = threading.Event()

    def look_up(host: str, port: int) -> list[Address]:
        if host == "hangs":
            held.wait(100)
        return [Address(socket.AF_INET, ("10.0.0.1", port))]

    resolver = Resolver(look_up)
    hanging = aio.ensure_future(resolver.resolve("hangs", 80))
    await aio.sleep(0)
    assert await resolver.resolve("other", 80)
    held.set()
    assert await hanging


async def test_threads_are_bounded_and_none_of_the_calls_is_lost() -> None:
    """More calls than threads."""
    running = 0
    most = 0
    lock = threading.Lock()
    pause = threading.Event()

    def call(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        pause.wait(0.002)
        with lock:
            running -= 1
        return number

    threads = ConnectThreads(limit=4)
    results = await aio.gather(*[threads.call(call, number) for number in range(100)])

    assert results == list(range(100))
    assert most <= 4


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("0x7f000001", "127.0.0.1"),
        ("example.org", None),
        ("256.1.1.1", None),
        ("", None),
    ],
)
def test_an_address_needs_no_look_up(host: str, address: str | None) -> None:
    """What spells out an address is not a name, however it spells it."""
    found = parse_literal(host, 80) if host else None

    assert (found[0].sockaddr[0] if found else None) == address


async def test_look_ups_that_hang_do_not_hold_up_the_others_for_long() -> None:
    """Who has waited for a thread for a moment is given one beyond the usual number."""
    free = threading.Event()
    threads = ConnectThreads(2, relief_seconds=0.01)
    hanging = [threads.call(free.wait, 100) for _ in range(4)]
    assert await threads.call(lambda: "an answer") == "an answer"

    assert not any(future.done() for future in hanging)
    free.set()
    assert all(await aio.gather(*hanging))


async def test_no_thread_is_started_for_a_call_that_has_one_by_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The usual thread has come to it before the time was over."""
    started: list[str] = []
    start = threading.Thread.start

    def noted_start(thread: threading.Thread) -> None:
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted_start)
    first, begun, second, relieved = (*(threading.Event() for _ in range(3)), aio.Event())

    def long_call() -> bool:
        begun.set()
        return second.wait(100)

    threads = ConnectThreads(1, relief_seconds=0.0)
    calls = [threads.call(first.wait, 100), threads.call(long_call)]
    first.set()
    assert begun.wait(100)
    running_loop().call_later(0.001, relieved.set)
    await relieved.wait()
    second.set()

    assert all(await aio.gather(*calls))
    assert started.count("asyncbatch-dns") == 1


async def test_there_is_an_end_to_the_threads_even_so() -> None:
    """However many look-ups hang."""
    free = threading.Event()
    threads = ConnectThreads(2, relief_seconds=0.0, most=5)
    others = set(threading.enumerate())
    hanging = [threads.call(free.wait, 100) for _ in range(20)]

    def begun() -> list[threading.Thread]:
        return [
            thread
            for thread in set(threading.enumerate()) - others
            if thread.name == "asyncbatch-dns"
        ]

    await until(lambda: len(begun()) == 5)
    for _ in range(20):
        await aio.sleep(0.001)
    assert len(begun()) == 5
    free.set()
    assert all(await aio.gather(*hanging))


@pytest.mark.parametrize("error_type", [RuntimeError, MemoryError])
async def test_a_thread_that_cannot_be_started_is_an_error_of_its_call(
    monkeypatch: pytest.MonkeyPatch, error_type: type[Exception]
) -> None:
    """The system may have no more threads; the next call tries to start one again."""

    def cannot_start(_: threading.Thread) -> None:
        raise error_type("no thread")

    threads = ConnectThreads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        refused = threads.call(str)

    with pytest.raises(OSError, match="no thread") as caught:
        await refused
    assert caught.value.errno == errno.EAGAIN
    assert await threads.call(lambda: "an answer") == "an answer"


async def test_a_result_that_there_was_no_memory_to_tell_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everybody who asks for the name waits for it."""
    monkeypatch.setattr(_resolver, "MEMORY_SECONDS", 0.001)
    loop, failed = running_loop(), 0

    class Short:
        """The running loop, without memory for the first calls from a thread."""

        def create_future(self) -> Any:
            return loop.create_future()

        def call_soon_threadsafe(self, call: Any) -> None:
            nonlocal failed
            failed += 1
            if failed < 3:
                raise MemoryError
            loop.call_soon_threadsafe(call)

    monkeypatch.setattr(_resolver, "running_loop", Short)

    assert await ConnectThreads().call(int, "5") == 5
    assert failed == 3


async def test_a_call_while_the_interpreter_exits_is_made_without_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python starts none then, but `atexit` functions may still send requests."""

    def cannot_start_any_more(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    threads = ConnectThreads(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start_any_more)
        called = threads.call(threading.current_thread)

    assert await called is threading.current_thread()


async def test_a_thread_that_cannot_be_started_is_no_matter_while_there_are_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their call is done by one of those."""
    free = threading.Event()
    threads = ConnectThreads(2)
    first = threads.call(free.wait, 100)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", cannot_start)
        second = threads.call(lambda: "an answer")
    # Not within the patch: trio may need a thread of its own for each wait, and would never return.
    free.set()

    assert await first
    assert await second == "an answer"


async def test_a_look_up_without_a_descriptor_is_not_taken_for_an_unknown_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As glibc says, which needs some for its files and sockets."""

    def unknown(*_: object, **__: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def no_socket(*_: object, **__: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ResolveFailed, match="not known"):
        await Resolver().resolve("name.test", 80)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", no_socket)
        with pytest.raises(ResolveFailed, match="Too many open files"):
            await Resolver().resolve("name.test", 80)


def cannot_start(_: threading.Thread) -> None:
    """Fail as `threading.Thread.start` does."""
    raise RuntimeError("can't start new thread")


def test_a_literal_is_parsed_without_a_codec() -> None:
    """Python imports that of international names for each host that is text: in the event loop."""
    program = (
        "import sys; from asyncbatch._engine.connect._resolver import parse_literal; "
        "assert parse_literal('127.0.0.1', 80) and not parse_literal('a.test', 80); "
        "assert 'encodings.idna' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", program], check=True)
