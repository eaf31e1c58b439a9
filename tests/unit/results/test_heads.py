"""Heads: the fields of many responses, each different head of which is read once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from asyncbatch._engine.http11._head import parse_head
from asyncbatch._results._heads import Heads

PLAIN = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nX-A:  1 \t\r\nX-A: 2\r\nX-B:\r\n"


class Builder:
    """What builds responses with a head of the engine."""

    def __init__(self, block: bytes) -> None:
        self.head = parse_head(block)


def test_a_head_is_its_fields_in_their_order() -> None:
    """Names in lower case, values without blanks around them, one row for each response."""
    fields = (("server", "nginx"), ("x-a", "1"), ("x-a", "2"), ("x-b", ""))

    heads = Heads([None, Builder(PLAIN)])

    assert heads.rows() == [(), fields]
    assert (len(heads), heads.ends, heads.places) == (2, [0, 0, 4], [0, 1])


def test_responses_with_the_same_head_share_it() -> None:
    """By the object that builds them, or by the head of two connections, in any order."""
    one, other = Builder(PLAIN), Builder(PLAIN)
    other.head = one.head
    unlike = Builder(b"HTTP/1.1 200 OK\r\nX-C: 3\r\n")

    heads = Heads([one, unlike, other, one, one, unlike])

    assert heads.places == [0, 1, 0, 0, 0, 1]
    rows = heads.rows()
    assert rows[0] is rows[2] is rows[4]
    assert (len(heads.lines), heads.ends) == (5, [0, 4, 5])


def test_heads_that_differ_share_the_fields_that_do_not() -> None:
    """Most lines of the heads of a server are the same, so each different one is read once."""
    blocks = [b"HTTP/1.1 200 OK\r\nServer: nginx\r\nETag: %d\r\n" % number for number in range(9)]

    heads = Heads([Builder(block) for block in blocks])

    assert heads.rows() == [(("server", "nginx"), ("etag", str(number))) for number in range(9)]
    assert len(heads.fields.names) == len(heads.fields.texts) == 10


def test_reading_leaves_nothing_in_a_head() -> None:
    """A million heads would keep five million pairs for as long as their results live."""
    builder: Any = Builder(PLAIN)

    Heads([builder])

    assert builder.head._fields is None


@pytest.mark.parametrize(
    "value", [b"abc", b"caf\xc3\xa9", b"caf\xe9", b"a:b: c", b"\x85\xa0", b"", b"\tx y\t"]
)
@pytest.mark.parametrize("reason", [b"OK", b"d\xe9j\xe0 vu", b""])
def test_fields_of_the_engine_are_read_as_httpx_reads_them(value: bytes, reason: bytes) -> None:
    """Whatever is in the status line, which is in another encoding than they are."""
    builder = Builder(b"HTTP/1.1 200 " + reason + b"\r\nX-A: " + value + b"\r\nX-B: \xc3\xa4\r\n")
    response = httpx.Response(200, headers=list(builder.head.fields))

    assert Heads([builder]).rows() == [tuple(response.headers.multi_items())]
