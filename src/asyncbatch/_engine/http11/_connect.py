"""
The request for a tunnel and its reply (RFC 9110 §9.3.6).

Sans-IO. A 2xx opens the tunnel, with any fields about a body, and the bytes after the empty line
belong to the tunnel. Any other answer is that of the proxy, never that of the origin.
"""

from __future__ import annotations

from collections.abc import Iterable

from ._head import ResponseHead, check_partial_head, parse_head
from ._informational import InformationalCounter
from ._request import encode_fields, encode_request_line


def encode_connect(host: str, port: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    Encode the request for a tunnel.

    Args:
        host: the host of the origin; an IPv6 address without brackets.
        port: the port of the origin.
        fields: header fields for the proxy.

    Raises:
        InvalidRequest: a field cannot be sent.
    """
    name = f"[{host}]" if ":" in host else host
    authority = f"{name}:{port}".encode("ascii")
    block = encode_fields([(b"Host", authority), *fields]).block
    return encode_request_line(b"CONNECT", authority) + block


class ConnectReply:
    """
    Reads the reply to a CONNECT.

    Attributes:
        head: the final head, once it has arrived.
        surplus: the bytes after it.
    """

    __slots__ = ("_informational", "_partial", "head", "surplus")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._informational: InformationalCounter | None = None
        self.head: ResponseHead | None = None
        self.surplus = b""

    def receive(self, content: bytes | memoryview) -> bool:
        """
        Read received bytes; return whether the final head has arrived.

        Raises:
            ProtocolError: the bytes are not a reply.
            ResponseTooLarge: the reply is too long.
        """
        partial = self._partial
        seen = len(partial)
        partial += content
        if self.head is not None:
            self.surplus = bytes(partial)
            return True
        while (end := partial.find(b"\r\n\r\n", max(0, seen - 3))) >= 0:
            head = parse_head(bytes(partial[: end + 2]))
            del partial[: end + 4]
            seen = 0
            # 101 is final: another protocol follows, and not the tunnel.
            if head.status >= 200 or head.status == 101:
                self.head, self.surplus = head, bytes(partial)
                return True
            if self._informational is None:
                self._informational = InformationalCounter()
            self._informational.add(head)
        if partial:
            check_partial_head(partial, seen)
        return False
