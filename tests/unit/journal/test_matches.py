"""`Matches`: equal requests get the results of equal ones, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncbatch._journal._earlier import EarlierResults
from asyncbatch._journal._matches import Match, Matches
from asyncbatch._journal._record import Record
from asyncbatch._journal._schema import open_journal
from asyncbatch._journal._store import Store


def nth(key: bytes, n: int) -> bytes:
    return key + b"%d" % n


@pytest.fixture
def matches(tmp_path: Path) -> Iterator[Matches]:
    """Open a journal in which an earlier run has left the results of three equal requests."""
    path = tmp_path / "run.db"
    store = Store(path, path.name, durability="process", bodies="all")
    store.write(
        (Record(b"k%d" % number, None, 1.0, "GET", "u", 200, b"h", b"t", 1, 0, None), b"body")
        for number in range(3)
    )
    store.close()
    connection = open_journal(path, path.name, "process")
    yield Matches(connection, EarlierResults(connection))
    connection.close()


def take(matches: Matches, *keys: bytes | tuple[bytes, bytes]) -> list[Match]:
    asked = [key if isinstance(key, tuple) else (key, None) for key in keys]
    return matches.match(asked, nth, [None] * len(asked))


def test_equal_requests_get_results_of_their_own(matches: Matches) -> None:
    """In turn, whether they are looked up together or not; the n-th of this run has the n-th."""
    taken = take(matches, b"k", b"other", b"k") + take(matches, b"k", b"k")

    assert [each.key for each in taken] == [b"k0", b"other0", b"k1", b"k2", b"k3"]
    assert [each.row is None for each in taken] == [False, True, False, False, True]


def test_another_request_with_the_same_key_is_seen(matches: Matches) -> None:
    """Of the same run only; it takes nothing."""
    taken = take(matches, (b"own", b"one"), (b"own", b"two"), (b"own", b"one"))

    assert [each.is_same for each in taken] == [True, False, True]


def test_what_is_given_back_is_taken_again(matches: Matches) -> None:
    """By the next equal requests, in the same turn."""
    taken = take(matches, b"k", b"k", b"other")
    matches.give_back([(b"k", None), (b"k", None), (b"other", None)], taken)

    again = take(matches, b"k", b"k", b"other")

    assert [each.key for each in again] == [b"k0", b"k1", b"other0"]
    assert [each.row is None for each in again] == [False, False, True]


def test_a_result_that_is_asked_for_again_stays_that_of_its_request(matches: Matches) -> None:
    """A further equal request gets another key, and the next result."""
    (first,) = take(matches, b"k")
    matches.send_again([b"k"])

    (second,) = take(matches, b"k")

    assert (first.key, second.key) == (b"k0", b"k1")
