"""Which proxy is taken, and which rests: decided without a clock, dice or sockets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asyncbatch import FailureKind, ProxyError, ProxyPool, Request
from asyncbatch._policies._proxy_pool import FULL, LEAST_BAD, REST, WINDOW, ProxyRotation
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._proxy import Proxy

URLS = ["http://a.test", "http://b.test", "http://c.test"]
GOOD = Outcome(status_code=200)
BAD = Outcome(kind=FailureKind.proxy, error=ProxyError("no", proxy="x"))
REFUSED = Outcome(kind=FailureKind.proxy, error=ProxyError("no", proxy="x", status_code=407))


def rotation(urls: Any = URLS, draw: float = 0.0, **options: Any) -> ProxyRotation:
    return ProxyRotation(ProxyPool(urls, **options), lambda: draw)


def take(rotation: ProxyRotation, now: float = 0.0, host: str = "h", item: Any = "x") -> Proxy:
    """Take one, of which there has to be one."""
    taken = rotation.acquire(item, host, now)
    assert isinstance(taken, Proxy)
    return taken


def names(rotation: ProxyRotation, count: int, now: float = 0.0) -> str:
    """Return the first letters of the next ones, each given back at once."""
    found = ""
    for _ in range(count):
        proxy = take(rotation, now)
        rotation.give_back(proxy, GOOD, now)
        found += proxy.host[0]
    return found


def test_they_are_taken_in_turn() -> None:
    """Each as often as the others; named twice, one is one."""
    assert names(rotation(), 7) == "abcabca"
    assert names(rotation([*URLS, URLS[0]]), 4) == "abca"


def test_at_random_they_are_as_the_dice_say() -> None:
    """All of them can be drawn."""
    drawn = {names(rotation(choose="random", draw=draw), 1) for draw in (0.0, 0.4, 0.99)}
    assert drawn == {"a", "b", "c"}


def test_sticky_keeps_to_one_by_host() -> None:
    """Or by key, which is given a `Request`; both are spread over all of them."""
    by_host = rotation(choose="sticky")
    hosts = [f"host{number}.test" for number in range(300)]
    first = [take(by_host, host=host) for host in hosts]
    assert [take(by_host, host=host) for host in hosts] == first
    assert min(Counter(first).values()) > 50

    by_key = rotation(choose="sticky", key=lambda request: request.tag)
    tagged = [Request("http://x.test", tag=number % 10) for number in range(40)]
    taken = [take(by_key, item=request) for request in tagged]
    assert taken[:10] == taken[10:20] == taken[20:30]


def test_sticky_goes_on_to_the_next_while_its_own_rests() -> None:
    """And comes back to it."""
    sticky = rotation(choose="sticky")
    own = take(sticky, 0.0)
    sticky.give_back(own, REFUSED, 0.0)

    other = take(sticky, 1.0)
    assert other != own
    assert take(sticky, 2.0) == other
    assert take(sticky, REST + 0.1) == own


def test_no_more_are_in_flight_through_one_than_may_be() -> None:
    """The next one with room is taken; where there is none, somebody has to end."""
    bounded = rotation(per_proxy=1)
    taken = [take(bounded) for _ in URLS]
    assert len(set(taken)) == 3
    assert bounded.acquire("x", "h", 0.0) is FULL

    bounded.give_back(taken[1], GOOD, 0.0)
    assert take(bounded) == taken[1]
    bounded.release(taken[2])
    assert take(bounded) == taken[2]


def test_sticky_waits_for_its_own() -> None:
    """Another one would be another address."""
    sticky = rotation(choose="sticky", per_proxy=1)
    take(sticky)
    assert sticky.acquire("x", "h", 0.0) is FULL


@pytest.mark.parametrize("kind", ["proxy", "connect", "tls", "timeout", "protocol", "truncated"])
def test_one_that_is_bad_rests(kind: str) -> None:
    """After five attempts without an answer, for a minute."""
    one = rotation(URLS[:1])
    for number in range(LEAST_BAD):
        one.give_back(take(one, float(number)), Outcome(kind=FailureKind(kind)), float(number))

    assert one.acquire("x", "h", 4.1) is None
    assert one.back_at() == 4.0 + REST
    assert take(one, 4.0 + REST)


@pytest.mark.parametrize(
    "outcome",
    [
        GOOD,
        Outcome(kind=FailureKind.status, status_code=403),
        Outcome(kind=FailureKind.status, status_code=502),
        Outcome(kind=FailureKind.status, status_code=404),
        Outcome(kind=FailureKind.invalid_request),
        Outcome(kind=FailureKind.connect, local=True),
        Outcome(kind=FailureKind.dns),
        Outcome(kind=FailureKind.decode, status_code=200),
    ],
)
def test_what_is_the_targets_or_ours_blames_no_proxy(outcome: Outcome) -> None:
    """However often it happens."""
    one = rotation(URLS[:1])
    for _ in range(50):
        one.give_back(take(one), outcome, 0.0)

    assert take(one)


def test_half_of_the_last_twenty_may_be_bad_and_no_more() -> None:
    """What is longer ago is forgotten."""
    one = rotation(URLS[:1])
    for _ in range(100):
        one.give_back(take(one), GOOD, 0.0)
    for _ in range(WINDOW // 2 - 1):
        one.give_back(take(one), BAD, 0.0)
    assert take(one)

    one.give_back(one.acquire("x", "h", 0.0), BAD, 0.0)  # type: ignore[arg-type]
    assert one.acquire("x", "h", 0.0) is None


def test_a_rest_clears_the_slate() -> None:
    """One that has rested gets as many chances as a new one."""
    one = rotation(URLS[:1])
    for _ in range(LEAST_BAD):
        one.give_back(take(one), BAD, 0.0)
    for _ in range(LEAST_BAD - 1):
        one.give_back(take(one, REST), BAD, REST)

    assert take(one, REST)


def test_one_that_wants_other_credentials_rests_at_once() -> None:
    """The others go on in turn."""
    three = rotation()
    three.give_back(take(three), REFUSED, 0.0)

    assert names(three, 4) == "bcbc"
    assert "a" in names(three, 3, REST + 0.1)


async def _later(request: Request) -> str:
    return "key"


@pytest.mark.parametrize(("retry_after", "rest"), [(None, REST), (5.0, 5.0), (120.0, 120.0)])
def test_a_429_rests_the_proxy(retry_after: float | None, rest: float) -> None:
    """For as long as it says."""
    one = rotation(URLS[:1])
    refusal = Outcome(kind=FailureKind.status, status_code=429, retry_after=retry_after)
    one.give_back(take(one), refusal, 0.0)

    assert one.acquire("x", "h", rest - 0.1) is None
    assert take(one, rest)


def test_a_429_that_asks_for_no_rest_gets_none() -> None:
    """`Retry-After: 0`, or a date that has passed."""
    one = rotation(URLS[:1])
    refusal = Outcome(kind=FailureKind.status, status_code=429, retry_after=0.0)
    one.give_back(take(one), refusal, 0.0)

    assert take(one, 0.0)


def test_the_longer_rest_counts() -> None:
    """Where attempts that were in flight end with another refusal."""
    one = rotation(URLS[:1])
    first, second = take(one), take(one)
    one.give_back(first, Outcome(kind=FailureKind.status, status_code=429, retry_after=5.0), 0.0)
    one.give_back(second, REFUSED, 1.0)

    assert one.acquire("x", "h", 6.0) is None
    assert take(one, 1.0 + REST)


def test_it_is_told_whether_another_is_left() -> None:
    """Of those that do not rest."""
    two = rotation(URLS[:2])
    first = take(two)
    assert two.has_other(first, 0.0)
    two.give_back(first, REFUSED, 0.0)
    assert two.has_other(first, 0.0)
    second = take(two)
    assert not two.has_other(second, 0.0)
    assert two.has_other(second, REST + 1)


@pytest.mark.parametrize(
    ("urls", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one proxy"),
        ("http://a.test", {}, TypeError, "a list of proxies"),
        (5, {}, TypeError, "a list of proxies"),
        (["ftp://me:s3cr3t@a.test"], {}, ValueError, "begins with http://"),
        ([5], {}, TypeError, "a URL"),
        (URLS, {"choose": "best"}, ValueError, "'round_robin', 'random' or 'sticky'"),
        (URLS, {"key": len}, ValueError, "choose='sticky'"),
        (URLS, {"choose": "sticky", "key": 5}, TypeError, "key must be a function"),
        (URLS, {"choose": "sticky", "key": _later}, TypeError, "async"),
        (URLS, {"per_proxy": 0}, ValueError, "per_proxy"),
        (URLS, {"per_proxy": "1"}, TypeError, "per_proxy"),
    ],
)
def test_what_cannot_be_is_refused(
    urls: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """With the cure, and without a password."""
    with pytest.raises(error, match=message) as caught:
        ProxyPool(urls, **options)

    assert "s3cr3t" not in str(caught.value)


def test_its_repr_shows_no_credentials() -> None:
    """But which proxies there are."""
    pool = ProxyPool(["http://me:s3cr3t@a.test:3128"], per_proxy=2)

    assert "http://a.test:3128" in repr(pool)
    assert "s3cr3t" not in repr(pool)
