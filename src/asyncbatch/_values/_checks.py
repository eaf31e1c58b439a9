"""
Checks of single arguments. The error names the argument, the value received and the cure.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_function(option: str, function: object, wanted: str) -> None:
    """
    Raise unless `function` is a function that need not be awaited.

    Args:
        option: Name of the option, for the message.
        function: The value given.
        wanted: Description of the function wanted, for the message.

    Raises:
        TypeError: If it cannot be called, or is async.
    """
    if not callable(function):
        raise TypeError(f"{option} must be {wanted}, not {function!r}")
    plain: object = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    called = getattr(type(plain), "__call__", None)  # noqa: B004  # of the type, not of the object
    if any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (plain, called)
    ):
        raise TypeError(f"{option} must be {wanted}, not the async {function!r}")


def check_seconds(option: str, seconds: object) -> float | None:
    """
    Return `seconds` if it is a time limit: a number above zero, or `None`.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is not above zero, or NaN.
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{option} must be a number of seconds or None, not {seconds!r}")
    if not seconds > 0:
        raise ValueError(f"{option} must be above 0 seconds, not {seconds!r}; None switches it off")
    try:
        return float(seconds)
    except OverflowError:
        raise ValueError(f"{option} is too large for a float; None switches it off") from None


def check_count(option: str, count: object, *, least: int = 1, cure: str = "") -> int:
    """
    Return `count` if it is a whole number of `least` or more.

    Args:
        option: Name of the option, for the message.
        count: The value given.
        least: The lowest value allowed.
        cure: What to give instead of a lower value, for the message.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is below `least`.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"{option} must be an int, not {count!r}")
    if count < least:
        raise ValueError(f"{option} must be at least {least}, not {count!r}{cure and '; ' + cure}")
    return count


def check_size(option: str, size: object) -> int | None:
    """
    Return `size` if it is a number of bytes, 0 included, or `None`.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is below zero.
    """
    if size is None:
        return None
    return check_count(option, size, least=0, cure="None sets no limit")


def check_flag(option: str, flag: object) -> bool:
    """
    Return `flag` if it is `True` or `False`.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(flag, bool):
        raise TypeError(f"{option} must be True or False, not {flag!r}")
    return flag


def as_path(path: Any) -> Path:
    """
    Return the argument `path` as a path.

    Raises:
        TypeError: If it is not a path, or one of bytes.
        ValueError: If the file system cannot have it.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path, not {path!r}")
    text = os.fspath(path)
    if not isinstance(text, str):
        raise TypeError(f"path must be a str or a path of text, not {path!r}")
    if "\0" in text:
        raise ValueError(f"path must not contain a null character: {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"path must be a text that the file system can encode, not {text!r}"
        ) from error
    return Path(text)


def check_params(params: object) -> None:
    """
    Raise for parameters that httpx would send as the `repr` of an object, or fail on.

    Raises:
        TypeError: Names the parameter and the type of its value.
    """
    if params is None or isinstance(params, str | bytes) or hasattr(params, "multi_items"):
        return
    if isinstance(params, Mapping):
        for name, value in params.items():
            for each in value if isinstance(value, list | tuple) else (value,):
                _check_param(name, each)
        return
    if not isinstance(params, list | tuple):
        raise TypeError(f"params must be {_PARAMS}, not a {type(params).__name__}")
    for pair in params:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"params must be {_PARAMS}; a {type(pair).__name__} is not a pair")
        _check_param(*pair)


_PARAMS = "a dict such as {'name': 'value'}, a list of (name, value) pairs, or a query as a str"


def _check_param(name: object, value: object) -> None:
    if value is None or isinstance(value, str | int | float):
        return
    kind = type(value)
    is_several = (
        isinstance(value, bytes) or hasattr(value, "__iter__") or hasattr(value, "__aiter__")
    )
    # Objects without a text of their own; dates, UUIDs and decimals have one.
    is_nameless = kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__
    if is_several or is_nameless or callable(value):
        raise TypeError(
            f"params must be {_PARAMS}; the value of {name!r} is a {kind.__name__}, not a text, "
            "a number or, in a dict, a list of these"
        )
