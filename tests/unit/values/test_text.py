"""Bodies as text and as JSON, of servers that name what is none."""

from __future__ import annotations

import contextlib
import encodings
import json
import pickle
import pkgutil
import zlib
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import Failure, Fetcher, Success
from asyncbatch._values._text import body_text, encoding_of, is_charset, parse_json

CODECS = [module.name for module in pkgutil.iter_modules(encodings.__path__)]
NO_CHARSETS = [
    *("base64", "bz2", "hex", "idna", "punycode", "quopri", "rot13", "rot_13", "undefined"),
    *("unicode_escape", "unicode-escape", "raw_unicode_escape", "raw-unicode-escape"),
    *("uu", "zip", "zlib", "aliases"),
]


def response(content: bytes, content_type: str, **options: Any) -> httpx.Response:
    return httpx.Response(
        200, content=content, headers={"content-type": content_type.encode()}, **options
    )


async def fetch(content: bytes, content_type: str = "", **options: Any) -> Success | Failure:
    def answer(request: httpx.Request) -> httpx.Response:
        return response(content, content_type)

    options["transport"] = httpx.MockTransport(answer)
    async with Fetcher(**options, retry=None) as fetcher:
        return await fetcher.fetch("http://user:secret@host.test/path")


@pytest.mark.parametrize("name", NO_CHARSETS)
def test_what_is_no_charset_is_not_decoded_by(name: str) -> None:
    """Neither decompressed nor unescaped: the text is that of the default."""
    for content in (b"\\x41 Nyvpr", zlib.compress(b"x" * 1000), b"aGk="):
        text = body_text(response(content, f"text/plain; charset={name}"))

        assert text == content.decode(errors="replace")


@pytest.mark.parametrize(
    "name",
    [
        "x" * 100_000,
        "a\0b",
        "utf-8\0",
        "..",
        "",
        "encodings.utf_8",
        "\N{SNOWMAN}",
        "'",
        '"',
        "utf-8\x1b",
        "%s",
    ],
)
def test_what_is_no_name_is_not_looked_up(name: str) -> None:
    """And the default counts."""
    found = response(b"x\xff", f"text/plain; charset={name}")

    assert body_text(found) in ("x\ufffd", "x\xff")
    assert (
        body_text(response(b"\xe9", f"a/b; charset*={name}''x", default_encoding="latin-1"))
        == "\xe9"
    )


@pytest.mark.parametrize(
    "content_type",
    [
        f"text/plain; charset*{'9' * 5000}=x",
        "text/plain; charset*=a\0b''x",
        "text/plain; charset*=rot13''x",
        "; charset",
        "charset=",
        "text/plain; charset*0=utf; charset*1=-8",
        "text/plain; charset=utf-16",
        "text/plain; charset=utf-32",
        "text/plain; charset=utf-7",
    ],
)
@given(content=st.binary(max_size=20))
def test_no_content_type_makes_the_text_fail(content_type: str, content: bytes) -> None:
    """What Python's own parser and codecs fail at counts as not said."""
    found = response(content, content_type)

    assert isinstance(body_text(found), str)
    assert is_charset(encoding_of(found))


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=10)
@given(content=st.binary(max_size=40))
def test_no_codec_makes_the_text_fail(codec: str, content: bytes) -> None:
    """Each of Python's own, and where it is a charset it gives what httpx would give."""
    found = response(content, f"text/plain; charset={codec}")
    text = body_text(found)

    if is_charset(codec) and codec not in ("utf_16", "utf_32"):
        assert text == found.text


def test_the_callers_own_choice_counts() -> None:
    """An encoding that was set on the response, and the client's default where none is named."""
    chosen = response(b"\xe9", "text/plain; charset=rot13")
    chosen.encoding = "latin-1"

    assert body_text(chosen) == "\xe9"
    assert (
        body_text(response(b"\xe9", "text/plain; charset=rot13", default_encoding="cp437"))
        == "\u0398"
    )
    detected = response(b"\xe9", "", default_encoding=lambda content: "latin-1")
    assert body_text(detected) == "\xe9"


async def test_a_result_tells_its_encoding() -> None:
    """The one that its text was decoded by."""
    assert (await fetch(b"x", "text/plain; charset=rot13")).encoding == "utf-8"
    assert (await fetch(b"x", "text/plain; charset=Latin-1")).encoding == "latin-1"
    assert (await fetch(b"\xe9", default_encoding="latin-1")).text == "\xe9"


@pytest.mark.parametrize("name", ["utf9", "rot13", "unicode_escape", ""])
async def test_a_default_that_is_none_is_refused(name: str) -> None:
    """Before anything is fetched."""
    with pytest.raises(ValueError, match="default_encoding must be an encoding of text"):
        Fetcher(default_encoding=name)


GOOD = [
    b'{"a": 1}',
    b'\xef\xbb\xbf{"a": 1}',
    '{"a": 1}'.encode("utf-16"),
    '{"a": 1}'.encode("utf-16-be"),
    '{"a": 1}'.encode("utf-32"),
]


@pytest.mark.parametrize("content", GOOD)
async def test_json_is_read_in_its_encodings(content: bytes) -> None:
    """As RFC 8259 has it and as its predecessors had it, byte order marks included."""
    assert (await fetch(content)).json() == {"a": 1}


BAD = [
    b"",
    b"<html>",
    b'{"name": "Jos\xe9"}',
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xfe{",
    b"\xff\xfe\x00\xd8",
    b"\x00\x00\xfe\xff\x00\x11\x00\x00",
    b"9" * 5000,
    b'{"a": ' + b"1" * 10_000 + b"}",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'"\n"',
    b"\0",
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
async def test_what_is_no_json_raises_one_error(content: bytes) -> None:
    """With the URL, but not its password, and so that it can be pickled."""
    result = await fetch(content)

    with pytest.raises(json.JSONDecodeError, match=r"host\.test/path") as caught:
        result.json()
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(content=st.binary(max_size=30))
def test_json_raises_nothing_else(content: bytes) -> None:
    """Whatever bytes come."""
    with contextlib.suppress(json.JSONDecodeError):
        parse_json(content, "http://host.test/", {})


async def test_what_a_function_of_the_callers_raises_is_his() -> None:
    """As long as it is no `ValueError`, which is how a parser says that something is none."""
    result = await fetch(b"1.5")

    with pytest.raises(ZeroDivisionError):
        result.json(parse_float=lambda text: 1 / 0)
    with pytest.raises(json.JSONDecodeError, match="odd"):
        result.json(parse_float=lambda text: int("odd"))
    assert result.json(parse_float=str) == "1.5"
