"""
The request for a tunnel, and the reply to it (RFC 9110 §9.3.6), from the first byte to the last.

Sans-IO. Whatever the head says of a body, a 2xx opens the tunnel, and what is behind the empty line
is the tunnel's. Any other answer closes it: it is the proxy's, and never the origin's.
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
        host: the origin's, an IPv6 address without brackets.
        port: the origin's.
        fields: for the proxy.

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
        head: the final head, once it has come.
        surplus: what came behind it.
    """

    __slots__ = ("_informational", "_partial", "head", "surplus")

    def __init__(self) -> None:
        self._partial = bytearray()
        self._informational: InformationalCounter | None = None
        self.head: ResponseHead | None = None
        self.surplus = b""

    def receive(self, content: bytes | memoryview) -> bool:
        """
        Take what was received; return whether the final head has come.

        Raises:
            ProtocolError: it is no reply.
            ResponseTooLarge: it has no end.
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
            # 101 is final: it is another protocol that is spoken then, and not the tunnel.
            if head.status >= 200 or head.status == 101:
                self.head, self.surplus = head, bytes(partial)
                return True
            if self._informational is None:
                self._informational = InformationalCounter()
            self._informational.add(head)
        if partial:
            check_partial_head(partial, seen)
        return False
