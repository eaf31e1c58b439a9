"""The short send: what `client.send` returns and raises, without its steps."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from http.cookiejar import CookieJar
from typing import Any
from unittest import mock

import pytest

from asyncbatch._lanes.client._short_send import ShortSend

pytestmark = pytest.mark.any_loop

ANSWERS: dict[str, dict[str, Any]] = {
    "plain": {"status_code": 200, "json": {"a": 1}},
    "without a body": {"status_code": 204},
    "sets a cookie": {"status_code": 200, "headers": {"Set-Cookie": "a=1; Path=/"}},
    "sets two cookies": {"status_code": 200, "headers": [("set-cookie", "a=1"), ("x", "y")]},
    "redirect": {"status_code": 302, "headers": {"location": "/on", "set-cookie": "a=1"}},
    "redirect elsewhere": {"status_code": 307, "headers": {"location": "http://b.test/on"}},
    "redirect without a location": {"status_code": 301},
    "redirect to no URL": {"status_code": 301, "headers": {"location": "http://b.test:port/"}},
    "redirect to another scheme": {"status_code": 301, "headers": {"location": "ftp://b.test/"}},
    "not found": {"status_code": 404, "content": b"no"},
}


def client_of(library: Any, answer: Any, **options: Any) -> Any:
    """Return a client whose transport calls `answer`, or gives it."""
    answers = answer if callable(answer) else lambda _: answer
    return library.AsyncClient(transport=library.MockTransport(answers), **options)


def request_to(client: Any, **options: Any) -> Any:
    return client.build_request("POST", "http://a.test/x?y", content=b"body", **options)


async def seen(client: Any, library: Any, sending: Any) -> dict[str, Any]:
    """Return all that a caller can see of what came of sending."""
    try:
        response = await sending
    except library.HTTPError as error:
        return {"error": (type(error), str(error)), "request": error.request.url}
    following = response.next_request
    return {
        "status": response.status_code,
        "fields": response.headers.raw,
        "history": response.history,
        "request": (response.request.method, response.url, response.request.headers.raw),
        "encoding": response.default_encoding,
        "extensions": sorted(response.extensions),
        "stream": type(response.stream),
        "next": following and (following.method, following.url, following.headers.raw),
        "cookies": [(c.name, c.value, c.domain, c.path) for c in client.cookies.jar],
        "content": await response.aread(),
        "is closed": response.is_closed,
    }


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_short_send_gives_what_the_client_gives(library: Any, name: str) -> None:
    """Responses, redirects and cookies are those of httpx's own `send`."""
    results = []
    for is_short in (False, True):
        response = library.Response(**ANSWERS[name])
        client = client_of(library, response, default_encoding="latin-1", cookies={"b": "2"})
        async with client:
            native, short = request_to(client), ShortSend(client, library)
            assert short.takes(native)
            sending = (
                short.send(native)
                if is_short
                else client.send(native, stream=True, auth=library.Auth(), follow_redirects=False)
            )
            results.append(await seen(client, library, sending))

    assert results[0] == results[1]


async def test_a_body_that_arrives_is_bound_to_its_response(library: Any) -> None:
    """Its end sets the time that the response took."""

    class Body(library.AsyncByteStream):  # type: ignore[misc]  # chosen at run time
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"a"

    async with client_of(library, library.Response(200, stream=Body())) as client:
        response = await ShortSend(client, library).send(request_to(client))
        content = await response.aread()

    assert content == b"a"
    assert response.elapsed.total_seconds() >= 0


@pytest.mark.parametrize("error", ["ConnectError", "ReadTimeout", "RemoteProtocolError"])
async def test_an_error_of_the_transport_names_its_request(library: Any, error: str) -> None:
    """It is raised as it is, with the request that failed."""

    def fail(_: Any) -> Any:
        raise getattr(library, error)("no")

    async with client_of(library, fail) as client:
        native = request_to(client)
        with pytest.raises(getattr(library, error)) as caught:
            await ShortSend(client, library).send(native)

    assert caught.value.request is native


async def test_a_redirect_that_leads_nowhere_closes_its_response(library: Any) -> None:
    """Its connection would stay open otherwise; httpx2 returns such a response."""
    moved = library.Response(302, headers={"location": "http://b.test:port/"})
    async with client_of(library, moved) as client:
        try:
            response = await ShortSend(client, library).send(request_to(client))
        except library.RemoteProtocolError:
            assert moved.is_closed
            return

    assert library.__name__ == "httpx2"
    assert response.next_request is None


class _Strange(CookieJar):
    """A jar that looks at each response."""

    looked = 0

    def extract_cookies(self, response: Any, request: Any) -> None:
        self.looked += 1


async def test_a_jar_of_the_callers_own_sees_what_httpx_shows_it(library: Any) -> None:
    """It may look for more than cookies. httpx2 shows it only responses that set one."""
    jar = _Strange()
    async with client_of(library, library.Response(200)) as client:
        client.cookies.jar = jar
        await client.send(request_to(client))
        shown = jar.looked
        await ShortSend(client, library).send(request_to(client))

    assert jar.looked == 2 * shown
    assert shown or library.__name__ == "httpx2"


def _subclass(library: Any) -> Any:
    class Client(library.AsyncClient):  # type: ignore[misc]  # chosen at run time
        async def send(self, *given: Any, **named: Any) -> Any:
            return await super().send(*given, **named)

    return Client(transport=library.MockTransport(lambda _: library.Response(200)))


async def test_a_client_with_a_send_of_its_own_is_asked(library: Any) -> None:
    """A subclass may do more in it."""
    async with _subclass(library) as client:
        assert not ShortSend(client, library).takes(request_to(client))


@pytest.mark.parametrize("name", ["send", "_send_handling_auth", "_send_single_request"])
async def test_a_replaced_method_is_asked(
    library: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instruments replace methods of the class or of one client, at any time."""
    async with client_of(library, library.Response(200)) as client:
        native, short = request_to(client), ShortSend(client, library)
        assert short.takes(native)

        async def replaced(*given: Any, **named: Any) -> Any: ...

        with monkeypatch.context() as patch:
            patch.setattr(library.AsyncClient, name, replaced)
            assert not short.takes(native)
        assert short.takes(native)
        setattr(client, name, replaced)
        assert not short.takes(native)


@pytest.mark.parametrize("name", ["send", "_send_single_request"])
async def test_a_method_that_a_mock_stands_for_is_asked(library: Any, name: str) -> None:
    """One with `autospec` has no module."""
    async with client_of(library, library.Response(200)) as client:
        native, short = request_to(client), ShortSend(client, library)
        with mock.patch.object(library.AsyncClient, name, autospec=True):
            assert not short.takes(native)
        with mock.patch.object(library.Cookies, "extract_cookies", autospec=True) as extract:
            await short.send(native)
        assert extract.call_count == 1


@pytest.mark.parametrize("name", ["_send_single_request", "_send_handling_redirects"])
async def test_a_release_whose_steps_do_more_is_asked(
    library: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that uses a name more may do what the short send does not."""
    async with client_of(library, library.Response(200)) as client:
        step = getattr(library.AsyncClient, name)
        code = step.__code__
        monkeypatch.setattr(step, "__code__", code.replace(co_names=(*code.co_names, "retries")))
        assert not ShortSend(client, library).takes(request_to(client))


@pytest.mark.parametrize("name", ["_send_handling_auth", "_send_single_request"])
async def test_a_release_without_a_step_is_asked(
    library: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its steps have other names, and may do anything."""
    async with client_of(library, library.Response(200)) as client:
        native = request_to(client)
        monkeypatch.delattr(library.AsyncClient, name)
        assert not ShortSend(client, library).takes(native)


class _Bound:
    """A stream that is bound to its response in another way."""

    def __init__(self, stream: Any, response: Any, clock: Any) -> None: ...


@pytest.mark.parametrize("bound", [None, _Bound])
async def test_a_release_that_binds_bodies_in_another_way_is_asked(
    library: Any, bound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class is a private one of httpx."""
    monkeypatch.setattr(library._client, "BoundAsyncStream", bound)
    async with client_of(library, library.Response(200)) as client:
        assert not ShortSend(client, library).takes(request_to(client))


async def test_hooks_that_are_added_meanwhile_are_called(library: Any) -> None:
    """As by httpx, which looks for them once the head is there."""
    called: list[int] = []

    async def hook(response: Any) -> None:
        called.append(response.status_code)

    def answer(_: Any) -> Any:
        client.event_hooks = {"response": [hook]}
        return library.Response(200)

    client = client_of(library, answer)
    async with client:
        short = ShortSend(client, library)
        assert short.takes(request_to(client))
        await short.send(request_to(client))
        assert called == [200]

        client.event_hooks = {"request": [hook]}
        assert not short.takes(request_to(client))


@pytest.mark.parametrize("name", ["extract_cookies", "make_cookies"])
async def test_a_jar_that_was_changed_sees_each_response(library: Any, name: str) -> None:
    """Also one whose method was replaced on the object."""
    seen_by_jar: list[Any] = []
    async with client_of(library, lambda _: library.Response(200)) as client:
        jar = client.cookies.jar
        original = getattr(jar, name)
        setattr(jar, name, lambda *args: seen_by_jar.append(args) or original(*args))
        await client.send(request_to(client))
        by_the_client = len(seen_by_jar)  # httpx2 looks for cookies itself
        await ShortSend(client, library).send(request_to(client))

    assert len(seen_by_jar) == 2 * by_the_client


@pytest.fixture
def httpx_logs(library: Any) -> Iterator[None]:
    """Let httpx log its requests."""
    logger = logging.getLogger(library.__name__)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(before)


@pytest.mark.usefixtures("httpx_logs")
async def test_a_request_that_is_logged_is_sent_by_httpx(library: Any) -> None:
    """Its line names the place in httpx that logs it."""
    async with client_of(library, library.Response(200)) as client:
        assert not ShortSend(client, library).takes(request_to(client))


async def test_a_client_that_is_not_open_is_asked(library: Any) -> None:
    """A closed one refuses to send; one that was not used yet opens itself."""
    client = client_of(library, library.Response(200))
    native, short = request_to(client), ShortSend(client, library)
    before = short.takes(native)
    await client.aclose()

    assert (before, short.takes(native)) == (False, False)


async def test_a_body_for_plain_clients_is_refused_by_httpx(library: Any) -> None:
    """It says so in its own words."""

    class Plain(library.SyncByteStream):  # type: ignore[misc]  # chosen at run time
        def __iter__(self) -> Iterator[bytes]:
            yield b"a"

    async with client_of(library, library.Response(200)) as client:
        native = library.Request("POST", "http://a.test/", stream=Plain())
        native.extensions["timeout"] = {}
        assert not ShortSend(client, library).takes(native)
