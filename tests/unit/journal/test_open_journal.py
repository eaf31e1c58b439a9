"""Where a journal meets a batch: options compared, and the output that holds results back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Fetcher, FetcherClosed, Journal, JournalChanged
from asyncbatch._api._journaling import journaled_batch
from asyncbatch._batch._input import Input
from asyncbatch._batch._output import Collected, Delivered
from asyncbatch._files import Files
from asyncbatch._journal._open_journal import JournaledOutput
from asyncbatch.testing import LoopbackServer
from tests.samples import success

pytestmark = pytest.mark.any_loop


class HeldWriter:
    """A writer that writes when it is told to."""

    def __init__(self) -> None:
        self.added: list[Any] = []

    def add(self, key: bytes, result: object) -> None:
        self.added.append((key, result))


def test_results_that_are_written_count_for_the_backlog() -> None:
    """As those that wait for the consumer; a slow disk slows the batch down."""
    inner, writer = Delivered(ordered=False, backlog=3), HeldWriter()
    output = JournaledOutput(inner, writer)  # type: ignore[arg-type]
    for number in range(2):
        output.keys[number] = b"%d" % number
        output.put(success(number))

    assert output.may_start(0)
    assert not output.may_start(1)
    assert not output.may_go_on(0, 1)
    assert [key for key, _ in writer.added] == [b"0", b"1"]
    output.deliver([success(0)])
    assert not output.may_start(1)
    assert output.keys == {}


def test_a_consumer_that_has_left_is_gone_here_too() -> None:
    """Its progress counts nothing more."""
    inner = Delivered(ordered=False, backlog=3)
    output = JournaledOutput(inner, HeldWriter())  # type: ignore[arg-type]
    before = output.has_left

    inner.consumer_left()

    assert (before, output.has_left) == (False, True)


def test_a_result_that_is_not_to_be_written_is_passed_on() -> None:
    """One that comes from the journal, or of a request that was never looked up."""
    inner, writer = Delivered(ordered=True, backlog=9), HeldWriter()
    output = JournaledOutput(inner, writer)  # type: ignore[arg-type]

    output.put(success(0, from_journal=True))

    assert writer.added == []
    assert output.is_bounded
    assert output.may_take(7)
    assert not output.may_take(8)


def test_results_of_the_journal_pass_together() -> None:
    """As many as there is room for, next to those that are being written."""
    inner, writer = Delivered(ordered=False, backlog=5), HeldWriter()
    output = JournaledOutput(inner, writer)  # type: ignore[arg-type]
    output.keys[0] = b"0"
    output.put(success(0))

    assert output.room(7, 1) == 3
    output.put_all([success(1, from_journal=True), success(2, from_journal=True)])
    assert output.room(0, 0) == 2
    assert [key for key, _ in writer.added] == [b"0"]


OPTIONS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, []),
    ({}, {"headers": {"a": "b"}, "cookies": {"a": "b"}, "auth": ("a", "b")}, []),
    ({}, {"concurrency": 5, "timeout": 3.0, "retry": None}, []),
    ({}, {"follow_redirects": False}, ["follow_redirects"]),
    ({"follow_redirects": True}, {}, []),
    ({"max_body": 100}, {"max_redirects": 3}, ["max_redirects", "max_body"]),
    ({}, {"check": print}, ["check"]),
]


@pytest.mark.parametrize(("before", "now", "changed"), OPTIONS)
async def test_changed_options_are_named(
    tmp_path: Path, before: dict[str, Any], now: dict[str, Any], changed: list[str]
) -> None:
    """Once in a warning; a strict journal raises before anything is sent, and stays as it was."""
    path = tmp_path / "run.db"
    async with LoopbackServer() as server:
        async with Fetcher(**before) as fetcher:
            await fetcher.fetch_many([server.url("/1")], journal=path)
        async with Fetcher(**now) as fetcher:
            if changed:
                with pytest.raises(JournalChanged) as raised:
                    await fetcher.fetch_many([server.url("/2")], journal=Journal(path, strict=True))
                with pytest.raises(JournalChanged):  # nothing was kept of it
                    await fetcher.fetch_many([server.url("/2")], journal=Journal(path, strict=True))
                assert raised.value.options == tuple(changed)
                assert all(f"{name} was " in str(raised.value) for name in changed)
                assert len(server.requests) == 1
                with pytest.warns(RuntimeWarning, match=" was .* and is ") as warned:
                    await fetcher.fetch_many([server.url("/2")], journal=path)
                assert all(name in str(warned[0].message) for name in changed)
                assert warned[0].filename == __file__
            await fetcher.fetch_many([server.url("/2")], journal=Journal(path, strict=True))


async def test_a_changed_rule_for_keys_is_named(tmp_path: Path) -> None:
    """All requests would be other ones."""
    async with LoopbackServer() as server, Fetcher() as fetcher:
        await fetcher.fetch_many([server.url("/")], journal=tmp_path / "run.db")
        changed = Journal(tmp_path / "run.db", key="tag", strict=True)

        with pytest.raises(JournalChanged, match="key was None and is 'tag'"):
            await fetcher.fetch_many([server.url("/")], journal=changed)


async def test_a_fetcher_that_is_closed_while_its_journal_is_opened_leaves_it_closed(
    tmp_path: Path,
) -> None:
    """Another batch may open it."""
    path = tmp_path / "run.db"
    async with LoopbackServer() as server, Fetcher() as fetcher:
        states: list[Any] = [fetcher._shared]

        def check_open() -> Any:
            if not states:
                raise FetcherClosed("closed")
            return states.pop()

        with pytest.raises(FetcherClosed):
            await journaled_batch(
                Journal(path),
                check_open,
                Input([]),
                Collected(),
                {},
                batch_timeout=None,
                files=Files(None),
            )
        results = await fetcher.fetch_many([server.url("/")], journal=path)

    assert [result.ok for result in results] == [True]
