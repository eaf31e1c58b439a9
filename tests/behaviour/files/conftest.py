"""Fixtures of the tests of files."""

from __future__ import annotations

import pytest

from asyncbatch._engine.connection import _partial_response
from asyncbatch._engine.http11 import _body, _body_reader
from asyncbatch._engine.io import _socket_transport
from asyncbatch._engine.io._refill import Refill
from asyncbatch._engine.pool import _pool
from asyncbatch._files import _download


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Have a body received as a long one is; return what comes in a thread of the disk."""
    received: list[int] = []

    class Counted(Refill):
        def __call__(self, memory: memoryview) -> int:
            size = super().__call__(memory)
            received.append(size)
            return size

    for module, name, value in [
        (_pool, "RECEIVE_BUFFER", 16),
        (_body, "BLOCK", 16),
        (_body, "_ROOM", 8),
        (_body, "_LEAST", 4),
        (_body_reader, "_SHORTEST_LENT", 8),
        (_partial_response, "_FULL", 8),
        (_partial_response, "_REST", 4),
        (_download, "AT_ONCE", 1),
        (_socket_transport, "LITTLE", 16),
        (_socket_transport, "Refill", Counted),
    ]:
        monkeypatch.setattr(module, name, value)
    return received
