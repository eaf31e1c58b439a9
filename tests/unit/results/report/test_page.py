"""The page of a report: valid whatever it shows, of a bounded size, and without secrets."""

from __future__ import annotations

import importlib.metadata
import random
import re
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncbatch
from asyncbatch._results._limits import REASONS, Limits
from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._page import page_of
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Result
from asyncbatch._values._timing import Attempt, Timing
from asyncbatch.report import to_har
from tests.markup import errors_in, text_of
from tests.samples import failure, success

T0 = 1_700_000_000.0
HOSTILE = "<script>alert('1')</script>&\"\u202e\ud800\ufffe\x00\x1b[31m\u2028\u0645\u0631\u062d"


def page(results: list[Result], *, duration: float | None = 10.0, **limits: Any) -> str:
    """Return the page of the results."""
    builder = ReportBuilder()
    for result in results:
        builder.add(result)
    return page_of(builder.build(duration=duration, limits=Limits(**limits)))


def mixed(count: int, hosts: int) -> list[Result]:
    """Return results of all sorts."""
    dice = random.Random(0)
    results: list[Result] = []
    for n in range(count):
        url, seconds = f"http://h{n % hosts}.test/{n}?a=1&b=<2>", dice.expovariate(2)
        timing = Timing(
            queued=dice.random(), throttled=dice.random(), connect=0.01, wait=seconds, receive=0.02
        )
        fields: dict[str, Any] = {
            "item": url,
            "url": httpx.URL(url),
            "started": T0 + n * 0.01,
            "elapsed": seconds,
            "timing": timing,
        }
        if n % 7 == 0:
            earlier = Attempt(status_code=503, error=httpx.ReadError("x"), timing=timing, delay=0.5)
            fields |= {"attempts": 2, "history": (earlier,)}
        kinds = (None, None, FailureKind.timeout, FailureKind.connect)
        kind = kinds[n % 4] if n % 3 else None
        results.append(success(n, **fields) if kind is None else failure(n, kind=kind, **fields))
    return results


def all_limits(hosts: int) -> dict[str, Any]:
    waits = {reason: 10.0 * n for n, reason in enumerate(REASONS, 1)}
    by_host = {f"h{n}.test": dict.fromkeys(REASONS, n / hosts * 9) for n in range(hosts)}
    return {"slots": 60, "slots_full": 7.5, "waits": waits, "hosts": by_host}


@pytest.mark.parametrize(
    "results",
    [
        [],
        [success(started=T0, elapsed=1.0)],
        [success()],
        [success(0, started=T0, elapsed=0.0), success(1, started=T0, elapsed=-1.0)],
        [failure(n, started=T0, elapsed=1.0) for n in range(3)],
        [failure(n, kind=FailureKind.not_started, attempts=0) for n in range(3)],
        [success(0, from_journal=True, started=T0, elapsed=1.0)],
        [success(0, started=1.0, elapsed=1.0), success(1, started=T0, elapsed=1.0)],
        [success(0, started=3e10, elapsed=1.0)],
        mixed(100, 40),
    ],
    ids=[
        "none",
        "one",
        "plain",
        "instant",
        "failed",
        "unsent",
        "journal",
        "jump",
        "future",
        "mixed",
    ],
)
@pytest.mark.parametrize("duration", [None, 0.0, 10.0])
def test_each_page_is_valid(results: list[Result], duration: float | None) -> None:
    """Whatever there is to show."""
    for limits in ({}, all_limits(3)):
        shown = page(results, duration=duration, **limits)

        assert errors_in(shown) == []
        assert text_of(shown).startswith(f"{len(results):,} request")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40), st.floats(-1, 1e9)), max_size=5)
)
def test_no_text_breaks_the_page(texts: list[tuple[str, str, float]]) -> None:
    """Any URL, any message, any time."""
    results: list[Result] = []
    for url, message, seconds in texts:
        error = httpx.ConnectError(message)
        given_: dict[str, Any] = {"item": url, "url": None, "elapsed": seconds, "started": T0}
        results.append(failure(len(results), error=error, **given_))

    assert errors_in(page(results, hosts={url: {"rate": 9.0} for url, *_ in texts})) == []


def test_hostile_texts_are_shown_and_do_nothing() -> None:
    """Elements, entities, controls, halves of surrogates, and what turns the text around."""
    url = f"http://host.test/{HOSTILE}"
    error = httpx.ConnectError(HOSTILE)
    shown = page(
        [failure(item=url, url=None, error=error, elapsed=1.0)], hosts={HOSTILE: {"rate": 9.0}}
    )

    assert errors_in(shown) == []
    assert "<script>alert('1')</script>" in text_of(shown)
    assert "\u0645\u0631\u062d" in shown
    assert not set(shown) & {"\u202e", "\ufffe", "\u2028", "\x1b"}


def test_foreign_texts_keep_their_direction_to_themselves() -> None:
    """A URL in Arabic does not turn the line around that it is in."""
    shown = page([failure(item="http://host.test/\u0645\u0631\u062d", url=None, elapsed=1.0)])

    assert re.search(r"<bdi>[^<]*\u0645\u0631\u062d[^<]*</bdi>", shown)


@pytest.mark.once
def test_a_large_batch_makes_a_small_page() -> None:
    """However long its URLs, and however many its hosts and its messages are."""
    long = "/" + "&" * 10_000
    results = mixed(1500, 800) + [
        failure(n, item=f"http://h{n}.test{long}", url=None, elapsed=99.0, kind=kind)
        for n, kind in enumerate(list(FailureKind) * 5)
    ]

    shown = page(results, **all_limits(200))

    assert errors_in(shown) == []
    assert len(shown.encode()) < 100_000


def test_a_program_may_bring_the_package_without_its_metadata(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a bundled one does: the report is what its batch is for, and comes after hours."""

    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", missing)

    assert f"asyncbatch {asyncbatch.__version__}." in text_of(page([success()]))
    assert to_har([success()])["log"]["creator"]["version"] == asyncbatch.__version__


def test_secrets_are_masked() -> None:
    """User names, passwords, and values of a query that look like it."""
    url = "http://me:pass@host.test/a?token=abcdef"
    error = httpx.ConnectError(f"cannot fetch {url}")

    shown = page([failure(item=url, url=httpx.URL(url), error=error, elapsed=1.0)])

    assert "host.test" in shown
    assert "pass@" not in shown
    assert "abcdef" not in shown


def test_the_answer_is_in_the_first_part() -> None:
    """Which limit held requests back, how long, where, and what to change."""
    shown = text_of(page(mixed(100, 4), slots=60, slots_full=1.0, hosts={"h3.test": {"rate": 9.5}}))

    first = shown[: shown.index("When")]
    assert "95% of the time at h3.test" in first or "95%" in first
    assert "h3.test" in first
    assert "raise rate" in first
    assert "All 60 slots were taken" in first


def test_one_is_not_many() -> None:
    """In the title, and for the host."""
    assert "1 request in" in page([success(started=T0, elapsed=1.0)])
    assert "1 host " in text_of(page([success(started=T0, elapsed=1.0)]))


def test_a_jump_of_the_clock_is_told() -> None:
    """Rather than a chart that nothing explains."""
    results = [success(0, started=T0, elapsed=1.0), success(1, started=T0 + 9999, elapsed=1.0)]

    assert "the clock was set meanwhile" in page(results, duration=10.0)
    assert "the clock was set meanwhile" not in page(results[:1], duration=10.0)


@pytest.mark.parametrize("started", [32_503_679_999.5, 1e11, 5e11, 1e15])
def test_a_time_that_no_calendar_has_is_left_out(started: float) -> None:
    """A clock may be anywhere."""
    shown = page([success(started=started, elapsed=1.0)])

    assert errors_in(shown) == []
    assert "<time " not in shown
    assert "<time " in page([success(started=T0, elapsed=1.0)])
