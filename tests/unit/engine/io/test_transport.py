"""What transports and their owners have to be to one another."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.io._loop_transport import LoopTransport
from asyncbatch._engine.io._socket_transport import SocketTransport
from asyncbatch._engine.io._tls_transport import TLSTransport
from asyncbatch._engine.io._transport import SocketOwner, Transport, TransportOwner


def methods_of(protocol: type) -> dict[str, list[str]]:
    """Return the methods that a protocol asks for, with the names of their parameters."""
    return {
        name: [*inspect.signature(member).parameters]
        for kind in protocol.__mro__
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        (SocketTransport, Transport),
        (TLSTransport, Transport),
        (LoopTransport, Transport),
        (TLSTransport, SocketOwner),
        (Connection, TransportOwner),
    ],
)
def test_each_side_has_what_the_other_one_calls(kind: type, protocol: type) -> None:
    """By position, as it is called: so the same number of parameters."""
    asked = methods_of(protocol)
    assert asked

    for name, parameters in asked.items():
        method: Any = inspect.getattr_static(kind, name)
        assert len(inspect.signature(method).parameters) == len(parameters), name


@pytest.mark.parametrize("kind", [SocketTransport, TLSTransport, LoopTransport])
@pytest.mark.parametrize("name", ["poll_after_look", "poll"])
def test_each_transport_says_whether_something_has_come(kind: type, name: str) -> None:
    """A connection asks before it writes."""
    assert name in {*kind.__dict__, *getattr(kind, "__slots__", ())}
