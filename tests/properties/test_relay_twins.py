"""
Requests that go by relay against the same that go by a task each: whatever comes of them agrees.

What comes behind a callback that ends a request (its result, the next item of the input, the
exchange that is used again, the connection that goes on) is written out for speed; here it is held
against the plain way, by whole batches on real sockets, in virtual time.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asyncbatch import Fetcher, Request, Result, Retry, Timing
from asyncbatch._batch import _ledger
from asyncbatch._lanes._direct import DirectLane
from asyncbatch._lanes._relay import Relay
from tests.properties.mixture import LIVE, Call, Limits
from tests.properties.networks import OnLoopback, on_loopback
from tests.virtual_time import virtual_time

NONE = Limits(
    concurrency=1,
    per_host=None,
    rate=None,
    total_rate=None,
    retry=Retry(),
    deadline=None,
    give_up_host_after=10,
    max_body=1_000,
    has_check=False,
    of_a=None,
)
BEGINNING = 1_000.0
"""The wall time at which each batch begins."""

KINDS = st.sampled_from(
    ["ok"] * 14 + ["500", "429", "503", "asked", "too long", "reset", "hang", "moved", "big"]
)
CALLS = st.builds(
    Call,
    host=st.sampled_from(["a", "a", "a", *LIVE]),
    plan=st.lists(st.tuples(KINDS, st.just(0.0)), min_size=1, max_size=3).map(tuple),
    options=st.sampled_from(
        [
            {},
            {},
            {},
            {"method": "POST"},
            {"timeout": 0.1},
            {"headers": {"x": "y"}},
            {"retry": None},
            {"url": "http://["},
        ]
    ),
)

# So many that a request replaces the one before it, which takes a host that has served some.
OPENING = [Call("a", (("ok", 0.0),), {"headers": {"x": "y"}})] * 15
ONE_BY_ONE = {"way": "list", "concurrency": 1, "deadline": None}


def ends(kind: str, **options: Any) -> Call:
    """Return a call all of whose tries end so."""
    return Call("a", ((kind, 0.0),), options)


def seen(result: Result) -> dict[str, Any]:
    """Return all that can be seen of a result, times to the microsecond."""
    response = result.response
    return {
        "index": result.index,
        "request": result.request,
        "url": result.url,
        "kind": result.kind,
        "error": (type(result.error), str(result.error)),
        "status": (result.status_code, result.reason_phrase, result.headers, result.content),
        "attempts": result.attempts,
        "started": None if result.started is None else result.started.timestamp(),
        "origin": (result.from_journal, result.path),
        "times": rounded(result.elapsed, *times_of(result.timing)),
        "history": [
            (each.status_code, str(each.error), rounded(each.delay, *times_of(each.timing)))
            for each in result.history
        ],
        "response": None
        if response is None
        else (
            response.request.method,
            response.request.headers,
            response.http_version,
            sorted(response.extensions),
            [each.url for each in response.history],
            # Behind a redirect it is httpx that took it, by a clock that goes on as ever.
            [] if response.history else rounded(response.elapsed.total_seconds()),
        ),
    }


def times_of(timing: Timing) -> list[float | None]:
    """
    Return the phases in their order.

    To connect takes no virtual time. Of two requests that are ready at one moment, either may be
    the one that opens the connection, and so the one that has these phases at all.
    """
    phases = attrs.asdict(timing)
    for name in ("dns", "connect", "tls"):
        phases[name] = phases[name] or 0.0
    return list(phases.values())


def rounded(*seconds: float | None) -> list[float | None]:
    return [None if each is None else round(each, 6) for each in seconds]


async def fetch(
    network: OnLoopback, calls: list[Call], way: str, concurrency: int, deadline: float | None
) -> list[Any]:
    """Fetch all calls, each of which takes a time of its own; return what can be seen."""
    network.books.tries.clear()
    requests: list[Any] = []
    for index, call in enumerate(calls):
        path = f"/planned/{index}"
        plan = tuple((kind, 0.01 + 0.00137 * index) for kind, _ in call.plan)
        network.books.calls[path] = Call(call.host, plan)
        options = {"url": network.origin(call.host) + path, **call.options}
        requests.append(options["url"] if not call.options else Request(**options, tag=index))
    source: Any = requests if way == "list" else (request for request in requests)
    async with Fetcher(
        trust_env=False,
        concurrency=concurrency,
        timeout=1.0,
        deadline=deadline,
        max_body=NONE.max_body,
    ) as fetcher:
        network.watch(fetcher)
        if way != "stream":
            results = await fetcher.fetch_many(source)
            summary = attrs.asdict(results.summary(), filter=lambda field, _: field.type == "int")
            return [*map(seen, results), summary]
        async with fetcher.stream(source, ordered=True, backlog=4) as stream:
            return [seen(result) async for result in stream]


async def compare(calls: list[Call], way: str, concurrency: int, deadline: float | None) -> None:
    with virtual_time(), pytest.MonkeyPatch.context() as patch:
        # Two requests may fail at one moment, in either order: all draw the same delay.
        patch.setattr(random, "random", lambda: 0.5)
        # All batches begin at one time of day.
        patch.setattr(_ledger, "epoch_of", lambda clock: BEGINNING - clock())
        async with on_loopback(NONE) as network:
            by_relay = await fetch(network, calls, way, concurrency, deadline)
            patch.setattr(Relay, "begin", lambda *_, **__: False)
            by_task = await fetch(network, calls, way, concurrency, deadline)
            # The task of a worker that has a relay still takes responses as the relay does.
            patch.setattr(DirectLane, "relays", lambda *_: None)
            plainly = await fetch(network, calls, way, concurrency, deadline)

    assert by_relay == plainly
    assert by_task == plainly


@settings(
    max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    calls=st.lists(CALLS, min_size=4, max_size=12),
    way=st.sampled_from(["list", "generator", "stream"]),
    concurrency=st.sampled_from([1, 1, 3]),
    deadline=st.sampled_from([None, None, 0.03, 0.5, 30.0]),
)
@example(calls=[*OPENING, ends("500", method="POST"), ends("500")], **ONE_BY_ONE)
@example(calls=[*OPENING, ends("ok", method="POST"), ends("503", headers={"x": "y"})], **ONE_BY_ONE)
@example(calls=[*OPENING, ends("503", retry=None), ends("503")], **ONE_BY_ONE)
@example(calls=[*OPENING, ends("ok", retry=None), ends("503", headers={"x": "y"})], **ONE_BY_ONE)
@example(calls=[*OPENING, ends("ok", retry=None, method="POST"), ends("503")], **ONE_BY_ONE)
def run(calls: list[Call], way: str, concurrency: int, deadline: float | None) -> None:
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(compare(calls, way, concurrency, deadline))
    finally:
        loop.close()


@pytest.mark.once
def test_what_goes_by_relay_ends_as_what_goes_by_a_task() -> None:
    """Results, times, history, responses and figures agree, in every field that can be seen."""
    OnLoopback.relayed = 0

    run()

    assert OnLoopback.relayed > 0
