"""What a user can see of an exchange, as plain values that can be compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

# Drawn anew for each request.
_RANDOM = re.compile(rb'(cnonce=|response=)("[^"]*")')


def of_response(response: Any) -> dict[str, Any]:
    """Return all of `response` but its times, with its history."""
    return {
        "status": (response.status_code, response.reason_phrase, response.http_version),
        "flags": (response.is_closed, response.is_stream_consumed, response.has_redirect_location),
        "headers": response.headers.raw,
        "content": response.content,
        "encoding": (response.encoding, response.charset_encoding, response.default_encoding),
        "text": response.text,
        "downloaded": response.num_bytes_downloaded,
        "cookies": of_jar(response.cookies),
        "extensions": extensions_of(response),
        "elapsed": _tried(lambda: type(response.elapsed)),
        "url": str(response.url),
        "request": of_request(response.request),
        "next_request": of_request(response.next_request),
        "history": [of_response(earlier) for earlier in response.history],
    }


def extensions_of(response: Any) -> list[str]:
    """Return the names of its extensions, those that anybody has."""
    names = {name for name in response.extensions if "asyncbatch" not in name}
    if response.http_version == "HTTP/2":
        # httpcore tells the number of the stream, and no phrase: `reason_phrase` is one all the
        # same, and compared as such.
        names -= {"stream_id", "reason_phrase"}
    return sorted(names)


def of_request(request: Any) -> dict[str, Any] | None:
    """Return all of `request`."""
    if request is None:
        return None
    return {
        "method": request.method,
        "url": str(request.url),
        "headers": _masked(request.headers.raw),
        "content": _tried(lambda: request.content),
        "extensions": dict(request.extensions),
    }


def of_error(error: Exception) -> dict[str, Any]:
    """Return the words of `error` and the request it names; its type is compared by itself."""
    return {
        "text": str(error),
        "request": of_request(getattr(error, "_request", None)),
        "response": getattr(error, "response", None) is not None,
    }


def of_arrival(request: Any) -> dict[str, Any]:
    """Return what the server saw of a request."""
    return {
        "line": (request.host, request.method, request.target, request.http_version),
        "headers": _masked(request.raw_headers),
        "body": request.body,
    }


def of_jar(cookies: Any) -> list[tuple[Any, ...]]:
    """Return the cookies of a jar, in order."""
    return sorted((c.domain, c.path, c.name, c.value, c.expires) for c in cookies.jar)


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Yield each place in which two observations differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in theirs:
            yield from differences(ours.get(key), theirs[key], f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, other, f"{path}[{index}]")
    elif ours != theirs:
        yield f"{path}: ours {ours!r:.300}, theirs {theirs!r:.300}"


def _masked(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name, _RANDOM.sub(rb"\1...", value)) for name, value in headers]


def _tried(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:
        return type(error).__name__
