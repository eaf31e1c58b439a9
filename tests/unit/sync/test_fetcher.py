"""The way in for plain code: the results of the asynchronous one, wherever it is called."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import io
import itertools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import httpx2
import pytest

import asyncbatch
from asyncbatch import FetcherClosed, SyncFetcher, fetch_many_sync
from asyncbatch.testing import LoopbackServer, Reply

CURRENT = contextvars.ContextVar("CURRENT", default="default")

Fetch = Callable[..., asyncbatch.Results]


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """Run a loopback server in a thread of its own."""
    server = LoopbackServer(default=Reply(body=b"ok"))
    server.on("/gzip", Reply(body=b"packed" * 100).gzipped())
    server.on("/away", Reply.redirect("/gzip"))
    server.on("/missing", Reply(404))
    server.on("/busy", Reply(503), Reply(200, b"at last"))
    server.on("/cut", Reply(body=b"0123456789").cut(body=5))
    server.on("/hang", Reply().hang())
    with server.in_thread():
        yield server


def in_script(call: Callable[[], Any]) -> Any:
    """Call from plain code."""
    return call()


def in_thread(call: Callable[[], Any]) -> Any:
    """Call from a thread other than the main one."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(call).result()


def in_asyncio(call: Callable[[], Any]) -> Any:
    """Call from a coroutine of asyncio, as a cell of a notebook does."""

    async def main() -> Any:
        return call()

    return asyncio.run(main())


def in_callback(call: Callable[[], Any]) -> Any:
    """Call from a callback of an asyncio loop, where no task is current."""
    loop = asyncio.new_event_loop()
    done: list[Any] = []
    loop.call_soon(lambda: (done.append(call()), loop.stop()))
    loop.run_forever()
    loop.close()
    return done[0]


def in_anyio(call: Callable[[], Any]) -> Any:
    """Call from a coroutine that anyio runs, on asyncio."""

    async def main() -> Any:
        return call()

    return anyio.run(main)


def in_worker_thread(call: Callable[[], Any]) -> Any:
    """Call from a worker thread of asyncio's that inherits the variables of an anyio program."""

    async def main() -> Any:
        return await asyncio.to_thread(call)

    return anyio.run(main)


def in_trio(call: Callable[[], Any]) -> Any:
    """Call from a coroutine of trio."""

    async def main() -> Any:
        return call()

    return anyio.run(main, backend="trio")


SURROUNDINGS = [
    in_script,
    in_thread,
    in_asyncio,
    in_callback,
    in_anyio,
    in_worker_thread,
    in_trio,
]
anywhere = pytest.mark.parametrize("surrounding", SURROUNDINGS)
pytestmark = pytest.mark.may_block


def with_fetcher(requests: Any, **options: Any) -> asyncbatch.Results:
    with SyncFetcher(**options) as fetcher:
        return fetcher.fetch_many(requests)


both_ways = pytest.mark.parametrize("fetch", [fetch_many_sync, with_fetcher])


def outcome(result: asyncbatch.Result) -> tuple[Any, ...]:
    """Return what must be the same however a request was fetched."""
    error = None if result.ok else (result.kind, type(result.error), str(result.error))
    return (
        result.index,
        result.request,
        result.url,
        result.status_code,
        result.content,
        result.attempts,
        [attempt.status_code for attempt in result.history],
        error,
    )


def mixed(server: LoopbackServer) -> list[Any]:
    """Return requests that end in many ways."""
    return [
        server.url("/"),
        server.url("/gzip"),
        httpx.URL(server.url("/away")),
        asyncbatch.Request(server.url("/missing"), tag="tag"),
        server.url("/busy"),
        server.url("/cut"),
        server.dead_url(),
        "ftp://host.test/",
        "http://[broken",
        asyncbatch.Request(server.url("/hang"), timeout=0.2),
    ]


@anywhere
@both_ways
def test_results_are_those_of_the_async_api(
    loopback: LoopbackServer, surrounding: Callable[..., Any], fetch: Fetch
) -> None:
    """Each way in has the same results, wherever it is called."""
    retry = asyncbatch.Retry(attempts=2, backoff=0.01)
    requests = mixed(loopback)
    expected = asyncio.run(asyncbatch.fetch_many(requests, retry=retry))
    loopback.on("/busy", Reply(503), Reply(200, b"at last"))

    results = surrounding(lambda: fetch(requests, retry=retry))

    assert [outcome(result) for result in results] == [outcome(result) for result in expected]


@anywhere
def test_context_variables_are_the_callers(
    loopback: LoopbackServer, surrounding: Callable[..., Any]
) -> None:
    """What runs for a call sees the caller's context variables: inputs, hooks, and the factory."""
    seen: list[str] = []

    async def note(_: httpx.Request) -> None:
        seen.append("hook " + CURRENT.get())

    def make_client() -> httpx.AsyncClient:
        seen.append("factory " + CURRENT.get())
        return httpx.AsyncClient(event_hooks={"request": [note]})

    async def urls() -> AsyncIterator[str]:
        seen.append("input " + CURRENT.get())
        yield loopback.url()

    def call() -> None:
        CURRENT.set("mine")
        fetch_many_sync(urls(), client=make_client)
        with SyncFetcher(make_client) as fetcher:
            fetcher.fetch_many(urls())
            list(fetcher.stream(urls()))

    surrounding(lambda: contextvars.copy_context().run(call))

    assert seen.count("factory mine") == 2
    assert seen.count("input mine") == seen.count("hook mine") == 3
    assert len(seen) == 8


def test_threads_share_one_fetcher(loopback: LoopbackServer) -> None:
    """Eight threads at once use one fetcher, and share its slots and connections."""
    loopback.on("/slow", Reply().delayed(0.002))
    paths = [[f"/slow?{thread}-{number}" for number in range(20)] for thread in range(8)]

    def work(mine: list[str]) -> list[str]:
        urls = [loopback.url(path) for path in mine]
        fetched = [*fetcher.fetch_many(urls[:7]), *fetcher.stream(urls[7:14], ordered=True)]
        return [str(result.url) for result in [*fetched, *map(fetcher.fetch, urls[14:])]]

    with SyncFetcher(concurrency=5) as fetcher, ThreadPoolExecutor(8) as executor:
        done = list(executor.map(work, paths))

    assert done == [[loopback.url(path) for path in mine] for mine in paths]
    assert loopback.statistics().peak_active <= 5


@both_ways
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_client_is_made_in_the_loop_and_closed(
    loopback: LoopbackServer, fetch: Fetch, library: Any
) -> None:
    """`client` makes the client inside the running loop; it is closed at the end."""
    clients = []

    def make_client() -> Any:
        asyncio.get_running_loop()
        clients.append(library.AsyncClient(headers={"x-from": "factory"}))
        return clients[-1]

    results = fetch([loopback.url()], client=make_client)

    assert isinstance(results[0].response, library.Response)
    assert loopback.requests[0].headers["x-from"] == "factory"
    assert [client.is_closed for client in clients] == [True]


@both_ways
def test_a_live_client_is_refused(fetch: Fetch) -> None:
    """A client that exists already is refused with the cure."""
    client = httpx.AsyncClient()

    with pytest.raises(TypeError, match=r"client=lambda: httpx.AsyncClient\(...\)"):
        fetch([], client=client)


@both_ways
def test_a_factory_of_something_else_is_refused(fetch: Fetch) -> None:
    """A function that makes no `AsyncClient` is a TypeError, and nothing stays behind."""
    with pytest.raises(TypeError, match=r"must be an httpx\.AsyncClient"):
        fetch([], client=dict)


@both_ways
def test_what_the_factory_raises_is_raised(fetch: Fetch) -> None:
    """An error of the factory reaches the caller as it is."""
    with pytest.raises(ZeroDivisionError):
        fetch([], client=lambda: 1 / 0)


@both_ways
def test_options_are_checked(fetch: Fetch) -> None:
    """Wrong options are refused as by `Fetcher`."""
    with pytest.raises(TypeError, match="did you mean 'concurrency'"):
        fetch([], concurency=3)
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        fetch([], concurrency=0)
    with pytest.raises(TypeError, match="is set on the client"):
        fetch([], client=httpx.AsyncClient, headers={})


@both_ways
@pytest.mark.parametrize("surrounding", [in_script, in_asyncio])
def test_errors_of_the_input_come_with_what_was_fetched(
    loopback: LoopbackServer, surrounding: Callable[..., Any], fetch: Fetch
) -> None:
    """What the input raises is raised, with a note and the results so far."""

    def urls() -> Iterator[str]:
        yield loopback.url()
        raise LookupError("input")

    with pytest.raises(LookupError) as caught:
        surrounding(lambda: fetch(urls()))

    assert [result.ok for result in caught.value.results] == [True]  # type: ignore[attr-defined]
    assert "after 1 requests" in caught.value.__notes__[0]


@both_ways
@pytest.mark.parametrize("requests", ["http://host.test/", 3])
def test_what_is_no_iterable_of_requests_is_refused(fetch: Fetch, requests: Any) -> None:
    """A single request, or something that cannot be iterated over, is a TypeError."""
    with pytest.raises(TypeError, match="iterable"):
        fetch(requests)


def test_batch_timeout_passes_through(loopback: LoopbackServer) -> None:
    """`batch_timeout` ends a batch in all three calls."""
    urls = [loopback.url("/hang")]
    with SyncFetcher() as fetcher:
        kinds = [
            fetch_many_sync(urls, batch_timeout=1.0)[0],
            fetcher.fetch_many(urls, batch_timeout=1.0)[0],
            next(fetcher.stream(urls, batch_timeout=1.0)),
        ]

    assert [getattr(result, "kind", None) for result in kinds] == ["timeout"] * 3


def test_progress_is_shown(loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """`progress=True` writes to stderr, in a script and from a fetcher's thread."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    fetch_many_sync([loopback.url()], progress=True)
    with_fetcher([loopback.url()], progress=True)

    assert sys.stderr.getvalue().count("\n") >= 2


def test_using_it_before_entering_is_refused() -> None:
    """A fetcher that was not entered says so."""
    fetcher = SyncFetcher()

    for use in uses_of(fetcher):
        with pytest.raises(FetcherClosed, match="with SyncFetcher"):
            use()


def test_using_it_after_leaving_is_refused() -> None:
    """A fetcher that was left says so; it cannot be entered again."""
    with SyncFetcher() as fetcher:
        client = fetcher.client

    for use in uses_of(fetcher):
        with pytest.raises(FetcherClosed, match="closed"):
            use()
    with pytest.raises(FetcherClosed, match="make a new one"):
        fetcher.__enter__()
    assert client.is_closed


def uses_of(fetcher: SyncFetcher) -> Iterable[Callable[[], object]]:
    """Return every call that needs an open fetcher."""
    return (
        lambda: fetcher.fetch("http://host.test/"),
        lambda: fetcher.fetch_many([]),
        lambda: fetcher.stream([]),
        fetcher.statistics,
    )


def test_leaving_it_ends_the_calls_of_other_threads(loopback: LoopbackServer) -> None:
    """A call that is under way when the fetcher is left ends with FetcherClosed."""
    url = loopback.url("/hang")
    arrived = Arrivals(loopback, "/hang", 3)
    with ThreadPoolExecutor(3) as executor:
        with SyncFetcher() as fetcher:
            stream = fetcher.stream([url])
            calls = [
                executor.submit(fetcher.fetch, url),
                executor.submit(fetcher.fetch_many, [url]),
                executor.submit(next, stream),
            ]
            arrived.wait()
        errors = [call.exception() for call in calls]

    assert [type(error) for error in errors] == [FetcherClosed] * 3


class Arrivals:
    """Lets a thread wait until so many requests hang in a server."""

    def __init__(self, server: LoopbackServer, path: str, count: int) -> None:
        self._missing = threading.Semaphore(0)
        self._count = count
        server.on(path, self._answer)

    def _answer(self, _: object) -> Reply:
        self._missing.release()
        return Reply().hang()

    def wait(self) -> None:
        for _ in range(self._count):
            assert self._missing.acquire(timeout=100)


def test_statistics_tell_what_is_under_way(loopback: LoopbackServer) -> None:
    """The figures are those of the running fetcher."""
    arrived = Arrivals(loopback, "/hang", 2)
    with SyncFetcher(concurrency=2) as fetcher:
        stream = fetcher.stream([loopback.url("/hang")] * 3)
        arrived.wait()
        statistics = fetcher.statistics()
        stream.close()

    assert (statistics.batches, statistics.in_flight, statistics.concurrency) == (1, 2, 2)


def test_calling_it_from_its_own_input_is_refused(loopback: LoopbackServer) -> None:
    """A call from the input, which the fetcher's own thread reads, would wait for itself."""
    with SyncFetcher() as fetcher, pytest.raises(RuntimeError, match="would wait for itself"):
        fetcher.fetch_many(fetcher.fetch(loopback.url()).unwrap().url for _ in range(1))


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("streams", [False, True])
def test_its_own_stream_as_its_input_is_refused(
    loopback: LoopbackServer, ordered: bool, streams: bool
) -> None:
    """Neither end of it would ever get its turn."""
    urls = [loopback.url()] * 3
    with SyncFetcher() as fetcher:
        inner = fetcher.stream(urls, ordered=ordered)
        links = (str(result.url) for result in inner)
        with pytest.raises(RuntimeError, match="would wait for itself"):
            list(fetcher.stream(links)) if streams else fetcher.fetch_many(links)
        again = fetcher.fetch_many(urls)

    assert len(again.successes) == 3


def test_the_stream_of_another_fetcher_is_an_input_like_any_other(loopback: LoopbackServer) -> None:
    """It has an event loop of its own, which goes on meanwhile."""
    with SyncFetcher() as first, SyncFetcher() as second:
        links = (str(result.url) for result in first.stream([loopback.url()] * 3))
        results = second.fetch_many(links)

    assert len(results.successes) == 3


@pytest.mark.parametrize("use", ["fetch", "fetch_many", "stream", "next", "statistics", "exit"])
@pytest.mark.parametrize("where", ["hook", "check", "progress"])
def test_using_it_from_its_own_callbacks_is_refused(
    loopback: LoopbackServer, use: str, where: str
) -> None:
    """They run in its event loop, which would wait for itself."""
    url = loopback.url()
    refused: list[str] = []

    def call() -> None:
        uses: dict[str, Callable[[], object]] = {
            "fetch": lambda: fetcher.fetch(url),
            "fetch_many": lambda: fetcher.fetch_many([url]),
            "stream": lambda: fetcher.stream([url]),
            "next": lambda: next(stream),
            "statistics": fetcher.statistics,
            "exit": lambda: fetcher.__exit__(None, None, None),
        }
        try:
            uses[use]()
        except RuntimeError as error:
            refused.append(str(error))

    async def hook(_: httpx.Response) -> None:
        call()

    options: dict[str, Any] = {
        "hook": {"event_hooks": {"response": [hook]}},
        "check": {"check": lambda _: call()},
        "progress": {"progress": lambda _: call()},
    }[where]
    with SyncFetcher(trust_env=False, **options) as fetcher:
        stream = fetcher.stream([])
        results = [*fetcher.fetch_many([url]), fetcher.fetch(url)]

    assert [result.ok for result in results] == [True, True]
    assert "would wait for itself" in refused[0]


def test_a_whole_batch_of_its_own_may_run_in_a_callback(loopback: LoopbackServer) -> None:
    """On an event loop of its own, while the other stands still."""
    inner: list[Any] = []

    async def hook(_: httpx.Response) -> None:
        inner.extend(fetch_many_sync([loopback.url()] * 2))

    with SyncFetcher(event_hooks={"response": [hook]}) as fetcher:
        result = fetcher.fetch(loopback.url())

    assert result.ok
    assert [each.ok for each in inner] == [True] * 2


def test_dropping_an_open_fetcher_warns_and_ends_its_thread() -> None:
    """A fetcher that is dropped without being closed is a ResourceWarning, and does close."""
    fetchers = [SyncFetcher().__enter__()]
    client = fetchers[0].client
    (thread,) = (each for each in threading.enumerate() if each.name == "asyncbatch")

    with pytest.warns(ResourceWarning, match="not closed"):
        fetchers.clear()
    thread.join(100)

    assert client.is_closed


def test_a_fetcher_that_was_never_entered_costs_no_thread() -> None:
    """The thread starts when the fetcher is entered."""
    before = set(threading.enumerate())

    SyncFetcher()

    assert not set(threading.enumerate()) - before


def test_an_error_while_closing_is_raised() -> None:
    """What closing the client raises is raised by leaving the fetcher."""

    class Unclosable(httpx.AsyncBaseTransport):
        async def aclose(self) -> None:
            raise LookupError("closing")

    with pytest.raises(LookupError, match="closing"), SyncFetcher(transport=Unclosable()):
        pass


@both_ways
def test_a_cancelled_task_ends_its_call(loopback: LoopbackServer, fetch: Fetch) -> None:
    """A task that a signal cancelled, as Ctrl-C does under `asyncio.run`, need not wait."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        fetch([loopback.url("/hang")])

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@both_ways
def test_clean_up_in_a_cancelled_scope_can_call(loopback: LoopbackServer, fetch: Fetch) -> None:
    """What a task does on its way out of a cancelled scope of anyio's is not cut short."""
    loopback.on("/slow", Reply().delayed(0.2))
    results = []

    async def main() -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                await anyio.sleep_forever()
            finally:
                results.extend(fetch([loopback.url("/slow")]))

    anyio.run(main)

    assert [result.ok for result in results] == [True]


def call_again_and_again(url: str) -> Iterator[Any]:
    while True:
        yield from fetch_many_sync([url])


def use_again_and_again(url: str) -> Iterator[Any]:
    with SyncFetcher() as fetcher:
        while True:
            yield fetcher.fetch(url)


def stream_without_end(url: str) -> Iterator[Any]:
    with SyncFetcher() as fetcher:
        yield from fetcher.stream(itertools.repeat(url))


@pytest.mark.parametrize("work", [call_again_and_again, use_again_and_again, stream_without_end])
def test_a_cancelled_task_ends_a_row_of_short_calls(
    loopback: LoopbackServer, work: Callable[[str], Iterator[Any]]
) -> None:
    """Ctrl-C ends them although none of them waits long enough to look for it meanwhile."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        for count, _ in enumerate(work(loopback.url())):
            task.cancel()
            assert count < 1000

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_a_fetcher_that_was_never_opened_is_left_without_a_word() -> None:
    """As by a stack that it was pushed on before it was entered."""
    with contextlib.ExitStack() as stack:
        fetcher = stack.push(SyncFetcher())

    with pytest.raises(FetcherClosed):
        fetcher.fetch("http://host.test/")
