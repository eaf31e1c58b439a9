"""Whether a byte of an answer came, as each lane tells it: what a host is given up by."""

from __future__ import annotations

from time import monotonic
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, Request
from asyncbatch.testing import LoopbackServer, Raw, Reply
from tests.behaviour.faults.lanes import fetcher_on

pytestmark = pytest.mark.once

LANES = ["direct", "client", "stock"]


LONG = 30.0
SHORT = 0.6
"""Seconds for a request that never ends; what comes before must come in them on a busy machine."""


async def heard(fetcher: Fetcher, item: Any, **options: Any) -> tuple[bool, bool]:
    """Try `item` once; say whether that is an answer, and whether it is silence."""
    shared = fetcher._shared
    assert shared is not None
    shared.attempter.lane.begin_batch(monotonic)
    outcome = await shared.attempter.run(
        item, deadline_at=options.get("deadline_at"), clock=monotonic
    )
    assert outcome.target_silent == options.get("target_silent", False)
    return outcome.is_answer, outcome.is_silent


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    ("reply", "seconds", "told"),
    [
        (Reply(404), LONG, "answer"),
        (Reply(body=b"x" * 10).reset(body=5), LONG, "answer"),
        (Reply(body=b"x" * 10).hang(body=5), SHORT, "answer"),
        (Reply(body=b"x").corrupted().with_header("content-encoding", "gzip"), LONG, "answer"),
        (Raw(b"220 no HTTP at all\r\n"), LONG, "answer"),
        (Reply.redirect("/hang"), SHORT, "answer"),
        (Reply().hang(), SHORT, "silence"),
        (Reply().reset(), LONG, "silence"),
    ],
    ids=["404", "cut", "stuck", "corrupt", "no HTTP", "redirected", "silent", "reset"],
)
async def test_an_answer_is_told_from_silence(
    server: LoopbackServer, lane: str, reply: Any, seconds: float, told: str
) -> None:
    """By the first byte, not by how it ended."""
    if lane == "stock" and isinstance(reply, Raw):
        pytest.skip("httpcore waits for more of it, and says nothing of what there is")
    server.on("/", reply)
    server.on("/hang", Reply().hang())
    async with fetcher_on(lane, timeout=seconds) as fetcher:
        leads_on = isinstance(reply, Reply) and reply.status == 302
        seen = await heard(fetcher, server.url(), target_silent=leads_on)
        assert seen == (told == "answer", told == "silence")


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("end", ["dead", "hangs", "answers in part", "redirects on", "in no time"])
async def test_the_silence_of_where_a_redirect_leads_is_told_apart(
    server: LoopbackServer, lane: str, end: str
) -> None:
    """The first host has answered all the same."""
    server.on("/hang", Reply().hang())
    server.on("/cut", Reply(body=b"x" * 10).hang(body=5))
    server.on("/on", Reply.redirect(server.dead_url()))
    targets = {"dead": server.dead_url(), "answers in part": "/cut", "redirects on": "/on"}
    server.on("/", Reply.redirect(targets.get(end, "/hang")))
    options: Any = {"deadline_at": monotonic() + 0.2} if end == "in no time" else {}
    timeout = SHORT if end in ("hangs", "answers in part") else LONG
    async with fetcher_on(lane, timeout=timeout) as fetcher:
        silent = end in ("dead", "hangs", "redirects on")
        told = await heard(fetcher, server.url(), target_silent=silent, **options)

    assert told == (True, False)


@pytest.mark.parametrize("lane", LANES)
async def test_a_refused_connection_is_silence(server: LoopbackServer, lane: str) -> None:
    """Nothing has come."""
    async with fetcher_on(lane) as fetcher:
        assert await heard(fetcher, server.dead_url()) == (False, True)


@pytest.mark.parametrize("lane", LANES)
async def test_a_deadline_that_leaves_no_time_to_answer_is_neither(
    server: LoopbackServer, lane: str
) -> None:
    """Another request may have more of it."""
    server.on("/", Reply().hang())
    async with fetcher_on(lane) as fetcher:
        told = await heard(fetcher, server.url(), deadline_at=monotonic() + 0.1)

    assert told == (False, False)


class FirstPiece:
    """
    A body of which only the first piece comes.

    No generator: httpx does not close one on trio, if the time is over before the second piece.
    """

    is_given = False

    def __aiter__(self) -> FirstPiece:
        return self

    async def __anext__(self) -> bytes:
        if self.is_given:
            await anyio.sleep_forever()
        self.is_given = True
        return b"first"


@pytest.mark.parametrize("lane", LANES)
async def test_a_body_that_is_produced_too_slowly_is_neither(
    server: LoopbackServer, lane: str
) -> None:
    """The time was the caller's own."""
    request = Request(server.url(), "PUT", content=FirstPiece())
    async with fetcher_on(lane, timeout=0.2) as fetcher:
        assert await heard(fetcher, request) == (False, False)


@pytest.mark.parametrize("lane", LANES)
async def test_a_body_that_was_sent_and_not_answered_is_silence(
    server: LoopbackServer, lane: str
) -> None:
    """Once the body is sent, the server is waited for, however the body was produced."""

    async def pieces() -> Any:
        yield b"all"

    server.on("/", Reply().hang(), method="PUT")
    request = Request(server.url(), "PUT", content=pieces())
    async with fetcher_on(lane, timeout=0.2) as fetcher:
        assert await heard(fetcher, request) == (False, True)


async def test_a_hook_that_takes_the_time_is_neither(server: LoopbackServer) -> None:
    """It is code of the caller's."""

    async def wait(_request: httpx.Request) -> None:
        await anyio.sleep_forever()

    client = httpx.AsyncClient(event_hooks={"request": [wait]})
    async with client, Fetcher(client, timeout=0.1) as fetcher:
        assert await heard(fetcher, server.url()) == (False, False)
