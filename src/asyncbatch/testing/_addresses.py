"""
The addresses of the loopback server on 127.0.0.0/8: live, dead and silent hosts on one port.

Owns the listening sockets; the server accepts from them.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

BACKLOG = 1024
PORT_ATTEMPTS = 20
QUEUE_PLACES = 2
"""Number of connections that fill a backlog of 0, which holds more than its length."""
FIRST_ADDRESS = ipaddress.IPv4Address("127.0.0.0")
MAX_HOSTS = 32_000
FIRST_SILENT_HOST = 65_536


class Addresses:
    """
    The addresses by host number: n is 127.0.0.n, and so on above 255.

    Dead hosts follow the live ones; silent hosts begin at 127.1.0.1.
    """

    def __init__(self, hosts: int, port: int) -> None:
        """Prepare `hosts` hosts on `port` (0: any free port). Nothing is bound yet."""
        if not 1 <= hosts <= MAX_HOSTS:
            raise ValueError(f"hosts must be from 1 to {MAX_HOSTS}, not {hosts}")
        self._hosts = hosts
        self._wanted_port = port
        # Bound sockets by host number; empty before `listen` and after `close`.
        self._sockets: dict[int, socket.socket] = {}
        # None until `listen`; it stays after `close`.
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Return the port of all hosts.

        Raises:
            RuntimeError: If the server has not started.
        """
        if self._port is None:
            raise RuntimeError("the server has not started: use `async with` or `in_thread()`")
        return self._port

    def check(self, host: int) -> None:
        """Raise `ValueError` unless `host` is the number of a host that listens."""
        if not 1 <= host <= self._hosts:
            raise ValueError(f"host must be from 1 to {self._hosts}, not {host}")

    def live(self, host: int) -> str:
        """Return the authority of a host that listens."""
        self.check(host)
        return f"{_address(host)}:{self.port}"

    def dead(self, host: int) -> str:
        """Return the authority of a host that does not listen, and reserve its address."""
        if not 1 <= host <= MAX_HOSTS:
            raise ValueError(f"host must be from 1 to {MAX_HOSTS}, not {host}")
        number = self._hosts + host
        if self._sockets and number not in self._sockets:
            self._bind(number, self.port)
        return f"{_address(number)}:{self.port}"

    def silent(self, host: int) -> str:
        """Return the authority of a host whose backlog of new connections stays full."""
        if not 1 <= host <= MAX_HOSTS:
            raise ValueError(f"host must be from 1 to {MAX_HOSTS}, not {host}")
        number = FIRST_SILENT_HOST + host
        if self._sockets and number not in self._sockets:
            self._bind(number, self.port)
            self._sockets[number].listen(0)
            self._fill(number)
        return f"{_address(number)}:{self.port}"

    def listen(self) -> list[socket.socket]:
        """Listen on one port that is free on all hosts.

        Raises:
            OSError: If no port is free on all hosts, or the machine lacks an address.
        """
        for _ in range(1 if self._wanted_port else PORT_ATTEMPTS):
            try:
                return self._listen()
            except OSError as error:
                self.close()
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, f"no port is free on {self._hosts} hosts at once")

    def close(self) -> None:
        """Close all sockets."""
        for bound in self._sockets.values():
            bound.close()
        self._sockets.clear()

    def _listen(self) -> list[socket.socket]:
        port = self._wanted_port
        for host in range(1, self._hosts + 1):
            port = self._bind(host, port)
        listeners = list(self._sockets.values())
        for listener in listeners:
            listener.listen(BACKLOG)
        self._port = port
        return listeners

    def _fill(self, number: int) -> None:
        """Fill the backlog of a host; Linux then drops further connection attempts."""
        for place in range(QUEUE_PLACES):
            client = socket.socket()
            self._sockets[-number * QUEUE_PLACES - place] = client
            client.setblocking(False)
            client.connect_ex((_address(number), self.port))

    def _bind(self, host: int, port: int) -> int:
        """Bind one address, and return its port."""
        bound = socket.socket()
        self._sockets[host] = bound
        bound.setblocking(False)
        if os.name != "nt":
            # On Windows it would let two servers share a port. Elsewhere it lets a server start
            # on a port with old connections in TIME_WAIT.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_address(host), port))
        number: int = bound.getsockname()[1]
        return number


def _address(host: int) -> str:
    return str(FIRST_ADDRESS + host)
