"""
The response of a record: the kept part of its head, and how the response is built again.

Values only; fields with secrets are left out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

import httpx

from asyncbatch._lanes import ResponseBuilder
from asyncbatch._values._masking import kept_fields, masked_url
from asyncbatch._values._request import Request, method_of, native_of
from asyncbatch._values._urls import text_of


class StoredHeads:
    """
    The heads of responses, as they are kept; most responses of a server differ in little.

    Args:
        default_encoding: The encoding of texts whose response names none, as the client has it.
    """

    MOST = 512

    def __init__(self, default_encoding: Any = "utf-8") -> None:
        self.default_encoding = default_encoding
        self._kept: dict[bytes, bytes] = {}
        self._parsed: dict[bytes, ParsedHead] = {}

    def of(self, answer: Any) -> bytes:
        """Return the head of a response, or of an object that builds one, as it is kept."""
        if not isinstance(answer, ResponseBuilder):
            line = f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"
            return _head(line.encode("latin-1", "replace"), answer.headers.raw)
        head = answer.head
        kept = self._kept.get(head.block)
        if kept is None:
            kept = _head(b"%b %d %b" % (head.version, head.status, head.reason), head.fields)
            _put(self._kept, head.block, kept, self.MOST)
        return kept

    def parsed(self, head: bytes) -> ParsedHead:
        """Return a kept head in its parts."""
        parsed = self._parsed.get(head)
        if parsed is None:
            line, *fields = head.split(b"\r\n")
            version, _, reason = line.split(b" ", 2)
            pairs = [(name, value) for name, _, value in (each.partition(b": ") for each in fields)]
            parsed = ParsedHead(version, reason, pairs)
            _put(self._parsed, head, parsed, self.MOST)
        return parsed


class ParsedHead(NamedTuple):
    """The parts of a kept head."""

    version: bytes
    reason: bytes
    fields: list[tuple[bytes, bytes]]


def _put(cache: dict[bytes, Any], key: bytes, value: Any, most: int) -> None:
    if len(cache) >= most:
        cache.clear()
    cache[key] = value


def _head(line: bytes, fields: Any) -> bytes:
    kept = kept_fields(fields)
    return b"\r\n".join([line, *(name + b": " + value for name, value in kept)])


class StoredAnswer:
    """Builds the response of a record when it is asked for."""

    __slots__ = ("_default_encoding", "_library", "_url", "head", "status_code")

    def __init__(
        self,
        library: Any,
        status_code: int,
        head: ParsedHead,
        url: str | None,
        default_encoding: Any,
    ) -> None:
        self._library = library
        self.status_code = status_code
        self.head = head
        self._url = url
        self._default_encoding = default_encoding

    def url_for(self, item: Any) -> Any:
        """Return the final URL, with its secrets masked."""
        return self._library.URL(self._url or masked_url(url_of(item)))

    def final_url(self, item: Any) -> str:
        """Return that URL as text."""
        return str(self.url_for(item))

    def build(self, item: Any, content: bytes, course: Any) -> Any:
        """Return the response, read and closed; the fields with secrets are missing."""
        library, head = self._library, self.head
        response = library.Response(
            self.status_code,
            headers=head.fields,
            stream=library.ByteStream(b""),
            request=library.Request(method_of(item), self.url_for(item)),
            extensions={"http_version": head.version, "reason_phrase": head.reason},
            default_encoding=self._default_encoding,
        )
        # As for a response just received: there is no public way to give it a decoded body.
        response._content = content
        response.is_closed = True
        response.is_stream_consumed = True
        begun_at, *_, ended_at = course[:5]
        response.elapsed = timedelta(seconds=max(0.0, ended_at - begun_at))
        return response


def url_of(item: Any) -> str:
    """Return the URL of a request in any form, with its `params`."""
    request = Request.of(item)
    native = native_of(request)
    text = str(native.url) if native is not None else text_of(request.url)
    if request.params is None:
        return text
    try:
        query = str(httpx.QueryParams(request.params))  # type: ignore[arg-type]
    except Exception:
        return text
    return text if not query else f"{text}{'&' if '?' in text else '?'}{query}"
