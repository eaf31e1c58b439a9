"""
The addresses of the loopback server on 127.0.0.0/8: many hosts, living and not, on one port.

Owns the listening sockets; accepting from them is the server's.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

BACKLOG = 1024
PORT_ATTEMPTS = 20
QUEUE_PLACES = 2
"""Connections that fill a queue of length 0, which holds one more than it says."""
FIRST_ADDRESS = ipaddress.IPv4Address("127.0.0.0")
MAX_HOSTS = 32_000
FIRST_SILENT_HOST = 65_536


class Addresses:
    """
    Host number n is 127.0.0.n, and so on above 255.

    Dead hosts come behind the living, silent ones begin at 127.1.0.1.
    """

    def __init__(self, hosts: int, port: int) -> None:
        """Prepare `hosts` hosts on `port`, where 0 means any; nothing is bound yet."""
        if not 1 <= hosts <= MAX_HOSTS:
            raise ValueError(f"hosts must be from 1 to {MAX_HOSTS}, not {hosts}")
        self._hosts = hosts
        self._wanted_port = port
        # Bound sockets by host number; empty before `listen` and after `close`.
        self._sockets: dict[int, socket.socket] = {}
        # Known from `listen` on, and still after `close`.
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Return the port of all hosts.

        Raises:
            RuntimeError: The server has not started.
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
        """Return the authority of a host that does not, and keep others from listening there."""
        if not 1 <= host <= MAX_HOSTS:
            raise ValueError(f"host must be from 1 to {MAX_HOSTS}, not {host}")
        number = self._hosts + host
        if self._sockets and number not in self._sockets:
            self._bind(number, self.port)
        return f"{_address(number)}:{self.port}"

    def silent(self, host: int) -> str:
        """Return the authority of a host whose queue of new connections is full for good."""
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
            OSError: There is none, or the machine lacks an address.
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
        """Close what was bound."""
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
        """Take up the places in a host's queue: Linux then drops what else asks for one."""
        for place in range(QUEUE_PLACES):
            client = socket.socket()
            self._sockets[-number * QUEUE_PLACES - place] = client
            client.setblocking(False)
            client.connect_ex((_address(number), self.port))

    def _bind(self, host: int, port: int) -> int:
        """Bind one address, and return the port that it got."""
        bound = socket.socket()
        self._sockets[host] = bound
        bound.setblocking(False)
        if os.name != "nt":
            # There it would let two servers share a port; elsewhere it lets one start again on a
            # port that old connections still linger on.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_address(host), port))
        number: int = bound.getsockname()[1]
        return number


def _address(host: int) -> str:
    return str(FIRST_ADDRESS + host)
