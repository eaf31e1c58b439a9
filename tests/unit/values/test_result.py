"""`Success` and `Failure`: what both have, and what there is where no response is."""

from __future__ import annotations

import json

import attrs
import httpx
import pytest

from asyncbatch import Failure, FailureKind, Fetcher, Request, Success, Timing
from asyncbatch._values._result import status_error, success
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
    assert (result.reason_phrase, result.links, result.encoding) == ("", {}, None)
    assert list(result.cookies) == []
    assert result.response is None
    assert list(result.headers) == []
    assert result.url == httpx.URL("http://host.test/")
    with pytest.raises(json.JSONDecodeError):
        result.json()


async def test_a_success_has_neither_kind_nor_error():
    """So that either may be asked of any result, and nothing is built for it."""
    result = await fetch("http://host.test/", mock())

    assert (result.kind, result.error) == (None, None)


async def test_what_people_look_at_is_at_hand():
    """On successes and failures alike, as the response has it."""
    fields = [
        ("content-type", "text/plain; charset=latin-1"),
        ("set-cookie", "a=1"),
        ("link", '</2>; rel="next"'),
    ]
    response = httpx.Response(404, content=b"\xe9", headers=fields)
    result = await fetch("http://host.test/", answering(response))

    assert not result.ok
    assert result.reason_phrase == "Not Found"
    assert dict(result.cookies) == {"a": "1"}
    assert result.links == {"next": {"url": "/2", "rel": "next"}}
    assert result.encoding == "latin-1"
    assert result.text == "\xe9"


def test_a_success_made_fast_is_like_any_other():
    """`success` sets by hand what the class would set: the same fields, and the same class."""
    names = ["index", "item", "elapsed", "attempts", "history", "queued", "throttled", "network"]
    values = dict(
        zip(
            [*names, "content", "response", "started"],
            (3, "url", 1.5, 2, (), 0.5, 0.25, Timing(), b"x", object(), 1.0),
            strict=True,
        )
    )

    fast, plain = success(*values.values()), Success(url=None, **values)

    assert type(fast) is type(plain) is Success
    fields = attrs.fields_dict(Success)
    assert {name: getattr(fast, name) for name in fields} == {
        name: getattr(plain, name) for name in fields
    }
    assert not hasattr(fast, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        fast.index = 1  # type: ignore[misc]


async def test_the_repr_of_a_failed_status_is_one_line():
    """With the type of its error, and without the link that httpx gives with each."""
    result = await fetch("http://host.test/", answering(httpx.Response(404)))

    assert repr(result) == (
        "<Failure 0: status http://host.test/: HTTPStatusError: "
        "Client error '404 Not Found' for url 'http://host.test/'>"
    )
    assert str(result.error) == "Client error '404 Not Found' for url 'http://host.test/'"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "ReadError"),
        ("two\nlines\r\n\x1b[31m of\u2028it", "ReadError: two lines [31m of it"),
        ("x" * 1000, f"ReadError: {'x' * 300}..."),
        (
            "no\nFor more information check: https://developer.mozilla.org/x",
            "ReadError: no",
        ),
    ],
)
async def test_the_repr_of_a_failure_is_one_line(text: str, shown: str):
    """Whatever its error says."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError(text)

    result = await fetch("http://host.test/", httpx.MockTransport(fail))

    assert repr(result) == f"<Failure 0: protocol http://host.test/: {shown}>"


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


def test_a_response_that_is_no_error_has_none():
    """Whoever asks for one has taken the wrong response."""
    response = httpx.Response(200, request=httpx.Request("GET", "http://host.test/"))
    with pytest.raises(AssertionError, match="400 or above"):
        status_error(response)
