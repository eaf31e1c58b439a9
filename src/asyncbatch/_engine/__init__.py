"""
The engine: HTTP/1.1 and HTTP/2, with a pool of its own, and as an httpx transport.

It runs on asyncio, uvloop and trio.

Only this package imports httpcore, and only it and `_runtime` import asyncio. It knows no batches,
retry policies or results.
"""

from __future__ import annotations

from asyncbatch._engine.bridge._pool_bridge import (
    EXCHANGE_EXTENSION,
    MINIMUM_RATE_EXTENSION,
    PROXY_EXTENSION,
    REPLAY_EXTENSION,
    NetworkStream,
)
from asyncbatch._engine.bridge._pristine import is_pristine, is_stock_pool, is_untouched
from asyncbatch._engine.bridge._trace import ExchangeTrace
from asyncbatch._engine.bridge._transports import HTTPTransport, pool_class, transport_class
from asyncbatch._engine.connect._addresses import (
    AddressPolicyTypes,
    as_policy,
    check_proxy_resolves,
    is_public,
)
from asyncbatch._engine.connect._connector import Connector

from ._body_stream import BodyStream, LentBodyStream
from ._bounds import Bounds, bounds_for
from ._engine import Engine
from ._errors import (
    AddressRefused,
    ConnectFailed,
    ContextFailed,
    EngineClosed,
    HandshakeFailed,
    ProxyFailed,
    RequestRefused,
    ResolveFailed,
    SentTooSlowly,
    TimedOut,
    causes_of,
    is_exhausted,
    is_uncalled_for,
)
from ._exchange import NEVER, SHORT_BODY, Exchange, ExchangeLimits, Origin, Upload

__all__ = [
    "EXCHANGE_EXTENSION",
    "MINIMUM_RATE_EXTENSION",
    "NEVER",
    "PROXY_EXTENSION",
    "REPLAY_EXTENSION",
    "SHORT_BODY",
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
    "ExchangeLimits",
    "ExchangeTrace",
    "HTTPTransport",
    "HandshakeFailed",
    "LentBodyStream",
    "NetworkStream",
    "Origin",
    "ProxyFailed",
    "RequestRefused",
    "ResolveFailed",
    "SentTooSlowly",
    "TimedOut",
    "Upload",
    "as_policy",
    "bounds_for",
    "causes_of",
    "check_proxy_resolves",
    "is_exhausted",
    "is_pristine",
    "is_public",
    "is_stock_pool",
    "is_uncalled_for",
    "is_untouched",
    "pool_class",
    "transport_class",
]
