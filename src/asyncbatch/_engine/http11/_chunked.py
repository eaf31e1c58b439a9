"""
The chunked transfer coding, decoded (RFC 9112 §7.1).

Strict: sizes are hexadecimal digits, lines end in CRLF, and framing that outgrows the body is
refused. Blanks after a size are accepted, although the grammar excludes them: servers that pad
their sizes send them, and they are not ambiguous. Trailers are checked, and kept apart from the
header fields.
"""

from __future__ import annotations

import re

from asyncbatch._values._fields import BROKEN_LINE, TEXT_BYTES

from ._body import GrowingBody
from ._errors import ProtocolError, ResponseTooLarge, body_too_large
from ._head import MAX_FIELDS, are_field_lines, head_too_large, split_fields

MAX_TRAILER_BYTES = 16 * 1024
MAX_SIZE_LINE = 4 * 1024
FREE_OVERHEAD = 64 * 1024
OVERHEAD_PER_BYTE = 16

# 64 bits, and any number of zeros before them. Extensions are ignored, but must not contain a line
# end.
_SIZE = rb"(?=[0-9A-Fa-f])0*+([1-9A-Fa-f][0-9A-Fa-f]{0,15})?[ \t]*+(?:;" + TEXT_BYTES + rb"*+)?"
_SIZE_LINE = re.compile(_SIZE)
_PARTIAL_SIZE_LINE = re.compile(rb"(?:" + _SIZE + rb")?\r?")


class ChunkedProtocol:
    """
    Reads one chunked body, from its first byte to the end of the trailers.

    Args:
        max_body: the limit of the body in bytes, for messages.
        longest: most bytes to accept; a coded body may be longer than its decoded form.
        trailer_budget: bytes that the trailers may have.

    Attributes:
        trailers: the raw trailer lines, once the body has ended.
        body_bytes: the total size of the chunks so far.
    """

    __slots__ = (
        "_after_data",
        "_in_trailers",
        "_longest",
        "_max_body",
        "_overhead",
        "_pending",
        "_remaining",
        "_seen",
        "_trailer_budget",
        "body_bytes",
        "trailers",
    )

    def __init__(self, max_body: int, longest: int, trailer_budget: int) -> None:
        self._max_body = max_body
        self._longest = longest
        self._trailer_budget = min(trailer_budget, MAX_TRAILER_BYTES)
        # An unfinished line, size or trailer; never chunk content.
        self._pending = b""
        # Bytes still to come of the current chunk.
        self._remaining = 0
        # Whether the CRLF that ends a chunk's content comes next.
        self._after_data = False
        self._in_trailers = False
        # Bytes of the trailers that have been checked so far.
        self._seen = 0
        self._overhead = 0
        self.body_bytes = 0
        self.trailers = b""

    @property
    def trailer_fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The trailer fields; they are never merged into the header fields."""
        return split_fields(self.trailers)

    def receive(self, data: bytes, body: GrowingBody) -> int:
        """
        Decode bytes, appending the content to `body`.

        Returns:
            The number of bytes at the end of `data` after the message; -1 while it is incomplete.

        Raises:
            ProtocolError: the framing is malformed.
            ResponseTooLarge: body, framing or trailers pass their limits.
        """
        if self._pending:
            data = self._pending + data
            self._pending = b""
        position = 0
        end = len(data)
        if not self._in_trailers:
            position = self._receive_chunks(data, end, body)
            if not self._in_trailers:
                return -1
        return self._receive_trailers(data[position:] if position else data)

    def _receive_chunks(self, data: bytes, end: int, body: GrowingBody) -> int:
        position = 0
        while True:
            if self._remaining:
                taken = min(self._remaining, end - position)
                body.add(data[position : position + taken])
                position += taken
                self._remaining -= taken
                if self._remaining:
                    return end
                self._after_data = True
            if self._after_data:
                position = self._skip_data_end(data, position)
                if self._after_data:
                    return end
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._keep_size_line(data[position:])
                return end
            self._begin_chunk(data[position:line_end])
            position = line_end + 2
            if self._in_trailers:
                return position

    def _skip_data_end(self, data: bytes, position: int) -> int:
        found = data[position : position + 2]
        if found == b"\r\n":
            self._after_data = False
            return position + 2
        if found not in (b"", b"\r"):
            raise ProtocolError(f"chunk content runs past its size: {found!r}")
        self._pending = found
        return position

    def _keep_size_line(self, partial: bytes) -> None:
        if _PARTIAL_SIZE_LINE.fullmatch(partial) is None:
            raise ProtocolError(f"malformed chunk size: {partial[:40]!r}")
        if len(partial) > MAX_SIZE_LINE:
            raise ResponseTooLarge("chunk extensions are too long", limit=MAX_SIZE_LINE)
        self._pending = partial

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ProtocolError(f"malformed chunk size: {line[:40]!r}")
        if len(line) > MAX_SIZE_LINE:
            raise ResponseTooLarge("chunk extensions are too long", limit=MAX_SIZE_LINE)
        size = int(match.group(1) or b"0", 16)
        self.body_bytes += size
        if self.body_bytes > self._longest:
            raise body_too_large(self._max_body)
        self._overhead += len(line) + 4
        allowed = FREE_OVERHEAD + OVERHEAD_PER_BYTE * self.body_bytes
        if self._overhead > allowed:
            raise ResponseTooLarge("chunk framing outgrows the body", limit=allowed)
        self._remaining = size
        self._in_trailers = size == 0

    def _receive_trailers(self, data: bytes) -> int:
        if data.startswith(b"\r\n"):
            return len(data) - 2
        # Three bytes back, since the end may arrive in pieces.
        block_end = data.find(b"\r\n\r\n", max(0, self._seen - 3))
        if block_end < 0:
            self._keep_trailers(data)
            return -1
        block = data[: block_end + 2]
        if len(block) > self._trailer_budget:
            raise head_too_large()
        if not are_field_lines(block):
            raise ProtocolError("malformed trailer field")
        if block.count(b"\n") > MAX_FIELDS:
            raise ResponseTooLarge(f"more than {MAX_FIELDS} trailer fields", limit=MAX_FIELDS)
        self.trailers = block
        return len(data) - block_end - 4

    def _keep_trailers(self, partial: bytes) -> None:
        if len(partial) > self._trailer_budget:
            raise head_too_large()
        # Each byte is judged once, or 16 KiB that come one by one take seconds; but two bytes back,
        # so that a CR LF or a fold that was cut in two is seen whole.
        if BROKEN_LINE.search(partial, max(0, self._seen - 2)) is not None:
            raise ProtocolError("malformed trailer field")
        self._pending = partial
        self._seen = len(partial)
