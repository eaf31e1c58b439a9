"""
`Socks5Protocol`: the client's side of SOCKS5 (RFC 1928, RFC 1929), until the origin is connected.

Sans-IO: bytes in, bytes out. A message may arrive in pieces. Bytes after the last one are kept.
"""

from __future__ import annotations

import ipaddress
from enum import Enum

_VERSION = 5
_PASSWORD_VERSION = 1
_OPEN, _PASSWORD, _NONE_OF_THEM = 0, 2, 0xFF
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_LENGTHS = {_IPV4: 4, _IPV6: 16}

REPLIES = {
    1: "general failure",
    2: "the connection is not allowed by its rules",
    3: "the network is unreachable",
    4: "the host is unreachable",
    5: "the connection was refused",
    6: "the time to live has expired",
    7: "the command is not supported",
    8: "the type of address is not supported",
}

_OTHER_ADDRESS_MAY_DO = frozenset({3, 4, 5, 6, 8})


class SocksFault(Exception):
    """
    The proxy did not connect.

    Attributes:
        is_refusal: Whether it said so, by a reply of its own.
        wants_credentials: Whether the reason is missing or wrong credentials.
        may_try_other: Whether another address of the origin may be reachable.
    """

    def __init__(
        self,
        message: str,
        *,
        is_refusal: bool = True,
        wants_credentials: bool = False,
        may_try_other: bool = False,
    ) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal
        self.wants_credentials = wants_credentials
        self.may_try_other = may_try_other


class _State(Enum):
    METHOD = 0
    PASSWORD = 1
    REPLY = 2
    DONE = 3


class Socks5Protocol:
    """
    Asks a proxy to connect to an origin.

    Args:
        host: The origin's name, or its address in numbers, which is sent as an address.
        port: The port of the origin.
        credentials: User name and password, if the proxy may require them.

    Attributes:
        is_done: Whether the origin is connected.
        surplus: Bytes after the last reply.
    """

    def __init__(self, host: str, port: int, credentials: tuple[bytes, bytes] | None) -> None:
        self._credentials = credentials
        self._request = bytes([_VERSION, _CONNECT, 0]) + _address(host) + port.to_bytes(2)
        self._received = bytearray()
        self._state = _State.METHOD

    @property
    def is_done(self) -> bool:
        """Whether the proxy has connected."""
        return self._state is _State.DONE

    @property
    def surplus(self) -> bytes:
        """Bytes after the last reply of the proxy."""
        return bytes(self._received) if self.is_done else b""

    def greeting(self) -> bytes:
        """Return the first message: the methods of authentication on offer."""
        methods = [_OPEN] if self._credentials is None else [_OPEN, _PASSWORD]
        return bytes([_VERSION, len(methods), *methods])

    def receive(self, content: bytes | memoryview) -> bytes:
        """
        Parse received bytes, and return what to send.

        Raises:
            SocksFault: The proxy refuses, or does not speak SOCKS5.
        """
        self._received += content
        answer = b""
        while not self.is_done:
            following = self._step()
            if following is None:
                break
            answer += following
        return answer

    def _step(self) -> bytes | None:
        """Parse one message, if it is complete, and return the answer to it."""
        if self._state is _State.METHOD:
            return self._read_method()
        if self._state is _State.PASSWORD:
            return self._read_password_reply()
        return self._read_reply()

    def _read_method(self) -> bytes | None:
        received = self._received
        _check(not received or received[0] == _VERSION)
        if len(received) < 2:
            return None
        method = received[1]
        del received[:2]
        if method == _OPEN:
            self._state = _State.REPLY
            return self._request
        if method == _PASSWORD and self._credentials is not None:
            self._state = _State.PASSWORD
            user, password = self._credentials
            lengths = bytes([len(user)]), bytes([len(password)])
            return bytes([_PASSWORD_VERSION]) + lengths[0] + user + lengths[1] + password
        _check(method in (_PASSWORD, _NONE_OF_THEM))
        wanted = "a user name and a password" if self._credentials is None else "another way in"
        raise SocksFault(f"it asks for {wanted}", wants_credentials=True)

    def _read_password_reply(self) -> bytes | None:
        received = self._received
        # Some servers send the version of SOCKS here, instead of that of the password protocol.
        _check(not received or received[0] in (_PASSWORD_VERSION, _VERSION))
        if len(received) < 2:
            return None
        status = received[1]
        del received[:2]
        if status:
            raise SocksFault("it refuses the user name or the password", wants_credentials=True)
        self._state = _State.REPLY
        return self._request

    def _read_reply(self) -> bytes | None:
        received = self._received
        _check(not received or received[0] == _VERSION)
        if len(received) >= 2 and received[1]:
            # Some proxies close after the code, and send no address.
            code = received[1]
            _check(code in REPLIES)
            raise SocksFault(REPLIES[code], may_try_other=code in _OTHER_ADDRESS_MAY_DO)
        if len(received) < 4:
            return None
        length = _ADDRESS_LENGTHS.get(received[3])
        if received[3] == _NAME:
            if len(received) < 5:
                return None
            length = 1 + received[4]
        _check(length is not None)
        end = 4 + (length or 0) + 2
        if len(received) < end:
            return None
        # The address that the proxy has bound is not needed.
        del received[:end]
        self._state = _State.DONE
        return b""


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")
        if len(name) > 255:
            raise SocksFault("it cannot be given a name of more than 255 bytes") from None
        return bytes([_NAME, len(name)]) + name
    return bytes([_IPV4 if address.version == 4 else _IPV6]) + address.packed


def _check(is_right: bool) -> None:
    if not is_right:
        raise SocksFault("it does not answer as a SOCKS5 proxy does", is_refusal=False)
