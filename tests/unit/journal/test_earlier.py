"""`EarlierResults`: each row of earlier runs is taken once, whatever the order of the requests."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncbatch._journal import _earlier
from asyncbatch._journal._earlier import AT_ONCE, EarlierResults
from asyncbatch._journal._record import Record
from asyncbatch._journal._schema import PLAIN
from asyncbatch._journal._store import Store

COUNT = 1000


def key(number: int) -> bytes:
    return b"%016d" % number


def record(number: int) -> Record:
    return Record(key(number), None, 1.0, "GET", "u", 200, b"HTTP/1.1 200 OK", b"t", 1, 0, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a journal with the results of an earlier run."""
    path = tmp_path / "run.db"
    first = Store(path, "run.db", durability="process", bodies="all")
    first.write([(record(number), b"%d" % number) for number in range(COUNT)])
    first.close()
    store = Store(path, "run.db", durability="process", bodies="all")
    yield store
    store.close()


def body_of(row: tuple[object, ...]) -> object:
    return row[-2]


def in_order() -> list[int]:
    return list(range(COUNT))


def backwards() -> list[int]:
    return in_order()[::-1]


def shuffled() -> list[int]:
    numbers = in_order()
    random.Random(1).shuffle(numbers)
    return numbers


def one_late() -> list[int]:
    """The first request ended last."""
    return [COUNT - 1, *range(COUNT - 1)]


def grown() -> list[int]:
    """Between those that are there, there are new ones."""
    return [number // 2 if number % 2 else COUNT + number for number in range(2 * COUNT)]


def shrunk() -> list[int]:
    """Most are not wanted any more."""
    return list(range(0, COUNT, 9))


ORDERS: list[Callable[[], list[int]]] = [in_order, backwards, shuffled, one_late, grown, shrunk]


@pytest.mark.parametrize("ahead", [10**9, 1, 100])
@pytest.mark.parametrize("order", ORDERS)
def test_each_row_is_found_once(
    store: Store, order: Callable[[], list[int]], ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, with any bound on what is read ahead; a second time it is known as taken."""
    monkeypatch.setattr(_earlier, "ROWS_AHEAD", ahead)
    monkeypatch.setattr(_earlier, "BYTES_AHEAD", 4 * ahead)
    earlier = EarlierResults(store._connection)
    numbers = order()
    found: dict[int, object] = {}
    for start in range(0, len(numbers), AT_ONCE):
        part = numbers[start : start + AT_ONCE]
        rows, used = earlier.take_rows([key(number) for number in part])
        found.update((int(each), body_of(row)) for each, row in rows.items())
        assert used == set(rows)
    again = [earlier.take_rows([key(number)]) for number in numbers[:AT_ONCE]]

    assert found == {number: b"%d" % number for number in numbers if number < COUNT}
    assert [rows for rows, _ in again] == [{}] * AT_ONCE
    assert [bool(used) for _, used in again] == [number < COUNT for number in numbers[:AT_ONCE]]


def url(number: int) -> str:
    return f"http://host.test/{number}"


def plain(number: int, **fields: Any) -> Record:
    """Return the record of a plain GET."""
    return record(number)._replace(url=url(number), flags=PLAIN, **fields)


def left_behind(path: Path, *records: Record) -> Store:
    first = Store(path, "run.db", durability="process", bodies="all")
    first.write([(each, b"body") for each in records])
    first.close()
    return Store(path, "run.db", durability="process", bodies="all")


def test_successes_of_plain_requests_are_found_by_their_urls(tmp_path: Path) -> None:
    """All of them, in the order of writing; none of them a second time, by URL or by key."""
    store = left_behind(tmp_path / "run.db", *map(plain, range(COUNT)))
    earlier = EarlierResults(store._connection)
    found: list[Any] = []
    for start in range(0, COUNT, AT_ONCE):
        found += earlier.take_plain(list(map(url, range(start, min(COUNT, start + AT_ONCE)))))
    again = earlier.take_plain([url(0)])
    by_key = earlier.take_rows([key(0), key(COUNT - 1)], [url(0), url(COUNT - 1)])
    store.close()

    assert [row[0] for row in found] == list(map(url, range(COUNT)))
    assert again == []
    assert by_key == ({}, {key(0), key(COUNT - 1)})


@pytest.mark.parametrize(
    "other",
    [
        plain(1, kind="status"),
        plain(1, facts="{}"),
        plain(1, key=key(1) + b"+"),
        record(1)._replace(url=url(1)),
    ],
    ids=["a failure", "with facts", "not the first one", "not plain"],
)
def test_what_needs_an_identity_ends_the_successes(tmp_path: Path, other: Record) -> None:
    """It is found by its key then, and so is what comes after it."""
    store = left_behind(tmp_path / "run.db", plain(0), other, plain(2))
    earlier = EarlierResults(store._connection)
    rows = earlier.take_plain([url(0), url(1), url(2)])
    left, _ = earlier.take_rows([other.key, key(2)], [url(1), url(2)])
    store.close()

    assert [row[0] for row in rows] == [url(0)]
    assert set(left) == {other.key, key(2)}
    assert earlier._bytes_ahead == 0


def test_a_row_that_was_taken_by_its_key_is_not_found_by_its_url(tmp_path: Path) -> None:
    """A request may be spelt in two ways; the second one is another equal request."""
    store = left_behind(tmp_path / "run.db", *map(plain, range(3)))
    earlier = EarlierResults(store._connection)
    first, _ = earlier.take_rows([key(1)], ["HTTP://HOST.test/1"])
    rows = earlier.take_plain([url(1)])
    again, used = earlier.take_rows([key(1)], [url(1)])
    store.close()

    assert set(first) == {key(1)}
    assert rows == []
    assert (again, used) == ({}, {key(1)})


def test_two_rows_of_one_url_are_both_found(tmp_path: Path) -> None:
    """A request that could not be sent at first has another identity than one that could."""
    store = left_behind(tmp_path / "run.db", plain(1), plain(2)._replace(url=url(1)))
    earlier = EarlierResults(store._connection)
    rows, _ = earlier.take_rows([key(2), key(1)], [url(1), url(1)])
    store.close()

    assert set(rows) == {key(1), key(2)}
    assert earlier._bytes_ahead == 0


def test_a_key_that_occurs_twice_gets_its_row_once(store: Store) -> None:
    """And is known as taken."""
    rows, used = EarlierResults(store._connection).take_rows([key(1), key(2), key(1)])

    assert set(rows) == used == {key(1), key(2)}


def test_rows_that_were_put_back_are_found_again(store: Store) -> None:
    """Those that were read ahead, and others."""
    earlier = EarlierResults(store._connection)
    asked = [key(1), key(COUNT - 1)]
    first, _ = earlier.take_rows(asked)
    earlier.give_back(first.values())

    assert earlier.take_rows(asked) == (first, set(first))


def test_successes_that_were_put_back_are_found_again(tmp_path: Path) -> None:
    """By their URLs, and by their keys."""
    store = left_behind(tmp_path / "run.db", *map(plain, range(3)))
    earlier = EarlierResults(store._connection)
    first = earlier.take_plain([url(0), url(1), url(2)])
    earlier.put_back(first[1:])
    again = earlier.take_plain([url(1)])
    left, used = earlier.take_rows([key(0), key(2)], [url(0), url(2)])
    store.close()

    assert again == first[1:2]
    assert set(left) == {key(2)}
    assert used == {key(0), key(2)}
    assert earlier._bytes_ahead == 0


def test_what_this_run_writes_is_no_earlier_result(store: Store) -> None:
    """A new one, or one in the place of an earlier one."""
    earlier = EarlierResults(store._connection)
    replaced = [COUNT, 3, COUNT - 1]
    store.write([(record(number), b"new") for number in replaced])
    numbers = in_order()
    found: set[bytes] = set()
    for start in range(0, COUNT, AT_ONCE):
        found.update(earlier.take_rows([key(n) for n in numbers[start : start + AT_ONCE]])[0])

    assert found == {key(number) for number in numbers} - {key(number) for number in replaced}
    assert earlier.take_rows([key(number) for number in replaced]) == ({}, set())


def test_in_the_order_of_writing_no_row_is_looked_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if requests end a little before or after others that began before them."""
    looked_up: list[bytes] = []
    rows_of = _earlier.rows_of

    def noting(connection: object, keys: list[bytes]) -> dict[bytes, object]:
        looked_up.extend(keys)
        return rows_of(connection, keys)  # type: ignore[arg-type]

    monkeypatch.setattr(_earlier, "rows_of", noting)
    earlier = EarlierResults(store._connection)
    dice = random.Random(2)
    numbers = sorted(range(COUNT), key=lambda number: number + dice.randrange(30))
    for start in range(0, COUNT, AT_ONCE):
        earlier.take_rows([key(number) for number in numbers[start : start + AT_ONCE]])

    assert len(looked_up) < COUNT // 4


def test_a_result_that_is_asked_for_again_leaves_its_key_to_the_first(store: Store) -> None:
    """An equal request gets a key of its own, after the new result was written, too."""

    def nth(identity: bytes, n: int) -> bytes:
        return identity if n == 0 else identity + b"%d" % n

    [first] = store.find([(key(5), None)], nth, 10**9)
    store.send_again([key(5)])
    store.write([(record(5), b"new")])
    later = [next(store.find([(key(5), None)], nth, 10**9)) for _ in range(2)]

    assert first.content == b"5"
    assert [each.key for each in later] == [key(5) + b"1", key(5) + b"2"]
    assert [each.record for each in later] == [None, None]
