"""What a file relay hands over, what it leaves, and what it keeps of a request meanwhile."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from asyncbatch import Fetcher
from asyncbatch._engine import ExchangeLimits, TimedOut
from asyncbatch._lanes import FileRelay, Plain, Received
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._runtime._event_loop import runs_on_trio
from asyncbatch.testing import LoopbackServer, Raw, Reply
from tests.waiting import until

LONGEST = 1000


@dataclass
class Calls:
    """The owner of a relay: what that has called, and the request that follows each body."""

    bodies: list[bytes] = field(default_factory=list)
    left: int = 0
    received: list[Received] = field(default_factory=list)
    following: list[Plain] = field(default_factory=list)

    def take_body(self, received: Received) -> Plain | None:
        """Note a body."""
        self.bodies.append(received.content)
        self.received.append(received)
        return self.following.pop() if self.following else None

    def relay_left(self) -> None:
        """Count a response that was left."""
        self.left += 1

    def has_any(self) -> bool:
        """Whether the relay has called anything."""
        return bool(self.bodies or self.left)


def relay_of(fetcher: Fetcher, calls: Calls) -> tuple[FileRelay, Any]:
    """Return a relay, and what encodes URLs for it."""
    shared: Any = fetcher._shared
    lane, limits = shared.attempter.lane, shared.attempter.limits
    new = lane.file_relays(limits, LONGEST)
    assert new is not None
    return new(calls), lambda url: lane.encode_for_file(url, url, limits)


async def play(server: LoopbackServer, reply: Reply | Raw) -> Calls:
    """Send one request, and return what its response has called."""
    server.on("/x", reply)
    calls = Calls()
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/x"))  # the lane has begun
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/x")))
        await until(calls.has_any)
        relay.abandon()
    return calls


def raw(*lines: str, status: str = "200 OK", body: bytes = b"abc") -> Raw:
    """Return a response with these field lines."""
    return Raw("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + body)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b""),
        Reply(body=b"a" * LONGEST),
        Reply(body=b"a", headers={"set-cookie": "a=1"}),
        raw("Content-Length: 3", "Content-Type: text/plain"),
    ],
)
async def test_a_plain_body_is_handed_over(server: LoopbackServer, reply: Reply | Raw) -> None:
    """If it has the length that its head says."""
    calls = await play(server, reply)

    assert len(calls.bodies) == 1
    assert calls.left == 0


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"a" * (LONGEST + 1)),
        Reply(404, body=b"abc"),
        Reply(302, headers={"location": "/"}),
        Reply(204),
        Reply(headers={"content-encoding": "gzip"}, body=gzip.compress(b"a")),
        raw("Content-Length: 3", "Content-Encoding: identity"),
        raw("Content-Length: 3", "Content-Range: bytes 0-2/9"),
        raw("Content-Length: 3", "Content-Range: bytes 0-2/9", status="206 Partial Content"),
        raw("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        raw("Content-Length: 3", body=b"ab"),
        raw("Connection: close"),
        raw("Content-Length: 3", "Content-Length: 4"),
    ],
)
async def test_any_other_response_is_left(server: LoopbackServer, reply: Reply | Raw) -> None:
    """Once, and nothing of it is handed over."""
    calls = await play(server, reply)

    assert (calls.bodies, calls.left) == ([], 1)


async def test_a_relay_begins_its_exchange_again_and_keeps_nothing_of_the_last_request(
    server: LoopbackServer,
) -> None:
    """What the result is made of has been passed on."""
    server.on("/x", Reply(body=b"abc"))
    calls = Calls()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/x"))
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/x")))
        exchange = relay._exchange
        await until(calls.has_any)
        received = calls.received[0]

        assert exchange is relay._resting
        assert (exchange.connection, exchange.head) == (None, None)
        assert (exchange.payload, exchange.content) == (b"", b"")
        assert (received.response_builder.status_code, received.course[-1]) == (200, 3)
        assert relay.begin(encode(server.url("/x")))
        assert relay._exchange is exchange or runs_on_trio()  # which has another kind of loop
        await until(lambda: len(calls.bodies) == 2)
        relay.abandon()

    assert (calls.bodies, calls.left) == ([b"abc", b"abc"], 0)


async def test_the_next_request_goes_over_the_connection_that_has_brought_the_body(
    server: LoopbackServer,
) -> None:
    """Within the callback; each response belongs to its own request."""
    server.on("/many/*", lambda request: Reply(body=request.target.encode()))
    calls = Calls()
    targets = [f"/many/{number}" for number in range(4)]

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/"))
        relay, encode = relay_of(fetcher, calls)
        first, *following = [encode(server.url(target)) for target in targets]
        calls.following = following[::-1]
        assert relay.begin(first)
        await until(lambda: len(calls.bodies) == 4)

        assert relay._exchange is None
        assert len({id(each.response_builder.connection) for each in calls.received}) == 1
        assert len({id(each.response_builder) for each in calls.received}) < 4
    assert calls.bodies == [target.encode() for target in targets]
    assert [each.encoded[1] for each in calls.received] == list(map(server.url, targets))
    begun = [each.begun_at for each in calls.received]
    assert begun == sorted(begun)


async def test_a_part_that_follows_a_whole_file_is_left(server: LoopbackServer) -> None:
    """Whatever the heads before it were found to be."""
    fields = "Content-Length: 3", "Content-Type: text/plain"
    server.on("/x", raw(*fields))
    server.on("/part", raw(*fields, "Content-Range: bytes 0-2/9"))
    calls = Calls()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/x"))
        relay, encode = relay_of(fetcher, calls)
        calls.following = [encode(server.url(target)) for target in ("/part", "/x")]
        assert relay.begin(encode(server.url("/x")))
        await until(lambda: bool(calls.left))
        relay.abandon()

    assert (calls.bodies, calls.left) == ([b"abc", b"abc"], 1)


async def test_a_request_that_follows_has_its_own_deadline(server: LoopbackServer) -> None:
    """Then it is left, and is a timeout for what concludes it."""
    server.on("/x", Reply(body=b"abc"))
    server.on("/held", Reply().hang())
    calls = Calls()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/x"))
        relay, encode = relay_of(fetcher, calls)
        calls.following = [encode(server.url("/held"))]
        assert relay.begin(encode(server.url("/x")))
        relay.deadline_at = monotonic() + 0.05
        await until(lambda: bool(calls.left))
        assert relay._exchange is not None
        error = relay._exchange.error
        relay.abandon()

    assert (calls.bodies, type(error)) == ([b"abc"], TimedOut)


async def test_an_exchange_is_made_again_of_what_was_received(server: LoopbackServer) -> None:
    """With all that says when it was what, for another way of its body to the file."""
    server.on("/x", Reply(body=b"abc"))
    calls = Calls()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/x"))
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/x")))
        await until(calls.has_any)
        (received,) = calls.received
        exchange = received.exchange(ExchangeLimits())

    assert course_of(exchange) == received.course
    assert exchange.is_over
    assert exchange.future.done()
    assert exchange.head is received.response_builder.head
    assert (exchange.content, exchange.method, exchange.error) == (b"abc", b"GET", None)
    assert exchange.active_connection is None


async def test_a_relay_that_is_abandoned_calls_nothing_more(server: LoopbackServer) -> None:
    """Its request is given up, with the connection."""
    server.on("/held", Reply(delay=30.0))
    calls = Calls()

    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/"))
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/held")))
        await until(lambda: len(server.requests) == 2)
        relay.abandon()
        await fetcher.fetch(server.url("/"))

    assert not calls.has_any()


async def test_a_relay_of_a_closed_engine_begins_nothing(server: LoopbackServer) -> None:
    """Then the lane reports it."""
    calls = Calls()
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/"))
        relay, encode = relay_of(fetcher, calls)
        encoded = encode(server.url("/"))
    assert not relay.begin(encoded)


async def test_cookies_for_a_jar_of_the_callers_are_left_to_the_client(
    server: LoopbackServer,
) -> None:
    """With the response that sets them, which is not handed over."""
    server.on("/x", Reply(body=b"a", headers={"set-cookie": "a=1"}))
    calls = Calls()
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url())
        fetcher.client.cookies.jar = CookieJar()
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/x")))
        await until(calls.has_any)
        relay.abandon()

    assert (calls.bodies, calls.left) == ([], 1)


async def test_a_relay_that_is_abandoned_at_its_end_calls_nothing_more(
    server: LoopbackServer,
) -> None:
    """The event loop calls it once more, for an end that came just before."""
    server.on("/held", Reply(delay=30.0))
    calls = Calls()
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(server.url("/"))
        relay, encode = relay_of(fetcher, calls)
        assert relay.begin(encode(server.url("/held")))
        exchange = relay._exchange
        assert exchange is not None
        exchange.settle()
        relay.abandon()
        await fetcher.fetch(server.url("/"))

    assert not calls.has_any()


async def test_a_client_may_keep_its_connections_from_now_on_while_files_are_fetched(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """The exchange that has closed them sends none of the others."""
    headers = {"connection": "close"}
    async with Fetcher(retry=None, concurrency=1, headers=headers) as fetcher:

        def requests() -> Iterator[str]:
            for number in range(6):
                if number in (2, 4):
                    fetcher.client.headers["connection"] = ("keep-alive", "close")[number == 4]
                yield server.url(f"/{number}")

        results = await fetcher.fetch_many(requests(), to=tmp_path)

    assert [result.ok for result in results] == [True] * 6
    fields = [request.headers["connection"] for request in server.requests]
    assert fields == [*["close"] * 2, *["keep-alive"] * 2, *["close"] * 2]
    assert server.statistics().connections == 4
