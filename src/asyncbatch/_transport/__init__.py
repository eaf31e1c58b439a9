"""
The engine: HTTP/1.1 over asyncio, with a pool of its own, and as an httpx transport.

The only place that imports asyncio and httpcore. It knows nothing of batches, policies of retry
or results.
"""

from __future__ import annotations

from ._addresses import AddressPolicy, AddressPolicyTypes, IPAddress, as_policy, is_public
from ._bounds import Bounds, bounds_for
from ._bridge import (
    EXCHANGE_EXTENSION,
    MINIMUM_RATE_EXTENSION,
    REPLAY_EXTENSION,
    NetworkStream,
)
from ._connector import Connector
from ._engine import Engine
from ._errors import (
    AddressRefused,
    ConnectFailed,
    ContextFailed,
    EngineClosed,
    HandshakeFailed,
    ResolveFailed,
    SentTooSlowly,
    TimedOut,
    causes_of,
    is_exhausted,
    is_uncalled_for,
)
from ._exchange import NEVER, SHORT_BODY, Exchange, Origin, Terms, Upload
from ._stock import is_pristine, is_stock_pool, is_untouched
from ._stream import BodyStream
from ._transports import HTTPTransport, pool_class, transport_class

__all__ = [
    "EXCHANGE_EXTENSION",
    "MINIMUM_RATE_EXTENSION",
    "NEVER",
    "REPLAY_EXTENSION",
    "SHORT_BODY",
    "AddressPolicy",
    "AddressPolicyTypes",
    "AddressRefused",
    "BodyStream",
    "Bounds",
    "ConnectFailed",
    "Connector",
    "ContextFailed",
    "Engine",
    "EngineClosed",
    "Exchange",
    "HTTPTransport",
    "HandshakeFailed",
    "IPAddress",
    "NetworkStream",
    "Origin",
    "ResolveFailed",
    "SentTooSlowly",
    "Terms",
    "TimedOut",
    "Upload",
    "as_policy",
    "bounds_for",
    "causes_of",
    "is_exhausted",
    "is_pristine",
    "is_public",
    "is_stock_pool",
    "is_uncalled_for",
    "is_untouched",
    "pool_class",
    "transport_class",
]
