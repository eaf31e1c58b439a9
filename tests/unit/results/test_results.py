"""`Results`: the results of a batch as a sequence, and its views."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

from asyncbatch import Result
from asyncbatch._policies._host_limits import HostPatterns
from asyncbatch._results._results import RAISED_PER_KIND, Results
from asyncbatch._values._errors import FailureKind
from tests.samples import failure, success


def test_is_a_sequence_in_input_order():
    """Length, index, iteration, membership and reversal are those of the list it was made from."""
    given = [success(0), failure(1), success(2)]
    results = Results(given, duration=1.0)

    assert len(results) == 3
    assert list(results) == given
    assert results[1] is given[1]
    assert results[-1] is given[2]
    assert given[1] in results
    assert list(reversed(results)) == given[::-1]


def test_a_slice_is_results_of_the_same_batch():
    """A slice has the views too, and keeps the duration of its batch."""
    results = Results([success(0), failure(1), success(2)], duration=1.5)

    tail = results[1:]

    assert isinstance(tail, Results)
    assert [result.index for result in tail] == [1, 2]
    assert [failed.index for failed in tail.failures] == [1]
    assert tail.duration == 1.5


def test_an_index_beyond_the_end_is_an_index_error():
    """Sequences say `IndexError`."""
    with pytest.raises(IndexError):
        Results([success(0)], duration=1.0)[1]


def test_does_not_change_with_the_list_it_was_made_from():
    """What a batch returned stays as it is."""
    given = [success(0)]
    results = Results(given, duration=1.0)

    given.clear()

    assert len(results) == 1


def test_successes_and_failures_part_the_results():
    """Each result is in one of the two views, in the order of the input."""
    results = Results([success(0), failure(1), success(2), failure(3)], duration=1.0)

    assert [result.response.status_code for result in results.successes] == [200, 200]
    assert [result.error for result in results.failures] == [results[1].error, results[3].error]


def test_the_repr_is_short_however_many_results_there_are():
    """A notebook that shows the value of a cell is not flooded."""
    results = Results([success(i) for i in range(1000)] + [failure(1000)], duration=2.5)

    assert repr(results) == "<Results: 1000 ok, 1 failed in 2.500 s>"


def test_without_failures_nothing_is_raised():
    """Neither by a batch that went well nor by an empty one."""
    Results([success(0)], duration=1.0).raise_for_failures()
    Results([], duration=0.0).raise_for_failures()


def test_the_errors_are_raised_together():
    """Callers pick errors by type with `except*`."""
    timed_out = failure(1, kind=FailureKind.timeout, error=httpx.ReadTimeout("slow"))
    results = Results([success(0), timed_out, failure(2)], duration=1.0)

    with pytest.raises(ExceptionGroup) as raised:
        results.raise_for_failures()

    assert raised.value.exceptions == (results[1].error, results[2].error)
    assert raised.value.subgroup(httpx.TimeoutException).exceptions == (timed_out.error,)


def test_the_message_counts_the_kinds_and_names_the_first_failures():
    """A log that keeps the message alone says what went wrong, how often, and where first."""
    failures = [failure(0, status=404), *(failure(i) for i in range(1, 5))]

    with pytest.raises(ExceptionGroup) as raised:
        Results([*failures, success(5)], duration=1.0).raise_for_failures()

    message = raised.value.message
    assert message.startswith("5 of 6 requests failed: connect 4, status 1; ")
    assert "404" not in message
    assert "http://host.test/0" in message
    assert "http://host.test/2" in message
    assert "http://host.test/3" not in message
    assert "\n" not in message


def test_the_message_has_no_password_and_stays_short():
    """URLs with credentials are shown as httpx shows them, and endless ones are cut."""
    long = failure(0, url=httpx.URL("http://user:secret@host.test/" + "x" * 5000))

    with pytest.raises(ExceptionGroup) as raised:
        Results([long], duration=1.0).raise_for_failures()

    assert "secret" not in raised.value.message
    assert len(raised.value.message) < 300


def test_of_very_many_errors_the_first_of_each_kind_are_raised():
    """A group of any number is bounded, every kind is in it, and the input's order stays."""
    many = [failure(i) for i in range(5 * RAISED_PER_KIND)]
    last = failure(len(many), kind=FailureKind.dns)

    with pytest.raises(ExceptionGroup) as raised:
        Results([*many, last], duration=1.0).raise_for_failures()

    expected = [*(failed.error for failed in many[:RAISED_PER_KIND]), last.error]
    assert list(raised.value.exceptions) == expected
    assert "501 of 501" in raised.value.message


def test_the_traceback_of_very_many_errors_is_short():
    """Printing the group costs neither a screen per error nor minutes."""
    results = Results([failure(i) for i in range(10_000)], duration=1.0)

    with pytest.raises(ExceptionGroup) as raised:
        results.raise_for_failures()
    lines = "".join(traceback.format_exception(raised.value)).splitlines()

    assert len(lines) < 100


def test_the_failed_requests_can_be_fetched_again():
    """`failures` lead back to the requests, in order."""
    results = Results([failure(0), success(1), failure(2)], duration=1.0)

    again = [failed.request for failed in results.failures]

    assert [str(request.url) for request in again] == ["http://host.test/0", "http://host.test/2"]


def test_the_summary_is_of_all_results_and_the_duration():
    """`summary` hands the batch's own figures on."""
    summary = Results([success(0), failure(1)], duration=0.5).summary()

    assert (summary.total, summary.succeeded, summary.failed) == (2, 1, 1)
    assert summary.rate == 4.0


def of_url(index: int, url: str, **fields: Any) -> Result:
    return success(index, item=url, **fields)


def test_results_are_taken_apart_by_host():
    """In the order in which the hosts first appear, each part like any results."""
    urls = ["http://b.test/1", "http://a.test/", "https://b.test/2", "http://b.test:8080/"]
    results = Results([of_url(n, url) for n, url in enumerate(urls)], duration=1.5)

    parts = results.by_host()

    assert list(parts) == ["b.test", "a.test", "b.test:8080"]
    assert [result.index for result in parts["b.test"]] == [0, 2]
    assert isinstance(parts["b.test"], Results)
    assert parts["b.test"].duration == 1.5
    assert sum(map(len, parts.values())) == len(results)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://EXAMPLE.org/", "example.org"),
        ("HTTPS://example.org:443", "example.org"),
        ("https://example.org:80/", "example.org:80"),
        ("http://user:secret@example.org:8080/", "example.org:8080"),
        ("http://b\xfccher.example/", "b\xfccher.example"),
        ("http://xn--bcher-kva.example/", "b\xfccher.example"),
        ("http://[::1]/", "[::1]"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("  http://example.org./ \n", "example.org"),
        ("/relative", "host.test"),
    ],
)
def test_a_host_is_named_as_a_user_would(url: str, host: str):
    """And as the option `hosts` takes it."""
    assert list(Results([of_url(0, url)], duration=1.0).by_host()) == [host]
    HostPatterns({host: 1})


def test_what_names_no_host_is_by_itself():
    """Nothing is lost."""
    failed = failure(0, item="http://[", url=None, kind=FailureKind.invalid_request)

    assert list(Results([failed], duration=1.0).by_host()) == [""]


def test_a_redirect_counts_for_the_host_that_was_asked():
    """Wherever it led."""
    assert list(Results([success(0, item="http://first.test/")], duration=1.0).by_host()) == [
        "first.test"
    ]
