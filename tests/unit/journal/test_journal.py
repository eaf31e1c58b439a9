"""`Journal`: its options, checked when it is made, and what it opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Journal
from asyncbatch._journal._journal import as_journal


def test_the_defaults_are_those_that_lose_least() -> None:
    """A path alone is enough."""
    journal = Journal("run.db")

    assert (journal.path, journal.retry, journal.bodies) == (Path("run.db"), "transient", "all")
    assert (journal.durability, journal.max_age, journal.key) == ("process", None, None)
    assert journal.strict is False
    assert as_journal("run.db") == as_journal(Path("run.db")) == as_journal(journal) == journal


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"retry": "sometimes"}, ValueError, "retry must be 'transient', 'all' or 'none'"),
        ({"retry": None}, ValueError, "retry must be"),
        ({"bodies": "some"}, ValueError, "bodies must be 'all', 'ok' or 'none'"),
        ({"bodies": True}, ValueError, "bodies must be"),
        ({"durability": "fire"}, ValueError, "durability must be 'process' or 'power'"),
        ({"max_age": -1}, ValueError, "max_age must be 0 or more seconds, not -1"),
        ({"max_age": float("nan")}, ValueError, "max_age must be 0 or more seconds"),
        ({"max_age": float("inf")}, ValueError, "None: any age"),
        ({"max_age": "1 day"}, TypeError, "max_age must be a number of seconds"),
        ({"max_age": True}, TypeError, "max_age must be a number of seconds"),
        ({"key": "url"}, ValueError, "key must be 'tag', a function or None"),
        ({"key": 5}, TypeError, "key must be 'tag', a function"),
        ({"strict": 1}, TypeError, "strict must be True or False"),
        ({"path": ""}, ValueError, "path must name a file"),
        ({"path": "a\0b"}, ValueError, "path must not contain a null character"),
        ({"path": "a\ud800b"}, ValueError, "path must be a text that the file system can encode"),
        ({"path": 5}, TypeError, "path must be a str or a path"),
        ({"path": b"run.db"}, TypeError, "path must be a str or a path"),
    ],
)
def test_an_impossible_value_is_refused_at_once(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """With the value, and what would be possible."""
    with pytest.raises(error, match=message):
        Journal(**{"path": "run.db", **options})


async def _coroutine(request: object) -> str:
    return ""


def test_an_async_function_gives_no_keys() -> None:
    """It would have to be awaited."""
    with pytest.raises(TypeError, match="not the async"):
        Journal("run.db", key=_coroutine)


@pytest.mark.parametrize("value", [5, b"run.db", ["run.db"], True])
def test_what_is_no_journal_is_refused(value: Any) -> None:
    """Only a path stands for one."""
    with pytest.raises(TypeError, match=r"a path or an asyncbatch\.Journal"):
        as_journal(value)
