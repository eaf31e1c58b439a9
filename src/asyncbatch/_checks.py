"""
Checks of single arguments, for whoever takes them: a wrong one is told by name, value and cure.
"""

from __future__ import annotations

import functools
import inspect


def check_function(option: str, function: object, wanted: str) -> None:
    """
    Refuse what is no plain function.

    Args:
        option: Which takes it.
        function: What was given.
        wanted: What it is to be, for the message.

    Raises:
        TypeError: It cannot be called, or has to be awaited.
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
        raise TypeError(f"{option} must be {wanted}, and no async one, not {function!r}")


def check_seconds(option: str, seconds: object) -> float | None:
    """
    Return `seconds` if it is a time limit: a number above zero, or `None`.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is not above zero, or not a number.
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
        raise ValueError(
            f"{option} must be a number of seconds that a float holds; None switches it off"
        ) from None


def check_size(option: str, size: object) -> int | None:
    """
    Return `size` if it is a number of bytes, 0 included, or `None`.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is below zero.
    """
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{option} must be an int, not {size!r}")
    if size < 0:
        raise ValueError(f"{option} must be at least 0, not {size!r}; None sets no limit")
    return size
