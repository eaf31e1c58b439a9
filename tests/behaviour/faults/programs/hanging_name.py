"""Fetches from a name whose look-up hangs for longer than the test waits."""

from __future__ import annotations

import socket
import time
from typing import Any

import asyncbatch

original = socket.getaddrinfo


def hang(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Take a minute over names."""
    if host == "hangs.test" and not kwargs.get("flags"):
        time.sleep(60)
    return original(host, *args, **kwargs)


socket.getaddrinfo = hang
(result,) = asyncbatch.fetch_many_sync(["http://hangs.test/"], timeout=0.2, retry=None)
print(result.kind)
