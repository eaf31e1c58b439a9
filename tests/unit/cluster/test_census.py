"""Which host a request belongs to, and how many requests each host has."""

from __future__ import annotations

import httpx
import pytest

from asyncbatch import HostLimits, Request
from asyncbatch.cluster._census import NOWHERE, Census
from asyncbatch.cluster._options import PlanLimits

SAME = [
    "http://example.org/a",
    "HTTP://EXAMPLE.ORG:80/b",
    " http://example.org./c\n",
    httpx.URL("http://example.org/d"),
    httpx.Request("POST", "http://example.org/e"),
    Request("http://example.org/f", "PUT", content=b"x"),
    "http://user:secret@example.org/g",
]


def census(items: list[object], **options: object) -> Census:
    counts = Census(**options)  # type: ignore[arg-type]
    for item in items:
        counts.add(item)
    return counts


def test_all_forms_of_a_host_are_one_host() -> None:
    """Or its limits would hold twice."""
    assert census([*SAME]).counts == {("http", "example.org", 80): len(SAME)}


def test_hosts_differ_by_scheme_and_port_as_limits_do() -> None:
    """`per_host` and `rate` hold for an origin."""
    counts = census(["http://a.example/", "https://a.example/", "http://a.example:81/"]).counts

    assert set(counts.values()) == {1}
    assert len(counts) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://😀.la/", "http://xn--e28h.la/"),
    ],
)
def test_a_name_in_two_encodings_is_one_host(one: str, other: str) -> None:
    """Internationalised names, emoji among them."""
    assert list(census([one, other]).counts.values()) == [2]


@pytest.mark.parametrize("item", ["", "http://", "no url", 7, "ftp://x/"])
def test_what_is_no_url_belongs_somewhere(item: object) -> None:
    """It has a result too, of kind `invalid_request`."""
    assert census([item]).counts == {NOWHERE: 1}


def test_relative_urls_belong_to_the_base_url() -> None:
    """As they are sent."""
    counts = census(["/a", "https://other.example/"], base_url="https://example.org/api").counts

    assert counts == {("https", "example.org", 443): 1, ("https", "other.example", 443): 1}


def test_hosts_beyond_a_number_are_counted_in_classes() -> None:
    """Memory is bounded, and all requests of a host are still in one unit."""
    items: list[object] = [f"http://h{n}.example/" for n in range(20_000)] * 2

    counts = census(items, most_hosts=10)

    assert sum(counts.counts.values()) == len(items)
    assert len(counts.counts) <= 10 + 4096
    assert counts.unit_of(items[5]) == ("http", "h5.example", 80)
    assert counts.unit_of(items[15_000]) == counts.unit_of(items[35_000])
    # The same in every process.
    assert counts.unit_of("http://h11.example/") == 3040


def test_the_limits_of_single_hosts_count() -> None:
    """The load of a host is by its own limits."""
    hosts = {"*.slow.example": HostLimits(per_host=1)}
    limits = PlanLimits(concurrency=100, per_host=10, rate=None, hosts=hosts)
    items: list[object] = [
        f"http://{name}/{n}" for name in ("a.slow.example", "b") for n in range(100)
    ]

    slow, other = census(items).loads(limits, latency=1.0)

    assert (slow.host, slow.seconds) == ("a.slow.example", 100.0)
    assert (other.host, other.seconds) == ("b", 10.0)


def test_the_hosts_of_a_class_take_the_least_that_they_can() -> None:
    """As if each request had a host of its own: there are too many to know."""
    limits = PlanLimits(concurrency=100, per_host=1, rate=None, hosts={})
    items: list[object] = [f"http://h{n}.example/" for n in range(2)] + ["http://a/"] * 200

    first, *classes = census(items, most_hosts=1).loads(limits, latency=1.0)

    assert first.host == "h0.example"
    assert [load.host.startswith("other hosts, class ") for load in classes] == [True, True]
    assert max(load.seconds for load in classes) == 2.0
