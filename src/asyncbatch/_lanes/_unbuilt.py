"""
A response that has arrived and been decoded, but is not an `httpx.Response` yet.

Building one costs more than fetching it, and of a batch's responses many are only asked for their
status or their content. Whatever a response is built from was frozen when the request was sent.
"""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from asyncbatch._lanes._prepare import Prepared, Template
from asyncbatch._timeouts import TimeLimits
from asyncbatch._timing import Instants
from asyncbatch._transport import Exchange


class Connected:
    """What httpx's `network_stream` extension tells of the connection, and no more."""

    __slots__ = ("_connection",)

    _NAMES: ClassVar[dict[str, str]] = {
        "client_addr": "sockname",
        "server_addr": "peername",
        "socket": "socket",
        "ssl_object": "ssl_object",
    }

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def get_extra_info(self, info: str) -> Any:
        """Return what is known under the name `info`, or `None`."""
        name = self._NAMES.get(info)
        if name is None or self._connection is None:
            return None
        return self._connection.get_extra_info(name)


class Unbuilt:
    """Everything that it takes to build one response."""

    __slots__ = (
        "_connection",
        "_default_encoding",
        "_elapsed",
        "_head",
        "_library",
        "_wire_size",
        "content",
    )

    def __init__(
        self, library: Any, default_encoding: Any, exchange: Exchange, content: bytes
    ) -> None:
        self._library = library
        self._default_encoding = default_encoding
        self._head: Any = exchange.head
        self._connection = exchange.connection
        self._elapsed = exchange.ended_at - exchange.begun_at
        self._wire_size = len(exchange.content)
        self.content = content
        """The decoded body."""

    def native(self) -> Any:
        """Return the request, built the first time that somebody asks for it."""
        raise NotImplementedError

    @property
    def status_code(self) -> int:
        """The response's status."""
        status: int = self._head.status
        return status

    @property
    def url(self) -> Any:
        """The URL that was asked for."""
        return self.native().url

    def build(self) -> Any:
        """Return the response, read and closed, as httpx would have made it."""
        library = self._library
        head = self._head
        response = library.Response(
            head.status,
            headers=head.fields,
            stream=library.ByteStream(b""),
            request=self.native(),
            extensions={
                "http_version": head.version,
                "reason_phrase": head.reason,
                "network_stream": Connected(self._connection),
            },
            default_encoding=self._default_encoding,
        )
        # As in `_body`: no public way leads there for content that somebody else has decoded.
        response._content = self.content
        response._num_bytes_downloaded = self._wire_size
        response.is_closed = True
        response.is_stream_consumed = True
        response.elapsed = datetime.timedelta(seconds=self._elapsed)
        return response

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        # Pickled as the response: connections cannot be sent to another process.
        return _same, (self.build(),)


class UnbuiltPrepared(Unbuilt):
    """The response to a request that was prepared on its own."""

    __slots__ = ("_prepared",)

    def __init__(
        self,
        library: Any,
        default_encoding: Any,
        exchange: Exchange,
        content: bytes,
        prepared: Prepared,
    ) -> None:
        super().__init__(library, default_encoding, exchange, content)
        self._prepared = prepared

    def native(self) -> Any:
        """Return the request, built the first time that somebody asks for it."""
        return self._prepared.native()


class UnbuiltPlain(Unbuilt):
    """
    The response to a plain GET, with what its request is built from.

    One object for all of it, since each that a kept result holds is one more for the garbage
    collector to look at; and its fields set here, not by the base class, which spares a call.
    """

    __slots__ = ("_limits", "_native", "_template", "_url")

    def __init__(
        self,
        exchange: Exchange,
        content: bytes,
        url: str,
        template: Template,
        limits: TimeLimits,
    ) -> None:
        self._library = template.library
        self._default_encoding = template.default_encoding
        self._head = exchange.head
        self._connection = exchange.connection
        self._elapsed = exchange.ended_at - exchange.begun_at
        self._wire_size = len(exchange.content)
        self.content = content
        self._url = url
        self._template = template
        self._limits = limits
        self._native: Any = None

    def native(self) -> Any:
        """Return the request, built the first time that somebody asks for it."""
        if self._native is None:
            self._native = self._template.build(self._url, self._limits)
        return self._native


def instants_of(exchange: Exchange) -> Instants:
    """Take from an exchange what its timing is worked out from."""
    return (
        exchange.send_at,
        exchange.sent_at,
        exchange.first_byte_at,
        exchange.ended_at,
        exchange.dns,
        exchange.connect,
        exchange.tls,
    )


def _same(response: Any) -> Any:
    return response
