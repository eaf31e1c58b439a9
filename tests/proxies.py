"""
A proxy in plain threads that does all a proxy can, and every way of doing it wrong.

It speaks HTTP (whole requests and CONNECT) and SOCKS5, on one port. It shares no code with what it
tests, and knows no event loop.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Self

import attrs

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
DENIED = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nEVIL"


@attrs.define
class Manner:
    """How a proxy treats its clients."""

    credentials: tuple[str, str] | None = None
    """User name and password that it asks for."""
    in_pieces: bool = False
    """Send every byte of a reply by itself."""
    dies: str = ""
    """
    At which step it closes: `accepted`, `asked` (the request or greeting has come), `method`,
    `within` a reply, `connected` (behind it), `answering` (within a forwarded answer).
    """
    stalls: str = ""
    """At which step it goes on reading and does nothing more: those of `dies`, but the last."""
    reply: bytes | None = None
    """In place of its own reply to CONNECT, a request, or of SOCKS5."""
    behind: bytes = b""
    """What it sends in one piece with the reply that opens a tunnel."""


class ProxyServer:
    """
    A proxy on loopback; a context manager.

    Args:
        manner: how it treats its clients.
        context: for TLS to the proxy itself.
        address: where it listens: 127.0.0.1 or ::1.

    Attributes:
        heads: the heads of requests, those for tunnels included, in the order in which they came.
        targets: host and port of each tunnel, and of each request by SOCKS5.
        kinds: the type of address (ATYP) of each request by SOCKS5.
        accepted: connections so far.
        stalled: how many of them it has stalled so far.
    """

    def __init__(
        self,
        manner: Manner | None = None,
        *,
        context: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.manner = Manner() if manner is None else manner
        self.heads: list[bytes] = []
        self.targets: list[tuple[str, int]] = []
        self.kinds: list[int] = []
        self.accepted = 0
        self.stalled = 0
        self._context = context
        self._address = address
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family, backlog=256)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, scheme: str = "http", userinfo: str = "") -> str:
        """Return what a client is told."""
        host = f"[{self._address}]" if ":" in self._address else self._address
        if self._context and host == "127.0.0.1":
            host = "localhost"
        return f"{scheme}://{userinfo}{host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._start(self._serve, accepted)

    def _serve(self, accepted: socket.socket) -> None:
        self._open.add(accepted)
        try:
            with contextlib.suppress(OSError, EOFError):
                if self.manner.dies == "accepted":
                    return
                if self.manner.stalls == "accepted":
                    self.stalled += 1
                    while accepted.recv(65536):
                        pass
                    return
                if self._context is not None:
                    accepted.settimeout(10)
                    self._open.discard(accepted)
                    accepted = self._context.wrap_socket(accepted, server_side=True)
                    self._open.add(accepted)
                _Client(self, accepted).serve()
        finally:
            self._open.discard(accepted)
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
            accepted.close()


class _Client:
    def __init__(self, proxy: ProxyServer, sock: socket.socket) -> None:
        self._proxy = proxy
        self._manner = proxy.manner
        self._sock = sock
        self._received = b""

    def serve(self) -> None:
        first = self._take(1)
        self._received = first + self._received
        if first == b"\x05":
            self._serve_socks()
        else:
            while self._serve_http():
                pass

    def _stop(self, step: str) -> None:
        """Close or stall at this step, if that is the manner."""
        if self._manner.stalls == step:
            self._proxy.stalled += 1
            while True:
                self._received = b""
                self._receive()
        if self._manner.dies == step:
            raise EOFError

    # HTTP.

    def _serve_http(self) -> bool:
        manner = self._manner
        head = self._take_head()
        self._proxy.heads.append(head)
        self._stop("asked")
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        if not self._is_let_in(head):
            self._send(DENIED)
            return True
        if manner.reply is not None:
            self._send(manner.reply)
            return True
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            self._tunnel(host.strip("[]"), int(port), b"HTTP/1.1 200 Made\r\nX: y\r\n\r\n")
            return False
        return self._forward(head, target)

    def _is_let_in(self, head: bytes) -> bool:
        if self._manner.credentials is None:
            return True
        basic = base64.b64encode(":".join(self._manner.credentials).encode())
        return b"\r\nProxy-Authorization: Basic " + basic + b"\r\n" in head

    def _forward(self, head: bytes, target: bytes) -> bool:
        """Hand a request on, and its answer back until its end."""
        authority, _, path = target.removeprefix(b"http://").partition(b"/")
        host, _, port = (
            authority.decode().rpartition(":")
            if b":" in authority
            else (authority.decode(), "", "80")
        )
        lines = head.split(b"\r\n")
        method = lines[0].split(b" ")[0]
        kept = [line for line in lines[1:-2] if not line.lower().startswith(b"proxy-auth")]
        start = b"%b /%b HTTP/1.1" % (method, path)
        lines = [start, *(line for line in kept if not line.lower().startswith(b"connection"))]
        with socket.create_connection((host.strip("[]"), int(port)), 10) as upstream:
            upstream.sendall(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n")
            length = next(
                (int(line[15:]) for line in lines if line.lower().startswith(b"content-length")), 0
            )
            upstream.sendall(self._take(length))
            answer = b""
            while content := upstream.recv(65536):
                answer += content
        if self._manner.dies == "answering":
            self._send(answer[:-1])
            return False
        self._send(
            answer.replace(b"Connection: close\r\n", b"").replace(b"connection: close\r\n", b"")
        )
        return True

    # SOCKS5.

    def _serve_socks(self) -> None:
        manner = self._manner
        _, count = self._take(2)
        methods = self._take(count)
        self._stop("asked")
        if manner.credentials is None:
            self._send(b"\x05\x00")
        elif 2 not in methods:
            self._send(b"\x05\xff")
            return
        else:
            self._send(b"\x05\x02")
            self._stop("method")
            self._take(1)
            user = self._take(self._take(1)[0])
            password = self._take(self._take(1)[0])
            is_right = (user.decode(), password.decode()) == manner.credentials
            self._send(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                return
        self._stop("method")
        *_, kind = self._take(4)
        self._proxy.kinds.append(kind)
        if kind == 3:
            host = self._take(self._take(1)[0]).decode()
        else:
            family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, self._take(size))
        port = int.from_bytes(self._take(2))
        if manner.reply is not None:
            self._proxy.targets.append((host, port))
            self._send(manner.reply)
            return
        self._tunnel(host, port, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")

    # Both.

    def _tunnel(self, host: str, port: int, reply: bytes) -> None:
        self._proxy.targets.append((host, port))
        if "within" in (self._manner.dies, self._manner.stalls):
            self._send(reply[: len(reply) // 2])
            self._stop("within")
        try:
            upstream = socket.create_connection((host, port), 10)
        except OSError:
            self._send(
                b"\x05\x05\x00\x01" + bytes(6)
                if reply[0] == 5
                else (b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\nEVIL")
            )
            return
        with upstream:
            upstream.settimeout(None)
            self._send(reply, self._manner.behind)
            self._stop("connected")
            self._carry(upstream)

    def _carry(self, upstream: socket.socket) -> None:
        """Carry bytes both ways, in one thread, since those of TLS may not be used by two."""
        client = self._sock
        while True:
            pending = isinstance(client, ssl.SSLSocket) and client.pending()
            ready = [client] if pending else select.select([client, upstream], [], [])[0]
            for source in ready:
                content = source.recv(65536)
                if not content:
                    return
                (upstream if source is client else client).sendall(content)

    def _send(self, reply: bytes, behind: bytes = b"") -> None:
        if not self._manner.in_pieces:
            self._sock.sendall(reply + behind)
            return
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in _bytes_of(reply):
            self._sock.sendall(byte)
        self._sock.sendall(behind)

    def _take_head(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, end, self._received = self._received.partition(b"\r\n\r\n")
        return head + end

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _receive(self) -> None:
        content = self._sock.recv(65536)
        if not content:
            raise EOFError
        self._received += content


def _bytes_of(content: bytes) -> Iterator[bytes]:
    for number in content:
        yield bytes([number])
