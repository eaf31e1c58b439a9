"""What a pool and its connections have to be to one another."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from asyncbatch._engine.connection._connection import Connection
from asyncbatch._engine.connection._multiplexed import MultiplexedConnection
from asyncbatch._engine.connection._pooled import (
    ConnectionPool,
    PooledConnection,
    SharedConnection,
    SharingPool,
)
from asyncbatch._engine.pool._pool import Pool


def members_of(protocol: type) -> dict[str, list[str] | None]:
    """Return what a protocol asks for; a method with the names of its parameters."""
    asked: dict[str, list[str] | None] = {}
    for kind in protocol.__mro__[:-1]:
        asked.update(dict.fromkeys(inspect.get_annotations(kind)))
        for name, member in vars(kind).items():
            if not name.startswith("_") and inspect.isfunction(member):
                asked[name] = [*inspect.signature(member).parameters]
    return {name: parameters for name, parameters in asked.items() if not name.startswith("_")}


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        (Connection, PooledConnection),
        (MultiplexedConnection, PooledConnection),
        (MultiplexedConnection, SharedConnection),
    ],
)
def test_a_connection_has_what_its_pool_uses(kind: type, protocol: type) -> None:
    """By position, as it is called: so the same number of parameters."""
    asked = members_of(protocol)
    assert {"start", "expire", "served"} <= set(asked)

    for name, parameters in asked.items():
        member: Any = inspect.getattr_static(kind, name)
        if parameters is not None:
            assert len(inspect.signature(member).parameters) == len(parameters), name


@pytest.mark.parametrize("protocol", [ConnectionPool, SharingPool])
def test_a_pool_has_what_its_connections_call(protocol: type) -> None:
    """With the same parameters."""
    asked = members_of(protocol)
    assert {"release", "forget"} <= set(asked)

    for name, parameters in asked.items():
        # `start_task` is that of another object.
        if parameters is not None and name != "start_task":
            method: Any = inspect.getattr_static(Pool, name)
            assert len(inspect.signature(method).parameters) == len(parameters), name


@pytest.mark.parametrize(
    ("kind", "is_shared"), [(Connection, False), (MultiplexedConnection, True)]
)
def test_a_connection_says_whether_it_is_shared(kind: type, is_shared: bool) -> None:
    """The pool asks before it knows anything else of it."""
    assert inspect.getattr_static(kind, "is_shared") is is_shared
