"""
Other clients, each used as its users use it, with the same limits.

`lacks` names what a client cannot be asked for (see `Case.features`): such cases are not held
against it. A kind of failure is told only where the client's own exception says so.
"""

from __future__ import annotations

import contextlib
import importlib
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from conformance._case import Request
from conformance._outcome import Outcome
from conformance._trust import Trust

from ._streamed import streamed


class HttpxClient:
    """httpx, or the library of the same interface that is given."""

    # Its time limits are for each wait, and its bodies have no bound.
    lacks = frozenset({"max_body", "total_timeout", "x-gzip"})

    def __init__(
        self, library: Any, trust: Trust, make_transport: Callable[[], Any] | None = None
    ) -> None:
        self.name = f"{library.__name__} {library.__version__}"
        self._library = library
        self._trust = trust
        self._make_transport = make_transport
        self._clients: dict[int | None, Any] = {}

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Send the request; whatever comes of it is returned."""
        library = self._library
        try:
            response = await self._client(request.max_redirects).request(
                request.method,
                url,
                headers=list(request.headers),
                content=streamed(request.body) if request.streamed else request.body,
                timeout=request.timeout,
                follow_redirects=request.follow_redirects,
            )
        except Exception as error:
            kind = None
            if isinstance(error, library.TimeoutException):
                kind = "timeout"
            elif isinstance(error, library.TooManyRedirects):
                kind = "redirect"
            elif isinstance(error, library.DecodingError):
                kind = "decode"
            return _failed(error, kind)
        fields = response.headers.multi_items()
        return Outcome.answered(response.status_code, response.content, fields)

    def _client(self, max_redirects: int | None) -> Any:
        if max_redirects not in self._clients:
            options: dict[str, Any] = {}
            if max_redirects is not None:
                options["max_redirects"] = max_redirects
            if self._make_transport is not None:
                options["transport"] = self._make_transport()
            self._clients[max_redirects] = self._library.AsyncClient(
                verify=self._trust.client_context, trust_env=False, **options
            )
        return self._clients[max_redirects]

    async def aclose(self) -> None:
        """Close what was opened."""
        for client in self._clients.values():
            await client.aclose()


class AiohttpClient:
    """aiohttp, with one session for all."""

    lacks = frozenset({"max_body", "x-gzip", "stacked codings"})

    def __init__(self, library: Any, session: Any) -> None:
        self.name = f"aiohttp {library.__version__}"
        if not getattr(library.compression_utils, "HAS_ZSTD", False):
            self.lacks = self.lacks | {"zstd"}
        self._library = library
        self._session = session

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Send the request; whatever comes of it is returned."""
        library = self._library
        options: dict[str, Any] = {}
        if request.max_redirects is not None:
            # It stops at the redirect with this number, the others behind it.
            options["max_redirects"] = request.max_redirects + 1
        try:
            async with self._session.request(
                request.method,
                url,
                headers=list(request.headers),
                data=streamed(request.body) if request.streamed else request.body,
                timeout=library.ClientTimeout(total=request.timeout),
                allow_redirects=request.follow_redirects,
                **options,
            ) as response:
                fields = list(response.headers.items())
                return Outcome.answered(response.status, await response.read(), fields)
        except Exception as error:
            kind = None
            if isinstance(error, TimeoutError):
                kind = "timeout"
            elif isinstance(error, library.TooManyRedirects):
                kind = "redirect"
            elif isinstance(
                error, library.ClientSSLError | library.ClientConnectorCertificateError
            ):
                kind = "tls"
            return _failed(error, kind)


class PyreqwestClient:
    """pyreqwest: reqwest and hyper."""

    lacks = frozenset({"max_body", "x-gzip", "stacked codings", "raw deflate"})

    def __init__(self, version: str, trust: Trust) -> None:
        self.name = f"pyreqwest {version}"
        self._trust = trust
        self._clients: dict[tuple[bool, int | None], Any] = {}
        self._stack = contextlib.AsyncExitStack()

    async def fetch(self, url: str, request: Request) -> Outcome:
        """Send the request; whatever comes of it is returned."""
        exceptions = importlib.import_module("pyreqwest.exceptions")
        try:
            client = await self._client(request)
            builder = client.request(request.method, url)
            builder = builder.timeout(timedelta(seconds=request.timeout))
            for name, value in request.headers:
                builder = builder.header(name, value)
            if request.streamed:
                builder = builder.body_stream(streamed(request.body))
            elif request.body is not None:
                builder = builder.body_bytes(request.body)
            response = await builder.build().send()
            body = bytes(await response.bytes())
            return Outcome.answered(response.status, body, _readable(response.headers))
        except Exception as error:
            kind = None
            if isinstance(error, exceptions.RequestTimeoutError):
                kind = "timeout"
            elif isinstance(error, exceptions.RedirectError):
                kind = "redirect"
            return _failed(error, kind)

    async def _client(self, request: Request) -> Any:
        key = request.follow_redirects, request.max_redirects
        if key not in self._clients:
            library = importlib.import_module("pyreqwest.client")
            builder = library.ClientBuilder().no_proxy().follow_redirects(request.follow_redirects)
            pem = self._trust.authority.cert_pem.bytes()
            builder = builder.add_root_certificate_pem(pem)
            if request.max_redirects is not None:
                builder = builder.max_redirects(request.max_redirects)
            self._clients[key] = client = builder.build()
            await self._stack.enter_async_context(client)
        return self._clients[key]

    async def aclose(self) -> None:
        """Close what was opened."""
        await self._stack.aclose()


def _readable(headers: Any) -> list[tuple[str, str]]:
    """Return the fields whose values can be had: not those with bytes beyond ASCII."""
    fields = []
    for name in dict.fromkeys(headers):
        with contextlib.suppress(ValueError):
            fields += [(name, value) for value in headers.getall(name)]
    return fields


def _failed(error: Exception, kind: str | None) -> Outcome:
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if kind is None and any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        kind = "tls"
    return Outcome.failed(kind, f"{type(error).__name__}: {error}"[:200])


@contextlib.asynccontextmanager
async def httpx_client(trust: Trust) -> AsyncIterator[HttpxClient]:
    """Open a client of httpx."""
    async with contextlib.aclosing(HttpxClient(importlib.import_module("httpx"), trust)) as client:
        yield client


@contextlib.asynccontextmanager
async def httpx2_client(trust: Trust) -> AsyncIterator[HttpxClient]:
    """Open a client of httpx2."""
    library = importlib.import_module("httpx2")
    async with contextlib.aclosing(HttpxClient(library, trust)) as client:
        yield client


@contextlib.asynccontextmanager
async def aiohttp_client(trust: Trust) -> AsyncIterator[AiohttpClient]:
    """Open a session of aiohttp."""
    library = importlib.import_module("aiohttp")
    connector = library.TCPConnector(ssl=trust.client_context)
    async with library.ClientSession(connector=connector) as session:
        yield AiohttpClient(library, session)


@contextlib.asynccontextmanager
async def pyreqwest_client(trust: Trust) -> AsyncIterator[PyreqwestClient]:
    """Open a client of pyreqwest."""
    version = importlib.import_module("importlib.metadata").version("pyreqwest")
    async with contextlib.aclosing(PyreqwestClient(version, trust)) as client:
        yield client
