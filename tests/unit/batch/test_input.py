"""`Input` and the reading of it: every kind of iterable, lazily, and never further than needed."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import gzip
import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import Fetcher, Request
from asyncbatch._batch._input import END, Input, Requests
from tests.transports import HeldTransport, echo_path, mock, settle, texts, urls

pytestmark = pytest.mark.any_loop


class Faulty(Exception):
    """What an input raises in these tests."""


async def arrive(items: list[str]) -> AsyncIterator[str]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


async def never_suspend(items: list[str]) -> AsyncIterator[str]:
    for item in items:
        yield item


async def stream_all(fetcher: Fetcher, requests: Requests) -> list[str]:
    async with fetcher.stream(requests) as results:
        return await texts(results)


def paths(results: asyncbatch.Results) -> list[str]:
    return [result.text for result in results]


@pytest.mark.parametrize(
    "make",
    [list, tuple, iter, lambda items: (item for item in items), arrive, never_suspend],
    ids=["list", "tuple", "iterator", "generator", "async generator", "async, never suspends"],
)
async def test_every_kind_of_iterable_is_fetched_in_its_order(make):
    """Whatever can be iterated over, plainly or asynchronously, serves as input."""
    async with Fetcher(transport=mock(), concurrency=7) as fetcher:
        results = await fetcher.fetch_many(make(urls(50)))

    assert paths(results) == [f"/{number}" for number in range(50)]
    assert [result.index for result in results] == list(range(50))


@pytest.mark.parametrize("make", [list, iter, arrive], ids=["list", "iterator", "async"])
async def test_an_empty_input_gives_no_results(make):
    """Nothing in, nothing out, in `fetch_many` and in `stream`."""
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(make([]))
        async with fetcher.stream(make([])) as stream:
            streamed = [result async for result in stream]

    assert list(results) == []
    assert streamed == []


async def test_requests_of_all_forms_may_be_mixed():
    """A str, a URL, an httpx.Request and a Request each become one request."""
    request = Request("http://host.test/d", tag="d")
    items = [
        "http://host.test/a",
        httpx.URL("http://host.test/b"),
        httpx.Request("GET", "http://host.test/c"),
        request,
    ]
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(items)

    assert paths(results) == ["/a", "/b", "/c", "/d"]
    assert results[3].request is request


async def test_what_is_no_request_is_a_failure_of_its_own():
    """A wrong item among right ones makes one failure, and the others are fetched."""
    items = [*urls(1), None, b"http://host.test/", 7, "ftp://host.test/", *urls(1)]
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(items)  # type: ignore[arg-type]

    assert [result.ok for result in results] == [True, False, False, False, False, True]
    assert {failure.kind for failure in results.failures} == {"invalid_request"}


@pytest.mark.parametrize(
    ("given", "cure"),
    [
        ("http://host.test/", "or a list of one request"),
        (httpx.URL("http://host.test/"), "or a list of one request"),
        (Request("http://host.test/"), "or a list of one request"),
        (b"http://host.test/", "must be an iterable of str, not bytes"),
        ({"a": "http://host.test/"}, "Request\\(url, tag=key\\)"),
        (None, "must be an iterable or async iterable, not None"),
        (7, "must be an iterable or async iterable, not 7"),
        (arrive, "must be an iterable or async iterable, not <function arrive"),
    ],
    ids=["str", "URL", "Request", "bytes", "dict", "None", "int", "function"],
)
async def test_a_single_request_or_no_iterable_is_refused(given, cure):
    """A mistake that would fetch each letter of a URL is a TypeError that says what to do."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(TypeError, match=cure):
            await fetcher.fetch_many(given)
        with pytest.raises(TypeError, match=cure):
            fetcher.stream(given)


async def test_no_more_is_read_than_may_start():
    """Of a plain iterable only as many items are taken as there are slots."""
    read: list[str] = []

    def record() -> Iterator[str]:
        for url in urls(100):
            read.append(url)
            yield url

    transport = HeldTransport()
    async with Fetcher(transport=transport, concurrency=3) as fetcher, fetcher.stream(record()):
        await transport.wait_started(3)
        await settle()

        assert len(read) == 3
        transport.let_go(2)
        await transport.wait_started(5)
        await settle()
        assert len(read) == 5


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
@pytest.mark.parametrize(("concurrency", "window"), [(4, 1000), (150, 1500)])
async def test_reading_ahead_of_a_blocked_host_is_bounded(is_async, concurrency, window):
    """While a host's cap holds everything back, 1,000 or ten times the concurrency are read."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"http://host.test/{read}"

    async def endless_async() -> AsyncIterator[str]:
        for url in endless():
            yield url

    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=concurrency, per_host=1)
    async with fetcher, fetcher.stream(endless_async() if is_async else endless()):
        await transport.wait_started(1)
        await settle(2000 if is_async else 200)

        assert read == window
        assert fetcher.statistics().waiting == window - 1


async def test_a_busy_host_does_not_keep_the_others_from_starting():
    """With the input sorted by host and `per_host=2`, every host in the window is kept busy."""
    hosts = [f"host{number}.test" for number in range(5)]
    items = [url for host in hosts for url in urls(100, host=host)]
    transport = HeldTransport()
    fetcher = Fetcher(transport=transport, concurrency=20, per_host=2)
    async with fetcher, fetcher.stream(items):
        await transport.wait_started(10)
        await settle()

        assert transport.active == 10
        assert fetcher.statistics().in_flight == 10


async def test_an_endless_input_streams():
    """An input without an end feeds a stream until its consumer leaves."""

    def endless() -> Iterator[str]:
        while True:
            yield "http://host.test/"

    seen = 0
    async with Fetcher(transport=mock()) as fetcher, fetcher.stream(endless()) as results:
        async for _ in results:
            seen += 1
            if seen == 500:
                break

    assert seen == 500


async def test_an_endless_async_input_of_invalid_requests_waits_for_its_consumer():
    """Failures that need no request count as results that wait, so that they do not pile up."""
    read = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "not a URL"

    fetcher = Fetcher(transport=mock(), concurrency=5)
    async with fetcher, fetcher.stream(endless(), backlog=10) as results:
        await settle(100)

        assert read <= 11
        assert [(await anext(results)).ok for _ in range(30)] == [False] * 30


async def test_an_input_slower_than_the_fetching_is_waited_for():
    """Requests are sent when they arrive, and a slow input ends the batch only by ending."""
    send, receive = anyio.create_memory_object_stream[str](10)
    transport = HeldTransport()
    transport.let_go(100)
    async with Fetcher(transport=transport) as fetcher, fetcher.stream(receive) as results:
        for number in range(3):
            await send.send(f"http://host.test/{number}")
            assert (await anext(results)).text == f"/{number}"
        await send.aclose()

        with pytest.raises(StopAsyncIteration):
            await anext(results)
    receive.close()


async def test_the_error_of_an_input_comes_after_what_was_read_before_it():
    """In-flight requests finish; then the error is raised, with a note and with the results."""

    def failing() -> Iterator[str]:
        yield from urls(5)
        raise Faulty("broken")

    async with Fetcher(transport=mock(), concurrency=2) as fetcher:
        with pytest.raises(Faulty, match="broken") as caught:
            await fetcher.fetch_many(failing())

    assert caught.value.__notes__ == ["asyncbatch: raised by the input after 5 requests"]
    assert paths(caught.value.results) == ["/0", "/1", "/2", "/3", "/4"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_stream_delivers_what_was_in_flight_before_the_error_of_its_input(ordered):
    """The error follows the last result, and after it the stream has ended."""

    async def failing() -> AsyncIterator[str]:
        for url in urls(5):
            yield url
        raise Faulty("broken")

    transport = HeldTransport()
    fetcher = Fetcher(transport=transport)
    async with fetcher, fetcher.stream(failing(), ordered=ordered) as results:
        await transport.wait_started(5)
        transport.let_go(5)
        seen = {(await anext(results)).text for _ in range(5)}

        assert seen == {"/0", "/1", "/2", "/3", "/4"}
        with pytest.raises(Faulty, match="broken"):
            await anext(results)
        with pytest.raises(StopAsyncIteration):
            await anext(results)


async def test_the_error_of_an_input_leaves_a_stream_as_itself():
    """Uncaught, it is the input's own error that leaves the `async with`, in no group."""

    def failing() -> Iterator[str]:
        yield from urls(1)
        raise Faulty("broken")

    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(Faulty):
            await stream_all(fetcher, failing())
        assert fetcher.statistics().batches == 0


class Stop(BaseException):
    """What is no `Exception`, as KeyboardInterrupt; which would end asyncio's loop itself."""


def stopping() -> Iterator[str]:
    yield from urls(3)
    raise Stop


async def stopping_async() -> AsyncIterator[str]:
    for url in urls(3):
        yield url
    raise Stop


@pytest.mark.parametrize("make", [stopping, stopping_async])
async def test_what_is_no_exception_ends_the_batch_at_once(make):
    """A KeyboardInterrupt in the input cancels what is under way and is raised as itself."""
    transport = HeldTransport()
    async with Fetcher(transport=transport) as fetcher:
        with pytest.raises(Stop):
            await fetcher.fetch_many(make())
        with pytest.raises(Stop):
            await stream_all(fetcher, make())

        assert transport.active == 0
        assert fetcher.statistics().in_flight == 0


def test_a_keyboard_interrupt_in_the_input_leaves_the_event_loop_once():
    """Ctrl-C while the input is read comes out as one KeyboardInterrupt."""

    def interrupted() -> Iterator[str]:
        yield from urls(3)
        raise KeyboardInterrupt

    async def main() -> None:
        await asyncbatch.fetch_many(interrupted(), transport=HeldTransport())

    for backend in ("asyncio", "trio"):
        with pytest.raises(KeyboardInterrupt):
            anyio.run(main, backend=backend)


@pytest.mark.asyncio_only
@pytest.mark.parametrize("what", ["input", "transport"])
async def test_a_cancelled_task_that_is_awaited_inside_does_not_hang_the_batch(what):
    """A foreign cancellation comes out of the input; a transport's is of one request only."""

    async def await_cancelled() -> None:
        task = asyncio.ensure_future(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        await task

    async def broken_input() -> AsyncIterator[str]:
        yield "http://host.test/"
        await await_cancelled()

    async def broken_answer(request: httpx.Request) -> httpx.Response:
        await await_cancelled()
        return echo_path(request)

    transport = mock() if what == "input" else httpx.MockTransport(broken_answer)
    async with Fetcher(transport=transport) as fetcher:
        if what == "input":
            with pytest.raises(asyncio.CancelledError):
                await fetcher.fetch_many(broken_input())
        else:
            results = await fetcher.fetch_many(urls(3))
            assert [failure.kind for failure in results.failures] == ["callback"] * 3

        assert fetcher.statistics().in_flight == 0


async def test_an_async_generator_is_closed_when_left_early():
    """Its clean-up has run by the time the stream has been left."""
    closed = False

    async def endless() -> AsyncIterator[str]:
        nonlocal closed
        try:
            while True:
                yield "http://host.test/"
        finally:
            await anyio.lowlevel.checkpoint()
            closed = True

    async with Fetcher(transport=mock()) as fetcher:
        async with fetcher.stream(endless()) as results:
            await anext(results)

        assert closed


async def test_an_error_in_the_clean_up_of_a_generator_costs_no_result():
    """It is raised with the results, as an error of the input is."""

    async def untidy() -> AsyncIterator[str]:
        try:
            for url in urls(3):
                yield url
            await anyio.sleep_forever()
        finally:
            raise Faulty("untidy")

    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(Faulty, match="untidy") as caught:
            await fetcher.fetch_many(untidy(), batch_timeout=0.5)

    assert len(caught.value.results) == 3  # type: ignore[attr-defined]


async def test_an_error_of_a_generator_that_is_closed_at_the_end_is_kept():
    """The requests that were read have their results; the error is raised with these."""

    async def untidy() -> AsyncIterator[str]:
        try:
            yield "http://a.test/"
        finally:
            raise Faulty("untidy")

    source = Input(untidy())
    assert await source.read_async() == (0, "http://a.test/")
    await source.aclose()

    assert isinstance(source.error, Faulty)
    assert source.exhausted


class Suspended:
    """Waits without an event loop."""

    def __await__(self) -> Iterator[None]:
        yield


def test_reading_that_is_dropped_with_its_event_loop_is_no_error_of_the_input():
    """The generator is told to end, and raises nothing of its own."""

    async def wait() -> AsyncIterator[str]:
        await Suspended()
        yield "http://a.test/"

    source = Input(wait())
    reading = source.read_async()
    reading.send(None)
    reading.close()

    assert source.error is None
    assert not source.exhausted


async def test_a_stream_of_the_callers_stays_open():
    """What only can be iterated over, and is no generator, is not closed by us."""
    send, receive = anyio.create_memory_object_stream[str](10)
    for url in urls(3):
        send.send_nowait(url)
    async with Fetcher(transport=mock()) as fetcher, fetcher.stream(receive) as results:
        await anext(results)

    send.send_nowait("http://host.test/more")
    assert receive.statistics().open_receive_streams == 1
    send.close()
    receive.close()


async def test_an_input_that_never_suspends_lets_others_run():
    """An async input that is always ready does not keep the event loop to itself."""
    ticks = 0

    async def endless() -> AsyncIterator[str]:
        while True:
            yield "not a URL"

    async def tick() -> None:
        nonlocal ticks
        while ticks < 5:
            ticks += 1
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    async with Fetcher(transport=mock()) as fetcher, anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await fetcher.fetch_many(endless())

    assert ticks == 5


async def test_a_transport_that_never_waits_lets_others_run():
    """Nor does a batch over a mock, however many requests there are."""
    ticks = 0

    def endless() -> Iterator[str]:
        while ticks < 100:
            yield "http://host.test/"

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await anyio.lowlevel.checkpoint()

    fetcher = Fetcher(transport=mock(), concurrency=1)
    async with fetcher, anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await fetcher.fetch_many(endless())
        tasks.cancel_scope.cancel()

    assert ticks >= 100


def test_an_input_is_read_item_by_item():
    """`read` takes one item with its index, and says `END` from the end on."""
    source = Input(iter(urls(2)))

    assert source.read() == (0, "http://host.test/0")
    assert source.read_count == 1
    assert source.read() == (1, "http://host.test/1")
    assert source.read() is END
    assert source.exhausted
    assert source.size is None


@pytest.mark.parametrize("make", [list, iter, lambda items: (item for item in items)])
def test_several_items_are_read_at_once(make: Any):
    """Up to a number of them, and fewer at the end."""
    source = Input(make(urls(5)))

    parts = [source.read_some(3, 60.0) for _ in range(2)]
    assert [[index for index, _ in part] for part in parts] == [[0, 1, 2], [3, 4]]
    assert source.read_count == 5
    assert source.exhausted
    assert not source.is_at_hand
    assert source.read_some(3, 60.0) == []
    assert source.read() is END


def test_items_are_read_for_some_time_only():
    """At least one of them."""
    source = Input(iter(urls(5)))

    assert source.read_some(9, 0.0) == [(0, "http://host.test/0")]
    assert not source.exhausted


@pytest.mark.parametrize(
    ("error", "expected"), [(Faulty(), Faulty), (StopAsyncIteration(), RuntimeError)]
)
def test_items_before_an_error_are_kept(error: BaseException, expected: type[Exception]):
    """It says how many there were, and nothing is read after it."""

    class Broken:
        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            if not left:
                raise error
            return left.pop(0)

    left = urls(2)
    source = Input(Broken())

    assert [index for index, _ in source.read_some(9, 60.0)] == [0, 1]
    assert isinstance(source.error, expected)
    assert "after 2 requests" in source.error.__notes__[0]
    left += urls(1)
    assert source.read_some(9, 60.0) == []


def test_several_items_are_read_in_the_context_of_the_input():
    """The context variables that a generator sees are those of its caller."""
    variable = contextvars.ContextVar("variable", default="none")

    def requests() -> Iterator[str]:
        yield variable.get()

    context = contextvars.copy_context()
    source = context.run(lambda: (variable.set("own"), Input(requests()))[1])

    assert source.read_some(9, 60.0) == [(0, "own")]


def test_no_input_has_results_but_that_of_a_journal():
    """An item is a request, to be sent."""
    source = Input(urls(1))

    assert not source.take_settled(1)
    assert source.read() == (0, "http://host.test/0")


def test_the_length_of_an_input_is_known_where_it_has_one():
    """A list tells its size, before anything is read."""
    assert Input(urls(3)).size == 3
    assert Input(set(urls(4))).size == 4


class EndingIterator:
    """Raises what ends an *async* iterator, as code that calls one by hand may."""

    def __init__(self) -> None:
        self._urls = iter(urls(2))

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for url in self._urls:
            return url
        raise StopAsyncIteration


async def test_an_input_that_raises_stop_async_iteration_does_not_end_a_stream_quietly():
    """As in a generator of Python's own, it is a RuntimeError, and the caller hears of it."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration") as caught:
            await stream_all(fetcher, EndingIterator())

    assert isinstance(caught.value.__cause__, StopAsyncIteration)


LINES = "http://a.test/0\r\n\n  http://a.test/1 \t\n\x0b\nhttp://a.test/2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file of URLs, with blank lines and a mark of its encoding."""
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xef\xbb\xbf" + LINES.encode())
    return path


@pytest.mark.may_block
@pytest.mark.parametrize("kind", ["open", "buffer", "temporary", "gzip", "async"])
async def test_a_file_that_is_open_for_text_has_a_url_on_each_line(path: Path, kind: str):
    """Line ends and blank lines are none of them, whatever opened it."""
    if kind == "open":
        file: Any = path.open(encoding="utf-8")
    elif kind == "buffer":
        file = io.StringIO(f"\ufeff{LINES}")
    elif kind == "temporary":
        file = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115
        file.write(LINES)
        file.seek(0)
    elif kind == "gzip":
        file = gzip.open(io.BytesIO(gzip.compress(LINES.encode(), mtime=0)), "rt", encoding="utf-8")  # noqa: SIM115
    else:
        file = await anyio.open_file(path, encoding="utf-8")
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(file)
    await file.aclose() if kind == "async" else file.close()

    assert paths(results) == ["/0", "/1", "/2"]
    assert [result.request.url for result in results] == urls(3, host="a.test")


@pytest.mark.may_block
@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_file_that_is_open_for_bytes_is_refused(path: Path, buffering: int):
    """Each of its lines would be a failure; it is named instead, with the cure."""
    with (
        path.open("rb", buffering) as file,
        pytest.raises(TypeError, match=r"urls\.txt is open in binary"),
    ):
        Input(file)
    with tempfile.NamedTemporaryFile() as file, pytest.raises(TypeError, match="open it as text"):
        Input(file)


class Reader:
    """A stream of bytes that is read line by line, as those of asyncio are."""

    async def readline(self) -> bytes:
        return b"http://a.test/0\n"

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise NotImplementedError


async def test_a_reader_of_bytes_is_refused():
    """Only its first line tells."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(TypeError, match="the file is open in binary mode"):
            await fetcher.fetch_many(Reader())  # type: ignore[arg-type]  # on purpose


async def test_a_file_of_another_encoding_is_no_list_of_urls():
    """Read as it were ASCII, UTF-16 has a NUL in each letter."""
    file = io.StringIO("http://a.test/0".encode("utf-16-le").decode("latin-1"))

    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(ValueError, match=r"line 1 contains a NUL .* encoding='utf-16'"):
            await fetcher.fetch_many(file)


async def test_a_file_that_does_not_decode_is_named(tmp_path: Path):
    """A list that is compressed, or of another encoding; as text it would be no URLs at all."""
    for name, content in (
        ("a.gz", gzip.compress(b"http://a.test/0\n", mtime=0)),
        ("b.txt", "http://a.test/0\n".encode("utf-16")),
        ("c.txt", b"http://a.test/0\nhttp://a.test/\xff\n"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with path.open(encoding="utf-8") as file:
            async with Fetcher(transport=mock()) as fetcher:
                with pytest.raises(ValueError, match=rf"{name} is not text in utf-8: .* byte"):
                    await fetcher.fetch_many(file)


async def test_a_blank_text_in_a_list_is_one_failure():
    """Whoever made that list gets a result for each of its items."""
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(["http://a.test/0", " \n", "http://a.test/2\n"])

    assert [result.kind for result in results.failures] == ["invalid_request"]
    assert len(results) == 3


Page = enum.Enum("Page", {"home": " http://a.test/0\n"}, type=str)


@pytest.mark.parametrize(
    "make",
    [lambda item: item, Request, lambda item: Request(item, "POST")],
    ids=["text", "request", "post"],
)
async def test_a_url_is_taken_by_its_value_and_without_blanks_around_it(make: Any):
    """Of a member of an Enum too, whose `str` is its name; the result has what was given."""
    given = [make(Page.home), make("\x00\t http://a.test/1\x1f"), make("http://a.test/2?q=1  ")]
    async with Fetcher(transport=mock()) as fetcher:
        results = await fetcher.fetch_many(given)

    assert paths(results) == ["/0", "/1", "/2"]
    assert results[0].request.url is Page.home
    assert [str(result.url) for result in results] == [
        *urls(2, host="a.test"),
        "http://a.test/2?q=1",
    ]
