"""
The time that a request spent in each phase: values only.

The lanes and the schedule measure; nothing here reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import attrs

from asyncbatch._values._pickling import restore, state_of


@attrs.frozen
class Timing:
    """
    Seconds that a request spent in each phase; the names are those of HAR 1.2.

    `None`: the phase did not occur or cannot be told apart. `queued` and `throttled` are sums over
    all tries; the others belong to the last try, all redirects included.
    """

    queued: float = 0.0
    """Waiting in our queue because no slot was free, or the consumer was slow. It counts from the
    beginning of the batch if the input has a length, else from when the item was read."""
    throttled: float = 0.0
    """Waiting in our queue because of `per_host`, a rate, a pause of the host, or a back-off."""
    dns: float | None = None
    """Resolving the host name. `None` if it cannot be told apart from `connect`."""
    connect: float | None = None
    """Opening the TCP connection. `None` on a reused connection."""
    tls: float | None = None
    """The TLS handshake."""
    send: float | None = None
    """Sending the request."""
    wait: float | None = None
    """From the last byte of the request to the end of the response's head."""
    receive: float | None = None
    """Receiving the body."""

    def following(self, earlier: Timing) -> Timing:
        """Return the waits of this timing, with the network phases of both added up."""
        sums = dict(earlier.phases())
        for name, seconds in self.phases():
            sums[name] = sums.get(name, 0.0) + seconds
        return attrs.evolve(self, **sums)

    def phases(self) -> Iterator[tuple[str, float]]:
        """Yield the name and seconds of each known network phase."""
        for name in NETWORK_PHASES:
            seconds = getattr(self, name)
            if seconds is not None:
                yield name, seconds


Course: TypeAlias = tuple[
    float, float, float, float, float, float | None, float | None, float | None, int
]
"""
The times of one exchange, from which `timing_of` makes a `Timing` when it is asked for.

When the exchange began, when sending began and ended, when the first byte came, and when it ended:
on one clock, 0.0 if not reached. Then the seconds of `dns`, `connect` and `tls`, and the bytes of
the body as transferred. It is a plain tuple of numbers, which the garbage collector need not track
in kept results.
"""


def timing_of(network: Timing | Course, *, queued: float = 0.0, throttled: float = 0.0) -> Timing:
    """Return the network phases together with the given waits in our queue."""
    if isinstance(network, Timing):
        return attrs.evolve(network, queued=queued, throttled=throttled)
    _, send_at, sent_at, first_byte_at, ended_at, dns, connect, tls, _ = network
    return Timing(
        queued=queued,
        throttled=throttled,
        dns=dns,
        connect=connect,
        tls=tls,
        send=_between(send_at, sent_at or ended_at),
        wait=_between(sent_at, first_byte_at or ended_at),
        receive=_between(first_byte_at, ended_at),
    )


def moment_of(seconds: float) -> datetime | None:
    """
    Return a time in seconds since 1970, 0.0 for never, in UTC.

    `None` also if it is beyond the years of a `datetime`, as that of a clock which was never set.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):  # what it raises depends on the system
        return None


def course_of_all(courses: Sequence[Course]) -> Course:
    """Return the course of exchanges that followed one another, their phases added up."""
    send = wait = receive = 0.0
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    ended_at, received = 0.0, 0
    for course in courses:
        _, send_at, sent_at, first_byte_at, ended_at, resolving, connecting, securing, received = (
            course
        )
        # As `_between`, without the calls.
        if send_at and (seconds := (sent_at or ended_at) - send_at) > 0.0:
            send += seconds
        if sent_at and (seconds := (first_byte_at or ended_at) - sent_at) > 0.0:
            wait += seconds
        if first_byte_at and (seconds := ended_at - first_byte_at) > 0.0:
            receive += seconds
        # Known for a new connection only.
        if resolving is not None:
            dns = resolving if dns is None else dns + resolving
        if connecting is not None:
            connect = connecting if connect is None else connect + connecting
        if securing is not None:
            tls = securing if tls is None else tls + securing
    first_byte_at = ended_at - receive
    sent_at = first_byte_at - wait
    begun_at = courses[0][0]
    return begun_at, sent_at - send, sent_at, first_byte_at, ended_at, dns, connect, tls, received


def _between(start: float, end: float) -> float | None:
    # A server may answer before the whole request is sent.
    return max(0.0, end - start) if start else None


def phases_of(networks: Sequence[Timing | Course]) -> Iterator[tuple[str, list[float]]]:
    """Yield each network phase with its known durations."""
    # Computes for many at a time what `timing_of` computes for one.
    courses = [network for network in networks if type(network) is tuple]
    timings = [network for network in networks if type(network) is not tuple]
    columns: Iterable[Sequence[Any]] = zip(*courses, strict=True) if courses else [()] * 9
    _, send_at, sent_at, first_byte_at, ended_at, dns, connect, tls, _ = columns
    found = {
        "dns": _known(dns),
        "connect": _known(connect),
        "tls": _known(tls),
        "send": _all_between(send_at, sent_at, ended_at),
        "wait": _all_between(sent_at, first_byte_at, ended_at),
        "receive": _all_between(first_byte_at, ended_at, ended_at),
    }
    for name in NETWORK_PHASES:
        known = [seconds for each in timings if (seconds := getattr(each, name)) is not None]
        yield name, found[name] + known


def phase_columns(networks: Sequence[Timing | Course]) -> dict[str, list[float | None]]:
    """Return the durations of each network phase, `None` where it did not occur."""
    if set(map(type, networks)) != {tuple}:
        timings = [timing_of(network) for network in networks]
        return {name: [getattr(each, name) for each in timings] for name in NETWORK_PHASES}
    # The same as `timing_of`, for many at a time. Not by `zip(*networks)`, which makes an iterator
    # for each: so many objects set the garbage collector off.
    courses: Sequence[Any] = networks
    return {
        "dns": [each[5] for each in courses],
        "connect": [each[6] for each in courses],
        "tls": [each[7] for each in courses],
        "send": [
            (seconds if (seconds := (each[2] or each[4]) - start) > 0.0 else 0.0) if start else None
            for each in courses
            for start in (each[1],)
        ],
        "wait": [
            (seconds if (seconds := (each[3] or each[4]) - start) > 0.0 else 0.0) if start else None
            for each in courses
            for start in (each[2],)
        ],
        "receive": [
            (seconds if (seconds := each[4] - start) > 0.0 else 0.0) if start else None
            for each in courses
            for start in (each[3],)
        ],
    }


def _known(column: Sequence[float | None]) -> list[float]:
    # Reused connections, which are most, have only `None` here.
    if column.count(None) == len(column):
        return []
    return [seconds for seconds in column if seconds is not None]


def _all_between(
    starts: Sequence[float], ends: Sequence[float], ended_at: Sequence[float]
) -> list[float]:
    return [
        seconds if (seconds := (end or last) - start) > 0.0 else 0.0
        for start, end, last in zip(starts, ends, ended_at, strict=True)
        if start
    ]


NETWORK_PHASES = ("dns", "connect", "tls", "send", "wait", "receive")


@attrs.frozen
class Attempt:
    """One try of a request that was tried again."""

    status_code: int | None
    """The status of its response; `None` if it ended without one."""
    error: Exception
    """The error it failed with."""
    timing: Timing
    """The phases of this try; `queued` and `throttled` are the sums up to it."""
    delay: float
    """Seconds from its end until the next try was due."""

    def __getstate__(self) -> dict[str, Any]:
        return state_of(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)
