"""
An encoder for zstd, of the module that there is.

zstandard has no wheels for Python 3.15, and the standard library has had a module of its own since
3.14 (PEP 784).
"""

from __future__ import annotations

import importlib
from typing import Any


def _installed() -> Any:
    """Import a module that can encode."""
    for name in ("zstandard", "compression.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return importlib.import_module("backports.zstd")


ZSTD = _installed()
"""zstandard, or a module with the interface of `compression.zstd`."""


def compress(body: bytes, level: int = 3) -> bytes:
    """Encode a body whole, with its size in the head."""
    compressed: bytes = ZSTD.compress(body, level)
    return compressed
