"""
`ProxyPool`, several proxies for one fetcher, and `ProxyRotation`, which takes one for each request.

Pure: the caller passes the time, the random numbers and the outcomes.
"""

from __future__ import annotations

import heapq
import zlib
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Literal, TypeAlias, get_args

import attrs

from asyncbatch._values._checks import check_count, check_function
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy, proxy_of
from asyncbatch._values._request import ProxyTypes, Request

Choice: TypeAlias = Literal["round_robin", "random", "sticky"]

WINDOW = 20
"""The number of last outcomes of a proxy that decide whether it rests."""

LEAST_BAD = 5
"""The least number of bad outcomes, which must also be half of all, before a proxy rests."""

REST = 60.0
"""Seconds for which a proxy rests after bad outcomes or a 407."""

# Failures without an answer. Behind a tunnel, the proxy or the server may have caused them.
_BAD = frozenset(
    {
        FailureKind.connect,
        FailureKind.protocol,
        FailureKind.proxy,
        FailureKind.timeout,
        FailureKind.tls,
        FailureKind.truncated,
    }
)


def _to_tuple(urls: Any) -> tuple[ProxyTypes, ...]:
    if isinstance(urls, str | bytes) or not isinstance(urls, Iterable):
        raise TypeError(f"urls must be a list of proxies, not a {type(urls).__name__}")
    given = tuple(urls)
    for each in given:
        proxy_of(each)
    if not given:
        raise ValueError(
            "urls must be a list of at least one proxy, not an empty one; without a proxy, leave "
            "proxy= out"
        )
    return given


def _check_choice(_: object, __: object, value: Any) -> None:
    if value not in get_args(Choice):
        raise ValueError(f"choose must be 'round_robin', 'random' or 'sticky', not {value!r}")


def _check_key(pool: ProxyPool, __: object, value: Any) -> None:
    if value is None:
        return
    check_function("key", value, "a function that takes an asyncbatch.Request, or None")
    if pool.choose != "sticky":
        raise ValueError(f"key is for choose='sticky', and not for choose={pool.choose!r}")


def _check_per_proxy(_: object, __: object, value: Any) -> None:
    if value is not None:
        check_count("per_proxy", value)


def _labels(urls: tuple[ProxyTypes, ...]) -> str:
    return repr([proxy_of(url).label for url in urls])


@attrs.frozen
class ProxyPool:
    """
    Several proxies, of which each attempt takes one that is not resting.

    A proxy rests for 60 seconds if at least 5 of its last 20 attempts, and at least half of them,
    have ended without an answer, and at once after a 407. After a 429 it rests for as long as
    `Retry-After` says, or for 60 seconds; the host is not paused while another proxy is left. A 403
    or a 5xx counts as the answer of the target, and not against the proxy. While all of them rest,
    requests fail at once, with kind `proxy`.

    Fetchers that share a pool do not share this state: each keeps its own.
    """

    urls: tuple[ProxyTypes, ...] = attrs.field(converter=_to_tuple, repr=_labels)
    """The proxies, each a URL or an `httpx.Proxy`."""
    # attrs gives a default the type of its value, which pyright takes for any text.
    choose: Choice = attrs.field(  # pyright: ignore[reportAssignmentType]
        default="round_robin", kw_only=True, validator=_check_choice
    )
    """
    `"round_robin"`: in turn. `"random"`: any. `"sticky"`: the same for what has the same `key`, for
    as long as that does not rest.
    """
    key: Callable[[Request], Hashable] | None = attrs.field(
        default=None, kw_only=True, validator=_check_key, repr=False
    )
    """Of a request, what decides for `"sticky"`; `None`: its host."""
    per_proxy: int | None = attrs.field(default=None, kw_only=True, validator=_check_per_proxy)
    """Most requests in flight through one; the others wait for it. `None`: any number."""


class Full:
    """The type of `FULL`."""


FULL = Full()
"""All that do not rest have as many requests in flight as they may."""


class _Member:
    """One proxy of a pool."""

    __slots__ = ("in_flight", "is_resting", "number", "outcomes", "proxy", "rests_until")

    def __init__(self, proxy: Proxy, number: int) -> None:
        self.proxy = proxy
        self.number = number
        self.in_flight = 0
        self.rests_until = 0.0
        # Whether it is out of the ring; the first look after `rests_until` puts it back.
        self.is_resting = False
        # The last ones: whether each was good.
        self.outcomes: deque[bool] = deque(maxlen=WINDOW)


class ProxyRotation:
    """
    Takes a proxy of a pool for each attempt, and learns from how that ends.

    Args:
        pool: The pool.
        random: Draws from [0, 1).
    """

    def __init__(self, pool: ProxyPool, random: Callable[[], float]) -> None:
        self._pool = pool
        self._random = random
        proxies = dict.fromkeys(map(proxy_of, pool.urls))
        self._members = [_Member(proxy, number) for number, proxy in enumerate(proxies)]
        self._by_proxy = {member.proxy: member for member in self._members}
        # Those that do not rest, in the order of their turns.
        self._ring = deque(self._members)
        # Those that rest, by when they are back.
        self._resting: list[tuple[float, int]] = []

    def acquire(self, item: object, host: str, now: float) -> Proxy | Full | None:
        """
        Take a proxy for an attempt; `give_back` or `release` has to be called for it.

        Args:
            item: The request, in any form.
            host: Its host.
            now: The time.

        Returns:
            `FULL`: an attempt has to end first. `None`: all of them rest.

        Raises:
            Exception: What the pool's `key` raises.
        """
        self._wake(now)
        if not self._ring:
            return None
        member = self._pick(item, host)
        if member is None:
            return FULL
        member.in_flight += 1
        return member.proxy

    def __len__(self) -> int:
        """Return how many proxies there are."""
        return len(self._members)

    def back_at(self) -> float:
        """Return when the first of those that rest is back."""
        return self._resting[0][0]

    def has_other(self, proxy: Proxy, now: float) -> bool:
        """Say whether there is another one than `proxy` that does not rest."""
        self._wake(now)
        member = self._by_proxy[proxy]
        return len(self._ring) > (not member.is_resting)

    def release(self, proxy: Proxy) -> None:
        """Give a proxy back whose attempt was cancelled."""
        self._by_proxy[proxy].in_flight -= 1

    def give_back(self, proxy: Proxy, outcome: Outcome, now: float) -> None:
        """Give a proxy back, and learn from how its attempt has ended."""
        self.release(proxy)
        member = self._by_proxy[proxy]
        if outcome.local or outcome.kind is FailureKind.not_started:
            return
        error: Any = outcome.error
        if outcome.kind is FailureKind.proxy and getattr(error, "status_code", None) == 407:
            self._rest(member, now + REST)
            return
        if outcome.status_code == 429:
            self._rest(member, now + (REST if outcome.retry_after is None else outcome.retry_after))
            return
        is_good = outcome.kind not in _BAD or outcome.status_code is not None
        member.outcomes.append(is_good)
        bad = member.outcomes.count(False)
        if not is_good and bad >= LEAST_BAD and 2 * bad >= len(member.outcomes):
            self._rest(member, now + REST)

    def _pick(self, item: object, host: str) -> _Member | None:
        choose, ring = self._pool.choose, self._ring
        if choose == "sticky":
            return self._with_room(self._stuck_to(item, host))
        if choose == "random":
            ring.rotate(-int(self._random() * len(ring)))
        for _ in range(len(ring)):
            member = ring[0]
            ring.rotate(-1)
            if self._with_room(member) is not None:
                return member
        return None

    def _stuck_to(self, item: object, host: str) -> _Member:
        """Return the proxy for a key, or the next in the list that does not rest."""
        members = self._members
        key = host if self._pool.key is None else repr(self._pool.key(Request.of(item)))
        at = zlib.crc32(key.encode("utf-8", "surrogatepass")) % len(members)
        while members[at].is_resting:
            at = (at + 1) % len(members)
        return members[at]

    def _with_room(self, member: _Member) -> _Member | None:
        most = self._pool.per_proxy
        return member if most is None or member.in_flight < most else None

    def _rest(self, member: _Member, until: float) -> None:
        member.outcomes.clear()
        member.rests_until = max(member.rests_until, until)
        if not member.is_resting:
            member.is_resting = True
            self._ring.remove(member)
            heapq.heappush(self._resting, (member.rests_until, member.number))

    def _wake(self, now: float) -> None:
        resting = self._resting
        while resting and resting[0][0] <= now:
            _, number = heapq.heappop(resting)
            member = self._members[number]
            if member.rests_until > now:  # it was put off meanwhile
                heapq.heappush(resting, (member.rests_until, number))
                continue
            member.is_resting = False
            self._ring.append(member)
