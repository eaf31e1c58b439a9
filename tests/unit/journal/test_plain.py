"""`PlainResults`: successes of plain GETs, made of their rows, as far as the bodies are there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch import Request, Result
from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._plain import PlainResults, url_of_plain
from asyncbatch._journal._record import record_of, result_of
from asyncbatch._journal._store import Store
from tests.samples import success

COUNT = 5
PAGE = b"<p>compresses well</p>" * 1000


def key(number: int) -> bytes:
    return b"%016d" % number


def url(number: int) -> str:
    return f"http://host.test/{number}"


def written(number: int) -> Result:
    return success(number, body=PAGE if number % 2 else b"%d" % number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal with the results of an earlier run."""
    path, heads = tmp_path / "run.db", StoredHeads()
    store = opened(path)
    results = map(written, range(COUNT))
    store.write(
        [
            (record_of(key(number), result, 5.0, heads), result.content)
            for number, result in enumerate(results)
        ]
    )
    store.close()
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = opened(path)
    yield store
    store.close()


def opened(path: Path) -> Store:
    return Store(path, path.name, durability="process", bodies="all")


def take(store: Store, *numbers: int, most: int = 10**9) -> tuple[list[Any], int]:
    urls = [url(number) for number in numbers]
    asked = [(index, given, None) for index, given in enumerate(urls)]
    return PlainResults(httpx, StoredHeads()).take_results(store, asked, urls, most)


def test_they_are_what_their_records_say(path: Path) -> None:
    """Field by field the same as by way of a record."""
    store = opened(path)
    results, read = take(store, *range(COUNT))
    store.close()
    store = opened(path)
    found = list(store.find([(key(number), None) for number in range(COUNT)], first, 10**9))
    store.close()

    assert read == sum(len(result.content) for result in results)
    for number, (one, result) in enumerate(zip(found, results, strict=True)):
        assert one.record is not None
        other = result_of(one.record, one.content, number, url(number), httpx, StoredHeads())
        assert fields(result) == fields(other)
        assert result.content == written(number).content


def first(identity: bytes, n: int) -> bytes:
    return identity if n == 0 else identity + b"+"


def fields(result: Result) -> list[Any]:
    response = result.response
    assert response is not None
    return [
        result.index,
        result.request.url,
        result.url,
        result.elapsed,
        result.attempts,
        result.history,
        result.timing,
        result.content,
        result.started,
        result.from_journal,
        result.path,
        response.status_code,
        response.headers.raw,
        response.extensions,
        response.elapsed,
    ]


def test_not_more_is_read_than_was_asked_for(store: Store) -> None:
    """The next result is there for the next time."""
    some, read = take(store, 0, 1, 2, most=len(PAGE))
    more, _ = take(store, 2, 3)

    assert read >= len(PAGE)
    assert [result.content for result in some] == [b"0", PAGE]
    assert [result.content for result in more] == [b"2", PAGE]


def test_a_damaged_body_ends_them(path: Path) -> None:
    """Its row, and those after it, are left for the way that finds out what becomes of it."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET body = x'00' WHERE key = ?", (key(1),))
    connection.close()
    store = opened(path)
    results, _ = take(store, 0, 1, 2)
    found = list(store.find([(key(1), None), (key(2), None)], first, 10**9))
    store.close()

    assert [result.content for result in results] == [b"0"]
    assert [one.has_body for one in found] == [False, True]


@pytest.mark.parametrize(
    ("item", "own", "expected"),
    [
        (url(1), None, url(1)),
        (Request(url(1), tag=5), None, url(1)),
        (httpx.URL(url(1)), None, url(1)),
        (url(1), "a key", None),
        (url(1), ValueError(), None),
        (Request(url(1), headers={"a": "b"}), None, None),
        (Request(url(1), to="file"), None, None),
        (Request(url(1), checksum="sha256:" + "0" * 64), None, None),
        (Request(url(1), retry=None), None, None),
        (5, None, None),
    ],
)
def test_only_plain_requests_have_a_url_here(item: Any, own: Any, expected: str | None) -> None:
    """Without options, and without a key."""
    assert url_of_plain(item, own) == expected
