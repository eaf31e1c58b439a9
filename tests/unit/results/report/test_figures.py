"""The figures of a report: what their texts are like."""

from __future__ import annotations

import httpx
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results.report._builder import ReportBuilder
from asyncbatch._results.report._figures import TEXT, HostTotals, clean
from tests.samples import failure


def test_texts_are_short_and_of_one_line() -> None:
    """However long a URL is."""
    url = f"http://host.test/{'a' * 1_000_000}"
    error = httpx.ConnectError("a\nb\x00" + "c" * 100_000)
    result = failure(item=url, url=None, error=error, elapsed=1.0)

    builder = ReportBuilder()
    builder.add(result)
    figures = builder.build()

    (group,), (slow,) = figures.groups, figures.slowest
    assert max(map(len, (group.url, group.message, slow.url))) <= TEXT
    assert group.message.startswith("ConnectError: a b c")


@given(st.text())
def test_a_clean_text_stays_as_it_is(text: str) -> None:
    """It has no controls, and no blanks around it."""
    found = clean(text)

    assert found == clean(found)
    assert not any(char < " " for char in found)


def test_figures_of_hosts_add_up() -> None:
    """But for the slowest request, which is that of one of them."""
    one, other = HostTotals(1, 2, 3, 4, 5.0, 6.0, 7.0), HostTotals(1, 1, 1, 1, 1.0, 1.0, 9.0)

    one.add(other)

    assert one == HostTotals(2, 3, 4, 5, 6.0, 7.0, 9.0)
