"""`Lookup`: what of a batch is served from the file of its journal, and what is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from asyncbatch import Failure, Fetcher, Journal, Request
from asyncbatch._files import Files
from asyncbatch._journal import _lookup
from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._lookup import Lookup
from asyncbatch._journal._record import record_before_sending, record_of
from asyncbatch._journal._store import Store
from tests.samples import success

GET = "http://host.test/0"
POST = Request(GET, "POST", content=b"x")


async def shared_by_batches() -> Any:
    """Return the state of a fetcher."""
    async with Fetcher() as fetcher:
        return fetcher._shared


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Any]:
    """Return a function that opens one file, and what looks requests up in it."""
    path = tmp_path / "run.db"
    shared = anyio.run(shared_by_batches)

    @contextmanager
    def opened() -> Iterator[tuple[Lookup, Store]]:
        store = Store(path, path.name, durability="process", bodies="all")
        lookup = Lookup(Journal(path), shared, Files(None))
        lookup.identify_with(store.secret)
        try:
            yield lookup, store
        finally:
            store.close()

    return opened


def answers(lookup: Lookup, store: Store, asked: list[Any]) -> list[Any]:
    """Return the answers, those of the results that are served as they are among them."""
    served, others = lookup.answers(store, asked)
    return [(b"", result) for result in served] + others


def test_a_request_that_is_not_there_is_sent(opened: Callable[[], Any]) -> None:
    """And its result is kept by an identity that equal requests do not share."""
    with opened() as (lookup, store):
        (first, none), (second, also_none) = answers(
            lookup, store, [(0, GET, None), (1, GET, None)]
        )

    assert none is also_none is None
    assert first != second


def test_a_success_is_served_once(opened: Callable[[], Any]) -> None:
    """In a later run, to the first of two equal requests."""
    with opened() as (lookup, store):
        [(key, _)] = answers(lookup, store, [(0, GET, None)])
        store.write([(record_of(key, success(0, body=b"page"), 5.0, StoredHeads()), b"page")])

    with opened() as (lookup, store):
        [(_, served), (_, sent)] = answers(lookup, store, [(3, GET, None), (4, GET, None)])

    assert (served.index, served.content, served.from_journal) == (3, b"page", True)
    assert sent is None


def test_results_after_one_that_is_sent_keep_their_place(opened: Callable[[], Any]) -> None:
    """Those before it are served together."""
    asked = [(number, f"http://host.test/{number}", None) for number in range(6)]
    kept = [asked[number] for number in (0, 1, 3, 4)]
    with opened() as (lookup, store):
        keys = [key for key, _ in lookup.answers(store, kept).others]
        store.write(
            [
                (record_of(key, success(one[0]), 5.0, StoredHeads()), b"%d" % one[0])
                for key, one in zip(keys, kept, strict=True)
            ]
        )

    with opened() as (lookup, store):
        served, others = lookup.answers(store, asked)

    assert [result.content for result in served] == [b"0", b"1"]
    assert [None if result is None else result.content for _, result in others] == [
        None,
        b"3",
        b"4",
        None,
    ]


def test_a_post_that_may_have_been_sent_is_in_doubt(opened: Callable[[], Any]) -> None:
    """It was written down before its first byte went out, and nothing after that."""
    with opened() as (lookup, store):
        [(key, _)] = answers(lookup, store, [(0, POST, None)])
        store.write([(record_before_sending(key, POST, 5.0), None)])

    with opened() as (lookup, store):
        [(_, served)] = answers(lookup, store, [(0, POST, None)])

    assert isinstance(served, Failure)
    assert served.kind == "in_doubt"


def test_the_error_of_a_key_is_a_result(opened: Callable[[], Any]) -> None:
    """The other requests are looked up."""
    with opened() as (lookup, store):
        broken = ZeroDivisionError("in the caller's function")
        [(_, refused), (_, sent)] = answers(lookup, store, [(0, GET, broken), (1, GET, "key")])

    assert refused.kind == "invalid_request"
    assert refused.error is broken
    assert sent is None


def test_two_requests_with_one_key_are_told_apart(opened: Callable[[], Any]) -> None:
    """The second one is refused, and its error names the key."""
    with opened() as (lookup, store):
        [(_, sent), (_, refused)] = answers(lookup, store, [(0, GET, "k"), (1, GET + "/x", "k")])

    assert sent is None
    assert refused.kind == "invalid_request"
    assert "'k'" in str(refused.error)


def test_large_bodies_are_read_a_few_at_a_time(
    opened: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers that are missing are asked for again."""
    monkeypatch.setattr(_lookup, "MOST_BYTES", 1500)
    urls = [f"http://host.test/{number}" for number in range(10)]
    asked = [(number, url, None) for number, url in enumerate(urls)]
    with opened() as (lookup, store):
        keys = [key for key, _ in answers(lookup, store, asked)]
        body = bytes(range(256)) * 4
        store.write(
            [
                (record_of(key, success(number, body=body), 5.0, StoredHeads()), body)
                for number, key in enumerate(keys)
            ]
        )

    with opened() as (lookup, store):
        first = answers(lookup, store, asked)
        rest = answers(lookup, store, asked[len(first) :])

    assert 1 <= len(first) < len(asked)
    assert [result.index for _, result in first + rest] == list(range(len(first + rest)))
    assert rest


@pytest.mark.parametrize(
    ("item", "may"),
    [
        (GET, True),
        (Request(GET), True),
        (POST, False),
        (Request(GET, "POST", headers={"Idempotency-Key": "1"}), True),
    ],
)
def test_what_may_be_sent_twice(opened: Callable[[], Any], item: object, may: bool) -> None:
    """Safe requests, and those that a server knows again."""
    with opened() as (lookup, _):
        assert lookup.may_repeat(item) is may
