"""
What lets results travel to another process: values and exceptions, taken apart for `pickle`.

Exceptions of httpx and ours are made with arguments that `pickle` does not know of: some unpickle
as something else, some not at all, and then only where they arrive.
"""

from __future__ import annotations

import importlib
from typing import Any

import attrs

_LIBRARIES = {"httpx", "httpx2", "asyncbatch"}


_variants: dict[tuple[type[Exception], str], type[Exception]] = {}


def variant_of(error_type: type[Exception], library: str) -> type[Exception]:
    """
    Return `error_type`, one of ours, so that it is an exception of `library` as well.

    For httpx that is the class itself; for httpx2 a subclass of it and of the httpx2 exception
    that answers to its httpx base.
    """
    if library == "httpx":
        return error_type
    key = error_type, library
    if key not in _variants:
        _variants[key] = _variant(error_type, library)
    return _variants[key]


def _variant(error_type: type[Exception], library: str) -> type[Exception]:
    foreign = next(
        base for base in error_type.__mro__ if base.__module__.partition(".")[0] == "httpx"
    )
    native = getattr(importlib.import_module(library), foreign.__name__)
    members = {
        "__doc__": error_type.__doc__,
        "__module__": error_type.__module__,
        "__reduce__": reduced,
        "_variant_of": (error_type, library),
    }
    return type(error_type.__name__, (error_type, native), members)


class Parcel:
    """Stands for an exception in what is pickled, and is unpickled as that."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return reduced(self.error)


def reduced(self: Exception) -> tuple[Any, ...]:
    """
    Return how to make an error again; it serves as the `__reduce__` of those with arguments.

    Without its causes, which `pickle` leaves out of any exception.
    """
    kind = type(self)
    kind, library = getattr(kind, "_variant_of", (kind, "httpx"))
    return _restored, (kind, library, self.args, dict(vars(self)))


def state_of(value: Any) -> dict[str, Any]:
    """Return the fields of an attrs object, for its `__getstate__`."""
    fields = {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
    return {name: _packed(field) for name, field in fields.items()}


def restore(value: Any, state: dict[str, Any]) -> None:
    """Set the fields of an attrs object, for its `__setstate__`."""
    for name, field in state.items():
        # `copy.copy` hands over what `state_of` returned as it is.
        unpacked = field.error if isinstance(field, Parcel) else field
        object.__setattr__(value, name, unpacked)


def _packed(field: object) -> object:
    is_theirs = type(field).__module__.partition(".")[0] in _LIBRARIES
    return Parcel(field) if isinstance(field, Exception) and is_theirs else field


def _restored(
    kind: type[Exception], library: str, args: tuple[Any, ...], state: dict[str, Any]
) -> Exception:
    kind = variant_of(kind, library)
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
