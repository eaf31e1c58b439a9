"""A request over its tries: what was read of its body, and the copy that one try sends."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Request
from asyncbatch._values._body_source import source_of
from asyncbatch._values._request import native_of
from asyncbatch._values._tries import hold, is_repeatable, take_sources, with_headers

URL = "http://host.test/"


async def _chunks() -> AsyncIterator[bytes]:
    yield b"a"


@pytest.mark.parametrize(
    ("content", "repeatable"),
    [
        ([b"a", b"b"], True),
        (iter([b"a"]), False),
        (io.BytesIO(b"a"), True),
        (_chunks(), False),
    ],
)
def test_an_iterator_that_was_read_from_is_not_sent_again(content: Any, repeatable: bool) -> None:
    """It is empty the second time; what has not been begun can still be sent."""
    own, prepared = Request(URL, content=content), httpx.Request("PUT", URL, content=content)
    source = source_of(content)
    for request in (own, Request.of(prepared)):
        hold(request, [source])
    before = [is_repeatable(own), is_repeatable(prepared)]
    source.read()

    assert before == [True, True]
    assert [is_repeatable(own), is_repeatable(prepared)] == [repeatable] * 2
    assert is_repeatable(URL)


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"X-Trace": "the caller's", "accept": "text/plain"},
        [("x-trace", "the caller's"), ("accept", "text/plain")],
        httpx.Headers({"X-TRACE": "the caller's", "accept": "text/plain"}),
    ],
)
def test_a_try_is_sent_with_more_headers(given: Any) -> None:
    """They replace those of the same name, whatever its case; the request stays what it was."""
    request = Request(URL, headers=given, tag="tag")

    tried = with_headers(request, {"x-trace": "ours"})

    sent = httpx.Headers(tried.headers)
    assert (sent.get_list("x-trace"), sent.get("accept")) == (
        ["ours"],
        None if given is None else "text/plain",
    )
    assert (tried.url, tried.tag) == (URL, "tag")
    assert request.headers is given


def test_a_try_of_a_request_of_the_library_is_one_too() -> None:
    """With the same stream, so that the body is the caller's."""
    given = httpx.Request("PUT", URL, content=b"body", extensions={"timeout": {}})

    tried = native_of(with_headers(Request.of(given), {"x-trace": "ours"}))

    assert tried is not None
    assert (tried.headers["x-trace"], tried.stream, tried.extensions) == (
        "ours",
        given.stream,
        given.extensions,
    )
    assert "x-trace" not in given.headers


def test_what_a_try_has_read_of_the_body_is_known_of_the_request() -> None:
    """The copy ends with its try."""
    request = Request(URL, content=iter([b"a"]))
    tried = with_headers(request, {"x-trace": "ours"})
    hold(tried, [source := source_of(tried.content)])
    source.read()

    take_sources(request, tried)

    assert not is_repeatable(request)
