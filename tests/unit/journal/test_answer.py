"""The response of a record: what is kept of its head, and how it is built again."""

from __future__ import annotations

import httpx

from asyncbatch._journal._answer import StoredHeads


def test_heads_are_read_once() -> None:
    """The head of most responses of a server is one of a few."""
    heads = StoredHeads()
    head = heads.of(httpx.Response(200, headers=[("a", "1"), ("a", "2")]))

    assert heads.parsed(head) is heads.parsed(head)
    assert heads.parsed(head).fields == [(b"a", b"1"), (b"a", b"2")]
    for number in range(2 * StoredHeads.MOST):
        heads.parsed(head + b"\r\nx: %d" % number)
    assert heads.parsed(head).reason == b"OK"
