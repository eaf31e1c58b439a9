"""
Notes of an input: they tell whether two inputs are equal, and where they differ.

A request is identified as in a journal, and by its tag, which is a column of the results. Memory is
bounded for an input of any length. The notes are kept in the plan; they have secrets only through a
hash with a random key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType
from typing import Any

from asyncbatch import Request
from asyncbatch._journal._identity import SIZE, Identifier, Locate

MOST_MARKS = 1024
"""Marks that are kept at most. Requests before which there are fewer differ at a known place."""

_MARK_BYTES = 8
_DEEPEST = 20

_SIMPLE = {str: "str", bool: "bool", int: "int", float: "float"}
_INT64 = range(-(2**63), 2**63)


class Notes:
    """
    What is kept of an input beside its requests.

    Args:
        secret: The random key of the data set.
        locate: Finds the URL of requests that are relative to a `base_url`.
    """

    def __init__(self, secret: bytes, locate: Locate) -> None:
        self.count = 0
        """Number of requests."""
        self._secret = secret
        self._identifier = Identifier(secret, locate)
        self._tag_types: set[type] = set()
        # Of all requests, in their order.
        self._chain = hashlib.blake2b(digest_size=SIZE, key=secret)
        # Of all requests, in any order.
        self._sum = 0
        # The start of the chain after each `_step` requests.
        self._marks: list[str] = []
        self._step = 1

    def add(self, item: object) -> None:
        """Take one request into account."""
        identity = self._identity(item)
        self._chain.update(identity)
        self._sum += int.from_bytes(identity)
        self.count += 1
        if self.count % self._step == 0:
            self._mark()

    def kept(self) -> dict[str, Any]:
        """Return what `difference` compares, for JSON."""
        return {
            "requests": self.count,
            "ordered": self._chain.hexdigest(),
            "unordered": f"{self._sum % 2 ** (8 * SIZE):x}",
            "marks": self._marks,
        }

    def difference(self, before: Mapping[str, Any]) -> str | None:
        """Say where the requests differ from those of earlier notes; `None` if they do not."""
        now = self.kept()
        if now["ordered"] == before["ordered"]:
            return None
        if now["requests"] != before["requests"]:
            return f"{before['requests']:,} requests there, and {self.count:,} here"
        if now["unordered"] == before["unordered"]:
            return "the same ones, but in another order"
        marks = enumerate(zip(before["marks"], self._marks, strict=True))
        at = next((place for place, (own, other) in marks if own != other), len(self._marks))
        first = at * self._step
        last = min(first + self._step, self.count) - 1
        if first == last:
            return f"of {self.count:,}, request {first:,} is the first that differs, counted from 0"
        return (
            f"of {self.count:,}, the first that differs is one of the requests {first:,} to "
            f"{last:,}, counted from 0"
        )

    @property
    def tag_type(self) -> str | None:
        """The type of all tags, if they have one and it is simple."""
        found = [_SIMPLE.get(each) for each in self._tag_types]
        return found[0] if len(found) == 1 else None

    def _mark(self) -> None:
        self._marks.append(self._chain.copy().digest()[:_MARK_BYTES].hex())
        if len(self._marks) == MOST_MARKS:
            self._marks = self._marks[1::2]
            self._step *= 2

    def _identity(self, item: object) -> bytes:
        tag, own_key = (item.tag, item.key) if isinstance(item, Request) else (None, None)
        try:
            key, contents = self._identifier.identify(item, own_key)
        except Exception:
            # It cannot be pickled, or is a failure each time.
            key, contents = self._identifier.refused(item)
        if tag is contents is None:
            return key
        if tag is not None:
            is_large = type(tag) is int and tag not in _INT64
            self._tag_types.add(object if is_large else type(tag))
        hasher = hashlib.blake2b(key + (contents or b""), digest_size=SIZE, key=self._secret)
        for part in _described(tag):
            hasher.update(b"%d:%b" % (len(part), part))
        return hasher.digest()


def _described(value: Any, depth: int = 0) -> Iterator[bytes]:
    """
    Yield parts that are equal for equal values, in each process.

    A pickle is not: it depends on which parts are one object, and on the order of sets.
    """
    kind = type(value)
    yield kind.__qualname__.encode()
    if kind in (str, bytes, int, float, bool, type(None)):
        yield repr(value).encode("utf-8", "backslashreplace")
    elif depth > _DEEPEST:
        return
    elif kind in (tuple, list):
        yield b"%d" % len(value)
        for each in value:
            yield from _described(each, depth + 1)
    elif kind in (set, frozenset):
        yield from sorted(b"\0".join(_described(each, depth + 1)) for each in value)
    elif kind is dict:
        yield b"%d" % len(value)
        for pair in value.items():
            yield from _described(pair, depth + 1)
    elif isinstance(value, type | FunctionType | BuiltinFunctionType):
        yield value.__qualname__.encode()
    else:
        yield from _described_object(value, depth)


def _described_object(value: object, depth: int) -> Iterator[bytes]:
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # it cannot be pickled, which is told where it is
        return
    if isinstance(reduced, str):
        yield reduced.encode()
        return
    # The items of lists and dictionaries come as iterators.
    *parts, items, pairs = (*reduced, None, None, None)[:5]
    parts += [*(items or ()), *(pairs or ())]
    for part in parts:
        yield from _described(part, depth + 1)
