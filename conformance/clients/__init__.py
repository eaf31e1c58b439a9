"""
The clients that the table is played against, each behind the same small surface.

Each module has functions that open a client, as async context managers, given the server's `Trust`.
"""

from __future__ import annotations

import importlib
from typing import Any

ENTRIES = {
    "asyncbatch": "ours:direct_lane",
    "asyncbatch-client-lane": "ours:client_lane",
    "asyncbatch-stock-httpx": "ours:stock_lane",
    "httpx-on-our-transport": "ours:plain_httpx",
    "asyncbatch-forward-proxy": "proxied:forward",
    "asyncbatch-tunnel": "proxied:tunnel",
    "httpx2-on-our-transport": "ours:plain_httpx2",
    "httpx": "peers:httpx_client",
    "httpx2": "peers:httpx2_client",
    "aiohttp": "peers:aiohttp_client",
    "pyreqwest": "peers:pyreqwest_client",
    "curl": "curl:curl_client",
}
"""Where each client is opened, by the name that the command knows it by."""


def find_client(name: str) -> Any:
    """
    Return what opens the client called `name`.

    Raises:
        KeyError: There is none.
    """
    module, _, function = ENTRIES[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)
