"""Checks of arguments: what they take, and what they say of the rest."""

from __future__ import annotations

import datetime
import decimal
import functools
import math
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch._values._checks import (
    as_path,
    check_count,
    check_flag,
    check_function,
    check_params,
    check_seconds,
    check_size,
)


async def coroutine_function() -> None: ...


async def async_generator_function() -> Any:
    yield


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"a.db"


class AsyncCall:
    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "function", [len, print, functools.partial(len), type("Call", (), {}), str]
)
def test_whatever_answers_at_once_is_a_function(function: Any) -> None:
    """Classes and partial functions too."""
    check_function("key", function, "a function")


@pytest.mark.parametrize("function", [None, 1, "len", [len]])
def test_what_cannot_be_called_is_refused(function: Any) -> None:
    """By name, with what is wanted and what was given."""
    with pytest.raises(TypeError, match=r"^key must be a function, not ") as caught:
        check_function("key", function, "a function")

    assert repr(function) in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        coroutine_function,
        async_generator_function,
        AsyncCall(),
        functools.partial(functools.partial(coroutine_function)),
        functools.partial(AsyncCall()),
    ],
    ids=["function", "generator", "object", "partial", "partial object"],
)
def test_what_has_to_be_awaited_is_refused(function: Any) -> None:
    """Its answer would be a coroutine, which is true."""
    with pytest.raises(TypeError, match="async"):
        check_function("key", function, "a function")


@pytest.mark.parametrize(
    ("seconds", "taken"), [(None, None), (1, 1.0), (0.25, 0.25), (math.inf,) * 2]
)
def test_seconds_are_a_number_above_zero_or_none(seconds: Any, taken: float | None) -> None:
    """They come back as a float."""
    checked = check_seconds("timeout", seconds)

    assert checked == taken
    assert checked is None or isinstance(checked, float)


@pytest.mark.parametrize(
    ("seconds", "error", "message"),
    [
        (True, TypeError, "must be a number of seconds or None, not True"),
        ("3", TypeError, "not '3'"),
        (0, ValueError, "must be above 0 seconds, not 0; None switches it off"),
        (-1.5, ValueError, "not -1.5"),
        (math.nan, ValueError, "not nan"),
        pytest.param(10**400, ValueError, "float", id="too large"),
    ],
)
def test_other_seconds_are_refused(seconds: Any, error: type[Exception], message: str) -> None:
    """With the option and the cure."""
    with pytest.raises(error, match=message) as caught:
        check_seconds("timeout", seconds)

    assert str(caught.value).startswith("timeout ")


def test_a_count_is_a_whole_number_from_its_least_on() -> None:
    """The least is 1 unless it is said."""
    assert check_count("attempts", 1) == 1
    assert check_count("backlog", 0, least=0) == 0


@pytest.mark.parametrize("count", [True, 1.0, "1", None])
def test_what_is_no_whole_number_is_no_count(count: Any) -> None:
    """Not even if it equals one."""
    with pytest.raises(TypeError, match="attempts must be an int, not"):
        check_count("attempts", count)


def test_a_count_below_the_least_is_refused_with_its_cure() -> None:
    """If there is one."""
    with pytest.raises(ValueError, match=r"^attempts must be at least 1, not 0; give more$"):
        check_count("attempts", 0, cure="give more")
    with pytest.raises(ValueError, match=r"^backlog must be at least 2, not 1$"):
        check_count("backlog", 1, least=2)


def test_a_size_may_be_nothing_or_no_limit() -> None:
    """Below nothing there is none."""
    assert [check_size("max_body", size) for size in (None, 0, 7)] == [None, 0, 7]
    with pytest.raises(ValueError, match="at least 0, not -1; None sets no limit"):
        check_size("max_body", -1)


@pytest.mark.parametrize(
    "params",
    [
        None,
        "a=b",
        b"a=b",
        httpx.QueryParams("a=b"),
        {},
        {"a": "b", "c": 1, "d": 1.5, "e": None, "f": True, "g": ["x", 2], "h": ()},
        [("a", "b"), ["a", 1]],
        (("a", None),),
        {"when": datetime.date(2024, 1, 1), "id": uuid.UUID(int=1), "sum": decimal.Decimal(1)},
    ],
    ids=repr,
)
def test_parameters_have_a_text(params: Any) -> None:
    """Theirs or that of their type."""
    check_params(params)


class Nameless:
    """An object with no text of its own."""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (7, "not a int"),
        ({"a", "b"}, "not a set"),
        ([("a", "b", "c")], "tuple"),
        (["ab"], "str"),
        ({"a": {"b": 1}}, "the value of 'a' is a dict"),
        ({"a": b"b"}, "the value of 'a' is a bytes"),
        ({"a": [["b"]]}, "the value of 'a' is a list"),
        ({"a": Nameless()}, "the value of 'a' is a Nameless"),
        ({"a": len}, "the value of 'a' is a builtin_function_or_method"),
        ([("a", ["b"])], "the value of 'a' is a list"),
        ({"a": async_generator_function}, "the value of 'a' is a function"),
    ],
)
def test_parameters_without_one_are_refused_by_name(params: Any, message: str) -> None:
    """Httpx would send their `repr`, or trip over them."""
    with pytest.raises(TypeError, match=message):
        check_params(params)


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_is_a_bool(flag: bool) -> None:
    """It is returned as it is."""
    assert check_flag("strict", flag) is flag


@pytest.mark.parametrize("value", [0, 1, None, "yes", math.nan])
def test_anything_else_is_no_flag(value: object) -> None:
    """Not even 0 and 1, which are equal to one."""
    with pytest.raises(TypeError, match=r"^strict must be True or False, not "):
        check_flag("strict", value)


@pytest.mark.parametrize("value", ["a/b.db", Path("a/b.db")])
def test_a_path_is_a_text_or_a_path(value: str | Path) -> None:
    """Each of them becomes a `Path`."""
    assert as_path(value) == Path("a/b.db")


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (5, TypeError, "a str or a path, not 5"),
        (b"a.db", TypeError, "a str or a path, not b'a.db'"),
        (BytesPath(), TypeError, "a path of text"),
        ("a\0b", ValueError, "null character"),
        ("a\ud800b", ValueError, "that the file system can encode"),
    ],
)
def test_what_no_file_can_be_named_by_is_no_path(
    value: object, error: type[Exception], message: str
) -> None:
    """The message has the value."""
    with pytest.raises(error, match=f"path must .*{message}"):
        as_path(value)
