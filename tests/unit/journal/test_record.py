"""Records: a result as the journal keeps it, and back."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest

import asyncbatch
from asyncbatch import Attempt, FailureKind, Request, Timing
from asyncbatch._engine.http11._head import parse_head
from asyncbatch._journal import _record
from asyncbatch._journal._answer import StoredHeads
from asyncbatch._journal._record import (
    _usual_record,
    kept_of,
    record_before_sending,
    record_of,
    result_of,
)
from asyncbatch._journal._schema import PLAIN
from asyncbatch._lanes.response._response_builder import PlainResponseBuilder
from tests.samples import failure, success

KEY = b"k" * 16
URL = "http://host.test/0"


def there_and_back(result: Any, content: bytes | None = None) -> Any:
    """Return a result after it was kept."""
    record = record_of(KEY, result, 1.0, StoredHeads())
    item = result._item
    content = result.content if content is None else content
    return result_of(record, content, result.index, item, httpx, StoredHeads())


def answered(item: Any, response: httpx.Response, **fields: Any) -> Any:
    """Return a success with a response of its own."""
    return attrs.evolve(success(item=item, **fields), response=response)


def flags(result: Any) -> int:
    return record_of(KEY, result, 1.0, StoredHeads()).flags


TIMINGS = [
    Timing(),
    Timing(queued=1.0, throttled=2.0, send=0.25, wait=0.5, receive=0.125),
    Timing(dns=0.5, connect=0.25, tls=1.5, send=0.25, wait=0.5),
    Timing(send=0.25),
]


@pytest.mark.parametrize("timing", TIMINGS)
def test_the_timing_comes_back(timing: Timing) -> None:
    """Each phase that occurred, and none that did not."""
    assert there_and_back(success(timing=timing, elapsed=2.5)).timing == timing


def test_a_success_comes_back() -> None:
    """With status, fields, body and the number of tries."""
    result = there_and_back(success(3, body=b"body", status=201, attempts=2, elapsed=1.5))

    assert result.from_journal
    assert (result.index, result.status_code, result.content) == (3, 201, b"body")
    assert (result.attempts, result.elapsed) == (2, 1.5)
    assert result.response.read() == b"body"
    assert result.response.is_closed
    assert str(result.url) == "http://host.test/3"
    assert result.response.request.method == "GET"


def test_a_failed_status_comes_back_with_its_response() -> None:
    """And its error is made of that."""
    result = there_and_back(failure(status=503))

    assert result.kind == "status"
    assert isinstance(result.error, httpx.HTTPStatusError)
    assert result.error.response is result.response


def test_the_history_comes_back() -> None:
    """Each earlier try with its status, error, timing and wait."""
    error = httpx.HTTPStatusError(
        "503", request=httpx.Request("GET", URL), response=httpx.Response(503)
    )
    tries = (
        Attempt(503, error, Timing(wait=0.5), 1.0),
        Attempt(None, httpx.ConnectError("no"), Timing(queued=1.0), 2.0),
    )

    found = there_and_back(success(history=tries)).history

    assert [each.status_code for each in found] == [503, None]
    assert [type(each.error) for each in found] == [httpx.HTTPStatusError, httpx.ConnectError]
    assert [each.timing for each in found] == [each.timing for each in tries]
    assert [each.delay for each in found] == [1.0, 2.0]
    assert found[0].error.response.status_code == 503


def test_the_url_is_that_of_the_redirect_with_its_secrets_masked() -> None:
    """The secrets of the request's own URL are masked, too."""
    response = httpx.Response(200, request=httpx.Request("GET", "http://host.test/?token=abc"))
    result = there_and_back(answered(URL, response))

    assert str(result.url) == "http://host.test/?token=[secure]"


def test_nothing_secret_is_in_a_record() -> None:
    """Neither of the request nor of the response."""
    secrets = ["hush", "tok123", "cook1e", "he4der", "b0dy"]
    request = Request(
        "http://me:hush@host.test/?token=tok123",
        "POST",
        headers={"authorization": "he4der"},
        content="b0dy",
        params={"api_key": "tok123"},
    )
    native = httpx.Request("POST", "http://me:hush@host.test/?token=tok123")
    fields = {"set-cookie": "a=cook1e", "location": "http://me:hush@x.test/?key=tok123"}
    response = httpx.Response(303, request=native, headers=fields)
    tries = (Attempt(None, httpx.ConnectError(f"{native.url} hush"), Timing(), 0.0),)

    record = record_of(KEY, answered(request, response, history=tries), 1.0, StoredHeads())
    failed = record_of(
        KEY,
        failure(item=request, error=httpx.ConnectError(f"{native.url} tok123")),
        1.0,
        StoredHeads(),
    )

    for secret in secrets:
        assert secret not in repr(record), secret
        assert secret not in repr(failed), secret


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (URL, PLAIN),
        (Request(URL, tag=1), PLAIN),
        (Request(URL, headers={"a": "b"}), 0),
        (Request(URL, "POST"), 0),
        ("http://u:p@host.test/", 0),
        ("http://host.test/?token=1", 0),
        ("/relative", 0),
    ],
)
def test_a_record_says_whether_it_is_enough_to_send_the_request(item: Any, expected: int) -> None:
    """For a GET without secrets and without fields of its own."""
    assert flags(success(item=item)) == expected


def relayed(item: Any, head: bytes, **fields: Any) -> Any:
    """Return a success of a relay."""
    builder = PlainResponseBuilder.__new__(PlainResponseBuilder)
    builder.head, builder.status_code = parse_head(head), 200
    course = (5.0, 5.25, 0.0, 5.5, 6.0, None, 0.5, None, 9)
    return attrs.evolve(success(item=item, network=course, **fields), url=None, response=builder)


@pytest.mark.parametrize(
    "item",
    [
        URL,
        f" {URL}\n",
        f"{URL}?a=b",
        f"{URL}?token=1",
        "/relative",
        "http://host.test/ä",
        f"{URL}%20",
    ],
)
@pytest.mark.parametrize("fields", [{}, {"started": 7.0, "elapsed": 2.0, "attempts": 2}])
def test_the_record_of_most_results_is_made_as_that_of_any(
    item: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Field by field the same; also where only one of the two ways knows what to do."""
    result = relayed(item, b"HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=b\r\n", **fields)
    record = record_of(KEY, result, 1.0, StoredHeads())
    usual = _usual_record(KEY, result, 1.0, StoredHeads())
    monkeypatch.setattr(_record, "_usual_record", lambda *_: None)

    assert record == record_of(KEY, result, 1.0, StoredHeads())
    assert usual in (None, record)
    assert (usual is None) == (item in (f"{URL}?token=1", "/relative", "http://host.test/ä"))


def test_what_is_written_before_sending_is_a_request_in_doubt() -> None:
    """Until its result takes its place."""
    item = Request("http://host.test/?token=abc", "POST", content=b"1")
    record = record_before_sending(KEY, item, 5.0)

    result = result_of(record, b"", 3, item, httpx, StoredHeads())

    assert result.kind == "in_doubt"
    assert isinstance(result.error, asyncbatch.InDoubt)
    assert isinstance(result.error, httpx.RequestError)
    assert (result.index, result.status_code, result.attempts) == (3, None, 1)
    assert kept_of(record, 7.0, has_body=True).age == 2.0
    assert "abc" not in repr(record)


DENIED = httpx.Response(403, request=httpx.Request("POST", "http://host.test/token"))


def denied() -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("denied", request=DENIED.request, response=DENIED)


def test_an_error_of_another_response_comes_back_as_text() -> None:
    """As that of a token that `auth` asked for: the response to the request itself is not there."""
    earlier = Attempt(None, denied(), Timing(), 0.5)
    result = failure(kind=FailureKind.callback, error=denied(), history=(earlier,))

    found = there_and_back(result)

    errors = [found.error, found.history[0].error]
    assert [(type(each), str(each)) for each in errors] == [
        (RuntimeError, "HTTPStatusError: denied")
    ] * 2
    assert found.response is None


def test_an_error_of_a_status_has_the_response_that_was_kept() -> None:
    """One that the caller's `check` raised, of a success."""
    response = httpx.Response(403, request=httpx.Request("GET", URL))
    result = failure(
        kind=FailureKind.callback, error=denied(), response=response, out_of_budget=True
    )

    found = there_and_back(result)

    assert isinstance(found.error, httpx.HTTPStatusError)
    assert found.error.response.status_code == 403
    assert str(found.error.request.url) == URL
    assert found.out_of_budget


@pytest.mark.parametrize(
    ("item", "url"),
    [
        ("http://host.test:port/", None),
        (Request(URL, params=object()), URL),  # type: ignore[arg-type]
    ],
)
def test_a_request_that_could_not_be_made_comes_back_too(item: Any, url: str | None) -> None:
    """With the URL if it is one."""
    error = httpx.InvalidURL("no")
    result = failure(kind=FailureKind.invalid_request, item=item, url=None, error=error, attempts=0)

    found = there_and_back(result)

    assert isinstance(found.error, httpx.InvalidURL)
    assert found.url == url
