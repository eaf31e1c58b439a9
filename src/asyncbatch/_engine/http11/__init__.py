"""
A sans-IO HTTP/1.1 client core: encodes requests to bytes, and parses bytes to responses.

Of the project it imports the grammar of fields alone, and no I/O. All bytes of peers are checked
here.
"""

from __future__ import annotations

from ._body import UNJOINED, GrowingBody, UnjoinedBody
from ._body_reader import longest_transfer
from ._chunked import MAX_TRAILER_BYTES
from ._connect import ConnectReply, encode_connect
from ._errors import (
    ExchangeError,
    InvalidRequest,
    ProtocolError,
    ResponseTooLarge,
    TruncatedResponse,
    body_too_large,
)
from ._head import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    ResponseHead,
    are_field_lines,
    head_too_large,
    parse_head,
)
from ._informational import MAX_INFORMATIONAL
from ._request import (
    IDEMPOTENT_METHODS,
    LAST_CHUNK,
    RequestFields,
    encode_chunk,
    encode_fields,
    encode_request_line,
)
from ._response import NO_LIMIT, KnownHeads, ResponseProtocol, ResponseState

__all__ = [
    "IDEMPOTENT_METHODS",
    "LAST_CHUNK",
    "MAX_FIELDS",
    "MAX_HEAD_BYTES",
    "MAX_INFORMATIONAL",
    "MAX_TRAILER_BYTES",
    "NO_LIMIT",
    "UNJOINED",
    "ConnectReply",
    "ExchangeError",
    "GrowingBody",
    "InvalidRequest",
    "KnownHeads",
    "ProtocolError",
    "RequestFields",
    "ResponseHead",
    "ResponseProtocol",
    "ResponseState",
    "ResponseTooLarge",
    "TruncatedResponse",
    "UnjoinedBody",
    "are_field_lines",
    "body_too_large",
    "encode_chunk",
    "encode_connect",
    "encode_fields",
    "encode_request_line",
    "head_too_large",
    "longest_transfer",
    "parse_head",
]
