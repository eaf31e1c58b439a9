"""Putting a body together, and decoding it."""

from __future__ import annotations

import functools
import gzip
import random
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import brotli
import httpx
import pytest

from asyncbatch import Fetcher, HTTPTransport
from asyncbatch._decoding import BodyLimitExceeded, DecodingFailure
from asyncbatch._engine.http11 import UnjoinedBody
from asyncbatch._lanes.response import _turn, _whole_body
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder, join
from asyncbatch._runtime._threads import NoThreads
from asyncbatch.testing import LoopbackServer, Reply

SMALL = b"hello" * 100
INCOMPRESSIBLE = random.Random(1).randbytes(1_000_000)
LARGE = gzip.compress(bytes(3_000_000), mtime=0)
PLAIN = bytes(range(256)) * 8_000


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system have no thread to give."""

    async def call(_: Callable[[], Any]) -> Any:
        raise NoThreads

    monkeypatch.setattr(_whole_body._threads, "call", call)


@pytest.mark.parametrize(
    ("limit", "raw"),
    [
        (None, gzip.compress(bytes(1_000_000), mtime=0)),
        (None, gzip.compress(INCOMPRESSIBLE[:80_000], mtime=0)),
        (len(SMALL) - 1, gzip.compress(SMALL, mtime=0)),
        (None, b"no gzip"),
        (None, gzip.compress(SMALL, mtime=0)[:-1]),
    ],
    ids=["long when decoded", "long", "beyond the limit", "corrupt", "cut"],
)
async def test_what_takes_long_or_is_wrong_is_not_decoded_at_once(
    limit: int | None, raw: bytes
) -> None:
    """Others wait meanwhile; and what is wrong is reported elsewhere."""
    decoder = WholeBodyDecoder(limit)
    decoder.bind()

    assert decoder.decode_nowait(raw, "gzip") is None


@pytest.mark.parametrize("limit", [None, len(SMALL)])
async def test_what_is_small_is_decoded_at_once_or_later(limit: int | None) -> None:
    """To the same, up to the very limit."""
    raw = gzip.compress(SMALL, mtime=0)
    decoder = WholeBodyDecoder(limit)
    decoder.bind()

    assert decoder.decode_nowait(raw, "gzip") == SMALL
    assert await decoder.decode(raw, "gzip") == SMALL


async def next_turn() -> None:
    """Wait until the calls asked for in this turn were made; on trio, in one of the next."""
    _, call_soon = _turn.turn_here()
    passed = anyio.Event()
    call_soon(passed.set)
    await passed.wait()


async def test_one_turn_of_the_event_loop_decodes_so_much_and_no_more() -> None:
    """Over all decoders of the loop together; in the next one there is as much again."""
    raw = gzip.compress(bytes(200_000), mtime=0)
    decoders = [WholeBodyDecoder(None) for _ in range(20)]
    for decoder in decoders:
        decoder.bind()
    await next_turn()
    at_once = [decoder.decode_nowait(raw, "gzip") is not None for decoder in decoders]
    await next_turn()
    again = [decoder.decode_nowait(raw, "gzip") is not None for decoder in decoders]

    assert at_once == [True] * 6 + [False] * 14
    assert again == at_once
    assert 5 * 200_000 < _turn.AT_ONCE < 6 * 200_000


async def test_what_waits_for_a_turn_is_short_and_comes_when_one_is_used_up() -> None:
    """A body that goes to a thread waits for none."""
    raw = gzip.compress(bytes(200_000), mtime=0)
    decoder = WholeBodyDecoder(None)
    decoder.bind()
    await next_turn()
    before = decoder.must_wait(raw, "gzip")
    while decoder.decode_nowait(raw, "gzip") is not None:
        pass

    assert not before
    assert decoder.must_wait(raw, "gzip")
    assert not decoder.must_wait(gzip.compress(bytes(1_000_000), mtime=0), "gzip")
    assert not decoder.must_wait(gzip.compress(INCOMPRESSIBLE[:80_000], mtime=0), "gzip")
    await next_turn()
    assert not decoder.must_wait(raw, "gzip")


async def test_what_has_to_wait_for_its_turn_gets_it() -> None:
    """And others, too, in between."""
    raw = gzip.compress(bytes(200_000), mtime=0)
    turns = 0
    done = anyio.Event()

    async def count() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await anyio.lowlevel.checkpoint()

    async def decode() -> None:
        assert len(await WholeBodyDecoder(None).decode(raw, "gzip")) == 200_000

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        async with anyio.create_task_group() as decoding:
            for _ in range(30):
                decoding.start_soon(decode)
        done.set()

    assert turns >= 5


@pytest.mark.parametrize(
    ("coding", "raw", "is_in_thread"),
    [
        ("gzip", gzip.compress(SMALL, mtime=0), False),
        ("gzip", LARGE, True),
        ("gzip", gzip.compress(INCOMPRESSIBLE, mtime=0), True),
        ("br", brotli.compress(SMALL), False),
        ("br", brotli.compress(bytes(3_000_000)), True),
        ("gzip, gzip", gzip.compress(gzip.compress(SMALL, mtime=0), mtime=0), True),
    ],
    ids=["small", "small on the wire", "large", "small br", "br bomb", "stacked"],
)
async def test_a_large_body_is_decoded_in_a_thread(
    coding: str, raw: bytes, is_in_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first byte where that shows before."""
    threads: list[int] = []
    real = _whole_body.decode

    def noting(*args: Any, **options: Any) -> bytes:
        threads.append(threading.get_ident())
        return real(*args, **options)

    monkeypatch.setattr(_whole_body, "decode", noting)

    assert await WholeBodyDecoder(None).decode(raw, coding)
    assert [thread != threading.get_ident() for thread in threads] == [is_in_thread]


async def test_few_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes memory, and more are not faster."""
    running, most = 0, 0
    lock = threading.Lock()
    real = _whole_body.decode

    def noting(*args: Any, **options: Any) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return real(*args, **options)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(_whole_body, "decode", noting)

    async def decode() -> None:
        await WholeBodyDecoder(None).decode(LARGE, "gzip")

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(decode)

    assert 1 <= most <= 2


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("seconds", [0.0, 60.0])
async def test_without_a_thread_it_is_decoded_in_steps(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the interpreter's exit, under gevent, or where there are too many."""
    monkeypatch.setattr(_whole_body, "_STEP_SECONDS", seconds)
    monkeypatch.setattr(_whole_body, "_STEP", 100)
    assert await WholeBodyDecoder(None).decode(LARGE, "gzip") == bytes(3_000_000)
    with pytest.raises(DecodingFailure):
        await WholeBodyDecoder(None).decode(LARGE[:-1], "gzip")


@pytest.mark.parametrize("limit", [10, 2_000_000])
async def test_a_body_beyond_the_limit_is_refused(limit: int) -> None:
    """Whether the limit is below what is decoded on the spot, or above."""
    with pytest.raises(BodyLimitExceeded):
        await WholeBodyDecoder(limit).decode(LARGE, "gzip")


async def test_a_corrupt_body_is_refused() -> None:
    """And no body at all is none that is corrupt."""
    decoder = WholeBodyDecoder(None)

    with pytest.raises(DecodingFailure):
        await decoder.decode(b"no gzip", "gzip")
    assert await decoder.decode(b"", "gzip") == b""


class Held:
    """Has decoding stop at a place until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.ended: list[BaseException | None] = []
        real = _whole_body.decode

        def decode(*args: Any, on_piece: Callable[[], object], **options: Any) -> bytes:
            self.reached.set()
            assert self.go_on.wait(20)
            try:
                content = real(*args, on_piece=on_piece, **options)
            except BaseException as error:
                self.ended.append(error)
                raise
            self.ended.append(None)
            return content

        monkeypatch.setattr(_whole_body, "decode", decode)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Hold decoding up."""
    return Held(monkeypatch)


async def test_a_cancelled_decoding_is_given_up_at_the_next_piece(held: Held) -> None:
    """Nobody waits for its thread."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(WholeBodyDecoder(None).decode, LARGE, "gzip")
        while not held.reached.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    held.go_on.set()
    assert await WholeBodyDecoder(None).decode(LARGE, "gzip")
    while len(held.ended) < 2:  # the two threads do not wait for each other
        await anyio.lowlevel.checkpoint()

    assert [type(error).__name__ for error in held.ended] in (
        ["_GivenUp", "NoneType"],
        ["NoneType", "_GivenUp"],
    )


@pytest.fixture(params=["ours", "theirs"])
async def fetcher(request: pytest.FixtureRequest) -> AsyncIterator[Fetcher]:
    """Open a fetcher on our own transport, and one on httpx's."""
    client = httpx.AsyncClient(trust_env=False) if request.param == "theirs" else None
    options: Any = {} if client else {"trust_env": False}
    async with Fetcher(client, timeout=0.2, retry=None, **options) as fetcher:
        yield fetcher
        await fetcher.client.aclose()


async def test_a_body_that_takes_too_long_to_decode_is_a_timeout(
    fetcher: Fetcher, server: LoopbackServer, held: Held
) -> None:
    """In every lane, whatever holds the threads up."""
    server.on("/", Reply(body=bytes(3_000_000)).gzipped())
    try:
        result = await fetcher.fetch(server.url())
    finally:
        held.go_on.set()

    assert not result.ok
    assert result.kind == "timeout"


class Joins:
    """Notes in which threads bodies are joined, and holds them up there until told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[int] = []
        self.go_on = threading.Event()
        self.go_on.set()
        real = UnjoinedBody.__bytes__

        def noting(body: UnjoinedBody) -> bytes:
            self.threads.append(threading.get_ident())
            assert self.go_on.wait(20)
            return real(body)

        monkeypatch.setattr(UnjoinedBody, "__bytes__", noting)


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> Joins:
    """Watch."""
    return Joins(monkeypatch)


@pytest.fixture(params=["direct", "client lane", "httpx's transport"])
async def lane(request: pytest.FixtureRequest) -> AsyncIterator[Fetcher]:
    """Open a fetcher that takes each of the lanes."""
    client = None
    if request.param != "direct":
        transport = HTTPTransport() if request.param == "client lane" else None
        client = httpx.AsyncClient(transport=transport, trust_env=False)
    options: dict[str, Any] = {} if client else {"trust_env": False}
    async with Fetcher(client, retry=None, **options) as fetcher:
        yield fetcher
        await fetcher.client.aclose()


@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_a_large_body_in_chunks_is_joined_in_a_thread(
    lane: Fetcher, server: LoopbackServer, joins: Joins, coding: str | None
) -> None:
    """The event loop copies no more than pieces, in every lane."""
    headers = {"content-encoding": coding} if coding else {}
    body = PLAIN if coding is None else incompressible_gzip(PLAIN)
    server.on("/", Reply(body=body, headers=headers, framing="chunked"))

    result = await lane.fetch(server.url())

    assert result.content == PLAIN
    assert joins.threads
    assert threading.get_ident() not in joins.threads


def incompressible_gzip(body: bytes) -> bytes:
    """Return gzip that is not shorter than the body."""
    return gzip.compress(body, 0)


async def test_a_short_body_in_chunks_is_joined_on_the_spot(
    lane: Fetcher, server: LoopbackServer, joins: Joins
) -> None:
    """A thread would cost more."""
    server.on("/", Reply(body=PLAIN[:300_000], framing="chunked"))

    assert (await lane.fetch(server.url())).content == PLAIN[:300_000]
    assert not joins.threads


async def test_a_body_that_waits_too_long_to_be_joined_is_a_timeout(
    server: LoopbackServer, joins: Joins
) -> None:
    """Whatever holds the threads up."""
    server.on("/", Reply(body=PLAIN, framing="chunked"))
    joins.go_on.clear()
    async with Fetcher(timeout=0.2, retry=None, trust_env=False) as fetcher:
        try:
            result = await fetcher.fetch(server.url())
        finally:
            joins.go_on.set()

    assert not result.ok
    assert result.kind == "timeout"


async def test_a_body_for_which_there_is_no_memory_is_a_failure(
    lane: Fetcher, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its own request only."""
    server.on("/", Reply(body=PLAIN, framing="chunked"))
    # No function of ours: what code of others raises is of another kind.
    without_room = functools.partial(bytes, 2**60)
    monkeypatch.setattr(UnjoinedBody, "__bytes__", staticmethod(without_room))

    result = await lane.fetch(server.url())

    assert not result.ok
    assert result.kind == "decode"


async def test_without_a_thread_a_body_is_joined_on_the_spot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the interpreter's exit, under gevent, or where there are too many."""

    async def call(_: Callable[[], Any]) -> Any:
        await anyio.lowlevel.checkpoint()
        raise NoThreads

    monkeypatch.setattr(_whole_body._joining_threads, "call", call)

    assert await join(UnjoinedBody([b"a", b"b"], 2)) == b"ab"
