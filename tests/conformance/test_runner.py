"""The runner: what it says of a client is what the table says, and no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest

from conformance import Client, Delivery, Outcome, Request, ScriptedServer, Trust
from conformance.__main__ import main
from conformance._run import Selection, score
from conformance._score import (
    BEGIN,
    END,
    Record,
    Score,
    publish,
    table,
    with_scores,
    with_sums,
)
from conformance.clients import ENTRIES, find_client
from conformance.clients.ours import direct_lane
from conformance.clients.peers import httpx_client

pytestmark = pytest.mark.once

SMALL = Selection("behind a body with a length", (Delivery.WHOLE,))


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


RECORD = Record(
    date="2026-01-02",
    python="3.11",
    cases=3,
    deliveries=("whole",),
    scores=(
        Score("good 1", {"heads": {"passed": 2}, "bombs": {"passed": 1}}, {}),
        Score(
            "bad 2",
            {"heads": {"passed": 1, "failed": 1}, "bombs": {"n/a": 1}},
            {"a_head": "whole: hung"},
        ),
    ),
    missing={"curl": "No module named 'pycurl'"},
)


@pytest.mark.asyncio_only
async def test_the_direct_lane_passes_what_applies_to_it(scripted: ScriptedServer) -> None:
    """All of it does."""
    found = await score(partial(direct_lane, scripted.trust), scripted, SMALL)

    assert found.failures == {}
    assert found.count("failed") == found.count("n/a") == 0
    assert found.count("passed") >= 4


@pytest.mark.asyncio_only
async def test_a_client_that_takes_a_strangers_answer_fails(scripted: ScriptedServer) -> None:
    """What lies behind a response goes to the next request in httpx 0.28."""
    found = await score(partial(httpx_client, scripted.trust), scripted, SMALL)

    assert "another response behind a body with a length" in found.failures
    assert found.count("failed") == len(found.failures)


class Lacking:
    """Answers everything with nothing, and takes no limit on bodies."""

    name = "lacking"
    lacks = frozenset({"max_body"})

    async def fetch(self, url: str, request: Request) -> Outcome:
        assert request.max_body is None
        return Outcome.failed(None, "never tried")


@pytest.mark.asyncio_only
async def test_what_a_client_lacks_is_not_held_against_it(scripted: ScriptedServer) -> None:
    """It is not even asked; what it can be asked for counts."""
    found = await score(
        partial(nullcontext, Lacking()), scripted, Selection("a bomb in gzip", (Delivery.WHOLE,))
    )
    asked = await score(
        partial(nullcontext, Lacking()), scripted, Selection("a path with dots", (Delivery.WHOLE,))
    )

    assert found.count("n/a") > 5
    assert found.count("passed") == found.count("failed") == 0
    assert asked.count("failed") == 1


class FailingAtFirst:
    """A client of which the first ones that are opened fail without a request."""

    def __init__(self, kind: str, count: int) -> None:
        self._kind = kind
        self._left = count

    @asynccontextmanager
    async def open(self, trust: Trust) -> AsyncIterator[Client]:
        fails = self._left > 0
        self._left -= 1
        async with direct_lane(trust) as client:
            yield Failing(self._kind) if fails else client


class Failing:
    """Fails in one way, whatever it is asked."""

    name = "failing"
    lacks: frozenset[str] = frozenset()

    def __init__(self, kind: str) -> None:
        self._kind = kind

    async def fetch(self, url: str, request: Request) -> Outcome:
        return Outcome.failed(self._kind, "not asked")


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    ("kind", "count", "failed"),
    [("protocol", 1, 0), ("protocol", 2, 1), ("timeout", 2, 0), ("timeout", 3, 1)],
)
async def test_what_fails_is_played_again_and_what_is_late_twice(
    kind: str, count: int, failed: int, scripted: ScriptedServer
) -> None:
    """With a fresh client each time, since the machine may have been busy."""
    client = FailingAtFirst(kind, count)
    selection = Selection("a path with dots", (Delivery.WHOLE,))
    found = await score(partial(client.open, scripted.trust), scripted, selection)

    assert found.count("failed") == len(found.failures) == failed
    assert found.count("passed") == 1 - failed


@pytest.mark.asyncio_only
@pytest.mark.parametrize("name", ["asyncbatch-client-lane", "asyncbatch-stock-httpx", "httpx2"])
async def test_a_client_is_found_by_its_name(name: str, scripted: ScriptedServer) -> None:
    """And can be asked."""
    opener = partial(find_client(name), scripted.trust)
    found = await score(opener, scripted, Selection("a redirect to a query", (Delivery.WHOLE,)))

    assert found.failures == {}
    assert found.count("passed") == 2


def test_a_record_is_written_and_read(tmp_path: Path) -> None:
    """Nothing is lost on the way."""
    RECORD.write(tmp_path / "new" / "record.json")

    assert Record.read(tmp_path / "new" / "record.json") == RECORD


def test_the_table_has_the_figures_and_the_names() -> None:
    """Failed of those that apply, by subject and in all."""
    text = table(RECORD)

    assert "| heads | 0 of 2 | 1 of 2 |" in text
    assert "| bombs | 0 of 1 | n/a |" in text
    assert "| **0 of 3** | **1 of 2** |" in text
    assert "good 1 fails none." in text
    assert "- a\\_head" in text
    assert "Not asked: curl (No module named 'pycurl')." in text


def test_scores_are_published_between_their_marks(tmp_path: Path) -> None:
    """What stands around the marks stays, and a second time changes nothing."""
    pages = tmp_path / "page.md", tmp_path / "summary.md"
    for page in pages:
        page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")

    publish(RECORD, *pages)
    once = [page.read_text() for page in pages]
    publish(RECORD, *pages)

    assert [page.read_text() for page in pages] == once
    for text in once:
        assert text.startswith("before\n")
        assert text.endswith("\nafter\n")
        assert "old" not in text
        assert "2026-01-02" in text
    assert "a\\_head" in once[0]
    assert "a\\_head" not in once[1]
    assert "| bad 2 | 1 of 2 |" in once[1]


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    """It is said what is missing."""
    page = tmp_path / "page.md"
    page.write_text("nothing here")

    with pytest.raises(ValueError, match="no place for the scores"):
        publish(RECORD, page, page)


def test_the_docs_show_the_record_that_is_kept() -> None:
    """`python -m conformance publish conformance/results.json` would change neither page."""
    root = Path(__file__).parents[2]
    record = Record.read(root / "conformance" / "results.json")
    page = (root / "docs" / "contributing" / "conformance.md").read_text()
    summary = (root / "docs" / "reliability.md").read_text()

    assert with_scores(record, page) == page
    assert with_sums(record, summary) == summary


@pytest.mark.timeout(120)
def test_the_command_scores_each_client_in_a_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is not installed is named as missing, and the others are scored."""
    output = tmp_path / "record.json"
    arguments = ["run", "--clients", "asyncbatch", "--pattern", "a path with dots"]

    status = main([*arguments, "--deliveries", "whole", "--output", str(output)])

    record = json.loads(output.read_text())
    assert status == 0
    assert [found["failures"] for found in record["scores"]] == [{}]
    assert record["cases"] == 1
    assert "asyncbatch, direct lane" in capsys.readouterr().out


def test_every_client_has_an_entry_that_can_be_read() -> None:
    """`module:function`, the module beside it."""
    assert all(entry.count(":") == 1 for entry in ENTRIES.values())


class Cancelling:
    """Cancels whoever asks it."""

    name = "cancelling"
    lacks: frozenset[str] = frozenset()

    async def fetch(self, url: str, request: Request) -> Outcome:
        raise asyncio.CancelledError


@pytest.mark.asyncio_only
async def test_a_client_that_cancels_its_caller_gets_a_verdict(scripted: ScriptedServer) -> None:
    """It ends nobody else's case, and not its own without a word."""
    found = await score(
        partial(nullcontext, Cancelling()),
        scripted,
        Selection("a path with dots", (Delivery.WHOLE,)),
    )

    assert "cancelled its caller" in found.failures["a redirect to a path with dots"]


class Stubborn:
    """Hangs, and answers its cancellation with one of its own."""

    name = "stubborn"
    lacks: frozenset[str] = frozenset()

    async def fetch(self, url: str, request: Request) -> Outcome:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise asyncio.CancelledError("of its own") from None
        raise AssertionError("unreachable")


@pytest.mark.asyncio_only
async def test_a_client_that_hangs_gets_a_verdict(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it takes its cancellation."""
    monkeypatch.setattr("conformance._play.GRACE", 0.1 - Request().timeout)
    found = await score(
        partial(nullcontext, Stubborn()), scripted, Selection("a path with dots", (Delivery.WHOLE,))
    )

    assert found.failures["a redirect to a path with dots"].startswith("whole: hung")
