"""
Read from the raw head of a response what a lane must know before the fields are split.

The answers are cached: within one second most heads of a server are equal.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

_ENCODING_LENGTH, _LENGTH_LENGTH = len("content-encoding"), len("content-length")

_CODING = re.compile(rb"\ncontent-encoding:[ \t]*([^\r]*)", re.IGNORECASE)


def coding_of(status: int, coding: str | None) -> str | None:
    """
    Return the coding to decode a body with this status by; `None` if it is not decoded.

    A part (206) of an encoded body cannot be decoded by itself (RFC 9110 §8.4, §14.1.2).
    """
    return None if status == 206 else coding


@functools.lru_cache(maxsize=1024)
def coding_in(head: bytes) -> str | None:
    """Return the value of `Content-Encoding` in the field lines of a head, `None` without one."""
    values = _CODING.findall(head)
    return b",".join(values).decode("latin-1") or None


def fields_of_body(fields: Iterable[tuple[bytes, bytes]]) -> tuple[str | None, bytes | None]:
    """Return `Content-Encoding`, and `Content-Length` as it came, of the fields of a response."""
    codings: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in fields:
        # By the length first: most fields are neither.
        if len(name) == _ENCODING_LENGTH and name.lower() == b"content-encoding":
            codings.append(value)
        elif len(name) == _LENGTH_LENGTH and name.lower() == b"content-length":
            lengths.append(value)
    coding = b", ".join(codings).decode("latin-1") or None
    return coding, b", ".join(lengths) if lengths else None


@functools.lru_cache(maxsize=1024)
def value_in(head: bytes, name: bytes) -> str | None:
    """Return the value of the field `name`, in lower case, in a head; `None` without one."""
    values = re.findall(rb"\n" + re.escape(name) + rb":[ \t]*([^\r]*)", head, re.IGNORECASE)
    return b", ".join(value.rstrip() for value in values).decode("latin-1") if values else None


_SET_COOKIE = re.compile(rb"\nset-cookie:[ \t]*([^\r]*)", re.IGNORECASE)


def sets_cookies(head: bytes) -> bool:
    """Whether a head has a `Set-Cookie` or a `Set-Cookie2`."""
    return b"\nset-cookie" in head.lower()


def set_cookie_lines(head: bytes) -> list[str] | None:
    """Return the values of `Set-Cookie` in a head; `None` if one of them is not ASCII."""
    lines = _SET_COOKIE.findall(head)
    if not all(map(bytes.isascii, lines)):
        return None
    return [line.rstrip(b" \t").decode("ascii") for line in lines]
