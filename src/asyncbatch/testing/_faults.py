"""
Faults of a `FaultTransport`: frozen values that compose.

Each fault is a layer around the rest of the transport. It says which requests it strikes; the
transport counts the tries and draws the random numbers.
"""

from __future__ import annotations

import errno
import functools
import math
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self, cast

import anyio
import attrs
import httpx

from ._pattern import wildcard
from ._reply import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

ANY_URL = wildcard("*")

Forward = Callable[[], Awaitable[httpx.Response]]
Phase = Literal["connect", "read", "write", "pool"]


class Effect(Protocol):
    """What a fault does to a request; `forward` passes the request on to the inner transport.

    `library` is httpx or httpx2, whose responses and errors the client expects. `extra` is the
    jitter of this request, in seconds.
    """

    async def __call__(
        self, library: Any, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response: ...


@attrs.frozen
class Fault:
    """
    A fault that strikes requests. Make it with a class method, then narrow it.

        Fault.dns().on("https://gone.example/*")
        Fault.status(503, retry_after=2).first(2)
        Fault.connect().sometimes(0.05)

    A fault that is not narrowed strikes every request.
    """

    name: str
    """Its name in `FaultTransport.injected`."""
    effect: Effect
    pattern: re.Pattern[str] = ANY_URL
    method: str | None = None
    probability: float = attrs.field(
        default=1.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )
    tries: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.ge(1))
    )

    jitter: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    """Maximum of the additional seconds, for a fault that takes time."""

    # What goes wrong

    @classmethod
    def connect(cls) -> Self:
        """Refuse the connection: `ConnectError`, caused by a `ConnectionRefusedError`."""
        args = (errno.ECONNREFUSED, "Connection refused")
        return cls("connect", _Raise("ConnectError", OSError, args))

    @classmethod
    def dns(cls) -> Self:
        """Fail to resolve the name: `ConnectError`, caused by a `socket.gaierror`."""
        args = (socket.EAI_NONAME, "Name or service not known")
        return cls("dns", _Raise("ConnectError", socket.gaierror, args))

    @classmethod
    def tls(cls) -> Self:
        """Fail to verify the certificate: `ConnectError`, from `ssl.SSLCertVerificationError`."""
        args = (1, "certificate verify failed: self-signed")
        return cls("tls", _Raise("ConnectError", ssl.SSLCertVerificationError, args))

    @classmethod
    def timeout(cls, phase: Phase = "read") -> Self:
        """Raise the timeout error of a phase at once, as `ReadTimeout` for `"read"`.

        `hang` raises it after the time has passed.
        """
        return cls("timeout", _Raise(f"{phase.capitalize()}Timeout", TimeoutError, ()))

    @classmethod
    def reset(cls, *, body: int | None = None) -> Self:
        """Reset the connection before the response, or after `body` raw bytes: `ReadError`."""
        error = _Raise("ReadError", OSError, (errno.ECONNRESET, "reset by peer"))
        return cls("reset", error if body is None else _BreakBody(error, body))

    @classmethod
    def cut(cls, *, body: int | None = None) -> Self:
        """Close the connection at the place that `reset` describes: `RemoteProtocolError`."""
        error = _Raise("RemoteProtocolError", EOFError, ("server disconnected",))
        return cls("cut", error if body is None else _BreakBody(error, body))

    @classmethod
    def latency(cls, seconds: float, *, jitter: float = 0.0) -> Self:
        """Answer late, by `seconds` and up to `jitter` more, on the event loop's clock.

        If the read timeout of the request is shorter, `ReadTimeout` is raised.
        """
        return cls("latency", _Wait(seconds), jitter=jitter)

    @classmethod
    def hang(cls) -> Self:
        """Never answer: `ReadTimeout`, after the read timeout of the request."""
        return cls("hang", _Wait(math.inf))

    @classmethod
    def status(cls, status: int, *, retry_after: float | datetime | str | None = None) -> Self:
        """Answer with an empty response, with `Retry-After` as `Reply.retry_after` writes it."""
        reply = Reply(status)
        return cls(
            str(status),
            _Answer(reply if retry_after is None else reply.retry_after(retry_after)),
        )

    # Which requests it strikes

    def on(self, url: str, *, method: str | None = None) -> Self:
        """Strike only URLs that match, where `*` is any text: `"https://gone.example/*"`."""
        return attrs.evolve(self, pattern=wildcard(url), method=method)

    def sometimes(self, probability: float) -> Self:
        """Strike with this probability, 0 to 1, determined by the seed, the URL and the try."""
        return attrs.evolve(self, probability=probability)

    def first(self, tries: int) -> Self:
        """Strike only the first `tries` tries of each method and URL."""
        return attrs.evolve(self, tries=tries)

    @property
    def is_random(self) -> bool:
        """Whether it needs random numbers."""
        return self.probability < 1 or self.jitter > 0

    def matches(self, request: httpx.Request) -> bool:
        """Whether this fault may strike a request of this method and URL."""
        if self.method is not None and self.method != request.method:
            return False
        return self.pattern.fullmatch(str(request.url)) is not None


@attrs.frozen
class _Raise:
    name: str
    """The name of the error in httpx."""
    cause: type[Exception]
    args: tuple[Any, ...]
    """The arguments of the cause. With them, an `OSError` becomes the subclass of its number."""

    async def __call__(
        self, library: Any, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response:
        self.strike(library, request)

    def strike(self, library: Any, request: httpx.Request) -> NoReturn:
        # A new cause each time: a shared one would collect all tracebacks.
        cause = self.cause(*self.args)
        raise getattr(library, self.name)(str(cause), request=request) from cause


@attrs.frozen
class _BreakBody:
    error: _Raise
    size: int = attrs.field(validator=attrs.validators.ge(0))

    async def __call__(
        self, library: Any, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response:
        whole = await forward()
        body = _broken_stream(library)(
            whole, self.size, lambda: self.error.strike(library, request)
        )
        response: httpx.Response = library.Response(
            whole.status_code, headers=whole.headers, stream=body, extensions=whole.extensions
        )
        return response


@attrs.frozen
class _Wait:
    seconds: float = attrs.field(validator=attrs.validators.ge(0))

    async def __call__(
        self, library: Any, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response:
        wait = self.seconds + extra
        read_timeout: float | None = request.extensions.get("timeout", {}).get("read")
        if read_timeout is not None and wait > read_timeout:
            await anyio.sleep(read_timeout)
            raise library.ReadTimeout("no answer in time", request=request)
        await (anyio.sleep_forever() if math.isinf(wait) else anyio.sleep(wait))
        return await forward()


@attrs.frozen
class _Answer:
    reply: Reply

    async def __call__(
        self, library: Any, request: httpx.Request, forward: Forward, extra: float
    ) -> httpx.Response:
        response: httpx.Response = library.Response(
            self.reply.status, headers=self.reply.headers, request=request
        )
        return response


EFFECTS = (_Raise, _BreakBody, _Wait, _Answer)
"""The classes of effects."""


@functools.cache
def _broken_stream(library: Any) -> Any:
    """Return a class of bodies of the type that the client of `library` requires."""

    class BrokenStream(library.AsyncByteStream):  # type: ignore[misc]
        """The first bytes of a response, and then an error."""

        def __init__(self, whole: httpx.Response, size: int, strike: Callable[[], None]) -> None:
            self._whole = whole
            self._left = size
            self._strike = strike

        async def __aiter__(self) -> AsyncIterator[bytes]:
            pieces = aiter(cast("httpx.AsyncByteStream", self._whole.stream))
            try:
                async for piece in pieces:
                    if self._left:
                        yield piece[: self._left]
                    self._left -= len(piece)
                    if self._left <= 0:
                        break
            finally:
                # Close a generator that was left early, rather than leave it to garbage collection.
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
            self._strike()

        async def aclose(self) -> None:
            await self._whole.aclose()

    return BrokenStream
