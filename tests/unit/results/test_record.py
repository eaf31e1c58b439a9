"""Records: each kind of result as a row of the one table."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Request, Results, Timing
from asyncbatch._results._jsonl import json_lines
from asyncbatch._results._record import COLUMNS, columns_of, records_of, tag_types_of
from asyncbatch._values._result import status_error
from asyncbatch.testing import failure, success
from tests.tables import (
    BEGAN,
    HEADERS,
    MIXED_TAGS,
    SIMPLE_TAGS,
    every_kind,
    expected,
    sent,
    tagged,
)


def record_of(result: Any) -> dict[str, Any]:
    return next(records_of([result]))


def test_each_kind_of_result_has_the_same_columns() -> None:
    """And each of them what its public properties say."""
    results = every_kind()

    records = list(records_of(results))

    assert [tuple(record) for record in records] == [COLUMNS] * len(results)
    assert records == [expected(result) for result in results]


def test_the_columns_have_one_place_for_each_result() -> None:
    """Also for many results, which are taken some at a time."""
    results = [success(index=place) for place in range(5000)]

    assert [record["index"] for record in records_of(results)] == list(range(5000))
    assert {len(column) for column in columns_of(results[:7]).values()} == {7}
    assert list(records_of([])) == []


class Odd:
    def __repr__(self) -> str:
        return "\ud800"


@pytest.mark.parametrize("tag", ["a\udcff", Odd(), None])
def test_a_lone_surrogate_is_escaped(tag: Any) -> None:
    """In dicts and in JSON, whose readers refuse it; the other rows are as they were."""
    url, path = "http://x\udcff.test/", Path("a\udcff")
    odd = failure(url, tag=tag, method="G\udcffT", kind="invalid_request", error=OSError("\udcff"))
    saved = attrs.evolve(success(tag="é"), saved=(path, 3, None))

    records = list(records_of([odd, saved], (str,)))
    lines = json_lines([odd, saved], (str,)).splitlines()

    assert all(
        value.encode() for record in records for value in record.values() if type(value) is str
    )
    assert (records[0]["url"], records[0]["method"]) == ("http://x\\udcff.test/", "G\\udcffT")
    assert records[0]["error"] == "OSError: \\udcff"
    assert records[0]["tag"] == {None: None, "a\udcff": "a\\udcff"}.get(tag, "\\ud800")
    assert (records[1]["tag"], records[1]["path"]) == ("é", "a\\udcff")
    assert [json.loads(line)["url"] for line in lines] == [each["url"] for each in records]


@given(headers=HEADERS, content=st.binary(max_size=50), tag=MIXED_TAGS)
def test_a_record_comes_back_from_json(headers: Any, content: bytes, tag: Any) -> None:
    """Of any head, body and tag."""
    result = success(headers=headers, content=content, tag=tag, started=BEGAN, elapsed=1 / 3)
    record = record_of(result)

    (line,) = json_lines([result]).splitlines()

    assert from_json(line) == record | {
        "tag": tag if type(tag) in (str, int, float, bool) else repr(tag)
    }


def from_json(line: bytes) -> dict[str, Any]:
    """Return the record of a line."""
    record = json.loads(line)
    content, sort = record["content"], record.pop("content_as")
    record["content"] = content.encode() if sort == "text" else base64.b64decode(content)
    record["headers"] = tuple(map(tuple, record["headers"]))
    started = record["started"]
    record["started"] = None if started is None else datetime.fromisoformat(started)
    return record


def test_every_kind_of_result_comes_back_from_json() -> None:
    """Without loss, one on each line, in ASCII."""
    results = every_kind()

    lines = json_lines(results)

    assert lines.isascii()
    assert [from_json(line) for line in lines.splitlines()] == list(records_of(results))


@pytest.mark.parametrize("kind", SIMPLE_TAGS)
@given(data=st.data())
def test_tags_of_one_simple_type_stay_as_they_are(kind: str, data: st.DataObject) -> None:
    """Between them, there may be requests without a tag."""
    tags = data.draw(st.lists(st.none() | SIMPLE_TAGS[kind]))

    assert [record["tag"] for record in records_of(tagged(tags))] == tags


@given(tags=st.lists(MIXED_TAGS, min_size=2).filter(lambda tags: len({*map(type, tags)}) > 1))
def test_tags_of_several_types_are_text(tags: list[Any]) -> None:
    """The `repr` of each, so that 1 and "1" stay apart."""
    assert [record["tag"] for record in records_of(tagged(tags))] == list(map(repr, tags))


class Color(StrEnum):
    RED = "red"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        (2**63, "9223372036854775808"),
        (Color.RED, "<Color.RED: 'red'>"),
        (b"x", "b'x'"),
        (Rude(), "<Rude object>"),
        (("a", 1), "('a', 1)"),
    ],
)
def test_a_tag_that_is_not_simple_is_text(tag: Any, found: str) -> None:
    """Whatever its `repr` does."""
    assert record_of(success(tag=tag))["tag"] == found


def test_results_of_plain_urls_have_no_tags() -> None:
    """So that nothing is known about the type."""
    assert tag_types_of([]) == tag_types_of([success()]) == ()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_number_that_json_has_not(number: float) -> None:
    """A tag that is not finite is text there."""
    (line,) = json_lines([success(tag=number)]).splitlines()

    assert json.loads(line)["tag"] == repr(number)


@pytest.mark.parametrize("url", ["http://u:hidden@a.test/", "http://u%40:hidden@a.test/%40"])
def test_no_column_has_a_password(url: str) -> None:
    """Neither the URLs nor the error, whatever stands beside them in the table."""
    error = httpx.ConnectError(f"cannot connect to {url}")

    record, other = records_of([failure(url, error=error), success()])

    assert "hidden" not in repr(record)
    assert record["url"].startswith("http://[secure]@a.test/")
    assert other["url"] == "https://example.org/"


@pytest.mark.parametrize("status", [400, 404, 418, 503, 599, 600, 799])
def test_the_error_of_a_status_is_said_without_making_it(status: int) -> None:
    """A million failures would keep as many responses, so the text is put together here."""
    url = "http://a.test/x?y=1"
    found = failure(url, kind="status", status_code=404)
    object.__setattr__(found, "_answer", sent(status, url))

    text = record_of(found)["error"]

    assert found._error is None
    assert text == f"HTTPStatusError: {status_error(sent(status, url))}"


@pytest.mark.parametrize(
    "fields",
    [
        [(b"X-A", b"caf\xc3\xa9")],
        [(b"X-A", b"caf\xe9"), (b"X-B", b"1")],
        [(b"X-A", b"a\0b")],
        [],
    ],
)
def test_fields_are_read_as_httpx_reads_them(fields: Any) -> None:
    """In UTF-8 or Latin-1, with their names in lower case."""
    response = httpx.Response(200, headers=fields, request=httpx.Request("GET", "http://a.test"))
    result = attrs.evolve(success(), response=response)

    assert record_of(result)["headers"] == tuple(response.headers.multi_items())


def test_the_url_is_as_it_was_given() -> None:
    """Whatever form the request has; relative ones and those of another library included."""
    given: list[Any] = [
        " http://A.test/ ",
        httpx.URL("http://a.test/b"),
        httpx.Request("PUT", "http://a.test/c"),
        Request("/d", "delete"),
        17,
    ]
    results = [attrs.evolve(success(), item=item) for item in given]

    records = list(records_of(results))

    assert [record["url"] for record in records] == [
        *(" http://A.test/ ", "http://a.test/b", "http://a.test/c", "/d", "17"),
    ]
    assert [record["method"] for record in records] == ["GET", "GET", "PUT", "DELETE", "GET"]


def test_timings_and_courses_may_stand_in_one_table() -> None:
    """A course is what the engine leaves, a `Timing` what a client does."""
    course = (1.0, 1.5, 2.0, 0.0, 4.0, 0.25, None, None, 7)
    results = [
        attrs.evolve(success(timing=Timing(wait=1.0))),
        attrs.evolve(success(), network=course),
    ]
    apart = [record_of(result) for result in results]

    assert list(records_of(results)) == apart == [expected(result) for result in results]


def test_dicts_are_those_of_the_records() -> None:
    """`Results.to_dicts` is the list of them."""
    results = Results(every_kind(), duration=1.0)

    assert results.to_dicts() == list(records_of(results))


@pytest.mark.parametrize("password", ["p", "port"])
def test_the_text_of_an_error_has_a_mask_for_each_secret(password: str) -> None:
    """And is not empty, however short a password is."""
    error = httpx.ConnectError(f"port 1: {password} is refused")
    result = failure(f"http://u:{password}@127.0.0.1:1/", kind="connect", error=error)

    text = record_of(result)["error"]

    assert (
        text
        == {
            "p": "ConnectError: port 1: [secure] is refused",
            "port": "ConnectError: [secure] 1: [secure] is refused",
        }[password]
    )
