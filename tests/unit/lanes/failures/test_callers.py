"""Errors of the caller's own code, told from those of libraries by the frames they came through."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._lanes.failures._callers import (
    callers_error,
    exit_of_caller,
    is_callers,
    is_hooks,
    note_places,
    stray_cancellation,
)
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING, failure_of

pytestmark = pytest.mark.any_loop


def raised(*packages: str | tuple[str, str], error: BaseException | None = None) -> BaseException:
    """
    Return an error that was raised in the last of these packages, called from those before.

    Of a pair, the second is the name of the function.
    """
    calls = []
    for package in packages:
        package, name = (package, "run") if isinstance(package, str) else package
        scope: dict[str, Any] = {"__name__": f"{package}.module"}
        source = (
            f"def {name}(error, calls):\n    if calls: calls[0](error, calls[1:])\n    raise error"
        )
        exec(compile(source, f"/{package}/module.py", "exec"), scope)
        calls.append(scope[name])
    try:
        calls[0](error or ValueError("raised"), calls[1:])
    except BaseException as caught:
        # Without the frame of this function, which would be the caller's.
        return caught.with_traceback(caught.__traceback__ and caught.__traceback__.tb_next)
    raise AssertionError


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (["asyncbatch", "httpx"], False),
        (["asyncbatch", "httpx", "app"], True),
        (["asyncbatch", "httpx", "app", "json"], True),
        (["asyncbatch", "httpx", "app", "httpx"], False),
        (["asyncbatch", "httpx", "httpcore", "anyio", "ssl"], False),
        (["asyncbatch", "httpx2", "httpcore2", "h11"], False),
        (["asyncbatch", "httpx", "app", "httpcore", "app"], True),
    ],
)
def test_an_error_is_the_callers_if_no_sender_stands_behind_their_code(
    packages: list[str], expected: bool
) -> None:
    """A transport of theirs that calls httpcore raises what is httpcore's."""
    assert is_callers(raised(*packages)) is expected


SENDS = ("httpx", "_send_handling_redirects")


@pytest.mark.parametrize(
    ("packages", "error", "expected"),
    [
        ([SENDS, "app"], ValueError(), True),
        ([SENDS, SENDS, "app"], ValueError(), True),
        ([SENDS, "app", "httpx"], ValueError(), True),
        ([SENDS, "httpx", "app"], ValueError(), False),
        ([SENDS, "httpx"], ValueError(), False),
        ([SENDS, "httpx"], TypeError(), False),
        (["app", "httpx"], ValueError(), False),
        ([("app", "_send_handling_redirects"), "app"], ValueError(), False),
    ],
)
def test_a_hook_is_what_httpx_calls_where_it_calls_hooks(
    packages: list[Any], error: BaseException, expected: bool
) -> None:
    """Also if it raises an error of httpx's own."""
    assert is_hooks(raised(*packages, error=error)) is expected


@pytest.mark.parametrize(("error", "expected"), [(TypeError(), True), (ValueError(), False)])
def test_a_hook_that_is_no_coroutine_function_fails_where_it_is_awaited(
    error: BaseException, expected: bool
) -> None:
    """No frame of it is left by then."""
    assert is_hooks(raised(SENDS, error=error)) is expected


def test_the_end_of_an_iterator_has_its_frames_with_its_cause() -> None:
    """Python puts a RuntimeError in its place where a coroutine lets it out."""
    cause = raised("httpx", "app", error=StopIteration())
    stand_in = RuntimeError("generator raised StopIteration")
    stand_in.__cause__ = cause
    other = RuntimeError("of another kind")
    other.__cause__ = raised("httpx", "app")

    assert is_callers(stand_in)
    assert not is_callers(other)


def test_what_is_kept_of_an_error_begins_with_the_callers_code() -> None:
    """Frames of libraries keep their locals. Where it was raised is noted, once."""
    error: Any = raised("asyncbatch", "httpx", "app")
    names = []
    note_places(error)
    assert callers_error(error) is error
    found = error.__traceback__
    while found is not None:
        names.append(found.tb_frame.f_globals["__name__"].partition(".")[0])
        found = found.tb_next

    assert names == ["app"]
    assert len(error.__notes__) == 1
    assert "/app/module.py:3 in run" in error.__notes__[0]


def test_an_error_without_frames_has_no_places() -> None:
    """It was never raised."""
    error = ValueError()
    note_places(error)

    assert not hasattr(error, "__notes__")


@pytest.mark.asyncio_only
async def test_a_cancellation_that_nobody_asked_for_becomes_an_error() -> None:
    """Of one request; one that was asked for goes on."""
    stray = asyncio.CancelledError()
    error = stray_cancellation(stray)

    assert isinstance(error, RuntimeError)
    assert error.__cause__ is stray
    assert stray_cancellation(ValueError()) is None


async def test_an_exit_that_nobody_sent_becomes_an_error() -> None:
    """In a task that runs, only the code itself can have raised it."""
    sent = GeneratorExit()
    error = stray_cancellation(sent)

    assert isinstance(error, RuntimeError)
    assert error.__cause__ is sent
    assert str(error) == str(exit_of_caller(sent))


def test_an_exit_outside_a_task_goes_on() -> None:
    """Somebody closes a generator."""
    assert stray_cancellation(GeneratorExit()) is None


async def _raise(error: BaseException) -> None:
    raise error


def _hooked(event: str, error: Exception) -> dict[str, Any]:
    async def refuse(_: Any) -> None:
        await _raise(error)

    return {"event_hooks": {event: [refuse]}}


def _authed(library: Any, error: Exception) -> dict[str, Any]:
    class Refusing(library.Auth):  # type: ignore[misc]  # chosen at run time
        async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
            await _raise(error)
            yield request

    return {"auth": Refusing()}


def _mocked(library: Any, error: Exception) -> dict[str, Any]:
    async def handle(_: Any) -> None:
        await _raise(error)

    return {"transport": library.MockTransport(handle)}


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no token"),
        KeyError("token"),
        AssertionError("not told"),
        TimeoutError(),
        socket.gaierror(socket.EAI_NONAME, "x"),
        ssl.SSLError("x"),
        ConnectionRefusedError(),
        MemoryError(),
        anyio.BrokenResourceError(),
        ExceptionGroup("x", [TimeoutError()]),
        UnicodeEncodeError("ascii", "\xe9", 0, 1, "x"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("place", ["request hook", "response hook", "auth", "mock"])
async def test_what_the_callers_own_code_raises_is_of_kind_callback(
    library: Any, error: Exception, place: str, server: LoopbackServer
) -> None:
    """With its type and traceback, tried once, and held against no host."""
    options: dict[str, Any] = {
        "request hook": lambda: _hooked("request", error),
        "response hook": lambda: _hooked("response", error),
        "auth": lambda: _authed(library, error),
        "mock": lambda: _mocked(library, error),
    }[place]()
    client = library.AsyncClient(verify=TRUSTING, **options)
    async with client, Fetcher(client, give_up_host_after=1) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 2)

    assert len(results.failures) == 2
    for failure in results.failures:
        assert failure.kind == FailureKind.callback
        assert failure.attempts == 1
        assert type(failure.error) is type(error)
        names = [frame.name for frame in traceback.extract_tb(failure.error.__traceback__)]
        assert names[-1] == "_raise"
        assert names[0] in ("refuse", "async_auth_flow", "handle")
        assert "in _raise" in failure.error.__notes__[0]


@pytest.mark.parametrize("lane", ["ours", "theirs"])
@pytest.mark.parametrize("place", ["request", "response"])
@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("x"),
        httpx.ConnectError("x"),
        httpx.InvalidURL("x"),
        httpx.StreamError("x"),
        httpx.HTTPStatusError("x", request=None, response=None),  # type: ignore[arg-type]
        StopIteration("x"),
        StopAsyncIteration("x"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_hook_that_raises_what_httpx_or_python_use_themselves_is_of_kind_callback(
    error: Exception, place: str, lane: str, server: LoopbackServer
) -> None:
    """Of a hook they tell nothing of the server, and a status error may be about no response."""
    options: Any = _hooked(place, error)
    client = httpx.AsyncClient(**options) if lane == "theirs" else None
    async with Fetcher(client, **({} if client else options)) as fetcher:
        failure = await fetcher.fetch(server.url())
    if client is not None:
        await client.aclose()

    assert failure.kind == FailureKind.callback
    assert failure.attempts == 1
    assert failure.error is error or failure.error.__cause__ is error  # in a RuntimeError


@pytest.mark.asyncio_only
@pytest.mark.parametrize("lane", ["ours", "theirs"])
@pytest.mark.parametrize("place", ["request hook", "response hook", "auth", "body"])
async def test_a_task_of_the_callers_that_was_cancelled_ends_one_request(
    place: str, lane: str, server: LoopbackServer
) -> None:
    """One that fetches a token for all, say: nobody has cancelled the batch."""
    server.on("/other", Reply(body=b"well"))

    async def wait(about: Any) -> None:
        if str(about.url).endswith("/other"):
            return
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    class Auth(httpx.Auth):
        async def async_auth_flow(self, request: httpx.Request) -> AsyncIterator[httpx.Request]:
            await wait(request)
            yield request

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await wait(httpx.Request("GET", server.url()))

    options: dict[str, Any] = {
        "request hook": {"event_hooks": {"request": [wait]}},
        "response hook": {"event_hooks": {"response": [wait]}},
        "auth": {"auth": Auth()},
        "body": {},
    }[place]
    content = pieces() if place == "body" else b""
    client = httpx.AsyncClient(**options) if lane == "theirs" else None
    async with Fetcher(client, **({} if client else options)) as fetcher:
        failure, other = await fetcher.fetch_many(
            [Request(server.url(), "PUT", content=content), server.url("/other")]
        )
    if client is not None:
        await client.aclose()

    assert other.ok
    assert failure.kind == FailureKind.callback
    assert failure.attempts == 1
    assert isinstance(failure.error.__cause__, asyncio.CancelledError)


@dataclasses.dataclass(frozen=True)
class _Frozen(Exception):
    code: int


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("says nothing")

    __repr__ = __str__


@pytest.mark.parametrize("error", [_Frozen(3), _Mute()], ids=["frozen", "mute"])
@pytest.mark.parametrize("place", ["request hook", "response hook", "auth", "check", "when"])
async def test_an_error_that_lets_nothing_be_set_or_said_is_one_failure_all_the_same(
    error: Exception, place: str, server: LoopbackServer
) -> None:
    """One of a frozen dataclass takes no note and no traceback, and `__str__` may fail itself."""
    server.on("/bad", Reply(500))

    def fail(_: Any) -> None:
        raise error

    options: dict[str, Any] = {
        "request hook": lambda: _hooked("request", error),
        "response hook": lambda: _hooked("response", error),
        "auth": lambda: _authed(httpx, error),
        "check": lambda: {"check": fail},
        "when": lambda: {"retry": asyncbatch.Retry(when=fail)},
    }[place]()
    async with Fetcher(**options) as fetcher:
        failure = await fetcher.fetch(server.url("/bad" if place == "when" else "/"))

    assert failure.kind == FailureKind.callback
    assert failure.error is error
    assert type(error).__name__ in repr(failure)


async def test_a_mock_that_raises_a_status_error_about_nothing_is_of_kind_callback() -> None:
    """`HTTPStatusError(request=None, response=None)` is seen in tests of other projects."""

    def handle(_: httpx.Request) -> httpx.Response:
        raise httpx.HTTPStatusError("x", request=None, response=None)  # type: ignore[arg-type]

    async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
        failure = await failure_of(client, "http://a.test/")

    assert failure.kind == FailureKind.callback


@pytest.mark.parametrize("place", ["request hook", "auth"])
async def test_a_request_of_the_callers_own_code_that_fails_tells_nothing_of_the_host(
    library: Any, place: str, server: LoopbackServer
) -> None:
    """A token that cannot be had is no connection that failed."""

    async def fetch_token() -> None:
        async with library.AsyncClient(verify=TRUSTING) as other:
            await other.get("http://127.0.0.1:1/")

    async def hook(_: Any) -> None:
        await fetch_token()

    class Auth(library.Auth):  # type: ignore[misc]  # chosen at run time
        async def async_auth_flow(self, request: Any) -> AsyncIterator[Any]:
            await fetch_token()
            yield request

    options: Any = {"auth": Auth()} if place == "auth" else {"event_hooks": {"request": [hook]}}
    client = library.AsyncClient(verify=TRUSTING, **options)
    async with client, Fetcher(client, give_up_host_after=1) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 3)

    assert [failure.kind for failure in results.failures] == [FailureKind.callback] * 3
    assert isinstance(results.failures[0].error, library.ConnectError)


async def test_a_hook_that_cannot_be_awaited_is_of_kind_callback(
    library: Any, server: LoopbackServer
) -> None:
    """An `AsyncClient` takes coroutine functions only, and finds out when it calls them."""
    hooks: dict[str, list[Any]] = {"request": [lambda _: None]}
    async with library.AsyncClient(event_hooks=hooks, verify=TRUSTING) as client:
        failure = await failure_of(client, server.url())

    assert failure.kind == FailureKind.callback
    assert isinstance(failure.error, TypeError)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError("x"), TimeoutError(), httpx.ReadError("x")], ids=repr
)
@pytest.mark.parametrize("lane", ["ours", "httpx"])
async def test_what_a_body_raises_is_of_kind_callback(
    lane: str, error: Exception, server: LoopbackServer
) -> None:
    """An iterator, async or not, or a file; on the engine and on httpx's own transport."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        await _raise(error)

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    class Unready:
        def __iter__(self) -> Iterator[bytes]:
            raise error

    client = httpx.AsyncClient() if lane == "httpx" else None
    bodies: list[Any] = [pieces(), File(b"abc"), Unready()]
    async with Fetcher(client) as fetcher:
        results = await fetcher.fetch_many(
            [Request(server.url(), "PUT", content=body) for body in bodies]
        )
    if client is not None:
        await client.aclose()

    assert len(results.failures) == 3
    for failure in results.failures:
        assert failure.kind == FailureKind.callback
        assert failure.error is error
        assert failure.attempts == 1
