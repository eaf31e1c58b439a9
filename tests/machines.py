"""
The sockets of other machines: what the library finds there, in place of Linux's epoll.

`macos` has no epoll, so that each socket is left to the event loop; uvloop serves it by a transport
of its own. On `windows` asyncio's loop cannot watch sockets at all, and there is no `poll` either:
the loop connects, and all its connections are on its transports. There is no uvloop. trio watches
sockets on both. Each socket is made non-blocking by a call of its own. TLS is ours everywhere.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from asyncbatch._engine.connect import _connector, _sockets
from asyncbatch._engine.io import _attach, _readiness
from asyncbatch._engine.io._closing import Closing
from asyncbatch._runtime._event_loop import running_loop


class OtherLoop:
    """An event loop that none is."""


def need_own_transports() -> None:
    """Skip the test if the running event loop moves the bytes, and not transports of our own."""
    loop = running_loop()
    watch = _readiness.watch_on(loop)
    if not _attach.Attacher(loop, watch, memoryview(b""), Closing(loop)).can_watch:
        pytest.skip("the event loop moves the bytes, by calls of its own")


def put_where_sockets_connect(
    patch: pytest.MonkeyPatch, begin: Callable[[socket.socket, Any], bool]
) -> None:
    """
    Have `begin` called for each TCP socket that is to be connected, by us or by the event loop.

    It connects the socket, or raises; it returns whether the socket is connected already.
    """
    if _sockets.CAN_WATCH:
        patch.setattr(_sockets, "begin_connect", begin)
        return

    async def connect(sock: socket.socket, address: tuple[Any, ...]) -> None:
        if not begin(sock, address):
            await _sockets.finish_connect(sock, address)

    patch.setattr(_sockets, "connect_socket", connect)


def use_sockets_of(machine: str) -> None:
    """Let the library find what it would find there, for the rest of this process."""
    lacking = {"macos": {"epoll"}, "windows": {"epoll", "poll"}}[machine]
    modules: Any = _readiness, _attach, _sockets, _connector
    readiness, attach, sockets, connector = modules
    readiness.select = _with(select, **dict.fromkeys(lacking))
    sockets._NON_BLOCKING = 0
    if machine == "windows":
        attach.asyncio = _with(asyncio, SelectorEventLoop=OtherLoop)
        sockets.CAN_WATCH = connector.CAN_WATCH = False


def _with(module: ModuleType, **changes: object) -> SimpleNamespace:
    """Copy a module with other attributes, and without those that become None."""
    names = {name: vars(module)[name] for name in vars(module)} | changes
    return SimpleNamespace(**{name: value for name, value in names.items() if value is not None})
