"""
Encode JSON bodies as httpx does, with one encoder for all requests.

`json.dumps` makes an encoder for each value unless all its options are the defaults.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

_SAMPLES: tuple[Any, ...] = ({"a": [1, 2.5, None, True, {}], "é": 'b"\u2028\n'}, "", 0)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def json_encoder(library: Any) -> Callable[[Any], bytes] | None:
    """Return what encodes values as `library` does, or `None` if `library` does it otherwise."""
    try:
        # Private names of httpx; a program may put other functions in their place at any time.
        return _encoder_like(library._content.json_dumps, library._content.encode_request)
    except Exception:
        return None


@functools.cache
def _encoder_like(dumps: Any, encode: Any) -> Callable[[Any], bytes] | None:
    if (dumps.__module__, dumps.__qualname__) != ("json", "dumps"):
        return None
    is_same = all(_encoded_by(encode, sample) == _described(sample) for sample in _SAMPLES)
    return _encode if is_same else None


def description_of(body: bytes) -> dict[str, str]:
    """Return the fields that describe a JSON body, in httpx's order."""
    return {"Content-Length": str(len(body)), "Content-Type": "application/json"}


def _encode(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("utf-8")


def _described(value: Any) -> tuple[list[tuple[str, str]], bytes]:
    body = _encode(value)
    return list(description_of(body).items()), body


def _encoded_by(encode: Any, value: Any) -> tuple[list[tuple[str, str]], bytes]:
    headers, stream = encode(json=value)
    return list(headers.items()), b"".join(stream)
