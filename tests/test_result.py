"""`Success` and `Failure`: what both have, and what there is where no response is."""

from __future__ import annotations

import json

import httpx
import pytest

from asyncbatch import Failure, FailureKind, Fetcher, Request, Success
from tests.transports import mock


async def fetch(request: str | Request, transport: httpx.AsyncBaseTransport) -> Success | Failure:
    async with Fetcher(transport=transport, retry=None) as fetcher:
        return await fetcher.fetch(request)


def answering(response: httpx.Response) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: response)


async def test_a_success_gives_its_response_and_its_parts():
    """Status, headers, content, text and JSON are the response's own."""
    response = httpx.Response(201, json={"a": 1}, headers={"x-a": "b"})
    result = await fetch("http://host.test/", answering(response))

    assert isinstance(result, Success)
    assert result.ok
    assert result.status_code == 201
    assert result.headers["x-a"] == "b"
    assert result.json() == {"a": 1}
    assert json.loads(result.content) == json.loads(result.text) == {"a": 1}
    assert result.unwrap() is result.response
    assert result.url == httpx.URL("http://host.test/")


async def test_a_failed_status_keeps_its_response():
    """It is a failure with everything that a success has."""
    result = await fetch("http://host.test/", answering(httpx.Response(404, text="no")))

    assert isinstance(result, Failure)
    assert not result.ok
    assert (result.kind, result.status_code, result.text) == (FailureKind.status, 404, "no")
    assert result.response is not None
    with pytest.raises(httpx.HTTPStatusError) as caught:
        result.unwrap()
    assert caught.value is result.error


async def test_where_there_is_no_response_there_are_empty_parts():
    """Nothing has to be asked for before it is looked at."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    result = await fetch("http://host.test/", httpx.MockTransport(refuse))

    assert (result.status_code, result.content, result.text) == (None, b"", "")
    assert result.response is None
    assert list(result.headers) == []
    assert result.url == httpx.URL("http://host.test/")
    with pytest.raises(json.JSONDecodeError):
        result.json()


async def test_the_request_is_the_callers_own_object():
    """With its tag; a plain URL becomes a `Request` when it is asked for."""
    request = Request("http://host.test/", tag=object())

    assert (await fetch(request, mock())).request is request
    assert (await fetch("http://host.test/x", mock())).request == Request("http://host.test/x")


async def test_a_url_that_is_none_is_told_by_its_text():
    """`url` is `None`, and the repr still names what was asked for."""
    result = await fetch("http://[", mock())

    assert result.url is None
    assert "http://[" in repr(result)


async def test_the_repr_hides_the_password():
    """Results are logged."""
    result = await fetch("http://user:secret@host.test/", mock())

    assert "secret" not in repr(result)
    assert "host.test" in repr(result)
