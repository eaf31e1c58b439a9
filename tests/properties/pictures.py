"""
Pictures of objects: all that they are made of, in a form that can be compared.

For twins, two ways of doing one thing: whatever either leaves behind shows in the picture of it, a
field that one of them forgets included.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

PLAIN = (int, float, str, bytes, bool, type(None), type)


def picture(*roots: Any, without: Collection[str] = ()) -> list[Any]:
    """
    Return all that `roots` are made of: each object once, by the way on which it is come to.

    Args:
        roots: What is looked at.
        without: Names of fields that are left out.
    """
    numbers: dict[int, int] = {}
    kept: list[Any] = []  # or another object might get the place of one that was looked at

    def look(value: Any) -> Any:
        if isinstance(value, enum.Enum):
            return value.name
        if isinstance(value, PLAIN):
            return value
        if isinstance(value, tuple):
            return tuple(map(look, value))
        if id(value) in numbers:
            return f"<{numbers[id(value)]}>"
        numbers[id(value)] = len(numbers)
        kept.append(value)
        if isinstance(value, Mapping):
            return [(look(key), look(each)) for key, each in _items(value)]
        if isinstance(value, list | deque):
            return list(map(look, value))
        if isinstance(value, set | frozenset):
            return [look(each) for each in sorted(value, key=_order)]
        if isinstance(value, Callable):  # type: ignore[arg-type]
            return getattr(value, "__qualname__", type(value).__qualname__)
        found = {name: look(each) for name, each in fields_of(value) if name not in without}
        return type(value).__qualname__, found

    return [look(root) for root in roots]


def _items(value: Mapping[Any, Any]) -> Collection[tuple[Any, Any]]:
    # By host there is no order that anybody goes by.
    if all(hasattr(key, "key") for key in value):
        return sorted(value.items(), key=lambda item: item[0].key)
    return value.items()


def _order(member: Any) -> Any:
    return repr(member) if isinstance(member, PLAIN) else member.index


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of what an object has, wherever it keeps them."""
    missing = object()
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                found = getattr(value, name, missing)
                yield name, "<unset>" if found is missing else found
    yield from getattr(value, "__dict__", {}).items()
