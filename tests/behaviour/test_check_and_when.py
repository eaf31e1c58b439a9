"""`check=` and `Retry(when=)`: the caller's own word on what counts, and on what is tried again."""

from __future__ import annotations

import functools
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Failure, FailureKind, Fetcher, Request, Retry, fetch_many
from asyncbatch.testing import FakeClock, LoopbackServer, Reply
from tests.transports import run_virtually

URL = "http://host.test/"


def answering(*statuses: int, **headers: str) -> tuple[httpx.MockTransport, list[str]]:
    """Return a transport with these answers, which repeats the last, and the methods it saw."""
    seen: list[str] = []
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(request: httpx.Request) -> httpx.Response:
        status = statuses[min(len(seen), len(statuses) - 1)]
        seen.append(request.method)
        return httpx.Response(status, text=str(status), headers=names)

    return httpx.MockTransport(answer), seen


def virtually(function: Callable[[], Any]) -> Any:
    return run_virtually("asyncio", function)


# check


def refuse_200(response: httpx.Response) -> None:
    if response.status_code == 200:
        raise AssertionError("a page that is none")


@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_what_check_raises_is_a_failure_with_its_response(lane: str, server: LoopbackServer):
    """Status, headers and content stay; the error is the exception itself, with its traceback."""
    server.on("/", Reply(body=b"moved").with_header("x-why", "gone"))
    client = httpx.AsyncClient() if lane == "client" else None
    async with Fetcher(client, check=refuse_200) as fetcher:
        result = await fetcher.fetch(server.url("/"))
    if client is not None:
        await client.aclose()

    assert isinstance(result, Failure)
    assert result.kind == FailureKind.callback
    assert type(result.error) is AssertionError
    assert (result.status_code, result.content, result.attempts) == (200, b"moved", 1)
    assert result.response is not None
    assert result.response.text == "moved"
    assert result.headers["x-why"] == "gone"
    frames = traceback.extract_tb(result.error.__traceback__)
    assert [frame.name for frame in frames] == ["refuse_200"]


async def test_check_sees_every_response_below_400_and_no_other():
    """A failed status is a failure anyway."""
    seen: list[int] = []
    transport, _ = answering(200, 304, 404, 503)
    options: Any = {"transport": transport, "retry": None, "concurrency": 1}
    async with Fetcher(check=lambda response: seen.append(response.status_code), **options) as f:
        results = await f.fetch_many([URL] * 4)

    assert seen == [200, 304]
    assert [result.ok or result.kind for result in results] == [True, True, "status", "status"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_ends_a_program_is_no_failure(error: type[BaseException]):
    """It ends the batch."""
    transport, _ = answering(200)

    def check(_: httpx.Response) -> None:
        raise error

    with pytest.raises(error):
        await fetch_many([URL], transport=transport, check=check)


def exiting(*_: Any) -> Any:
    """Raise what closes a generator, which nobody closes here."""
    raise GeneratorExit("own")


async def exiting_hook(_: Any) -> None:
    exiting()


def exiting_body() -> Iterator[bytes]:
    yield b"x"
    exiting()


async def exiting_async_body() -> AsyncIterator[bytes]:
    yield b"x"
    exiting()


class ExitingAuth(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Any:
        exiting()
        yield request


EXITS: dict[str, Callable[[str], tuple[Any, dict[str, Any]]]] = {
    "body": lambda url: (Request(url, "POST", content=exiting_body()), {}),
    "async body": lambda url: (Request(url, "POST", content=exiting_async_body()), {}),
    "request hook": lambda url: (url, {"event_hooks": {"request": [exiting_hook]}}),
    "response hook": lambda url: (url, {"event_hooks": {"response": [exiting_hook]}}),
    "auth": lambda url: (Request(url, auth=ExitingAuth()), {}),
    "check": lambda url: (url, {"check": exiting}),
    "when": lambda url: (f"{url}404", {"retry": Retry(when=exiting)}),
}


@pytest.mark.parametrize("place", EXITS)
async def test_a_generator_exit_of_the_callers_own_is_a_failure_of_its_request(
    place: str, server: LoopbackServer
) -> None:
    """Nobody has closed anything: it would tear the batch, or be waited for without end."""
    server.on("/404", Reply(404))
    request, options = EXITS[place](server.url())
    async with Fetcher(trust_env=False, **options) as fetcher:
        with anyio.fail_after(20):
            result = await fetcher.fetch(request)

    assert result.kind == FailureKind.callback
    assert "the caller's own code raised GeneratorExit" in str(result.error)
    assert isinstance(result.error, RuntimeError)
    assert isinstance(result.error.__cause__, GeneratorExit)


class Ending(BaseException):
    """Ends a program, as `pytest.fail` ends a test."""


def ending_body() -> Iterator[bytes]:
    yield b"x"
    raise Ending


async def test_what_is_no_exception_ends_the_batch_from_within_a_body_too(
    server: LoopbackServer,
) -> None:
    """In the task that sends the body nobody would see it."""
    request = Request(server.url(), "POST", content=ending_body())

    with anyio.fail_after(20), pytest.raises(Ending):
        await fetch_many([request], trust_env=False)


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_generator_exit_of_the_input_comes_after_the_results(is_async: bool) -> None:
    """As any other error of an input."""
    transport, _ = answering(200)

    def plain() -> Iterator[str]:
        yield URL
        exiting()

    async def asynchronous() -> AsyncIterator[str]:
        yield URL
        exiting()

    seen = []

    async def consume() -> None:
        requests = asynchronous() if is_async else plain()
        async with Fetcher(transport=transport) as f, f.stream(requests) as results:
            async for result in results:
                seen.append(result)  # noqa: PERF401  # it raises at the end

    with pytest.raises(RuntimeError, match="the iterable raised GeneratorExit"):
        await consume()

    assert [result.ok for result in seen] == [True]


async def _async_check(response: httpx.Response) -> None: ...


class AsyncCallable:
    async def __call__(self, _: Any) -> None: ...


@pytest.mark.parametrize(
    "wrong", [_async_check, functools.partial(_async_check), AsyncCallable(), 1, "x", True]
)
@pytest.mark.parametrize("option", ["check", "when"])
def test_what_is_no_plain_function_is_refused(option: str, wrong: Any):
    """At the call, by name and value."""
    with pytest.raises(TypeError, match=f"{option} must be a function") as caught:
        Fetcher(check=wrong) if option == "check" else Retry(when=wrong)

    assert repr(wrong) in str(caught.value)


async def test_a_check_that_returns_a_coroutine_is_a_failure():
    """Nobody would await it, and everything would pass."""
    transport, _ = answering(200)
    async with Fetcher(transport=transport, check=lambda _: _async_check(_)) as fetcher:
        result = await fetcher.fetch(URL)

    assert result.kind == FailureKind.callback
    assert "check must be a plain function" in str(result.error)


def test_a_check_is_tried_again_where_when_says_so():
    """As often as `attempts` says."""
    transport, seen = answering(200, 200, 204)

    async def main():
        retry = Retry(attempts=5, when=lambda failure: failure.kind == "callback")
        async with Fetcher(transport=transport, check=refuse_200, retry=retry) as fetcher:
            return await fetcher.fetch(URL)

    result = virtually(main)

    assert result.ok
    assert result.attempts == len(seen) == 3
    assert [type(attempt.error) for attempt in result.history] == [AssertionError] * 2
    assert [attempt.status_code for attempt in result.history] == [200, 200]


def test_the_time_of_check_and_when_is_nobodys():
    """Neither in `elapsed` nor against a limit, of that request or of others."""

    async def main():
        with FakeClock() as clock:

            async def handle(_: httpx.Request) -> httpx.Response:
                await anyio.sleep(0.1)
                return httpx.Response(200)

            def check(_: httpx.Response) -> None:
                clock.advance(0.7)

            options: Any = {"timeout": 0.5, "deadline": 0.6, "retry": None, "check": check}
            async with Fetcher(transport=httpx.MockTransport(handle), **options) as fetcher:
                return await fetcher.fetch_many([URL] * 5)

    results = anyio.run(main)

    assert not results.failures
    assert max(result.elapsed for result in results) < 0.2


# when


def fetched(retry: Retry, *statuses: int, method: str = "GET", **headers: str) -> Any:
    transport, seen = answering(*statuses, **headers)

    async def main():
        async with Fetcher(transport=transport, retry=retry) as fetcher:
            return await fetcher.fetch(Request(URL, method))

    result = virtually(main)
    assert len(seen) == result.attempts
    return result


@pytest.mark.parametrize(
    ("answer", "status", "attempts"),
    [
        (None, 503, 3),
        (None, 404, 1),
        (False, 503, 1),
        (True, 404, 3),
        (0, 404, 3),
        (2.5, 404, 3),
    ],
)
def test_when_says_what_is_tried_again(answer: Any, status: int, attempts: int):
    """`None` leaves it to the policy, and `attempts` stays the bound."""
    asked: list[int] = []

    def when(failure: Failure) -> Any:
        asked.append(failure.attempts)
        assert failure.status_code == status
        assert failure.text == str(status)
        return answer

    result = fetched(Retry(when=when), status)

    assert (result.kind, result.attempts) == (FailureKind.status, attempts)
    assert asked == list(range(1, min(attempts, 2) + 1))


def test_a_number_is_how_long_it_waits():
    """Whatever the back-off, and whatever the server asks for."""
    result = fetched(Retry(when=lambda _: 7), 404, 404, 200)
    assert [attempt.delay for attempt in result.history] == [7, 7]
    assert result.elapsed == pytest.approx(14, abs=0.1)

    longer = fetched(Retry(when=lambda _: 90), 500, 200, retry_after="80")
    assert longer.ok
    assert longer.history[0].delay == 90


def test_true_waits_as_the_server_asks():
    """And no longer than the policy allows."""
    result = fetched(Retry(when=lambda _: True), 404, 200, retry_after="5")
    assert result.history[0].delay == 5

    refused = fetched(Retry(when=lambda _: True), 404, 200, retry_after="90")
    assert (refused.kind, refused.attempts) == (FailureKind.retry_after, 1)
    given_up = fetched(Retry(when=lambda _: False), 404, retry_after="90")
    assert given_up.kind == FailureKind.status


def test_when_may_ask_for_a_post_again_and_for_any_kind():
    """It is its caller's word; but a body that is gone is not sent again."""
    assert fetched(Retry(when=lambda _: True), 500, 200, method="POST").ok

    async def pieces():
        yield b"a"

    asked: list[Failure] = []
    transport, _ = answering(500)

    async def main():
        retry = Retry(when=lambda failure: asked.append(failure) or True)
        async with Fetcher(transport=transport, retry=retry) as fetcher:
            return await fetcher.fetch(Request(URL, "PUT", content=pieces()))

    result = virtually(main)
    assert (result.attempts, asked) == (1, [])


def test_when_is_asked_about_failures_only():
    """A success is a success."""
    assert fetched(Retry(when=lambda _: True), 200).attempts == 1


class Wrong(Exception):
    """The caller's own."""


def _fail(_: Failure) -> bool:
    raise Wrong("my own")


@pytest.mark.parametrize(
    ("when", "error", "text"),
    [
        (_fail, Wrong, "my own"),
        (lambda _: "yes", TypeError, "Retry.when must return True, .* not 'yes'"),
        (lambda _: -1, ValueError, "0 or more seconds, not -1"),
        (lambda _: float("nan"), ValueError, "0 or more seconds, not nan"),
        (lambda _: float("inf"), ValueError, "0 or more seconds, not inf"),
        (lambda _: _async_check(_), TypeError, "must be a plain function"),
    ],
)
def test_what_when_raises_or_must_not_return_is_of_kind_callback(
    when: Any, error: type[Exception], text: str
):
    """With the response of what it was asked about."""
    result = fetched(Retry(when=when), 503)

    assert (result.kind, result.attempts) == (FailureKind.callback, 1)
    with pytest.raises(error, match=text):
        raise result.error
    assert (result.status_code, result.text) == (503, "503")


# Refused before anything was done


@pytest.mark.parametrize(
    ("status", "headers", "attempts"),
    [
        (429, {}, 3),
        (429, {"retry_after": "2"}, 3),
        (503, {"retry_after": "2"}, 3),
        (503, {}, 1),
        (503, {"retry_after": "soon"}, 1),
        (500, {"retry_after": "2"}, 1),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
def test_a_refused_request_is_tried_again_whatever_its_method(
    method: str, status: int, headers: dict[str, str], attempts: int
):
    """429 says that nothing was done, and so does 503 with `Retry-After`."""
    assert fetched(Retry(), status, method=method, **headers).attempts == attempts


def test_a_status_that_is_not_to_be_tried_again_is_not():
    """`statuses` has the last word."""
    assert fetched(Retry(statuses={500}), 429, method="POST").attempts == 1


@pytest.mark.parametrize(("redirect", "attempts"), [(307, 2), (308, 2), (303, 1), (302, 1)])
def test_a_post_that_was_taken_before_a_refusal_is_not_sent_again(redirect: int, attempts: int):
    """What was led on as it is has not been done; what was answered by "see other" may have."""
    posts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/":
            posts.append(request.method)
            return httpx.Response(redirect, headers={"location": "/there"})
        return httpx.Response(429)

    async def main():
        transport = httpx.MockTransport(answer)
        async with Fetcher(transport=transport, retry=Retry(attempts=2)) as fetcher:
            return await fetcher.fetch(Request(URL, "POST", content=b"x"))

    result = virtually(main)

    assert result.attempts == len(posts) == attempts


def test_a_refused_body_that_cannot_be_sent_again_is_not():
    """An iterator that has been read from."""

    async def pieces():
        yield b"a"

    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(429)

    async def main():
        async with Fetcher(transport=httpx.MockTransport(answer)) as fetcher:
            return await fetcher.fetch(Request(URL, "POST", content=pieces()))

    assert virtually(main).attempts == 1
    assert bodies == [b"a"]
