"""Event hooks of the caller's, called as httpx calls them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from asyncbatch._lanes.client._hooks import (
    PromptHooks,
    add_next_request,
    call_hooks,
    hooked_stream,
    may_wait,
    seen_by_hooks,
    send_with_hooks,
)

pytestmark = pytest.mark.any_loop


def client_of(library: Any, response: Any, *hooks: Any) -> Any:
    """Return a client that answers so, with hooks for responses."""
    return library.AsyncClient(
        transport=library.MockTransport(lambda _: response), event_hooks={"response": [*hooks]}
    )


async def test_hooks_are_called_one_after_the_other() -> None:
    """The first that raises is the last."""
    called: list[Any] = []

    async def note(argument: Any) -> None:
        called.append(argument)

    async def fail(argument: Any) -> None:
        raise KeyError(argument)

    with pytest.raises(KeyError):
        await call_hooks([note, note, fail, note], "x")

    assert called == ["x", "x"]


async def test_a_response_is_shown_to_its_hooks_before_it_leads_on(library: Any) -> None:
    """As httpx does where redirects are not followed."""
    seen: list[Any] = []

    async def note(response: Any) -> None:
        seen.append((response.status_code, response.next_request))

    moved = library.Response(302, headers={"location": "/on"})
    client = client_of(library, moved, note)
    response = await send_with_hooks(client, client.build_request("GET", "http://a.test/"))

    assert seen == [(302, None)]
    assert str(response.next_request.url) == "http://a.test/on"
    assert response.history == []


async def test_a_response_whose_hook_raises_is_closed(library: Any) -> None:
    """Its connection would stay open otherwise."""

    async def fail(_: Any) -> None:
        raise KeyError("x")

    answer = library.Response(200, content=b"body")
    client = client_of(library, answer, fail)
    with pytest.raises(KeyError):
        await send_with_hooks(client, client.build_request("GET", "http://a.test/"))

    assert answer.is_closed


@pytest.mark.parametrize(("status", "leads_on"), [(200, False), (301, True), (304, False)])
def test_only_a_redirect_leads_on(library: Any, status: int, leads_on: bool) -> None:
    """Whatever `Location` there is."""
    client = library.AsyncClient()
    native = client.build_request("GET", "http://a.test/")
    response = library.Response(status, headers={"location": "/on"}, request=native)
    add_next_request(client, native, response)

    assert (response.next_request is not None) is leads_on


@pytest.mark.parametrize(
    "change",
    [
        lambda native: setattr(native, "method", "PUT"),
        lambda native: setattr(native, "url", native.url.copy_with(path="/y")),
        lambda native: native.headers.update({"x": "y"}),
        lambda native: native.extensions.update({"x": "y"}),
        lambda native: setattr(native, "stream", object()),
    ],
    ids=["method", "url", "headers", "extensions", "stream"],
)
def test_what_a_hook_changes_is_seen(library: Any, change: Any) -> None:
    """The request is then not the one that was encoded."""
    native = library.Request("GET", "http://a.test/")
    before = seen_by_hooks(native)
    assert seen_by_hooks(native) == before
    change(native)

    assert seen_by_hooks(native) != before


def test_there_is_one_class_of_streams_for_each_library(library: Any) -> None:
    """Of the type that its responses want."""
    kind = hooked_stream(library)

    assert issubclass(kind, library.AsyncByteStream)
    assert hooked_stream(library) is kind


async def look(response: Any) -> None:
    """Wait for nothing, and define what does."""

    async def wait() -> None:
        await response.aread()

    response.later = [wait for _ in range(2)]


async def read(response: Any) -> None:
    """Wait by `await`."""
    await response.aread()


async def enter(response: Any) -> None:
    """Wait by `async with`."""
    async with response:
        pass


async def iterate(response: Any) -> None:
    """Wait by `async for`."""
    async for _ in response:
        pass


async def collect(response: Any) -> None:
    """Wait in a comprehension."""
    [piece async for piece in response]


def return_waiting(response: Any) -> Any:
    """Return a coroutine that waits."""
    return read(response)


class Hooks:
    """Hooks that are methods."""

    async def look(self, response: Any) -> None:
        """Wait for nothing."""

    async def read(self, response: Any) -> None:
        """Wait."""
        await response.aread()

    async def __call__(self, response: Any) -> None:
        """Wait for nothing, which is not looked for here."""


@pytest.mark.parametrize("hook", [look, Hooks().look], ids=["function", "method"])
def test_a_coroutine_function_without_await_cannot_wait(hook: Any) -> None:
    """What it defines does not matter."""
    assert not may_wait(hook)


@pytest.mark.parametrize(
    "hook",
    [
        *(read, enter, iterate, collect, Hooks().read),
        *(return_waiting, functools.partial(look), Hooks(), None),
    ],
    ids=lambda hook: str(hook).partition(" at ")[0],
)
def test_all_other_hooks_may_wait(hook: Any) -> None:
    """Also those whose code is not known."""
    assert may_wait(hook)


def test_hooks_are_prompt_while_none_of_them_may_wait() -> None:
    """However often the list is changed; what is returned is a copy of it."""
    known = PromptHooks()
    hooks: list[Any] = [look]
    found = known.found_in(hooks)
    hooks.append(read)

    assert found == [look]
    assert known.found_in(hooks) is None
    hooks.pop()
    assert known.found_in(hooks) == [look]
    assert known.found_in([]) == []
    assert known.found_in((look,)) is None
    assert known.found_in(iter([look])) is None
