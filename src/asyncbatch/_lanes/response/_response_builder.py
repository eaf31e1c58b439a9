"""
Build a native response from an exchange when the caller first reads it.

Building a response costs more than fetching it, and many results are only read for their status or
content. What a response is built from was frozen when the request was sent.
"""

from __future__ import annotations

import datetime
import re
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncbatch._engine import Exchange, NetworkStream
from asyncbatch._lanes.client._binding import readable
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.request._native import headers_of, no_stream, response_of
from asyncbatch._lanes.request._origin_head import RequestBuilder
from asyncbatch._lanes.response._head_fields import coding_in, coding_of, sets_cookies, value_in
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._values._request import plain_url
from asyncbatch._values._timeouts import TimeLimits
from asyncbatch._values._timing import Course
from asyncbatch._values._urls import BLANKS, text_of

if TYPE_CHECKING:
    from asyncbatch._engine.http11 import ResponseHead

# All that httpx may change in a URL that the engine sends; parsing it takes 10 µs.
_DEFAULT_PORT = re.compile(r"//[^/?#]*:(?:80|443)(?:[/?#]|\Z)")


class ResponseBuilder:
    """
    Builds the responses with one head from one connection, or from closed ones (`None`).

    The parts that differ are passed to `build`. Sharing the rest leaves the garbage collector fewer
    objects to visit.
    """

    __slots__ = (
        "_default_encoding",
        "_library",
        "coding",
        "connection",
        "head",
        "sets_cookies",
        "status_code",
    )

    def __init__(self, library: Any, default_encoding: Any, head: Any, connection: Any) -> None:
        self._library = library
        self._default_encoding = default_encoding
        self.head: ResponseHead = head
        self.connection = connection
        self.status_code = self.head.status
        """The status of the responses."""
        # Not read without need: the heads of redirects differ, and are in no cache.
        coding = coding_in(self.head.block) if self.head.is_coded else None
        self.coding = coding_of(self.head.status, coding)
        """The `Content-Encoding` by which the bodies are decoded; `None` if they are not."""
        self.sets_cookies = sets_cookies(self.head.block)
        """Whether the responses set cookies."""

    @abstractmethod
    def request_for(self, item: Any) -> Any:
        """Return the native request that was made of `item`."""
        ...

    def url_for(self, item: Any) -> Any:
        """Return the native URL of the request `item`."""
        return self.request_for(item).url

    def build(self, item: Any, content: bytes, course: Course) -> Any:
        """
        Return a response, read and closed, as httpx would have made it.

        Args:
            item: The request, in any form.
            content: The decoded body.
            course: The times of the exchange.
        """
        library = self._library
        response = response_to(
            self.request_for(item),
            self.head,
            self.connection,
            library,
            no_stream(library),
            self._default_encoding,
        )
        begun_at, _, _, _, ended_at, _, _, _, received = course
        # As in `_body.py`: there is no public way to give a response decoded content.
        response._content = content
        response._num_bytes_downloaded = received
        response.is_closed = True
        response.is_stream_consumed = True
        response.elapsed = datetime.timedelta(seconds=ended_at - begun_at)
        return response


def response_to(
    request: Any, head: Any, connection: Any, library: Any, stream: Any, default_encoding: Any
) -> Any:
    """Return a response of `library` with a head that came over `connection`."""
    extensions = {
        "http_version": head.version,
        "reason_phrase": head.reason,
        "network_stream": NetworkStream(connection),
    }
    headers = headers_of(library, head)
    return response_of(library, head.status, headers, stream, request, extensions, default_encoding)


def field_of(response: Any, name: str) -> str | None:
    """Return a field, by its lower-case name, of a response or of a `ResponseBuilder`."""
    if isinstance(response, ResponseBuilder):
        return value_in(response.head.block, name.encode("ascii"))
    value: str | None = response.headers.get(name)
    return value


class PreparedResponseBuilder(ResponseBuilder):
    """Builds the response to one `PreparedRequest`."""

    __slots__ = ("_prepared",)

    def __init__(
        self, library: Any, default_encoding: Any, exchange: Exchange, prepared: PreparedRequest
    ) -> None:
        super().__init__(library, default_encoding, exchange.head, exchange.connection)
        self._prepared = prepared

    def request_for(self, item: Any) -> Any:
        """Return the native request, always the same object."""
        return self._prepared.native()

    def final_url(self, item: Any) -> str:
        """Return the URL of the request as text."""
        text = self._prepared.url
        return str(self.url_for(item)) if _DEFAULT_PORT.search(text) else text


class Hop(NamedTuple):
    """The parts of the response of a redirect that was followed."""

    response_builder: ResponseBuilder
    content: bytes
    course: Course

    def build(self, history: list[Any]) -> Any:
        """Return the redirect's response; those of `history` came before it."""
        response = self.response_builder.build(None, self.content, self.course)
        response.history = list(history)
        return response


class RedirectedResponseBuilder(PreparedResponseBuilder):
    """Builds the response at the end of a chain of redirects, with its history."""

    __slots__ = ("_course", "_hops")

    def __init__(
        self,
        library: Any,
        default_encoding: Any,
        exchange: Exchange,
        prepared: PreparedRequest,
        hops: list[Hop],
    ) -> None:
        super().__init__(library, default_encoding, exchange, prepared)
        self._hops = hops
        # The course of the last hop; `build` is passed that of all hops.
        self._course = course_of(exchange)

    def build(self, item: Any, content: bytes, course: Course) -> Any:
        """Return the response, read and closed, with its history."""
        response = super().build(item, content, self._course)
        response.history = history_of(self._hops)
        return response


def history_of(hops: list[Hop]) -> list[Any]:
    """Return the responses of a chain of redirects."""
    history: list[Any] = []
    for hop in hops:
        history.append(hop.build(history))
    return history


class PlainResponseBuilder(ResponseBuilder):
    """Builds the responses to plain GETs that differ only in their targets and bodies."""

    __slots__ = ("builder", "limits")

    def __init__(
        self, head: ResponseHead, connection: Any, builder: RequestBuilder, limits: TimeLimits
    ) -> None:
        super().__init__(builder.library, builder.default_encoding, head, connection)
        self.builder = builder
        self.limits = limits

    def request_for(self, item: Any) -> Any:
        """Return the native request that was made of `item`, a new one each time."""
        return self.builder.authorize(self.builder.build(_url_of(item), self.limits))

    def url_for(self, item: Any) -> Any:
        """Return the native URL of the request `item`."""
        return readable(self._library.URL(_url_of(item)), self._library)

    @staticmethod
    def final_urls(items: list[Any]) -> list[str] | None:
        """
        Return the URLs of many requests as `final_url` does, in a third of its time.

        `None`: they must be asked for one by one, since one of them may be changed by httpx.
        """
        if set(map(type, items)) != {str}:
            return None
        together = "\n".join(items)
        if ":80" in together or ":443" in together:
            return None
        return [item.strip(BLANKS) for item in items]

    def final_url(self, item: Any) -> str:
        """Return the URL of the request `item` as text."""
        text = item.strip(BLANKS) if type(item) is str else _url_of(item)
        # Plain searches first: they take a third of the time of the expression.
        if (":80" in text or ":443" in text) and _DEFAULT_PORT.search(text):
            return str(self.url_for(item))
        return text


class UnconnectedBuilders:
    """
    Makes the builders of responses to plain GETs whose connections are closed, and had no TLS.

    Such a connection tells nothing any more. Without it, all responses with one head have one
    builder. If each result kept a connection and a builder, the garbage collector would visit three
    objects for each instead of one.

    Args:
        limits: The time limits of the requests.
    """

    __slots__ = ("_last", "_limits")

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._last: PlainResponseBuilder | None = None

    def of(self, head: ResponseHead, builder: RequestBuilder) -> PlainResponseBuilder:
        """Return the builder of responses with this head to requests of `builder`."""
        last = self._last
        if last is None or last.head is not head or last.builder is not builder:
            last = self._last = PlainResponseBuilder(head, None, builder, self._limits)
        return last


def _url_of(item: Any) -> str:
    url = plain_url(item)
    assert url is not None
    return text_of(url)


def peer_of(connection: Any) -> object:
    """Return the address at the other end of a connection; `None` if it is closed."""
    try:
        return connection.get_extra_info("peername")
    except Exception:  # it has been cut
        return None
