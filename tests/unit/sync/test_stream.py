"""Streaming for plain code: back-pressure across threads, and every way of leaving early."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import asyncbatch
from asyncbatch import FetcherClosed, Result, SyncFetcher, arrow
from asyncbatch._results import _table_file
from asyncbatch._sync import _interruptible
from asyncbatch._sync._interruptible import Wait
from asyncbatch._sync._stream import SyncResultStream
from asyncbatch.report import Report, to_har
from asyncbatch.testing import LoopbackServer, Reply


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    """Run a loopback server in a thread of its own."""
    with LoopbackServer(default=Reply(body=b"ok")).in_thread() as server:
        yield server


class Gate:
    """A path that hangs, and the count of the clients that came and went."""

    def __init__(self, server: LoopbackServer) -> None:
        self._arrived = threading.Semaphore(0)
        server.on("/hang", self._answer)
        self.url = server.url("/hang")

    def _answer(self, _: object) -> Reply:
        self._arrived.release()
        return Reply().hang()

    def wait(self, count: int) -> None:
        """Wait until `count` more requests hang."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=100)


def wait_until_idle(fetcher: SyncFetcher) -> None:
    """Wait until no batch is under way, however often the fetcher has to be asked."""
    while fetcher.statistics().batches:
        pass


def test_every_result_comes_once(loopback: LoopbackServer) -> None:
    """A stream has one result for each request."""
    with SyncFetcher() as fetcher:
        indices = [result.index for result in fetcher.stream([loopback.url()] * 300)]

    assert sorted(indices) == list(range(300))


def test_a_stream_has_a_summary_while_it_runs_and_after(loopback: LoopbackServer) -> None:
    """Of the results that were taken; closed early, it tells of those."""
    loopback.on("/gone", Reply(404))
    urls = [loopback.url("/gone" if n % 3 == 0 else "/") for n in range(30)]
    with SyncFetcher() as fetcher:
        stream = fetcher.stream(urls)
        assert stream.summary().total == 0
        counts = [stream.summary().total for _ in stream]
        left = fetcher.stream(urls)
        next(left)
        left.close()
        early = left.summary()

    whole = stream.summary()
    assert counts == list(range(1, 31))
    assert (whole.succeeded, dict(whole.kinds)) == (20, {"status": 10})
    assert whole.duration == stream.summary().duration > 0
    assert (early.total, early.duration) == (1, left.summary().duration)


def test_who_asks_for_the_summary_does_not_wait_for_a_result(loopback: LoopbackServer) -> None:
    """While another thread does."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher, ThreadPoolExecutor(1) as threads:
        stream = fetcher.stream([gate.url])
        waiting = threads.submit(next, stream, None)
        gate.wait(1)

        assert stream.summary().total == 0
        stream.close()
        assert waiting.result(timeout=10) is None


def test_ordered_results_come_in_the_order_of_the_input(loopback: LoopbackServer) -> None:
    """With `ordered` a slow request holds up those behind it."""
    loopback.on("/slow", Reply().delayed(0.05))
    urls = [loopback.url("/slow" if number % 20 == 0 else "/") for number in range(60)]

    with SyncFetcher(concurrency=10) as fetcher:
        indices = [result.index for result in fetcher.stream(urls, ordered=True, backlog=7)]

    assert indices == list(range(60))


def test_an_async_input_is_streamed(loopback: LoopbackServer) -> None:
    """The input may be an async iterable."""

    async def urls() -> AsyncIterator[str]:
        for _ in range(5):
            yield loopback.url()

    with SyncFetcher() as fetcher:
        assert [result.ok for result in fetcher.stream(urls())] == [True] * 5


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("backlog", [1, 2, 7, 50])
def test_a_slow_consumer_slows_the_fetching(
    loopback: LoopbackServer, ordered: bool, backlog: int
) -> None:
    """Of an endless input no more is fetched than was consumed and may wait."""
    ahead = []
    with SyncFetcher(concurrency=20) as fetcher:
        stream = fetcher.stream(itertools.repeat(loopback.url()), ordered=ordered, backlog=backlog)
        for consumed, result in enumerate(itertools.islice(stream, 60), start=1):
            assert result.ok
            fetcher.statistics()  # a turn of the loop, in which it could run ahead
            ahead.append(loopback.statistics().requests - consumed)
        stream.close()

    assert max(ahead) <= backlog


@pytest.mark.parametrize("ordered", [False, True])
def test_the_backlog_is_used(loopback: LoopbackServer, ordered: bool) -> None:
    """While the consumer does nothing, as much is fetched as may wait."""
    seen = threading.Semaphore(0)

    def answer(_: object) -> Reply:
        seen.release()
        return Reply()

    loopback.on("/", answer)
    with SyncFetcher(concurrency=20) as fetcher:
        stream = fetcher.stream(itertools.repeat(loopback.url()), ordered=ordered, backlog=50)
        for _ in range(50):
            assert seen.acquire(timeout=100)
        stream.close()


def test_input_errors_come_behind_the_last_result(loopback: LoopbackServer) -> None:
    """What the input raises is raised once, after everything that was read before."""

    def urls() -> Iterator[str]:
        yield loopback.url()
        raise LookupError("input")

    with SyncFetcher() as fetcher:
        stream = fetcher.stream(urls())

        assert next(stream).ok
        with pytest.raises(LookupError, match="input"):
            next(stream)
        assert list(stream) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"backlog": 0}, ValueError),
        ({"backlog": "many"}, TypeError),
        ({"batch_timeout": -1}, ValueError),
        ({"requests": "http://host.test/"}, TypeError),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(
    options: dict[str, object], error: type[Exception]
) -> None:
    """Misuse is raised by `stream` itself, not by the loop over it."""
    with SyncFetcher() as fetcher, pytest.raises(error):
        fetcher.stream(**{"requests": [], **options})  # type: ignore[arg-type]


def test_break_cancels_what_is_under_way(loopback: LoopbackServer) -> None:
    """Leaving the loop by `break` drops the stream, and with it its requests."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher:
        for _ in fetcher.stream([loopback.url(), gate.url, gate.url]):
            gate.wait(2)
            break
        wait_until_idle(fetcher)

        assert fetcher.statistics().in_flight == 0
        assert fetcher.fetch(loopback.url()).ok


def test_an_interruption_shows_nothing_of_the_wait(
    loopback: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback has no error of the queue that is waited on, also if a wait is just over."""
    gate = Gate(loopback)
    interruption = KeyboardInterrupt()
    looks = iter([None, interruption])

    def look(_: Wait) -> None:
        if found := next(looks):
            raise found

    monkeypatch.setattr(_interruptible, "SIGNAL_SECONDS", 0.001)
    with SyncFetcher() as fetcher, fetcher.stream([gate.url]) as results:
        with monkeypatch.context() as patch:
            patch.setattr(Wait, "check", look)
            with pytest.raises(KeyboardInterrupt):
                next(iter(results))

        assert interruption.__context__ is None


def test_an_exception_cancels_what_is_under_way(loopback: LoopbackServer) -> None:
    """Leaving the loop by an exception does so too, while the exception is being handled."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher:
        try:
            for _ in fetcher.stream([loopback.url(), gate.url]):
                gate.wait(1)
                raise LookupError
        except LookupError:
            wait_until_idle(fetcher)

        assert fetcher.statistics().in_flight == 0


@pytest.mark.parametrize("taken", [0, 2])
def test_a_stream_that_was_left_is_written_to_no_file(
    loopback: LoopbackServer, tmp_path: Path, taken: int
) -> None:
    """However often it is tried, and though a loop over it ends quietly."""
    with SyncFetcher() as fetcher:
        with fetcher.stream([loopback.url()] * 5) as stream:
            list(itertools.islice(stream, taken))

        for _ in range(2):
            with pytest.raises(RuntimeError, match="the stream has been left"):
                stream.to_jsonl(tmp_path / "table")

    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_was_read_to_its_end_is_written_to_no_file(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    """Inside the `with` or after it: the table would be empty, and look like that of all."""
    path = tmp_path / "table"
    path.write_text("earlier")
    with SyncFetcher() as fetcher:
        with fetcher.stream([loopback.url()] * 5, report=True) as stream:
            assert len(list(stream)) == 5
            for write in (stream.to_jsonl, stream.to_parquet, stream.to_har):
                with pytest.raises(RuntimeError, match="has ended, and keeps no results; write it"):
                    write(path)
        with pytest.raises(RuntimeError, match="the stream has ended"):
            stream.to_jsonl(path)
        stream.report(tmp_path / "page")

    assert path.read_text() == "earlier"
    assert stream.summary().total == 5


def make_report(stream: Iterable[Result]) -> str:
    return Report(stream).html()


MAKERS = [to_har, make_report, pytest.param(arrow.table, marks=pytest.mark.extras)]
"""What makes something of all results of any iterable."""


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_made_of_a_stream_that_has_ended_or_was_left(
    loopback: LoopbackServer, make: Callable[[Iterable[Result]], object]
) -> None:
    """A table or an archive would be empty, and look like that of all."""
    with SyncFetcher() as fetcher:
        with fetcher.stream([loopback.url()] * 5) as ended:
            assert len(list(ended)) == 5
        with fetcher.stream([loopback.url()] * 5) as left:
            next(left)

        with pytest.raises(RuntimeError, match="the stream has ended"):
            make(ended)
        with pytest.raises(RuntimeError, match="the stream has been left"):
            make(left)


def test_an_archive_of_a_stream_has_what_is_still_to_come(loopback: LoopbackServer) -> None:
    """As a file that the stream writes."""
    with SyncFetcher() as fetcher, fetcher.stream([loopback.url()] * 5) as stream:
        next(stream)

        assert len(to_har(stream)["log"]["entries"]) == 4


def test_a_stream_is_written_once(loopback: LoopbackServer, tmp_path: Path) -> None:
    """What was taken before is left out; the second table would be empty."""
    with SyncFetcher() as fetcher:
        stream = fetcher.stream([loopback.url()] * 5)
        next(stream)
        stream.to_jsonl(tmp_path / "first")
        with pytest.raises(RuntimeError, match="the stream has ended"):
            stream.to_jsonl(tmp_path / "second")

    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert len((tmp_path / "first").read_bytes().splitlines()) == 4


def test_a_stream_without_requests_is_an_empty_table(tmp_path: Path) -> None:
    """Nothing was taken from it before."""
    with SyncFetcher() as fetcher:
        fetcher.stream([]).to_jsonl(tmp_path / "table")

    assert (tmp_path / "table").read_bytes() == b""


@pytest.mark.parametrize("writes", [False, True])
def test_a_stream_whose_input_has_raised_is_written_to_no_file(
    loopback: LoopbackServer, tmp_path: Path, writes: bool
) -> None:
    """Whether the error was raised by reading or by writing; it is raised once."""

    def broken() -> Iterator[str]:
        yield loopback.url()
        raise LookupError("no more")

    with SyncFetcher() as fetcher:
        stream = fetcher.stream(broken())
        with pytest.raises(LookupError, match="no more"):
            stream.to_jsonl(tmp_path / "table") if writes else list(stream)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="the stream has ended"):
                stream.to_jsonl(tmp_path / "table")

    assert list(tmp_path.iterdir()) == []


def test_results_that_were_lost_with_a_file_make_no_later_one_look_whole(
    loopback: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can still be read; a file that could not even be begun has lost none."""
    monkeypatch.setattr(_table_file, "MOST_ROWS", 2)

    def full(*_: object) -> bytes:
        raise OSError("no space left")

    with SyncFetcher() as fetcher:
        stream = fetcher.stream([loopback.url()] * 5)
        with pytest.raises(FileNotFoundError):
            stream.to_jsonl(tmp_path / "nowhere" / "table")
        with monkeypatch.context() as patch:
            patch.setattr(_table_file, "json_lines", full)
            with pytest.raises(OSError, match="no space left"):
                stream.to_jsonl(tmp_path / "table")
        with pytest.raises(RuntimeError, match="results of the stream were lost"):
            stream.to_jsonl(tmp_path / "table")

        assert len(list(stream)) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.extras
def test_a_stream_that_was_left_is_written_to_no_parquet(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    """However often it is tried."""
    pytest.importorskip("pyarrow")
    with SyncFetcher() as fetcher:
        stream = fetcher.stream([loopback.url()])
        stream.close()

        for _ in range(2):
            with pytest.raises(RuntimeError, match="the stream has been left"):
                stream.to_parquet(tmp_path / "table")

    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_is_left_while_it_is_written_makes_no_file(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    """Its end would look like that of all results."""
    gate = Gate(loopback)
    with (
        SyncFetcher() as fetcher,
        fetcher.stream([loopback.url(), gate.url]) as stream,
        ThreadPoolExecutor(1) as pool,
    ):
        writing = pool.submit(stream.to_jsonl, tmp_path / "table")
        gate.wait(1)
        stream.close()

        with pytest.raises(RuntimeError, match="the stream has been left"):
            writing.result()

    assert list(tmp_path.iterdir()) == []


def test_a_context_manager_closes_a_stream_that_is_kept(loopback: LoopbackServer) -> None:
    """A stream in a variable is closed by `with`, and has no more results."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher:
        with fetcher.stream([gate.url]) as stream:
            gate.wait(1)
        wait_until_idle(fetcher)

        assert list(stream) == []


def test_what_a_stream_has_locked_is_free_once_it_is_left(
    loopback: LoopbackServer, tmp_path: Path
) -> None:
    """Its journal, and the part of a file whose body does not end."""
    loopback.on("/part", Reply(body=b"x" * 1000).hang(body=500), Reply(body=b"whole"))
    requests = [loopback.url("/"), loopback.url("/part")]
    journal, folder = tmp_path / "run.db", f"{tmp_path}/files/"
    with SyncFetcher(retry=None) as fetcher:
        for _ in range(20):
            with fetcher.stream(requests, journal=journal, to=folder) as stream:
                next(stream)
            results = fetcher.fetch_many(requests[:1], journal=journal, to=folder)
            assert results[0].ok
        with fetcher.stream(requests, to=folder) as stream:
            next(stream)
        again = fetcher.fetch_many(requests[1:], to=folder)

    assert [result.kind for result in again.failures] == []


def test_closing_ends_the_wait_of_another_thread(loopback: LoopbackServer) -> None:
    """A thread that waits for a result gets StopIteration when the stream is closed."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher, ThreadPoolExecutor(1) as executor:
        stream = fetcher.stream([gate.url])
        waiting = executor.submit(list, stream)
        gate.wait(1)
        stream.close()

        assert waiting.result(10) == []


def test_a_stream_outlives_a_fetcher_that_only_it_holds(loopback: LoopbackServer) -> None:
    """The fetcher is not dropped, and so not closed, while its stream is in use."""
    fetcher = SyncFetcher().__enter__()
    leave = fetcher.__exit__
    stream = fetcher.stream([loopback.url()] * 3)
    del fetcher

    assert [result.ok for result in stream] == [True] * 3
    leave(None, None, None)


def test_results_that_are_there_can_be_taken_after_closing(loopback: LoopbackServer) -> None:
    """Of a stream that its fetcher cut off, what came before is not lost."""
    gate = Gate(loopback)
    with SyncFetcher() as fetcher:
        stream = fetcher.stream([loopback.url(), gate.url], ordered=True)
        gate.wait(1)
        first = next(stream)

    assert first.ok
    with pytest.raises(FetcherClosed):
        next(stream)
    assert list(stream) == []


def test_threads_can_share_a_stream(loopback: LoopbackServer) -> None:
    """Each result of a shared stream goes to one of the threads."""
    with SyncFetcher() as fetcher, ThreadPoolExecutor(4) as executor:
        stream = fetcher.stream([loopback.url()] * 200)
        shares = executor.map(list[asyncbatch.Result], [stream] * 4)

    assert sorted(result.index for share in shares for result in share) == list(range(200))


def test_a_stream_that_was_never_made_whole_is_dropped_without_a_word() -> None:
    """As when an interruption comes while it is made."""
    SyncResultStream.__new__(SyncResultStream).__del__()
