"""
The errors of an exchange that come from sockets, names and clocks, not from the protocol.

    ExchangeError (see `http11`)
    ├── ResolveFailed    the name has no address
    ├── AddressRefused   the address policy allows none of the name's addresses
    ├── ConnectFailed    no address could be connected to
    ├── HandshakeFailed  TLS could not be agreed, or the certificate is not trusted
    │   └── ContextFailed    there are no roots to trust, or no certificate to show
    ├── ProxyFailed      a proxy could not be reached, or did not connect to the origin
    ├── TimedOut         a time limit passed
    │   └── SentTooSlowly    the response came below the least rate
    ├── EngineClosed     the engine was closed meanwhile
    └── RequestRefused   a server has not processed the request (a `ProtocolError`)

It also finds the causes of an error: whether this machine ran out of something, or was cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Literal, TypeAlias

from asyncbatch._engine.http11 import ExchangeError, ProtocolError

Phase: TypeAlias = Literal["pool", "connect", "write", "read", "rate", "total"]

# What this machine can run out of: descriptors, ports, threads, memory.
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
    """The address policy allows none of the addresses of the name."""

    kind = "blocked"


class ConnectFailed(ExchangeError):
    """No address of the name could be connected to."""

    kind = "connect"


class HandshakeFailed(ExchangeError):
    """The TLS handshake failed, or the peer's certificate is not trusted."""

    kind = "tls"


class ContextFailed(HandshakeFailed):
    """The handshake cannot begin: there are no roots to trust, or no certificate to show."""


class ProxyFailed(ExchangeError):
    """
    A proxy did not do its part: it cannot be reached, refuses, or does not answer as a proxy.

    Attributes:
        proxy: Its URL, without credentials.
        status: The status of its refusal, if it speaks HTTP and refused.
        is_lasting: Whether another try is of no use, since it wants other credentials.
        is_unsent: Whether nothing of the request was sent.
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
        phase: What the exchange waited for: a place in the `pool`, a connection (`connect`), the
            peer to take (`write`) or to send bytes (`read`, or fast enough: `rate`), or its end
            (`total`).
    """

    kind = "timeout"

    def __init__(self, phase: Phase) -> None:
        super().__init__(_WAITED_FOR[phase])
        self.phase: Phase = phase


class SentTooSlowly(TimedOut):
    """
    The response arrived too slowly.

    Attributes:
        rate: The least rate, in bytes per second.
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
    """The engine was closed during the exchange."""

    kind = "truncated"


class RequestRefused(ProtocolError):
    """The server has not processed the request, so it may be sent again with any method."""


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and all its causes, each once."""
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
    """Whether `cause` says that this process, or this machine, can open no further file."""
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in (errno.EMFILE, errno.ENFILE)


def is_exhausted(cause: BaseException) -> bool:
    """Whether `cause` says that this machine has run out of something."""
    # The errors of getaddrinfo have other numbers.
    if not isinstance(cause, OSError) or isinstance(cause, socket.gaierror):
        return False
    return cause.errno in _EXHAUSTED


def is_uncalled_for(error: BaseException) -> bool:
    """Whether an error is a cancellation that was not requested for the running task."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop of asyncio's
        return False
    return task is not None and not task.cancelling()
