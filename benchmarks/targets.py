"""
What asyncbatch must reach, as data: each a figure of one run, with the reason why it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.workloads import (
    AIOHTTP,
    AIOHTTP_UVLOOP,
    CLIENT_LANE,
    CLIENT_LANE_ON_ENGINE,
    FLOOR,
    HTTPX,
    HTTPX2,
    HTTPX_ON_ENGINE,
    OURS,
    OURS_UVLOOP,
    RUST,
    S_TIME,
    SDK,
    SDK_ON_AIOHTTP,
    SDK_ON_ENGINE,
    WRK,
    Entrant,
)


@dataclass(frozen=True)
class Case:
    """Somebody in some workload. Of several entrants, the one with the lowest median counts."""

    workload: str
    entrants: tuple[Entrant, ...]


@dataclass(frozen=True)
class Target:
    """
    A ratio of wall times per request, `above` ÷ `below`, or a figure of `above` alone.

    Within a round each; what counts is the median over the rounds.
    """

    title: str
    above: Case
    below: Case | None
    bound: float
    sense: Literal["at least", "at most"]
    reason: str
    figure: str = "wall per request"
    unit: str = ""
    scale: float = 1.0
    by_cpu: bool = False
    """Whether the ratio is one of CPU time, which the server and others disturb less."""

    @property
    def sign(self) -> str:
        """How the bound is written."""
        return "≥" if self.sense == "at least" else "≤"

    def is_reached_by(self, value: float) -> bool:
        """Does `value` reach the target?"""
        return value >= self.bound if self.sense == "at least" else value <= self.bound


def _case(workload: str, *entrants: Entrant) -> Case:
    return Case(workload, entrants)


def _faster(
    title: str,
    workload: str,
    theirs: tuple[Entrant, ...],
    ours: Entrant,
    by: float,
    reason: str,
    *,
    by_cpu: bool = False,
) -> Target:
    return Target(
        f"{title} ÷ asyncbatch",
        _case(workload, *theirs),
        _case(workload, ours),
        by,
        "at least",
        reason,
        by_cpu=by_cpu,
    )


_RECIPE = "the recipe that most users come from"
_FLAT = "a batch costs the same per request however long it is"
_ORDINARY = "an ordinary way of use must not lose what the plain one has"

# One for each of `ORDINARY`, but `500 hosts`, which is measured on both loops.
# By CPU, as shares of aiohttp's for the same thing: a server that one client keeps busy and the
# other does not makes wall times say little.
_WAYS = {
    "defaults": 4.0,
    "progress": 4.0,
    "ordered": 4.0,
    "TLS": 4.0,
    "async input": 3.5,
    "per_host": 3.5,
    "rate": 3.5,
    "tags": 3.5,
    "deadline": 3.0,
    "single fetches": 2.0,
    "POST": 2.0,
    "gzip": 2.0,
    "one redirect": 2.0,
    "set-cookie": 1.5,
    "cookie": 2.5,
    "hook": 1.5,
    "proxy": 3.0,
    "100 KB": 1.1,
}

TARGETS = (
    _faster("aiohttp, asyncio", "headline", (AIOHTTP,), OURS, 4.0, _RECIPE),
    _faster("aiohttp, uvloop", "headline", (AIOHTTP_UVLOOP,), OURS_UVLOOP, 4.0, _RECIPE),
    _faster(
        "the floor, asyncio",
        "headline",
        (FLOOR,),
        OURS,
        0.62,
        "the whole library costs at most 1.6 times the least that Python can do",
    ),
    _faster(
        "the fastest Rust client, uvloop",
        "headline",
        RUST,
        OURS_UVLOOP,
        1.2,
        "nobody should need to leave Python for speed",
    ),
    _faster(
        "httpx", "headline", (HTTPX,), OURS, 40.0, "the client whose requests and responses we give"
    ),
    _faster(
        "wrk, uvloop", "headline", (WRK,), OURS_UVLOOP, 0.45, "about half of what C does on a core"
    ),
    _faster("aiohttp, new connections, asyncio", "new connections", (AIOHTTP,), OURS, 2.0, _RECIPE),
    _faster(
        "aiohttp, new connections, uvloop",
        "new connections",
        (AIOHTTP_UVLOOP,),
        OURS_UVLOOP,
        2.0,
        _RECIPE,
    ),
    _faster(
        "aiohttp, new TLS connections, asyncio",
        "new TLS connections",
        (AIOHTTP,),
        OURS,
        1.1,
        "nearly all of it is OpenSSL's handshake, for both",
    ),
    _faster(
        "aiohttp, new TLS connections, uvloop",
        "new TLS connections",
        (AIOHTTP_UVLOOP,),
        OURS_UVLOOP,
        1.1,
        "nearly all of it is OpenSSL's handshake, for both",
    ),
    _faster(
        "CPU of OpenSSL's handshake in C, new TLS connections, asyncio",
        "new TLS connections",
        (S_TIME,),
        OURS,
        0.77,
        "a new connection with its request costs at most 1.3 times the handshake alone",
        by_cpu=True,
    ),
    *(
        target
        for theirs, ours in ((AIOHTTP, OURS), (AIOHTTP_UVLOOP, OURS_UVLOOP))
        for target in (
            _faster(
                f"CPU of aiohttp, 500 hosts in turn, {ours.loop}",
                "500 hosts",
                (theirs,),
                ours,
                3.0,
                "many hosts are what a batch is for: each keeps its connection",
                by_cpu=True,
            ),
            _faster(
                f"CPU of aiohttp, distinct hosts, {ours.loop}",
                "distinct hosts",
                (theirs,),
                ours,
                1 / 1.2,
                "a new host costs at most 1.2 times what aiohttp pays for it",
                by_cpu=True,
            ),
        )
    ),
    *(
        _faster(
            f"CPU of aiohttp, {name}, asyncio", name, (AIOHTTP,), OURS, by, _ORDINARY, by_cpu=True
        )
        for name, by in _WAYS.items()
    ),
    Target(
        "HTTP/2 ÷ HTTP/1.1 over TLS, asyncio",
        _case("HTTP/2", OURS),
        _case("TLS", OURS),
        1.6,
        "at most",
        "one connection in place of a hundred must not cost the client much",
        by_cpu=True,
    ),
    _faster(
        "CPU of httpx2, HTTP/2, asyncio",
        "HTTP/2",
        (HTTPX2,),
        OURS,
        5.0,
        "the client whose option it is",
        by_cpu=True,
    ),
    _faster(
        "CPU of the fastest Rust client, HTTP/2, uvloop",
        "HTTP/2",
        RUST,
        OURS_UVLOOP,
        1.0,
        "nobody should need to leave Python for speed",
        by_cpu=True,
    ),
    *(
        Target(
            f"2,000 slots open, beyond their requests, {ours.loop}",
            _case("2,000 slots", ours),
            None,
            20.0,
            "at most",
            "10 µs of CPU for each slot: 2,000 requests by 2,000 slots less the same by 100",
            figure="beyond",
            unit=" ms",
            scale=1e3,
        )
        for ours in (OURS, OURS_UVLOOP)
    ),
    Target(
        "a request of a batch of 200 ÷ one of a batch of 20,000, asyncio",
        _case("batches of 200", OURS),
        _case("batches of 20,000", OURS),
        1.3,
        "at most",
        "a web service sends small batches: beginning and ending one must cost little",
        by_cpu=True,
    ),
    *(
        Target(
            f"{title}, asyncio",
            _case(proxied, OURS),
            _case(direct, OURS),
            bound,
            "at most",
            "a proxy must not cost more than what it adds to the bytes",
            by_cpu=True,
        )
        for title, proxied, direct, bound in (
            ("a forward proxy ÷ none, at the same pace", "pace, forward proxy", "pace", 1.3),
            ("TLS in an open tunnel ÷ TLS, at the same pace", "pace, tunnel", "pace, TLS", 1.2),
        )
    ),
    *(
        Target(
            f"the SDK on HTTPTransport ÷ the SDK {title}",
            _case(workload, SDK_ON_ENGINE),
            _case(workload, theirs),
            bound,
            "at most",
            "an SDK that takes only clients of httpx2 gains by one argument",
            by_cpu=True,
        )
        for title, workload, theirs, bound in (
            ("as it is, 100 calls at once", "SDK calls", SDK, 0.5),
            ("as it is, 500 calls at once", "SDK calls, 500 at once", SDK, 0.35),
            ("on its aiohttp, 100 calls at once", "SDK calls", SDK_ON_AIOHTTP, 1.0),
        )
    ),
    Target(
        "httpx ÷ httpx on HTTPTransport",
        _case("headline", HTTPX),
        _case("headline", HTTPX_ON_ENGINE),
        2.5,
        "at least",
        "a faster httpx by one argument",
    ),
    *(
        Target(
            f"the client lane ÷ a bare loop over the same httpx client{where}",
            _case(workload, ours),
            _case(workload, theirs),
            bound,
            "at most",
            "limits, retries and results must not cost those who bring their own client",
        )
        for where, workload, ours, theirs, bound in (
            (", 10 connections", "client lane", CLIENT_LANE, HTTPX, 1.25),
            (", 100 connections", "client lane, 100 connections", CLIENT_LANE, HTTPX, 1.25),
            (
                " on HTTPTransport",
                "client lane on our transport",
                CLIENT_LANE_ON_ENGINE,
                HTTPX_ON_ENGINE,
                1.5,
            ),
        )
    ),
    *(
        target
        for ours in (OURS, OURS_UVLOOP)
        for target in (
            Target(
                f"2,000 connections ÷ 100 connections, {ours.loop}",
                _case("2,000 connections", ours),
                _case("headline", ours),
                1.5,
                "at most",
                "a pool that does not scan costs the same however full it is",
            ),
            *(
                target
                for name, words in (("stream 100k", "100,000"), ("stream 1M", "1,000,000"))
                for target in (
                    Target(
                        f"{words} streamed ÷ 10,000 streamed, {ours.loop}",
                        _case(name, ours),
                        _case("stream 10k", ours),
                        1.1,
                        "at most",
                        _FLAT,
                    ),
                    Target(
                        f"memory growth over {words} streamed, {ours.loop}",
                        _case(name, ours),
                        None,
                        20.0,
                        "at most",
                        _FLAT,
                        figure="memory_growth",
                        unit=" MB",
                        scale=1e-6,
                    ),
                )
            ),
        )
    ),
    Target(
        "makespan over unequal hosts ÷ the lower bound",
        _case("unequal hosts", OURS),
        None,
        1.05,
        "at most",
        "a slow host must not hold up the others, nor be started late",
        figure="makespan_ratio",
    ),
)
