"""
What can end an exchange that only sockets, names and clocks can tell.

    ExchangeError (see `_http11`)
    ├── ResolveFailed    the name has no address
    ├── AddressRefused   the address policy allows none of the name's addresses
    ├── ConnectFailed    no address could be connected to
    ├── HandshakeFailed  TLS could not be agreed, or the certificate is not trusted
    │   └── ContextFailed    there are no roots to trust, or no certificate to show
    ├── ProxyFailed      a proxy could not be reached, or did not connect to the origin
    ├── TimedOut         a time limit passed
    │   └── SentTooSlowly    the response came below the least rate
    └── EngineClosed     the engine was closed meanwhile

And what an error came of: whether this machine had run out of something, whether anybody cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Literal, TypeAlias

from asyncbatch._engine.http11 import ExchangeError

Phase: TypeAlias = Literal["pool", "connect", "write", "read", "rate", "total"]

# What this machine has run out of: descriptors, ports, threads, memory.
_EXHAUSTED = {
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.EADDRNOTAVAIL,
    errno.ENOBUFS,
    errno.ENOMEM,
}


class ResolveFailed(ExchangeError):
    """The host name could not be resolved."""

    kind = "dns"


class AddressRefused(ExchangeError):
    """The address policy allows none of the addresses the name resolved to."""

    kind = "blocked"


class ConnectFailed(ExchangeError):
    """None of the addresses could be connected to."""

    kind = "connect"


class HandshakeFailed(ExchangeError):
    """The TLS handshake failed, or the peer's certificate is not trusted."""

    kind = "tls"


class ContextFailed(HandshakeFailed):
    """There is nothing to shake hands with: no roots to trust, or no certificate to show."""


class ProxyFailed(ExchangeError):
    """
    A proxy did not do its part: it cannot be reached, refuses, or does not speak as a proxy.

    Attributes:
        proxy: its URL, without credentials.
        status: the status of its refusal, where it speaks HTTP and refused.
        is_lasting: whether it is of no use to ask it again: it wants other credentials.
        is_unsent: whether nothing of the request has been sent.
    """

    kind = "proxy"

    def __init__(
        self,
        proxy: str,
        message: str,
        *,
        status: int | None = None,
        is_lasting: bool = False,
        is_unsent: bool = True,
    ) -> None:
        super().__init__(f"the proxy {proxy}: {message}")
        self.proxy = proxy
        self.status = status
        self.is_lasting = is_lasting
        self.is_unsent = is_unsent


class TimedOut(ExchangeError):
    """
    A time limit passed.

    Attributes:
        phase: what was waited for: a place in the `pool`, a connection (`connect`), the peer to
            take (`write`) or to send (`read`, and fast enough: `rate`), or the whole exchange
            (`total`).
    """

    kind = "timeout"

    def __init__(self, phase: Phase) -> None:
        super().__init__(_WAITED_FOR[phase])
        self.phase: Phase = phase


class SentTooSlowly(TimedOut):
    """
    The response came more slowly than it may.

    Attributes:
        rate: the least rate, in bytes per second.
    """

    def __init__(self, rate: float) -> None:
        super().__init__("rate")
        self.rate = rate


_WAITED_FOR: dict[Phase, str] = {
    "pool": "no connection became free in time",
    "connect": "the connection was not established in time",
    "write": "the server did not take the request in time",
    "read": "the server did not send in time",
    "rate": "the server sent too slowly",
    "total": "the exchange did not end in time",
}


class EngineClosed(ExchangeError):
    """The engine was closed while the exchange was under way."""

    kind = "truncated"


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and everything that it came of, each once."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        cause = pending.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            pending.extend(cause.exceptions)
        pending.extend(link for link in (cause.__cause__, cause.__context__) if link is not None)


def lacks_descriptors(cause: BaseException) -> bool:
    """Whether `cause` says that this process, or this machine, may open no further file."""
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in (errno.EMFILE, errno.ENFILE)


def is_exhausted(cause: BaseException) -> bool:
    """Whether `cause` says that this machine has run out of something."""
    # The numbers of getaddrinfo's errors are others.
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in _EXHAUSTED


def is_uncalled_for(error: BaseException) -> bool:
    """Say whether an error is a cancellation that nobody has asked of the running task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop of asyncio's
        return False
    return task is not None and not task.cancelling()
