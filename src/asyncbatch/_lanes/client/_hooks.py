"""
Call the caller's event hooks, as httpx does, around an exchange on the engine.
"""

from __future__ import annotations

import datetime
import dis
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from types import FunctionType, MethodType
from typing import Any

from asyncbatch._engine import Exchange


async def call_hooks(hooks: Iterable[Callable[[Any], Awaitable[Any]]], argument: Any) -> None:
    """
    Call event hooks one after the other, as httpx does.

    `failures/_callers.py` recognizes errors of hooks by the name of this function.
    """
    for hook in hooks:
        await hook(argument)


def may_wait(hook: object) -> bool:
    """
    Whether calling a hook and awaiting what it returns may suspend the task.

    A coroutine is suspended by `await`, `async with` or `async for` alone, all of which are
    compiled to a `YIELD_VALUE` in its own code. Most hooks look at the response and have none.
    """
    function = hook.__func__ if isinstance(hook, MethodType) else hook
    if not isinstance(function, FunctionType) or "YIELD_VALUE" not in dis.opmap:
        return True
    code = function.__code__
    if not code.co_flags & inspect.CO_COROUTINE:
        return True
    return any(step.opname == "YIELD_VALUE" for step in dis.get_instructions(code))


class PromptHooks:
    """Remembers of the hooks of one kind whether they end without waiting, as most do."""

    __slots__ = ("_are_prompt", "_hooks")

    def __init__(self) -> None:
        self._hooks: list[Any] = []
        self._are_prompt = True

    def found_in(self, hooks: Any) -> list[Any] | None:
        """Return a copy of `hooks` if none of them can wait, else `None`."""
        if type(hooks) is not list:
            return None
        if hooks != self._hooks:
            self._hooks = hooks.copy()
            self._are_prompt = not any(map(may_wait, hooks))
        return self._hooks if self._are_prompt else None


async def send_with_hooks(client: Any, native: Any) -> Any:
    """
    Send a request whose hooks have been called, and call the hooks of its response.

    This is what httpx's `_send_handling_redirects` does after the request hooks if it follows no
    redirects.
    """
    response = await client._send_single_request(native)
    try:
        await call_hooks(client.event_hooks["response"], response)
        add_next_request(client, native, response)
    except BaseException:
        await response.aclose()
        raise
    return response


def add_next_request(client: Any, native: Any, response: Any) -> None:
    """Set `next_request` if the response is a redirect."""
    response.history = []
    if response.has_redirect_location:
        response.next_request = client._build_redirect_request(native, response)


def seen_by_hooks(native: Any) -> tuple[Any, ...]:
    """Return the parts of a request that its hooks may change."""
    return (
        native.method,
        native.url,
        native.headers.raw,
        native.headers.encoding,
        native.stream,
        dict(native.extensions),
    )


@functools.cache
def hooked_stream(library: Any) -> Any:
    """Return the class of streams for responses that are passed to hooks."""
    # A private name of httpx and httpx2. It maps errors of httpcore to the library's types.
    wrapped = library._transports.default.AsyncResponseStream

    class HookedStream(library.AsyncByteStream):  # type: ignore[misc]  # chosen at run time
        """
        The body of a response, which a hook may read first.

        Args:
            pool: The transport's.
            exchange: The exchange whose body it is.

        Attributes:
            response: The response, whose `elapsed` is set when the stream is closed.
        """

        def __init__(self, pool: Any, exchange: Exchange) -> None:
            self._pool = pool
            self._exchange = exchange
            self.response: Any = None

        async def __aiter__(self) -> Any:
            async for piece in wrapped(self._pool.body_stream(self._exchange)):
                yield piece

        async def aclose(self) -> None:
            seconds = monotonic() - self._exchange.begun_at
            self.response.elapsed = datetime.timedelta(seconds=seconds)
            await self._pool.body_stream(self._exchange).aclose()

    return HookedStream
