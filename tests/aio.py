"""
What tests use of asyncio, under the same names, on whichever event loop runs.

Tasks that a test begins and cancels one by one, and streams of a server whose script is the test's.
On asyncio these are asyncio's own; on trio they are made of system tasks, so that no nursery wraps
what a test raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from typing import Any, Self, TypeAlias

import anyio
import trio

IncompleteReadError = asyncio.IncompleteReadError
StreamReader: TypeAlias = Any
StreamWriter: TypeAlias = Any
Task: TypeAlias = Any
Future: TypeAlias = Any

_log = logging.getLogger(__name__)


class _Cancelled(Exception):
    """A task on trio was cancelled."""


CancelledError = (asyncio.CancelledError, trio.Cancelled, _Cancelled)
"""
What a cancelled task raises, in the task and in the one that awaits it: for `except`,
`isinstance` and `pytest.raises`.
"""


def _is_on_trio() -> bool:
    return trio.lowlevel.in_trio_task()


def Event() -> Any:  # noqa: N802  # as asyncio has it
    """Return an event."""
    return _TrioEvent() if _is_on_trio() else asyncio.Event()


class _TrioEvent:
    """An event that can be cleared."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    def clear(self) -> None:
        if self._event.is_set():
            self._event = trio.Event()

    async def wait(self) -> bool:
        await self._event.wait()
        return True


async def sleep(seconds: float) -> None:
    """Sleep; for 0 seconds, until every task that has been begun has taken a step."""
    if not _is_on_trio():
        await asyncio.sleep(seconds)
    elif seconds:
        await trio.sleep(seconds)
    else:
        for _ in range(3):  # trio runs those of one turn in any order
            await trio.lowlevel.checkpoint()


async def to_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Call in a thread."""
    return await anyio.to_thread.run_sync(function, *args)


def timeout(seconds: float) -> contextlib.AbstractAsyncContextManager[Any]:
    """Raise `TimeoutError` after some seconds."""
    return _timeout(seconds)


@contextlib.asynccontextmanager
async def _timeout(seconds: float) -> AsyncIterator[None]:
    with anyio.fail_after(seconds):
        yield


def all_tasks() -> Any:
    """Return the tasks that there are; on trio their number."""
    if _is_on_trio():
        return trio.lowlevel.current_statistics().tasks_living
    return asyncio.all_tasks()


def ensure_future(awaitable: Awaitable[Any]) -> Task:
    """Begin a task."""
    return _TrioTask(awaitable) if _is_on_trio() else asyncio.ensure_future(awaitable)


async def gather(*awaitables: Awaitable[Any], return_exceptions: bool = False) -> list[Any]:
    """Run all at once and return what they return."""
    if not _is_on_trio():
        return await asyncio.gather(*awaitables, return_exceptions=return_exceptions)
    tasks = [one if isinstance(one, _TrioTask) else _TrioTask(one) for one in awaitables]
    results: list[Any] = []
    for task in tasks:
        try:
            results.append(await task)
        except Exception as error:
            if not return_exceptions:
                raise
            results.append(error)
        except trio.Cancelled:
            for other in tasks:
                other.cancel()
            raise
    return results


def reports_of(loop: Any) -> list[BaseException]:
    """Return the list to which a loop adds what it reports from now on."""
    reports: list[BaseException] = []
    if isinstance(loop, asyncio.AbstractEventLoop):
        loop.set_exception_handler(lambda _, context: reports.append(context["exception"]))
    else:
        loop.report = lambda error, _: reports.append(error)
    return reports


def report_again(loop: Any) -> None:
    """Let it report as it did before."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        loop.set_exception_handler(None)
    else:
        del loop.report


class _TrioTask:
    """A system task, which one may await and cancel."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        trio.lowlevel.spawn_system_task(self._run, awaitable)

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._wait().__await__()

    def done(self) -> bool:
        return self._ended.is_set()

    def cancelled(self) -> bool:
        return isinstance(self._error, _Cancelled)

    def cancel(self) -> None:
        self._scope.cancel()

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self) -> BaseException | None:
        return self._error

    async def _wait(self) -> Any:
        try:
            await self._ended.wait()
        except trio.Cancelled:
            self.cancel()
            raise
        return self.result()

    async def _run(self, awaitable: Awaitable[Any]) -> None:
        try:
            with self._scope:
                if self._scope.cancel_called and isinstance(awaitable, Coroutine):
                    awaitable.close()
                    raise _Cancelled
                self._result = await awaitable
                return
            raise _Cancelled
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()


Serve: TypeAlias = Callable[[StreamReader, StreamWriter], Awaitable[Any]]


async def start_server(
    serve: Serve, host: str, port: int, *, ssl: ssl.SSLContext | None = None, backlog: int = 100
) -> Any:
    """Call `serve` for each connection."""
    if not _is_on_trio():
        return await asyncio.start_server(serve, host, port, ssl=ssl, backlog=backlog)
    return _TrioServer(serve, await trio.open_tcp_listeners(port, host=host, backlog=backlog), ssl)


async def start_unix_server(serve: Serve, path: Any) -> Any:
    """Call `serve` for each connection to a Unix domain socket."""
    if not _is_on_trio():
        return await asyncio.start_unix_server(serve, path)
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listening.bind(str(path))
    listening.listen(100)
    return _TrioServer(serve, [trio.SocketListener(listening)], None)


class _TrioServer:
    def __init__(
        self,
        serve: Serve,
        listeners: list[trio.SocketListener],
        context: ssl.SSLContext | None,
    ) -> None:
        self._serve = serve
        self._context = context
        self.sockets = [listener.socket for listener in listeners]
        self._tasks = [_TrioTask(self._accept(listener)) for listener in listeners]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for listening in self.sockets:
            listening.close()

    async def wait_closed(self) -> None:
        for task in self._tasks:
            await task._ended.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    async def _accept(self, listener: trio.SocketListener) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError:  # no descriptor is left
                await trio.sleep(0.01)
                continue
            self._tasks.append(_TrioTask(self._talk(stream)))

    async def _talk(self, accepted: trio.SocketStream) -> None:
        stream: Any = accepted
        try:
            if self._context is not None:
                stream = trio.SSLStream(accepted, self._context, server_side=True)
                await stream.do_handshake()
        except (trio.BrokenResourceError, trio.Cancelled, ssl.SSLError):
            accepted.socket.close()
            return
        try:
            writer = _Writer(stream, accepted)
            await self._serve(_Reader(stream), writer)
            if writer.is_closing():
                await writer.wait_closed()
        except trio.Cancelled:
            accepted.socket.close()
            raise
        except Exception:
            _log.exception("a script of the server's has failed")


class _Reader:
    """Of asyncio's `StreamReader` what scripts use."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def readuntil(self, separator: bytes) -> bytes:
        while separator not in self._buffer:
            await self._more()
        return self._take(self._buffer.index(separator) + len(separator))

    async def readexactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        return self._take(count)

    async def readline(self) -> bytes:
        try:
            return await self.readuntil(b"\n")
        except IncompleteReadError as error:
            return error.partial

    async def read(self, count: int = -1) -> bytes:
        if count < 0:
            with contextlib.suppress(IncompleteReadError):
                while True:
                    await self._more()
            return b""
        if not self._buffer:
            self._buffer += await self._receive()
        return self._take(count)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _more(self) -> None:
        received = await self._receive()
        if not received:
            raise IncompleteReadError(self._take(len(self._buffer)), None)
        self._buffer += received

    async def _receive(self) -> bytes:
        with _os_errors():
            return bytes(await self._stream.receive_some(65536))


class _Writer:
    """Of asyncio's `StreamWriter` what scripts use, and of its transport."""

    def __init__(self, stream: Any, accepted: trio.SocketStream) -> None:
        self._stream = stream
        self._accepted = accepted
        self._unsent = b""
        self._is_closing = False
        self.transport = self

    def write(self, content: bytes) -> None:
        if not self._unsent and self._stream is self._accepted:
            with contextlib.suppress(OSError):
                content = content[self._socket.send(content) :]
        self._unsent += content

    async def drain(self) -> None:
        unsent, self._unsent = self._unsent, b""
        with _os_errors():
            await self._stream.send_all(unsent)

    @property
    def _socket(self) -> socket.socket:
        plain: socket.socket = self._accepted.socket._sock  # type: ignore[attr-defined]
        return plain

    def close(self) -> None:
        if self._unsent and self._stream is self._accepted:
            self._socket.send(self._unsent)
        self._is_closing = True
        if self._stream is self._accepted:
            self.abort()

    def is_closing(self) -> bool:
        return self._is_closing

    async def wait_closed(self) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await self._stream.aclose()

    def abort(self) -> None:
        self._accepted.socket.close()

    def get_extra_info(self, name: str) -> Any:
        if name == "peercert":
            return self._stream.getpeercert()
        if name == "ssl_object":
            return None if self._stream is self._accepted else self._stream
        assert name == "socket", name
        return self._accepted.socket


@contextlib.contextmanager
def _os_errors() -> Generator[None]:
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ConnectionResetError(str(error)) from error
