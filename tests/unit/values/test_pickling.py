"""Results on their way to another process, and copies of them."""

from __future__ import annotations

import copy
import copyreg
import pathlib
import pickle
import pickletools
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request, Results, Retry
from asyncbatch._values._pickling import name_encoding
from asyncbatch._values._request_parcel import check_present
from asyncbatch.testing import Fault, LoopbackServer, Raw, Reply
from tests.samples import failure

CARRIED: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "oldest pickle": lambda value: pickle.loads(pickle.dumps(value, protocol=2)),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
}


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """Return each of the two libraries."""
    return pytest.importorskip(request.param)


async def failing(server: LoopbackServer, library: Any) -> Results:
    """Return one result of nearly every kind."""
    server.on("/404", Reply(404, b"gone", {"x-why": "moved"}))
    server.on("/wait", Reply(429).retry_after(9999))
    server.on("/loop", Reply.redirect("/loop"))
    server.on("/large", Reply(200, b"x" * 5000))
    server.on("/cut", Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nab"))
    server.on("/rubbish", Raw(b"rubbish\r\n\r\n"))
    server.on("/corrupt", Reply(200, b"x" * 50, {"content-encoding": "gzip"}))
    server.on("/slow", Reply(200).delayed(5))
    paths = ["/", "/404", "/wait", "/loop", "/large", "/cut", "/rubbish", "/corrupt"]
    requests: list[Any] = [Request(server.url(path), tag=("tag", path)) for path in paths]
    requests += [Request(server.url("/slow"), tag=("tag", "/slow"), timeout=0.2)]
    requests += [server.dead_url(), "ftp://x/", Request(server.url(), headers={"a": "\xe9"})]
    client = library.AsyncClient(trust_env=False, follow_redirects=True)
    options: dict[str, Any] = {"retry": Retry(attempts=2, backoff=0), "max_body": 4000}
    async with client, Fetcher(client, **options) as fetcher:
        return await fetcher.fetch_many(requests)


async def test_results_arrive_as_they_were_sent(library: Any, server: LoopbackServer) -> None:
    """Success or failure: the error's class, text and attributes, and the response."""
    results = await failing(server, library)
    assert len({failure.kind for failure in results.failures}) >= 9

    for carry in CARRIED.values():
        check_same(results, carry(results))


def check_same(results: Results, arrived: Results) -> None:
    """Compare all that can be compared."""
    assert arrived.duration == results.duration
    for here, there in zip(results, arrived, strict=True):
        assert repr(there) == repr(here)
        assert (there.status_code, there.content, there.url) == (
            here.status_code,
            here.content,
            here.url,
        )
        assert there.timing == here.timing
        assert there.request.tag == here.request.tag
        assert [type(each.error) for each in there.history] == [
            type(each.error) for each in here.history
        ]
    for here, there in zip(results.failures, arrived.failures, strict=True):
        assert type(there.error) is type(here.error)
        assert str(there.error) == str(here.error)
        simple = {k: v for k, v in vars(here.error).items() if isinstance(v, int | float | str)}
        assert {k: vars(there.error)[k] for k in simple} == simple


async def test_the_error_of_a_status_keeps_its_response(
    library: Any, server: LoopbackServer
) -> None:
    """Where httpx's own cannot be unpickled at all."""
    results = await failing(server, library)

    (arrived,) = (
        failure
        for failure in pickle.loads(pickle.dumps(results)).failures
        if failure.kind == FailureKind.status
    )

    assert isinstance(arrived.error, library.HTTPStatusError)
    assert arrived.error.response.status_code == 404
    assert arrived.error.response.headers["x-why"] == "moved"
    assert arrived.error.response.content == b"gone"
    assert arrived.error.request.url == arrived.url


VALUES: list[Any] = [
    Request("http://host.test/", tag=1),
    Request(
        httpx.URL("http://host.test/"), "POST", json={"a": 1}, auth=("user", "x"), timeout=None
    ),
    Request.of(httpx.Request("PUT", "http://host.test/", content=b"x")),
    Retry(attempts=5),
    asyncbatch.Rate(20, per=60.0),
    asyncbatch.ProxyPool(["http://proxy.test:3128"], per_proxy=2),
    asyncbatch.HostLimits(per_host=2, rate=asyncbatch.Rate(5)),
    asyncbatch.Folder("x", exists="rename"),
    asyncbatch.FileProgress(path=pathlib.Path("x"), received=1, size=None, rate=1.0),
    asyncbatch.Timing(wait=1.0),
    asyncbatch.Attempt(503, ValueError("why"), asyncbatch.Timing(), 1.0),
    asyncbatch.FailureKind.status,
    asyncbatch.FetcherClosed("closed"),
    asyncbatch.AddressBlocked("blocked"),
    asyncbatch.AttemptTimeout(3.0),
    asyncbatch.BodyConsumed("it is a pipe"),
    asyncbatch.BodyTooLarge(3),
    asyncbatch.ChecksumMismatch("md5:1", "md5:2"),
    asyncbatch.DNSError("no such name"),
    asyncbatch.DeadlineExceeded("deadline", 3.0),
    asyncbatch.HostDown("http://host.test:80"),
    asyncbatch.HostPaused("http://host.test:80", seconds=9.0, limit=2.0),
    asyncbatch.InDoubt("it may have been sent"),
    asyncbatch.Journal("run.db", retry="all", max_age=3.0),
    asyncbatch.JournalChanged("run.db", "changed", ("max_body",)),
    asyncbatch.JournalError("run.db", "broken"),
    asyncbatch.JournalFull("run.db", "no space left", 5, 2),
    asyncbatch.JournalInUse("run.db", "in use"),
    asyncbatch.NotAJournal("run.db", "no journal"),
    asyncbatch.NotStarted(3.0),
    asyncbatch.ProxyError("no", proxy="http://proxy.test:3128", status_code=407),
    asyncbatch.TLSError("no"),
    asyncbatch.TooSlow(3.0),
    asyncbatch.TruncatedBody("cut"),
    asyncbatch.HostStatistics(in_flight=1, waiting=1, paused_until=2.0, given_up=False),
    asyncbatch.Statistics(batches=1, in_flight=1, waiting=1, hosts=1, concurrency=1),
    asyncbatch.Progress(
        total=1, succeeded=0, failed=0, retries=0, in_flight=0, bytes=0, elapsed=0.0
    ),
    Reply(503).retry_after(1).delayed(1).paced(1, every=1.0).cut(body=1),
    Raw(b"x"),
    [Fault.connect(), Fault.cut(body=1), Fault.hang(), Fault.status(503)],
]


def modules_in(pickled: bytes) -> set[str]:
    """Return the modules of ours that a pickle of protocol 2 names."""
    named = {
        str(what).partition(" ")[0]
        for code, what, _ in pickletools.genops(pickled)
        if "GLOBAL" in code.name
    }
    return {module for module in named if module.partition(".")[0] == "asyncbatch"}


@pytest.mark.parametrize(
    "value",
    [pytest.param(value, id=f"{n}-{type(value).__name__}") for n, value in enumerate(VALUES)],
)
def test_a_pickle_names_public_modules_only(value: Any) -> None:
    """So that what lies on a disk can be read after a change of the layout."""
    pickled = pickle.dumps(value, protocol=2)

    assert modules_in(pickled) <= {"asyncbatch", "asyncbatch.testing"}
    arrived = pickle.loads(pickled)
    assert type(arrived) is type(value)
    assert arrived == value or str(arrived) == str(value)


async def test_the_pickle_of_results_names_public_modules_only(
    library: Any, server: LoopbackServer
) -> None:
    """With their requests, errors, histories and summary."""
    results = await failing(server, library)

    assert modules_in(pickle.dumps([results, results.summary()], protocol=2)) == {"asyncbatch"}


@pytest.mark.parametrize("name", asyncbatch.__all__)
def test_there_is_a_pickle_of_each_public_class(name: str) -> None:
    """A class that is added is tried here too, unless it is none of a value."""
    public = getattr(asyncbatch, name)
    tried = {type(value) for value in VALUES}

    if isinstance(public, type) and name not in NO_VALUES:
        assert public in tried


NO_VALUES = {
    # Of these the test above has real ones.
    *("Success", "Failure", "Results", "Summary", "Quantiles", "RetryAfterTooLong"),
    # A plain dict.
    "FetcherOptions",
    # They hold connections, or a batch under way.
    *("Fetcher", "SyncFetcher", "HTTPTransport", "ResultStream", "SyncResultStream"),
    # A file.
    "JournalReader",
}


def test_a_value_that_was_pickled_before_it_had_a_field_has_its_default() -> None:
    """The fields that are the default are not in the pickle at all."""
    state = Request("http://host.test/", tag=1).__getstate__()

    assert state == {"url": "http://host.test/", "tag": 1}


async def test_our_errors_can_be_pickled_by_themselves(
    library: Any, server: LoopbackServer
) -> None:
    """As when `unwrap` raises one in a worker process: what cannot be unpickled breaks the pool."""
    results = await failing(server, library)
    ours = [f.error for f in results.failures if type(f.error).__module__ == "asyncbatch"]
    assert len(ours) >= 4

    for error in ours:
        arrived = pickle.loads(pickle.dumps(error))
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)


def test_a_summary_can_be_pickled() -> None:
    """And its views still cannot be written to."""
    results = Results([failure(0), failure(1, status=404)], duration=1.5)
    summary = results.summary()

    for carry in CARRIED.values():
        arrived = carry(summary)
        assert arrived == summary
        assert str(arrived) == str(summary)
        with pytest.raises(TypeError):
            arrived.kinds["x"] = 1


def test_an_error_of_the_caller_travels_as_it_does() -> None:
    """Only what is httpx's or ours is taken apart."""
    result = failure(error=UnicodeEncodeError("ascii", "\xe9", 0, 1, "why"))

    arrived = pickle.loads(pickle.dumps(result))

    assert isinstance(arrived.error, UnicodeEncodeError)
    assert str(arrived.error) == str(result.error)


def test_an_error_travels_whole_where_another_library_pickles_its_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As tblib does for each class once Dask is imported: it makes errors without their fields."""

    def without_fields(error: UnicodeEncodeError) -> tuple[Any, ...]:
        return UnicodeEncodeError.__new__, (UnicodeEncodeError, *error.args)

    monkeypatch.setitem(copyreg.dispatch_table, UnicodeEncodeError, without_fields)
    error = UnicodeEncodeError("ascii", "\xe9", 0, 1, "why")
    assert str(pickle.loads(pickle.dumps(error))) != str(error)

    for carry in CARRIED.values():
        arrived = carry(failure(error=error)).error
        assert type(arrived) is UnicodeEncodeError
        assert (str(arrived), arrived.reason) == (str(error), "why")


@pytest.mark.extras
def test_an_error_travels_whole_once_dask_is_imported() -> None:
    """The same with the library itself, in a process where no other test pickles anything."""
    program = (
        "import distributed, pickle\n"
        "from tests.samples import failure\n"
        "error = UnicodeEncodeError('ascii', '\\xe9', 0, 1, 'why')\n"
        "assert str(pickle.loads(pickle.dumps(error))) != str(error), 'tblib was mended'\n"
        "print(pickle.loads(pickle.dumps(failure(error=error))).error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == str(UnicodeEncodeError("ascii", "\xe9", 0, 1, "why")), done.stderr


class Counting(Exception):
    """One whose text is another each time."""

    count = 0

    def __str__(self) -> str:
        Counting.count += 1
        return f"{Counting.count} times"


def test_an_error_of_several_results_stays_one() -> None:
    """And one whose text differs each time keeps its type."""
    shared = ValueError("why")
    errors = [failure(error=shared), failure(error=shared), failure(error=Counting())]

    one, other, counting = pickle.loads(pickle.dumps(errors))

    assert one.error is other.error
    assert type(counting.error) is Counting


def fetch(url: str) -> Results:
    """Fetch in a process of its own."""
    return asyncbatch.fetch_many_sync([url, f"{url}404"], retry=None)


@pytest.mark.asyncio_only
async def test_results_come_back_from_a_worker_process(server: LoopbackServer) -> None:
    """What people do with many cores."""
    import anyio.to_thread

    server.on("/404", Reply(404))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(fetch, server.url())
        results = await anyio.to_thread.run_sync(future.result)

    assert [result.status_code for result in results] == [200, 404]
    assert isinstance(results.failures[0].error, httpx.HTTPStatusError)


class Refusing(Exception):
    """An error that refuses to be pickled."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.code = 7
        self.handle = lambda: None

    def __reduce__(self) -> Any:
        raise TypeError("it holds a handle")


class Arguing(Exception):
    """An error that can be pickled and not unpickled."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code


class Wordy(Exception):
    """An error whose text is made of what does not pickle."""

    def __init__(self) -> None:
        self.words = (word for word in ["some", "words"])
        self.text = "some words"
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return f"{self.text} {type(self.lock).__name__}"


class Adding(Exception):
    """One that adds to its argument, and would add to it again when it is unpickled."""

    def __init__(self, text: str) -> None:
        super().__init__(f"failed: {text}")
        self.code = 8


def local_error() -> Exception:
    """Return an error of a class that no module has."""

    class Local(Exception):
        pass

    return Local("from within")


ERRORS: dict[str, Callable[[], Exception]] = {
    "refuses": lambda: Refusing("no"),
    "arguments of its own": lambda: Arguing(3, reason="why"),
    "adds to its argument": lambda: Adding("why"),
    "text of what is lost": Wordy,
    "local class": local_error,
    "holds what is local": lambda: ValueError("x", lambda: None),
    "of the library": lambda: httpx.ConnectError(lambda: None),  # type: ignore[arg-type]
}


@pytest.mark.asyncio_only
async def test_a_failure_travels_with_whatever_error(server: LoopbackServer) -> None:
    """What of it can be pickled arrives; else an error that says the same."""

    def check(response: Any) -> None:
        error = ERRORS[response.request.url.params["name"]]()
        raise error

    requests = [Request(server.url(), params={"name": name}) for name in ERRORS]
    async with Fetcher(trust_env=False, check=check, retry=Retry(attempts=1)) as fetcher:
        results = await fetcher.fetch_many(requests)

    arrived = pickle.loads(pickle.dumps(results))

    for name, here, there in zip(ERRORS, results.failures, arrived.failures, strict=True):
        assert there.kind == here.kind == FailureKind.callback
        assert str(here.error) in str(there.error)
        assert any("raised at" in note for note in there.error.__notes__)
        if name in ("refuses", "arguments of its own", "adds to its argument"):
            assert type(there.error) is type(here.error)
            assert str(there.error) == str(here.error)
            assert there.error.code == here.error.code  # type: ignore[attr-defined]


PARTS: dict[str, Callable[[], Any]] = {
    "content": lambda: (piece for piece in [b"x"]),
    "files": lambda: {"file": (piece for piece in [b"x"])},
    "auth": lambda: lambda request: request,
    "extensions": lambda: {"own": lambda: None},
    "cookies": lambda: httpx.Cookies({"a": "1"}),
    "retry": lambda: Retry(when=lambda failure: None),
    "tag": threading.Lock,
}


@pytest.mark.parametrize("field", PARTS)
def test_a_request_by_itself_is_pickled_whole_or_not_at_all(field: str) -> None:
    """To be sent from elsewhere it must not lose anything on the way."""
    request = Request("http://host.test/", "POST", **{field: PARTS[field]()})

    assert getattr(copy.copy(request), field) is getattr(request, field)
    with pytest.raises(TypeError, match=f"a Request whose {field} is a .*bytes in place"):
        pickle.dumps(request)


@pytest.mark.asyncio_only
async def test_a_result_travels_without_what_does_not_pickle(server: LoopbackServer) -> None:
    """Success or failure; what is asked for once more without it says so."""
    server.on("/404", Reply(404))
    requests = [
        Request(server.url(path), "POST", **{field: make()})
        for field, make in PARTS.items()
        for path in ("/", "/404")
    ]
    async with Fetcher(trust_env=False) as fetcher:
        results = await fetcher.fetch_many(requests)

        arrived = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(results))))

        again = await fetcher.fetch_many([result.request for result in arrived])
    figures = [(r.status_code, r.kind, r.url) for r in results]
    assert [(r.status_code, r.kind, r.url) for r in arrived] == figures
    assert [(r.status_code, r.kind, r.url) for r in copy.deepcopy(results)] == figures
    assert [copy.copy(result).request for result in results] == requests
    assert len(results.successes) == len(PARTS) - 1  # a generator is no file
    for field, result in zip((field for field in PARTS for _ in range(2)), again, strict=True):
        if field in ("retry", "tag"):
            assert result.status_code is not None
        else:
            assert result.kind == FailureKind.invalid_request
            assert f"the {field} of this request" in str(result.error)


@pytest.mark.asyncio_only
async def test_a_body_that_has_been_read_from_stays_so(server: LoopbackServer) -> None:
    """The iterator of a list pickles, and has nothing more to give."""
    server.on("/404", Reply(404))
    async with Fetcher(trust_env=False) as fetcher:
        failed = await fetcher.fetch(Request(server.url("/404"), "POST", content=iter([b"x"])))
        carried = (
            pickle.loads(pickle.dumps(failed)).request,
            pickle.loads(pickle.dumps(failed.request)),
        )

        for request in carried:
            again = await fetcher.fetch(request)
            assert isinstance(again.error, asyncbatch.BodyConsumed)


async def test_a_request_of_the_library_is_sent_again_with_its_body_or_not_at_all(
    library: Any, server: LoopbackServer
) -> None:
    """The library itself pickles it without what it would send."""
    server.on("/404", Reply(404), *[Reply(200)] * 3)
    bodies: list[Any] = [None, b"body", (piece for piece in [b"x"])]
    requests = [library.Request("POST", server.url("/404"), content=body) for body in bodies]
    async with library.AsyncClient(trust_env=False) as client, Fetcher(client) as fetcher:
        for request in requests:
            result = await fetcher.fetch(request)
            again = await fetcher.fetch(pickle.loads(pickle.dumps(result)).request)
            if request is requests[2]:
                assert again.kind == FailureKind.invalid_request
                assert "did not pickle" in str(again.error)
            else:
                assert again.ok
    assert [seen.body for seen in server.requests] == [b"", b"", b"body", b"body", b"x"]


@pytest.mark.asyncio_only
async def test_a_response_whose_encoding_a_function_says_travels(server: LoopbackServer) -> None:
    """A lambda, as a rule."""
    server.on("/", Reply(200, "\xe9".encode("latin-1"), {"content-type": "text/plain"}))
    server.on("/404", Reply(404, "\xe9".encode("latin-1"), {"content-type": "text/plain"}))
    urls = [server.url(), server.url("/404")]
    async with Fetcher(trust_env=False, default_encoding=lambda content: "latin-1") as fetcher:
        results = await fetcher.fetch_many(urls)

    arrived = pickle.loads(pickle.dumps(results))

    assert [result.text for result in arrived] == ["\xe9", "\xe9"]
    assert arrived[1].error.response.text == "\xe9"


WITHOUT_ASSERTIONS = """
import asyncio, pickle
import asyncbatch
from asyncbatch.testing import LoopbackServer, Reply

async def main():
    async with LoopbackServer(default=Reply(404)) as server:
        async with asyncbatch.Fetcher(retry=None, trust_env=False) as fetcher:
            failure = await fetcher.fetch(server.url())
            print(pickle.loads(pickle.dumps(failure)).error.response.status_code)

asyncio.run(main())
"""


@pytest.mark.once
def test_a_failed_status_travels_from_a_program_without_assertions() -> None:
    """Its response is built for the journey, which `python -O` must not leave out."""
    ended = subprocess.run(
        [sys.executable, "-O", "-c", WITHOUT_ASSERTIONS],
        capture_output=True,
        text=True,
        timeout=200,
    )

    assert (ended.stdout, ended.returncode) == ("404\n", 0), ended.stderr


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_that_cannot_be_printed_travels() -> None:
    """Its type says what it is."""
    error = CARRIED["pickle"](failure(kind=FailureKind.callback, error=Unprintable())).error

    assert type(error) is Unprintable


def test_a_tag_that_does_not_pickle_is_named_and_nothing_lacks_without_it() -> None:
    """The request can be sent as it is."""
    request = Request("http://host.test/", tag=threading.Lock())
    found = CARRIED["pickle"](failure(item=request)).request

    check_present(found)
    assert repr(found.tag) == "<a lock, which did not pickle>"


def test_a_function_for_the_encoding_that_fails_is_utf_8() -> None:
    """As `text` would be, had nothing been given."""

    def fail(content: bytes) -> str:
        raise ZeroDivisionError

    response = httpx.Response(200, content=b"\xc3\xa9", default_encoding=fail)
    name_encoding(response)

    assert response.text == "\xe9"
