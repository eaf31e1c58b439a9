"""
The limits of an HTTP/2 connection, and the names of error codes.
"""

from __future__ import annotations

import enum

INITIAL_STREAMS = 1
"""Streams that are opened before the server's SETTINGS say how many it takes. A server may treat
more as an error (RFC 9113 §5.1.2), and nginx closes a connection after a hundred refused ones."""

STREAM_WINDOW = 1024 * 1024
"""Bytes that a server may send on a stream before they are taken: what one slow reader keeps in
memory. It is the initial window of each stream."""

LONG_WINDOW = 8 * 1024 * 1024
"""The window of a stream whose body is long and taken at once, so that the delay of a far server
does not slow it down."""

CONNECTION_WINDOW = 1 << 30
"""Bytes that a server may send on all streams together. It is so large that a stream whose reader
is slow never holds up the others: the windows of the streams bound the memory."""

MAX_FRAME = 64 * 1024
"""Longest frame to accept. Long bodies cost less in frames longer than the 16 KiB by default."""

HARD_FIELDS_BYTES = 256 * 1024
"""Bytes of decoded fields in one block at which the connection is ended. Below that, and above the
limit of a head, only the stream is: the block has to be decoded for the state of HPACK."""

HARD_FIELDS = 4096
"""Fields in one block at which the connection is ended."""

MAX_CONTINUATIONS = 8
"""CONTINUATION frames after one HEADERS (CVE-2024-27316 and its siblings)."""

MAX_QUEUED_ACKS = 256
"""Acknowledgements that a server may make us queue while it reads none (CVE-2019-9512, -9515)."""

MAX_SETTINGS = 32
"""Settings in one SETTINGS frame (CVE-2020-11080)."""

GLITCHES = (1000, 33)
"""Suspicious frames at once, and per second: more end the connection."""


class ErrorCode(enum.IntEnum):
    """The codes of RST_STREAM and GOAWAY (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def code_name(code: int) -> str:
    """Return the name of an error code for messages."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"
