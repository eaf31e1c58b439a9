"""
The sockets of other machines: what the library finds there, in place of Linux's epoll.

`macos` has no epoll, so that each socket is left to the event loop; uvloop serves plain and TLS
connections by transports of its own. On `windows` the event loop cannot watch sockets at all, and
there is no `poll` either: the loop connects, and all connections are on its transports.
"""

from __future__ import annotations

import asyncio
import select
from types import ModuleType, SimpleNamespace
from typing import Any

from asyncbatch._engine.connect import _connector, _sockets
from asyncbatch._engine.io import _attach, _readiness


class OtherLoop:
    """An event loop that none is."""


def use_sockets_of(machine: str) -> None:
    """Let the library find what it would find there, for the rest of this process."""
    lacking = {"macos": {"epoll"}, "windows": {"epoll", "poll"}}[machine]
    modules: Any = _readiness, _attach, _sockets, _connector
    readiness, attach, sockets, connector = modules
    readiness.select = _with(select, **dict.fromkeys(lacking))
    if machine == "windows":
        attach.asyncio = _with(asyncio, SelectorEventLoop=OtherLoop)
        sockets.CAN_WATCH = connector.CAN_WATCH = False


def _with(module: ModuleType, **changes: object) -> SimpleNamespace:
    """Copy a module with other attributes, and without those that become None."""
    names = {name: vars(module)[name] for name in vars(module)} | changes
    return SimpleNamespace(**{name: value for name, value in names.items() if value is not None})
