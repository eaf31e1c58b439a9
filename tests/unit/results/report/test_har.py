"""HTTP archives: what is in them, by the words of the specification, and what is not."""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch._results._results import Results
from asyncbatch._results.report._har import HarFile, to_har
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._request import Request
from asyncbatch._values._result import Result, Success
from asyncbatch._values._timing import Timing
from tests.har import errors_in
from tests.samples import failure, success

T0 = 1_700_000_000.0


def answered(
    *,
    method: str = "GET",
    url: str = "https://host.test/a",
    sent: dict[str, str] | None = None,
    headers: list[tuple[str, str]] | None = None,
    content: bytes = b"",
    **fields: Any,
) -> Result:
    """Return a success with this response."""
    request = httpx.Request(method, url, headers=sent)
    response = httpx.Response(200, headers=headers, content=content, request=request)
    made = success(started=T0, **fields)
    state = made.__getstate__() | {"_item": url, "_content": content, "_answer": response}
    again = Success.__new__(Success)
    again.__setstate__(state | {"_item": url})
    return again


def entry_of(result: Result) -> dict[str, Any]:
    """Return the only entry of the archive of one result, which is valid."""
    har = to_har([result])
    assert errors_in(json.loads(json.dumps(har))) == []
    (entry,) = har["log"]["entries"]
    return dict(entry)


def test_an_archive_that_is_not_whole_is_not_there(tmp_path: Path) -> None:
    """An error on the way leaves nothing, and what was there stays."""
    path = tmp_path / "run.har"
    path.write_text("earlier")

    def broken() -> Iterator[Result]:
        yield answered()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        HarFile(path).write_all(broken())

    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_an_archive_has_no_lone_surrogates() -> None:
    """Readers of JSON refuse them; a body that is decoded to some is in Base64."""
    odd = failure(0, item="http://host.test/", error=OSError("\udcff"), started=T0)
    body = answered(headers=[("content-type", "text/plain; charset=utf-7")], content=b"+2AA-")

    text = json.dumps(to_har([odd, body]), ensure_ascii=False)

    assert text.encode()
    assert entry_of(body)["response"]["content"]["encoding"] == "base64"


def test_an_entry_has_the_times_in_milliseconds() -> None:
    """The connect includes TLS; what did not occur is -1."""
    timing = Timing(queued=9.0, throttled=1.0, connect=0.1, tls=0.2, send=0.01, wait=0.3)

    entry = entry_of(answered(elapsed=1.0, timing=timing))

    assert entry["timings"] == {
        "blocked": 390,
        "dns": -1,
        "connect": 300,
        "ssl": 200,
        "send": 10,
        "wait": 300,
        "receive": 0,
    }
    assert entry["time"] == pytest.approx(1000)
    assert datetime.fromisoformat(entry["startedDateTime"]) == datetime.fromtimestamp(T0, UTC)
    assert (entry["_queued"], entry["_throttled"]) == (9000, 1000)


def test_an_entry_has_request_and_response() -> None:
    """As they went over the wire."""
    entry = entry_of(
        answered(
            method="POST",
            url="https://host.test/a?b=1&b=&c=%C3%A4",
            sent={"x-a": "1"},
            headers=[("Content-Type", "text/plain"), ("x-b", "2"), ("x-b", "3")],
            content=b"hello",
        )
    )

    request, response = entry["request"], entry["response"]
    assert (request["method"], request["url"]) == ("POST", "https://host.test/a?b=1&b=&c=%C3%A4")
    assert {"name": "x-a", "value": "1"} in request["headers"]
    values = [(each["name"], each["value"]) for each in request["queryString"]]
    assert values == [("b", "1"), ("b", ""), ("c", "ä")]
    assert (response["status"], response["statusText"]) == (200, "OK")
    assert [each["value"] for each in response["headers"] if each["name"] == "x-b"] == ["2", "3"]
    assert response["content"] == {"size": 5, "mimeType": "text/plain", "text": "hello"}


def test_a_body_that_is_no_text_is_in_base64() -> None:
    """So that no byte is lost."""
    content = bytes(range(256))

    found = entry_of(answered(content=content))["response"]["content"]

    assert found["encoding"] == "base64"
    assert base64.b64decode(found["text"]) == content


def test_a_body_in_a_file_is_named(tmp_path: Path) -> None:
    """It is not read."""
    result = answered(saved=(tmp_path / "x", 7, None))

    found = entry_of(result)["response"]["content"]

    assert found["size"] == 7
    assert str(tmp_path / "x") in found["comment"]
    assert "text" not in found


def test_secrets_are_masked() -> None:
    """Credentials, cookies, and what looks like a secret in a URL."""
    entry = entry_of(
        answered(
            url="https://me:hidden1@host.test/a?token=hidden2&a=1",
            sent={"Authorization": "Bearer hidden3", "Cookie": "a=hidden4; b=hidden5"},
            headers=[
                ("Set-Cookie", "c=hidden6; Path=/"),
                ("Location", "https://host.test/?sig=hidden7"),
                ("X-Api-Key", "hidden8"),
                ("X-Plain", "shown"),
            ],
        )
    )

    text = json.dumps(entry)
    assert "hidden" not in text
    assert "shown" in text
    assert [each["name"] for each in entry["request"]["cookies"]] == ["a", "b"]
    assert [each["name"] for each in entry["response"]["cookies"]] == ["c"]
    assert {each["name"].lower() for each in entry["request"]["headers"]} >= {"authorization"}
    assert entry["request"]["url"] == ("https://%5Bsecure%5D@host.test/a?token=%5Bsecure%5D&a=1")


def test_a_failure_without_a_response_has_the_status_zero() -> None:
    """And says why, without the secrets of its URL."""
    url = "http://host.test/?key=hidden"
    result = failure(
        item=Request(url, method="PUT", headers={"x-a": "1"}),
        url=httpx.URL(url),
        error=httpx.ConnectError(f"cannot fetch {url}"),
        elapsed=1.0,
        started=T0,
    )

    entry = entry_of(result)

    assert entry["response"]["status"] == 0
    assert entry["response"]["_error"].startswith("connect: cannot fetch http://host.test/")
    assert "hidden" not in json.dumps(entry)
    assert entry["request"]["method"] == "PUT"
    assert {"name": "x-a", "value": "1"} in entry["request"]["headers"]


def test_a_failed_status_has_its_response() -> None:
    """It is an answer like others."""
    assert entry_of(failure(status=503, started=T0))["response"]["status"] == 503


def test_the_earliest_comes_first_and_what_was_not_sent_does_not_come() -> None:
    """As the specification wishes."""
    results = [
        success(0, started=T0 + 5),
        success(1, started=T0),
        failure(2, kind=FailureKind.not_started, attempts=0),
        failure(3, kind=FailureKind.invalid_request, item="no URL", url=None, attempts=0),
    ]

    har = to_har(results)

    assert errors_in(har) == []
    urls = [each["request"]["url"] for each in har["log"]["entries"]]
    assert urls == ["http://host.test/1", "http://host.test/0"]


def test_a_result_without_a_time_says_so() -> None:
    """The specification has no word for it."""
    entry = entry_of(success(elapsed=-1.0))

    assert entry["startedDateTime"].startswith("1970-01-01")
    assert "not known" in entry["comment"]


def test_odd_bytes_are_no_error(tmp_path: Path) -> None:
    """Fields that are not ASCII, cookies that are none, a charset that is not true."""
    result = answered(
        headers=[
            ("Content-Type", "text/plain; charset=utf-16"),
            ("Set-Cookie", "=;;="),
            ("X-Odd", "odd"),
        ],
        content=b"\xff",
    )

    Results([result], duration=1.0).to_har(tmp_path / "x.har")

    assert errors_in(json.loads((tmp_path / "x.har").read_bytes())) == []


def test_an_archive_is_returned_and_written(tmp_path: Path) -> None:
    """Without a path it is only returned."""
    results = Results([success(started=T0)], duration=1.0)

    har = results.to_har(tmp_path / "run.har")

    assert har == results.to_har() == json.loads((tmp_path / "run.har").read_text())
    assert har["log"]["creator"]["name"] == "asyncbatch"


def test_no_results_make_an_empty_archive() -> None:
    """It is valid."""
    har = to_har([])

    assert errors_in(har) == []
    assert har["log"]["entries"] == []


def test_a_request_over_http2_has_no_fields_of_a_connection() -> None:
    """They are not sent; the names are in lower case."""
    sent = {"Host": "host.test", "Connection": "keep-alive", "X-A": "1"}
    over = answered(sent=sent)
    assert over.response is not None
    over.response.extensions["http_version"] = b"HTTP/2"

    names = [each["name"] for each in entry_of(over)["request"]["headers"]]

    assert names == ["x-a"]
    plain = entry_of(answered(sent=sent))["request"]["headers"]
    assert [each["name"] for each in plain] == ["Host", "Connection", "X-A"]


def test_the_url_of_a_request_has_no_fragment() -> None:
    """The specification excludes it."""
    result = answered(url="https://host.test/a?b=1#token=c")

    assert entry_of(result)["request"]["url"] == "https://host.test/a?b=1"


def test_an_archive_that_cannot_be_ended_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is written once."""
    path = tmp_path / "run.har"
    file, ends = HarFile(path), list[bytes]()

    def fail(descriptor: int) -> None:
        ends.append(file.part.read_bytes())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        file.write_all([answered()])

    assert ends[0].count(b"]}}") == 1
    assert list(tmp_path.iterdir()) == []


def test_cookies_that_have_no_name_are_left_out() -> None:
    """Python refuses the whole field; the field itself is there, masked."""
    entry = entry_of(answered(headers=[("set-cookie", "a@b=c"), ("set-cookie", "good=1")]))

    assert [cookie["name"] for cookie in entry["response"]["cookies"]] == ["good"]
    assert "a@b" not in json.dumps(entry)
