"""
Answers of the loopback server: an HTTP response, or any bytes.

Pure. `_behaviour` delivers them.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Literal, Self, cast

import attrs

from ._behaviour import Behaviour, End
from ._request import RecordedRequest

Headers = tuple[tuple[str, str], ...]


@attrs.frozen(kw_only=True)
class Raw(Behaviour):
    """
    A response sent byte for byte as given, valid or not.

    For the faults, the head begins at the first byte, and the body after the first blank line.
    """

    content: bytes = attrs.field(kw_only=False)
    end: End = attrs.field(default=End.CLOSE, kw_only=False)
    """What the server does with the connection afterwards; `End.KEEP` keeps it open."""

    def _wire(self, request: RecordedRequest) -> tuple[bytes, bytes, End]:
        head, blank_line, body = self.content.partition(b"\r\n\r\n")
        return head + blank_line, body, self.end


def _content(value: bytes | str | int) -> bytes:
    """Convert a body given as bytes, as text, or as a length."""
    match value:
        case bytes():
            return value
        case str():
            return value.encode()
        case int() if value >= 0:
            return b"x" * value
        case _:
            raise TypeError(f"body must be bytes, text or a length of 0 or more, not {value!r}")


def _headers(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> Headers:
    if isinstance(value, Mapping):
        return tuple(cast("Mapping[str, str]", value).items())
    return tuple(value)


@attrs.frozen(kw_only=True)
class Reply(Behaviour):
    """
    An HTTP/1.1 response: `Reply()` is an empty 200.

    The server adds the framing header and, if it closes the connection, `Connection: close`. A
    `Content-Length` or `Transfer-Encoding` among `headers` is sent instead, correct or not.
    Answers to HEAD, and those of status 1xx, 204 and 304, have no body.
    """

    status: int = attrs.field(default=200, kw_only=False)
    body: bytes = attrs.field(default=b"", converter=_content, kw_only=False)
    """Bytes, text (sent as UTF-8), or a number of filler bytes."""
    headers: Headers = attrs.field(default=(), converter=_headers, kw_only=False)
    """A mapping, or a list of pairs, in which a name may occur twice."""
    framing: Literal["length", "chunked", "close"] = "length"
    """How the body ends: by `Content-Length`, by chunks, or by closing the connection."""
    chunk: int = attrs.field(default=16_384, validator=attrs.validators.ge(1))
    """Bytes per chunk, if `framing` is `"chunked"`."""
    reason: str | None = None
    """The reason phrase; `None`: the standard one of the status."""
    close: bool = False
    """Whether the server sends `Connection: close` and closes the connection."""

    @classmethod
    def json(cls, value: Any, *, status: int = 200) -> Self:
        """Answer with `value` as JSON."""
        return cls(status, json.dumps(value).encode(), {"content-type": "application/json"})

    @classmethod
    def redirect(cls, location: str, *, status: int = 302) -> Self:
        """Redirect to `location`: a path or a URL."""
        return cls(status, headers={"location": location})

    def with_header(self, name: str, value: str) -> Self:
        """Add a header, after those of the same name."""
        return attrs.evolve(self, headers=(*self.headers, (name, value)))

    def retry_after(self, when: float | datetime | str) -> Self:
        """Add `Retry-After`: seconds, an aware `datetime`, or any text.

        RFC 9110 allows whole seconds only; a fraction is sent as it is, and a fetcher rounds it up.
        """
        if isinstance(when, datetime):
            return self.with_header("retry-after", format_datetime(when.astimezone(UTC), True))
        if not isinstance(when, str):
            when = f"{when:.6f}".rstrip("0").rstrip(".")
        return self.with_header("retry-after", when)

    def gzipped(self, *, members: int = 1) -> Self:
        """Code the body with gzip, as one member or as several in a row."""
        size = max(1, -(-len(self.body) // members))
        parts = [self.body[n * size : (n + 1) * size] for n in range(members)]
        return self._coded("gzip", b"".join(gzip.compress(part, mtime=0) for part in parts))

    def deflated(self, *, raw: bool = False) -> Self:
        """Code the body with deflate: in the zlib format, as RFC 9110 requires, or raw."""
        coder = zlib.compressobj(wbits=-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
        return self._coded("deflate", coder.compress(self.body) + coder.flush())

    def without_tail(self, size: int) -> Self:
        """Drop the last `size` bytes of the body; the framing matches the shorter body."""
        return attrs.evolve(self, body=self.body[: max(0, len(self.body) - size)])

    def corrupted(self) -> Self:
        """Invert the byte in the middle of the body."""
        middle = len(self.body) // 2
        turned = bytes(byte ^ 0xFF for byte in self.body[middle : middle + 1])
        return attrs.evolve(self, body=self.body[:middle] + turned + self.body[middle + 1 :])

    def _coded(self, coding: str, body: bytes) -> Self:
        """Return a copy with the coded body, and the coding named after earlier ones."""
        earlier = [value for name, value in self.headers if name.lower() == "content-encoding"]
        others = tuple(pair for pair in self.headers if pair[0].lower() != "content-encoding")
        value = ", ".join([*earlier, coding])
        return attrs.evolve(self, body=body, headers=(*others, ("content-encoding", value)))

    def _wire(self, request: RecordedRequest) -> tuple[bytes, bytes, End]:
        framing = self.framing
        if framing == "chunked" and request.http_version == "1.0":
            framing = "close"
        bodiless = self.status < 200 or self.status in (204, 304)
        closes = self.close or framing == "close" or not request.keep_alive
        head = self._head(framing, bodiless, closes, request.http_version)
        if bodiless or request.method == "HEAD":
            body = b""
        elif framing == "chunked":
            body = _chunked(self.body, self.chunk)
        else:
            body = self.body
        return head, body, End.CLOSE if closes else End.KEEP

    def _head(self, framing: str, bodiless: bool, closes: bool, http_version: str) -> bytes:
        named = {name.lower() for name, _ in self.headers}
        lines = [f"HTTP/1.1 {self.status} {self._phrase()}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if not bodiless and named.isdisjoint({"content-length", "transfer-encoding"}):
            if framing == "length":
                lines.append(f"content-length: {len(self.body)}")
            elif framing == "chunked":
                lines.append("transfer-encoding: chunked")
        if "connection" not in named and (closes or http_version == "1.0"):
            lines.append(f"connection: {'close' if closes else 'keep-alive'}")
        # Latin-1, so that a header can contain any byte; other characters are sent as UTF-8.
        text = "\r\n".join([*lines, "", ""])
        return text.encode("latin-1") if text.isascii() else _latin_or_utf8(text)

    def _phrase(self) -> str:
        if self.reason is not None:
            return self.reason
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:
            return ""


def echo(request: RecordedRequest) -> Reply:
    """Answer with the request itself as JSON: `server.on("/echo", echo)`.

    The object has the keys `method`, `target`, `headers` (a list of pairs) and `body` (text, in
    which bytes that are not UTF-8 appear as backslash escapes).
    """
    return Reply.json(
        {
            "method": request.method,
            "target": request.target,
            "headers": request.headers.multi_items(),
            "body": request.body.decode(errors="backslashreplace"),
        }
    )


def _chunked(body: bytes, size: int) -> bytes:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


def _latin_or_utf8(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
