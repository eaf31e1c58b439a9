"""
Parser of response heads: the bytes up to the empty line.

Everything that decides where a message ends, and whether its connection may be used again, is
checked here, once and strictly. No state, no body.
"""

from __future__ import annotations

import re

from asyncbatch._values._fields import BROKEN_LINE, TCHAR_BYTES, TEXT_BYTES

from ._errors import ProtocolError, ResponseTooLarge

MAX_HEAD_BYTES = 64 * 1024
"""Most bytes of all heads of one exchange, informational responses and trailers included."""

MAX_FIELDS = 256
"""Most header fields of one head."""

CHUNKED = -1
"""In place of a length: the body is framed by chunks."""

UNTIL_CLOSE = -2
"""In place of a length: the body ends with the connection."""

FAULTY = -3
"""In place of a length: the end of a body is unknown; a response to HEAD has none, and is valid."""

_MAX_LENGTH_DIGITS = (
    18  # fits a signed 64-bit integer with room to add; zeros in front do not count
)

# `[0-9]` on bytes, never `\d` or int() alone: those take signs, underscores and digits of other
# scripts.
_FIELD_LINE = TCHAR_BYTES + rb"++:" + TEXT_BYTES + rb"*+\r\n"
# Any minor version: an unknown higher one is read as the highest known (RFC 9110 §2.5).
_STATUS_LINE = rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (" + TEXT_BYTES + rb"*+))?\r\n"

# One pass over the whole block: 0.5 µs for six lines, half the cost of llhttp's callbacks from
# Python. It refuses control characters in values and versions of other protocols, as llhttp does
# not.
_HEAD = re.compile(_STATUS_LINE + rb"((?:" + _FIELD_LINE + rb")*+)")
_STATUS = re.compile(_STATUS_LINE)
_FIELDS = re.compile(rb"(?:" + _FIELD_LINE + rb")*+")
_FIELD = re.compile(rb"(" + TCHAR_BYTES + rb"++):(" + TEXT_BYTES + rb"*+)\r\n")
_FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|content-encoding|connection|keep-alive):("
    + TEXT_BYTES
    + rb"*+)",
    re.IGNORECASE,
)
_LENGTH = re.compile(rb"(?=[0-9])0*+([1-9][0-9]{0,%d})?" % (_MAX_LENGTH_DIGITS - 1))
_IDLE_TIMEOUT = re.compile(rb"(?:^|[,; \t])timeout[ \t]*=[ \t]*\"?([0-9]{1,9})", re.IGNORECASE)

# RFC 9113 §3.4: what a server that speaks HTTP/2 sends first, a SETTINGS frame of the connection.
_SETTINGS = re.compile(rb"\x00..\x04\x00\x00\x00\x00\x00", re.DOTALL)

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class ResponseHead:
    """
    A response head that passed every check.

    Responses with equal heads share one object, so it must not be changed.

    Attributes:
        block: the status line and the field lines, as received, without the empty line.
        version: as received: `b"HTTP/1.1"`, `b"HTTP/1.0"`, or another minor version.
        status: the status code, 100 to 999.
        reason: the reason phrase, maybe empty.
        length: the body's length in bytes by the head alone, or `CHUNKED`, or `UNTIL_CLOSE`, or
            `FAULTY`.
        fault: the error in the framing, if the length is `FAULTY`.
        is_coded: whether there is a `Content-Encoding`.
        is_persistent: whether the peer keeps the connection open.
        idle_timeout: seconds after which the peer closes an idle connection, or None if unknown.
    """

    __slots__ = (
        "_fields",
        "_fields_at",
        "_lowered",
        "block",
        "fault",
        "idle_timeout",
        "is_coded",
        "is_persistent",
        "length",
        "reason",
        "status",
        "version",
    )

    def __init__(self, block: bytes, version: bytes, status: int, reason: bytes, at: int) -> None:
        self.block = block
        self.version = version
        self.status = status
        self.reason = reason
        # `_judge_framing` sets these; before, they promise nothing.
        self.length = UNTIL_CLOSE
        self.fault = ""
        self.is_coded = False
        self.is_persistent = False
        self.idle_timeout: int | None = None
        # Where the field lines begin, and the fields once they have been asked for.
        self._fields_at = at
        self._fields: tuple[tuple[bytes, bytes], ...] | None = None
        self._lowered: list[tuple[bytes, bytes, bytes]] | None = None

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The fields in order, names as spelled by the peer, values without outer whitespace."""
        if self._fields is None:
            self._fields = split_fields(self.block, self._fields_at)
        return self._fields

    @property
    def lowered(self) -> list[tuple[bytes, bytes, bytes]]:
        """A new list of the fields, each with its name in lower case as well, in the middle."""
        if self._lowered is None:
            self._lowered = [(name, name.lower(), value) for name, value in self.fields]
        return self._lowered.copy()

    @property
    def is_redirect(self) -> bool:
        """Whether it is a redirect (RFC 9110 §15.4): by its status and a `Location`."""
        return self.status in _REDIRECTS and b"\nlocation:" in self.block.lower()


def split_fields(block: bytes, start: int = 0) -> tuple[tuple[bytes, bytes], ...]:
    """Split field lines that have been checked."""
    found = _FIELD.findall(block, start)
    return tuple([(name, value.strip(b" \t")) for name, value in found])


def are_field_lines(block: bytes) -> bool:
    """Whether the block consists of well-formed field lines, each with its CRLF."""
    return _FIELDS.fullmatch(block) is not None


def parse_head(block: bytes) -> ResponseHead:
    """
    Parse a head, given from its first byte to the CRLF of its last line.

    Raises:
        ProtocolError: a line is malformed, or the framing is contradictory or unknown.
        ResponseTooLarge: the head is longer than `MAX_HEAD_BYTES` or has too many fields.
    """
    if len(block) > MAX_HEAD_BYTES:
        raise head_too_large()
    match = _HEAD.fullmatch(block)
    if match is None:
        raise ProtocolError(_describe_malformed(block))
    if block.count(b"\n") - 1 > MAX_FIELDS:
        raise ResponseTooLarge(f"more than {MAX_FIELDS} header fields", limit=MAX_FIELDS)
    minor, status, reason = match.group(1, 2, 3)
    head = ResponseHead(block, b"HTTP/1." + minor, int(status), reason or b"", match.start(4))
    _judge_framing(head, minor != b"0")
    return head


def head_too_large() -> ResponseTooLarge:
    """Build the error for heads, informational responses and trailers that are too long."""
    return ResponseTooLarge(
        f"the response head is longer than {MAX_HEAD_BYTES} bytes", limit=MAX_HEAD_BYTES
    )


def check_partial_head(partial: bytearray, seen: int) -> None:
    """
    Refuse an incomplete head that cannot become valid any more.

    Without this, a peer that speaks another protocol, or ends its lines with bare line feeds, would
    only be detected by the timeout.

    Args:
        partial: the bytes that have arrived, without an empty line.
        seen: how many of them were checked before.

    Raises:
        ProtocolError: it is not the beginning of a head.
        ResponseTooLarge: it is longer than `MAX_HEAD_BYTES`.
    """
    if len(partial) > MAX_HEAD_BYTES:
        raise head_too_large()
    start = b"HTTP/1."
    if not partial.startswith(start[: len(partial)]):
        if _SETTINGS.match(partial):
            raise ProtocolError("HTTP/2 without being asked for it; http2=True offers it over TLS")
        raise ProtocolError(f"not an HTTP/1 response: {bytes(partial[:40])!r}")
    # Two bytes back, so that a CR LF or a fold in two pieces is seen whole.
    bad = BROKEN_LINE.search(partial, max(0, seen - 2))
    if bad is not None:
        raise ProtocolError(f"malformed response head at byte {bad.start()}")
    first = partial.find(b"\r\n", max(0, seen - 1) if seen else 0)
    if first >= 0 and partial.find(b"\n", 0, first) < 0 and _STATUS.match(partial) is None:
        raise ProtocolError(f"malformed status line: {bytes(partial[:first][:80])!r}")


def _describe_malformed(block: bytes) -> str:
    lines = block.split(b"\r\n")
    if _STATUS.match(block) is None:
        return f"malformed status line: {lines[0][:80]!r}"
    line = next(line for line in lines[1:-1] if _FIELD.fullmatch(line + b"\r\n") is None)
    return f"malformed header field: {line[:80]!r}"


def _judge_framing(head: ResponseHead, is_http11: bool) -> None:
    """
    Decide by RFC 9112 §6.3 how the body ends, and by §9.3 whether the connection persists.

    It is stricter than the RFC where leniency has allowed request smuggling: both framing fields
    together, unknown transfer codings and unequal lengths are errors. Repeated equal lengths are
    one length (RFC 9110 §8.6).
    """
    length: int | None = None
    codings: list[bytes] = []
    tokens: list[bytes] = []
    has_codings = False
    for name, value in _FRAMING.findall(head.block):
        name = name.lower()
        if name == b"content-length":
            length = _agreed_length(value, length)
        elif name == b"connection":
            tokens += value.lower().split(b",")
        elif name == b"transfer-encoding":
            has_codings = True
            codings += value.lower().split(b",")
        elif name == b"content-encoding":
            head.is_coded = True
        else:
            head.idle_timeout = _idle_timeout(value)
    if head.status < 200 or head.status in (204, 304):
        # No body, with any fields (RFC 9112 §6.3, rule 1).
        head.length = 0
    elif has_codings:
        head.length = _length_of_coded(head, codings, length)
    else:
        head.length = UNTIL_CLOSE if length is None else length
    head.is_persistent = _is_persistent(tokens, is_http11, has_codings)


def _length_of_coded(head: ResponseHead, codings: list[bytes], length: int | None) -> int:
    names = [coding.strip(b" \t") for coding in codings]
    if length is not None:
        head.fault = "both Transfer-Encoding and Content-Length"
    elif names == [b"chunked"]:
        return CHUNKED
    elif names == [b"identity"]:
        # No longer registered, but old servers use it for no coding (RFC 2616 §3.6).
        return UNTIL_CLOSE
    else:
        head.fault = f"unknown transfer coding: {b','.join(codings)[:80]!r}"
    return FAULTY


def _agreed_length(value: bytes, earlier: int | None) -> int:
    for part in value.split(b","):
        digits = part.strip(b" \t")
        match = _LENGTH.fullmatch(digits)
        if match is None:
            raise ProtocolError(f"malformed Content-Length: {value[:80]!r}")
        length = int(match.group(1) or b"0")
        if earlier is not None and earlier != length:
            raise ProtocolError("Content-Length fields that differ")
        earlier = length
    assert earlier is not None
    return earlier


def _is_persistent(tokens: list[bytes], is_http11: bool, has_codings: bool) -> bool:
    options = {token.strip(b" \t") for token in tokens}
    if b"close" in options:
        return False
    if is_http11:
        return True
    # A transfer coding in HTTP/1.0 is decoded, and the connection closed (RFC 9112 §6.1).
    return b"keep-alive" in options and not has_codings


def _idle_timeout(value: bytes) -> int | None:
    match = _IDLE_TIMEOUT.search(value)
    return None if match is None else int(match.group(1))
