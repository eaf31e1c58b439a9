"""
The loopback server: listeners on 127.0.0.0/8, their connections, and the recorded requests.

`_behaviour` delivers an answer, `_routes` picks it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ._addresses import Addresses
from ._behaviour import Answer, Step
from ._connection import ServerConnection
from ._reply import Reply
from ._request import RecordedRequest
from ._routes import Routes
from ._statistics import ServerCounters, ServerStatistics
from ._stream import PlainStream, ServerStream, TLSStream

ACCEPT_PAUSE = 0.05
"""Seconds to wait after a failed accept, as when the process has no descriptor left."""


class LoopbackServer:
    """
    An HTTP/1.1 server for tests, inside this process, that gives scripted answers.

    It runs on the event loop (asyncio, uvloop or trio) of the `async with` that opens it, and its
    delays follow that loop's clock; or in a thread of its own, for synchronous code:

        async with LoopbackServer(hosts=20) as server:
            server.on("/flaky", Reply(503).retry_after(1), Reply(body="at last"))
            await fetch_many([server.url("/flaky", host=n) for n in range(1, 21)])

        with LoopbackServer().in_thread() as server:
            fetch_many_sync([server.url("/")])

    Host number n is the address 127.0.0.n; all share one port. Linux and Windows answer on all of
    127.0.0.0/8; on macOS the addresses above 127.0.0.1 must be added to lo0 first.

    Leaving the context closes every connection at once, in any state.
    """

    def __init__(
        self,
        *,
        hosts: int = 1,
        default: Answer | None = None,
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        seed: int = 0,
        record: int = 10_000,
    ) -> None:
        """Prepare a server; `async with` or `in_thread` starts it, once.

        Args:
            hosts: Number of hosts to listen on, 1 or more.
            default: The answer to a request that no route matches. By default it is a 404, so that
                a misspelt URL fails; but 200 and "ok" for the path `/`, and for all paths while
                nothing is scripted.
            port: The port to listen on; 0 picks a free one.
            ssl_context: Serves TLS with this context, made for `ssl.Purpose.CLIENT_AUTH`.
            seed: Determines every jitter, together with the URL and its number of requests.
            record: Number of the latest requests that `requests` keeps.
        """
        self._addresses = Addresses(hosts, port)
        self._ssl_context = ssl_context
        self._scheme = "http://" if ssl_context is None else "https://"
        self._routes = Routes(default, seed)
        self._requests: deque[RecordedRequest] = deque(maxlen=record)
        self._total = ServerCounters()
        self._per_host: dict[int, ServerCounters] = defaultdict(ServerCounters)
        self._connections: dict[ServerConnection, int] = {}
        self._changed: anyio.Event | None = None
        # None until the server starts; it stays when the server stops.
        self._group: anyio.abc.TaskGroup | None = None
        # Set while the server runs in a thread of its own.
        self._portal: BlockingPortal | None = None

    # Scripting

    def on(
        self, path: str, *answers: Answer, host: int | None = None, method: str | None = None
    ) -> None:
        """Script the answers to requests for `path`, now or while the server runs.

        With several answers, the first request for a URL (its method, host, path and query) gets
        the first answer, the second request the second, and so on; the last answer is repeated. A
        route added later takes precedence.

        Args:
            path: The path without the query; `*` matches any text.
            answers: Behaviours, or functions from the request to a behaviour. If a function
                raises, the answer is a 500 with the exception as its body.
            host: Number of the only host that the route is for.
            method: The only method that the route is for.
        """
        if host is not None:
            self._addresses.check(host)
        self._routes.add(path, answers, host, method and method.upper())

    def url(self, path: str = "/", *, host: int = 1) -> str:
        """Return the URL of `path` on a host, by number from 1."""
        return self._url(self._addresses.live(host), path)

    def dead_url(self, path: str = "/", *, host: int = 1) -> str:
        """Return a URL that refuses connections: that of another host, without a server.

        Dead hosts have numbers of their own, from 1. The address stays reserved until the server
        stops, so that no other process can listen there.
        """
        return self._url(self._addresses.dead(host), path)

    def silent_url(self, path: str = "/", *, host: int = 1) -> str:
        """Return a URL of a host that never accepts: a client waits until its connect timeout.

        Silent hosts have numbers of their own, from 1. Linux only.
        """
        return self._url(self._addresses.silent(host), path)

    def _url(self, authority: str, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError(f"path must begin with a slash, not {path!r}")
        return self._scheme + authority + path

    # Looking

    @property
    def port(self) -> int:
        """Return the port of all hosts, once the server has started."""
        return self._addresses.port

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """Return the latest requests, in order, at most `record` of them."""
        # Copied by one call: without the GIL, a deque that grows cannot be iterated over.
        return tuple(self._requests.copy())

    def statistics(self, host: int | None = None) -> ServerStatistics:
        """Return the figures of the server, or of one host."""
        return (self._total if host is None else self._per_host[host]).statistics()

    async def wait_until(self, condition: Callable[[ServerStatistics], bool]) -> None:
        """Wait until the statistics satisfy `condition`; for tests on the server's event loop.

        `await server.wait_until(lambda seen: seen.active == 3)` replaces a guessed sleep.
        """
        if self._portal is not None:
            raise RuntimeError("wait_until works on the server's event loop, not across threads")
        while not condition(self.statistics()):
            if self._changed is None:
                self._changed = anyio.Event()
            await self._changed.wait()

    def drop_connections(self, host: int | None = None, *, reset: bool = False) -> None:
        """Close all open connections, idle or not, with a FIN or with a RST."""
        if self._portal is not None:
            self._portal.call(self._drop_connections, host, reset)
        else:
            self._drop_connections(host, reset)

    # Running

    @contextlib.contextmanager
    def in_thread(self) -> Generator[Self]:
        """Run the server in a thread of its own, while the `with` lasts.

        The caller's thread may call all methods but `wait_until`.
        """
        with (
            start_blocking_portal("asyncio", name="asyncbatch loopback server") as portal,
            portal.wrap_async_context_manager(self),
        ):
            self._portal = portal
            try:
                yield self
            finally:
                self._portal = None

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise RuntimeError("a LoopbackServer can be started once; make a new one")
        listeners = self._addresses.listen()
        self._group = group = anyio.create_task_group()
        await group.__aenter__()
        for host, listener in enumerate(listeners, start=1):
            group.start_soon(self._accept, group, listener, host)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        group = self._group
        assert group is not None
        group.cancel_scope.cancel()
        try:
            # The caller's exception is not passed on, as the group would wrap it.
            await group.__aexit__(None, None, None)
        finally:
            self._addresses.close()

    async def _accept(self, group: anyio.abc.TaskGroup, listener: socket.socket, host: int) -> None:
        while True:
            await anyio.wait_readable(listener)
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                continue
            except OSError:
                await anyio.sleep(ACCEPT_PAUSE)
                continue
            group.start_soon(self._serve, accepted, host)

    async def _serve(self, accepted: socket.socket, host: int) -> None:
        plain = PlainStream(accepted)
        context = self._ssl_context
        stream: ServerStream = plain if context is None else TLSStream(plain, context)
        counted = (self._total, self._per_host[host])
        for figures in counted:
            figures.connection_opened()
        number = self._total.connections

        def begin(request: RecordedRequest) -> Iterator[Step]:
            arrival = anyio.current_time()
            return self._steps_for(
                attrs.evolve(request, host=host, connection=number, time=arrival)
            )

        def finish() -> None:
            for figures in counted:
                figures.request_answered()
            self._notify()

        connection = ServerConnection(stream, begin, finish)
        self._connections[connection] = host
        self._notify()
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            for figures in counted:
                figures.connection_closed()
            self._notify()

    def _steps_for(self, request: RecordedRequest) -> Iterator[Step]:
        """Record a request that has arrived, and return the steps of its answer."""
        self._requests.append(request)
        self._total.request_arrived()
        self._per_host[request.host].request_arrived()
        self._notify()
        try:
            return self._routes.steps(request)
        except Exception as error:
            return Reply(500, repr(error)).steps(request)

    def _notify(self) -> None:
        """Wake the tasks in `wait_until`."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _drop_connections(self, host: int | None, reset: bool) -> None:
        for connection, its_host in self._connections.items():
            if host in (None, its_host):
                connection.drop(reset=reset)
