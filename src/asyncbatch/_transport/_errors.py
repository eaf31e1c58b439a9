"""
What can end an exchange that only sockets, names and clocks can tell.

    ExchangeError (see `_http11`)
    ├── ResolveFailed    the name has no address
    ├── AddressRefused   the address policy allows none of the name's addresses
    ├── ConnectFailed    no address could be connected to
    ├── HandshakeFailed  TLS could not be agreed, or the certificate is not trusted
    │   └── ContextFailed    there are no roots to trust, or no certificate to show
    ├── TimedOut         a time limit passed
    │   └── SentTooSlowly    the response came below the least rate
    └── EngineClosed     the engine was closed meanwhile
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from asyncbatch._http11 import ExchangeError

Phase: TypeAlias = Literal["pool", "connect", "write", "read", "rate", "total"]


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
