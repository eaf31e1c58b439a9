"""Bodies of requests: which are taken, and how they are described."""

from __future__ import annotations

import io
import mimetypes
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from asyncbatch import Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.any_loop

mimetypes.init()  # which httpx leaves to the first form with a file, and which reads files


class AsyncFile:
    """An async iterable, as streams and async files are."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"


def wrong_bodies() -> dict[str, tuple[dict[str, Any], str]]:
    """Make what is no body, and say what is told of it; anew, since what was read stays so."""
    return {
        "dict": ({"content": {"a": 1}}, "content must be bytes.* not a dict"),
        "int": ({"content": 42}, "not a int"),
        "set": ({"content": {b"a"}}, "not a set"),
        "object": ({"content": object()}, "not a object"),
        "class": ({"content": bytes}, "not a type"),
        "text file": ({"content": io.StringIO("a")}, "'rb'"),
        "iterable of text": ({"content": ["a"]}, "must give bytes, not a str"),
        "list of numbers": ({"content": [1, 2]}, "must give bytes, not a int"),
        "None among the pieces": (
            {"content": [b"a", None, b"b"]},
            "must give bytes, not a NoneType",
        ),
        "file that gives text": (
            {"content": type("F", (), {"read": lambda *_: "a"})()},
            "must give bytes, not a str",
        ),
        "data as pairs": ({"data": [("a", "b")]}, "data must be a mapping.* not a list"),
        "data as number": ({"data": 42}, "data must be"),
        "an iterator in a form": ({"data": {"a": iter([1])}}, "field 'a'.* not a list_iterator"),
        "bytes in a form": ({"data": {"a": [b"b"]}}, "field 'a'.* not a bytes"),
        "a file as data of a form": ({"data": {"a": io.BytesIO()}}, "field 'a'.* not a BytesIO"),
        "a mapping in a form": ({"data": {"a": {}}}, "field 'a'.* not a dict"),
        "files as iterator": (
            {"files": iter([("a", b"b")])},
            "files must be .* not a list_iterator",
        ),
        "files as bytes": ({"files": b"abc"}, "files must be .* not a bytes"),
        "files as names": ({"files": ["a"]}, "not a str in a list"),
        "a file without its content": ({"files": {"a": ("n",)}}, "that of 'a' has 1 parts"),
        "a file that is a number": ({"files": {"a": 42}}, "that of 'a' is a int"),
        "a file that is an iterator": ({"files": {"a": ("n", iter([b"a"]))}}, "is a list_iterator"),
        "a text file in a form": ({"files": {"a": io.StringIO("a")}}, "'rb'"),
        "an async file in a form": ({"files": {"a": AsyncFile()}}, "is a AsyncFile"),
        "json": ({"json": {1}}, "set is not JSON serializable"),
    }


@pytest.mark.parametrize("kind", wrong_bodies())
async def test_a_body_of_a_wrong_type_is_told_by_name(
    fetcher: Fetcher, server: LoopbackServer, kind: str
) -> None:
    """With what to give instead; and nothing of it counts as sent."""
    arguments, message = wrong_bodies()[kind]
    result = await fetcher.fetch(Request(server.url(), "POST", **arguments))

    assert not result.ok
    assert result.kind == "invalid_request"
    assert isinstance(result.error, TypeError)
    with pytest.raises(TypeError, match=message):
        result.unwrap()


async def test_a_pipe_of_the_system_is_sent_in_chunks(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """Nobody knows its length; as a part of a form, it has none either."""
    for arguments in ({"content": None}, {"files": None}):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb") as end:
            end.write(b"piped")
            end.close()
            (name,) = arguments
            value: Any = pipe if name == "content" else {"a": ("name", pipe)}
            result = await fetcher.fetch(Request(server.url(), "PUT", **{name: value}))
        assert result.ok, result
        assert b"piped" in server.requests[-1].body
        assert server.requests[-1].headers["transfer-encoding"] == "chunked"


async def test_the_parts_of_a_form_may_be_any_bytes(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """Of one file, of several, and of none."""
    forms: list[dict[str, Any]] = [
        {"a": ("a.txt", bytearray(b"first"))},
        {"a": io.BytesIO(b"first"), "b": io.BytesIO(b"second"), "c": memoryview(b"third")},
    ]
    for files in forms:
        result = await fetcher.fetch(Request(server.url(), "POST", files=files))

        assert result.ok, result
        sent = server.requests[-1].body
        for part in (b"first", b"second", b"third")[: len(files)]:
            assert part in sent


class Stream(httpx.AsyncByteStream):
    """A stream of the caller's own, whose attributes mean what they mean to the caller."""

    _stream = b"another"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"


async def test_a_stream_of_the_callers_class_is_sent_again(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """It is asked for its pieces each time."""
    server.on("/", Reply(503), Reply())
    host = httpx.URL(server.url()).netloc
    headers = [(b"host", host), (b"transfer-encoding", b"chunked")]
    native = httpx.Request("PUT", server.url(), headers=headers, stream=Stream())
    result = await fetcher.fetch(native)

    assert result.ok, result
    assert [request.body for request in server.requests] == [b"firstsecond"] * 2


async def test_a_request_of_the_callers_with_fields_beside_its_files_is_sent_again(
    fetcher: Fetcher, server: LoopbackServer
) -> None:
    """From where its file stood."""
    server.on("/", Reply(503), Reply())
    native = httpx.Request(
        "PUT", server.url(), data={"name": "value"}, files={"a": io.BytesIO(b"content")}
    )
    result = await fetcher.fetch(native)

    assert result.ok, result
    assert len(server.requests) == 2
    for request in server.requests:
        assert b"value" in request.body
        assert b"content" in request.body
