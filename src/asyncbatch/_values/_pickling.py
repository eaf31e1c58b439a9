"""
Pickling of results, requests and exceptions, so that they can be sent to another process.

Exceptions of httpx and of this package take arguments that `pickle` does not know: some would
unpickle as something else, some would fail, and only at the receiver. Objects that a caller has put
into a request, or raised, may not pickle at all: a result is pickled without them, and a request
pickled by itself is refused. Pickles outlive the layout of this package, so they name public
modules only.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
from collections.abc import Iterator
from types import FunctionType
from typing import Any, ForwardRef

import attrs

_LIBRARIES = {"httpx", "httpx2", "asyncbatch"}

# Types of which every value pickles.
_PLAIN = {str, bytes, int, float, bool, type(None)}

# Attributes of httpx's errors. They always pickle, and may be large, so they are not tried first.
_THEIRS = {"_request", "response"}

_variants: dict[tuple[type[Exception], str], type[Exception]] = {}


def publish(namespace: dict[str, Any], *inner: Any) -> None:
    """
    Set `__module__` of a module's public names to that module.

    Args:
        namespace: The namespace of the module, with `__all__`. Names it does not have yet are
            skipped.
        inner: Private classes and functions that are pickled with public values. They become names
            of the module that begin with an underscore.
    """
    module = namespace["__name__"]
    for name in namespace.keys() & namespace["__all__"]:
        _move(namespace[name], module)
    for each in inner:
        each.__qualname__ = name = f"_{each.__qualname__.lstrip('_')}"
        namespace[name] = each
        _move(each, module)


def _move(value: Any, module: str) -> None:
    if isinstance(value, type):
        # Annotations are resolved in the module where they were written.
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
    Return the variant of `error_type`, a class of this package, that is an exception of `library`.

    For httpx, that is the class itself. For httpx2, it is a subclass of it and of the httpx2
    exception with the name of its httpx base.
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


class Absent:
    """
    Placeholder for a field that did not pickle, in the request of an unpickled result.

    Args:
        what: The name of the type of the field.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return f"<a {self.what}, which did not pickle>"


class Parcel:
    """
    Placeholder for a value in a pickle; it is unpickled as the value.

    Args:
        value: The value.
    """

    def __init__(self, value: Any) -> None:
        self.value = value


class ErrorParcel(Parcel):
    """Placeholder for an exception; it is unpickled as the exception, or the nearest equivalent."""

    def __reduce__(self) -> tuple[Any, ...]:
        error = self.value
        if type(error).__module__.partition(".")[0] in _LIBRARIES:
            return reduced(error)
        if _arrives_alike(error, error):
            return same, (error,)
        whole = _WholeError(error)
        return whole.__reduce__() if _arrives_alike(whole, error) else _remains_of(error)


class _WholeError(Parcel):
    """
    Placeholder for an exception that its own `__reduce__` describes.

    `pickle` would ask the functions that are registered for the class in `copyreg` first. Those of
    tblib, which Dask loads, leave out what a `UnicodeError` says.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        parts: tuple[Any, ...] = self.value.__reduce_ex__(2)
        return parts


class FieldParcel(Parcel):
    """
    Placeholder for a field of a request that is pickled by itself.

    Args:
        value: The value of the field.
        name: The name of the field.
    """

    def __init__(self, value: Any, name: str) -> None:
        super().__init__(value)
        self.name = name

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return copy.deepcopy(self.value, memo)

    def __reduce__(self) -> tuple[Any, ...]:
        if travels(self.value):
            return same, (self.value,)
        raise TypeError(
            f"a Request whose {self.name} is a {type(self.value).__name__} cannot be pickled; give "
            "bytes in place of a generator or file, and only functions and classes of a module"
        )


def is_plain(value: object) -> bool:
    """Whether a value pickles because of its type alone."""
    return type(value) in _PLAIN


def _text_of(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def travels(value: object) -> bool:
    """Whether a value can be pickled, and unpickles as its own type."""
    return is_plain(value) or type(_round_trip(value)) is type(value)


def _arrives_alike(pickled: object, error: Exception) -> bool:
    """Whether what is pickled arrives with the type and the text of an error."""
    arrived = _round_trip(pickled)
    if type(arrived) is not type(error):
        return False
    text = _text_of(error)
    # A text that differs each time says nothing.
    return _text_of(arrived) == text or _text_of(error) != text


def _round_trip(value: object) -> Any:
    """Pickle and unpickle a value; return None if that fails."""
    import pickle  # with what it loads, a tenth of what importing these values takes

    try:
        return pickle.loads(pickle.dumps(value))  # noqa: S301  # our own
    except Exception:
        return None


def same(value: Any) -> Any:
    """Return `value`; placeholders are unpickled by this function."""
    return value


def made_of(kind: type[Any], state: dict[str, Any]) -> Any:
    """Make an attrs object from those of its fields that are not the default."""
    value = object.__new__(kind)
    restore(value, state)
    return value


def reduced(self: Exception) -> tuple[Any, ...]:
    """
    Return what `restored` makes the error from; the `__reduce__` of errors with arguments.

    Causes are left out, as `pickle` does for every exception.
    """
    kind = type(self)
    kind, library = getattr(kind, "_variant_of", (kind, "httpx"))
    args, state = _portable_parts(self)
    name_encoding(state.get("response"))
    return restored, (kind, library, args, state)


def _portable_parts(error: Exception) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an error, as text unless they pickle, and attributes that pickle."""
    args = tuple(each if travels(each) else str(each) for each in error.args)
    state = vars(error).items()
    return args, {name: each for name, each in state if name in _THEIRS or travels(each)}


def name_encoding(response: Any) -> None:
    """Replace a function given as `default_encoding` of a response by the encoding it returns."""
    for each in (response, *getattr(response, "history", ())):
        default = getattr(each, "default_encoding", None)
        if callable(default):
            try:
                each.default_encoding = default(each.content)
            except Exception:
                each.default_encoding = "utf-8"


def _remains_of(error: Exception) -> tuple[Any, ...]:
    """Return how to make a caller's error again, or a `RuntimeError` with the same text."""
    kind = type(error)
    args, state = _portable_parts(error)
    text = _text_of(error)
    with contextlib.suppress(Exception):
        if travels(kind) and str(restored(kind, "httpx", args, state)) == text:
            return restored, (kind, "httpx", args, state)
    notes = {"__notes__": state["__notes__"]} if "__notes__" in state else {}
    return restored, (RuntimeError, "httpx", (f"{kind.__qualname__}: {text}",), notes)


def state_of(value: Any) -> dict[str, Any]:
    """
    Return the fields of an attrs object that are not the default, for its `__getstate__`.

    A value pickled before its class got a new field can thus still be unpickled.
    """
    return {name: _packed(each) for name, each in given_in(value).items()}


def given_in(value: Any) -> dict[str, Any]:
    """Return the fields of an attrs object that are not the default."""
    fields = attrs.fields(type(value))
    given = {field.name: getattr(value, field.name) for field in fields}
    defaults = {field.name: field.default for field in fields}
    return {name: each for name, each in given.items() if each is not defaults[name]}


def restore(value: Any, state: dict[str, Any]) -> None:
    """Set the fields of an attrs object, for its `__setstate__`."""
    for field in attrs.fields(type(value)):
        given = state.get(field.name, field.default)
        # `copy.copy` passes on what `state_of` returned, placeholders included.
        unpacked = given.value if isinstance(given, Parcel) else given
        object.__setattr__(value, field.name, unpacked)


def _packed(field: object) -> object:
    return ErrorParcel(field) if isinstance(field, Exception) else field


def restored(
    kind: type[Exception], library: str, args: tuple[Any, ...], state: dict[str, Any]
) -> Exception:
    """Make an error from what `reduced` returned."""
    kind = variant_of(kind, library)
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
