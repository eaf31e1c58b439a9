"""What tests of connectors need: names with given addresses, and a port where none listens."""

from __future__ import annotations

import socket
import ssl

from asyncbatch._engine import (
    Connector,
    Origin,
    as_policy,
)
from asyncbatch._engine.connect._resolver import Address, Resolver
from tests.raw_server import Server


def inet(host: str, port: int) -> Address:
    return Address(socket.AF_INET, (host, port))


def named(server: Server, name: str = "name.example") -> Origin:
    return server.origin._replace(host=name)


def connector_for(*hosts: str, policy: object = None, **options: object) -> Connector:
    """A connector whose names are all at these addresses."""

    def look_up(host: str, port: int) -> list[Address]:
        return [inet(each, port) for each in hosts]

    return Connector(
        ssl.create_default_context,
        resolver=Resolver(look_up),
        policy=as_policy(policy),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
