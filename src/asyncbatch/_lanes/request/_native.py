"""
Make httpx's requests for plain GETs, and its responses, without its constructors.

They take some 25 µs for what is known already: they read the URL by characters, and copy the
headers three times. Here the attributes are set directly. They are private, so the result is
compared once with that of the constructors.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from asyncbatch._engine import is_untouched

if TYPE_CHECKING:
    from asyncbatch._engine.http11 import ResponseHead

_Fields = list[tuple[bytes, bytes, bytes]]


def plain_request(library: Any, url: str, fields: _Fields, timeout: Any) -> Any | None:
    """
    Return what `library.Request("GET", url)` returns, with these fields after its `Host`.

    Args:
        library: httpx or httpx2.
        url: A plain URL with a path; see `_values/_urls.py`.
        fields: As `Headers` keeps them: name, name in lower case, and value.
        timeout: The extension `timeout`.

    Returns:
        `None` if the layout of `Request` is not the known one, its constructor has been replaced,
        or the URL has no path before its query.
    """
    if library.Request.__init__ is not _known_constructor(library):
        return None
    return _made(library, url, fields, timeout)


def is_laid_out_as(made: Any, given: Any) -> bool:
    """Whether two requests are the same in all of their attributes, the private ones too."""
    return _laid_out(made) == _laid_out(given)


def headers_of(library: Any, head: ResponseHead) -> Any:
    """Return what `library.Headers(head.fields)` returns, or the fields in an unknown layout."""
    if library.Request.__init__ is not _known_constructor(library):
        return head.fields
    headers = object.__new__(library.Headers)
    headers._list = head.lowered
    headers._encoding = None
    return headers


def response_of(
    library: Any,
    status: int,
    headers: Any,
    stream: Any,
    request: Any,
    extensions: dict[str, Any],
    default_encoding: Any,
) -> Any:
    """
    Return what `library.Response` returns for the same values, in two thirds of its time.

    Args:
        library: httpx or httpx2.
        status: The status.
        headers: What `headers_of` returned; if they are headers, they become the response's own.
        stream: The body.
        request: The native request.
        extensions: They become the response's own.
        default_encoding: As the client has it.
    """
    response_type = library.Response
    if (
        response_type.__init__ is _known_response_constructor(library)
        and type(headers) is library.Headers
    ):
        return _made_response(
            response_type, status, headers, stream, request, extensions, default_encoding
        )
    return response_type(
        status,
        headers=headers,
        stream=stream,
        request=request,
        extensions=extensions,
        default_encoding=default_encoding,
    )


def are_of(headers: Any, head: ResponseHead) -> bool:
    """Whether headers made by `headers_of` are unchanged; `False` in an unknown layout."""
    return getattr(headers, "_list", None) == head.lowered


@functools.cache
def no_stream(library: Any) -> Any:
    """Return a stream of no bytes; all requests and responses without one may share it."""
    return library.ByteStream(b"")


def _made(library: Any, url: str, fields: _Fields, timeout: Any) -> Any | None:
    end = url.find("/", len("https://"))
    if end < 0 or "#" in url or "?" in url[:end]:
        return None
    parsed, netloc = _origin(library, url[:end])
    path, mark, query = url[end:].partition("?")
    own_url = object.__new__(library.URL)
    # Not `_replace`, which takes three times as long.
    own_url._uri_reference = parsed._make((*parsed[:4], path, query if mark else None, None))
    headers = object.__new__(library.Headers)
    headers._list = [(b"Host", b"host", netloc), *fields]
    headers._encoding = None
    request = object.__new__(library.Request)
    # One by one: an object whose `__dict__` is asked for has one more object to collect.
    request.method = "GET"
    request.url = own_url
    request.headers = headers
    request.extensions = {"timeout": timeout}
    request.stream = no_stream(library)
    request._content = b""
    return request


def _made_response(
    response_type: Any,
    status: int,
    headers: Any,
    stream: Any,
    request: Any,
    extensions: dict[str, Any],
    default_encoding: Any,
) -> Any:
    response = object.__new__(response_type)
    response.status_code = status
    response.headers = headers
    response._request = request
    response.next_request = None
    response.extensions = extensions
    response.history = []
    response.is_closed = response.is_stream_consumed = False
    response.default_encoding = default_encoding
    response.stream = stream
    response._num_bytes_downloaded = 0
    return response


@functools.lru_cache(maxsize=1024)
def _origin(library: Any, origin: str) -> tuple[Any, bytes]:
    """Return a URL without a path, parsed, and its `Host` field."""
    url = library.URL(origin)
    return url._uri_reference, url.netloc


@functools.cache
def _known_constructor(library: Any) -> Any:
    """Return the constructor of `Request` if `_made` has the same result; else `None`."""
    return _if_untouched(library.Request.__init__, library) if _is_as_known(library) else None


@functools.cache
def _known_response_constructor(library: Any) -> Any:
    """Return that of `Response` if `_made_response` has the same result, else `None`."""
    known = _is_response_as_known(library)
    return _if_untouched(library.Response.__init__, library) if known else None


def _if_untouched(constructor: Any, library: Any) -> Any:
    """Return a constructor, or `None` if it was replaced, so that it must be called."""
    return constructor if is_untouched(constructor, library.__name__) else None


def _is_response_as_known(library: Any) -> bool:
    try:
        headers = library.Headers([(b"A-b", b"c")])
        values: dict[str, Any] = {
            "headers": headers,
            "stream": no_stream(library),
            "request": library.Request("GET", "http://a.test/"),
            "extensions": {"http_version": b"HTTP/1.1"},
            "default_encoding": "utf-8",
        }
        made = vars(_made_response(library.Response, 200, **values)).copy()
        given = vars(library.Response(200, **values)).copy()
        pairs = [(of.pop("headers").raw, of.pop("stream")) for of in (made, given)]
        return pairs[0] == pairs[1] and made == given
    except Exception:
        return False


def _is_as_known(library: Any) -> bool:
    url, timeout = "http://a.test:8080/x/%20?y=z?", {"read": 1.0}
    fields = [(b"A-b", b"a-b", b"c")]
    try:
        made = _made(library, url, fields, timeout)
        headers = library.Headers([(b"A-b", b"c")])
        given = library.Request("GET", url, headers=headers, extensions={"timeout": timeout})
        return _laid_out(made) == _laid_out(given)
    except Exception:
        return False


def _laid_out(request: Any) -> list[dict[str, Any]]:
    own = vars(request).copy()
    parts = [own.pop("url"), own.pop("headers"), own.pop("stream")]
    return [own, *({"": type(each), **vars(each)} for each in parts)]
