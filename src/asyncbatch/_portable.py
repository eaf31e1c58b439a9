"""
What lets results travel to another process: values and exceptions, taken apart for `pickle`.

Exceptions of httpx and ours are made with arguments that `pickle` does not know of: some unpickle
as something else, some not at all, and then only where they arrive. And what is pickled outlives
the layout of this package: it names public modules only.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any, ForwardRef

import attrs

_LIBRARIES = {"httpx", "httpx2", "asyncbatch"}


_variants: dict[tuple[type[Exception], str], type[Exception]] = {}


def publish(namespace: dict[str, Any], *inner: Any) -> None:
    """
    Let the public names of a module say that they are defined there.

    Args:
        namespace: The module's own, with `__all__`.
        inner: Classes and functions that are pickled with public values without being public
            themselves. They become names of the module that begin with an underscore.
    """
    module = namespace["__name__"]
    for name in namespace["__all__"]:
        _move(namespace[name], module)
    for each in inner:
        each.__qualname__ = name = f"_{each.__qualname__.lstrip('_')}"
        namespace[name] = each
        _move(each, module)


def _move(value: Any, module: str) -> None:
    if isinstance(value, type):
        # What they name is found where they were written.
        value.__annotations__ = {
            name: ForwardRef(text, module=value.__module__, is_class=True)
            if isinstance(text, str)
            else text
            for name, text in inspect.get_annotations(value).items()
        }
        for function in _functions_of(value):
            function.__module__ = module
    if isinstance(value, type | FunctionType):
        value.__module__ = module


def _functions_of(cls: type) -> Iterator[FunctionType]:
    for member in vars(cls).values():
        function = getattr(member, "__func__", member)
        if isinstance(function, FunctionType) and function.__module__ == cls.__module__:
            yield function


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
    return restored, (kind, library, self.args, dict(vars(self)))


def state_of(value: Any) -> dict[str, Any]:
    """
    Return the fields of an attrs object, for its `__getstate__`: those that are not the default.

    So that a value which was pickled before its class had a field is still one of it.
    """
    fields = attrs.fields(type(value))
    given = {field.name: getattr(value, field.name) for field in fields}
    defaults = {field.name: field.default for field in fields}
    return {name: _packed(field) for name, field in given.items() if field is not defaults[name]}


def restore(value: Any, state: dict[str, Any]) -> None:
    """Set the fields of an attrs object, for its `__setstate__`."""
    for field in attrs.fields(type(value)):
        given = state.get(field.name, field.default)
        # `copy.copy` hands over what `state_of` returned as it is.
        unpacked = given.error if isinstance(given, Parcel) else given
        object.__setattr__(value, field.name, unpacked)


def _packed(field: object) -> object:
    is_theirs = type(field).__module__.partition(".")[0] in _LIBRARIES
    return Parcel(field) if isinstance(field, Exception) and is_theirs else field


def restored(
    kind: type[Exception], library: str, args: tuple[Any, ...], state: dict[str, Any]
) -> Exception:
    """Make an error again of what `reduced` took it apart into."""
    kind = variant_of(kind, library)
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
