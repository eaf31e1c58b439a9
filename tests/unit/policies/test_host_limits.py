"""`hosts=`: which limits hold for which host, and that they do."""

from __future__ import annotations

from typing import Any

import anyio
import attrs
import httpx
import pytest

from asyncbatch import Fetcher, HostLimits, Rate, Request
from asyncbatch._policies._host_limits import HostPatterns
from asyncbatch.testing import LoopbackServer, Reply
from tests.served import lanes_of
from tests.transports import run_virtually

# Names


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("a.example", 443, "exact"),
        ("b.a.example", 443, "below a"),
        ("c.b.a.example", 443, "below b"),
        ("d.c.b.a.example", 443, "below b"),
        ("xa.example", 443, None),
        ("example", 443, None),
        ("z.b.a.example", 8443, "below b at a port"),
        ("special.b.a.example", 8443, "special"),
        ("special.b.a.example", 443, "special"),
        ("port.example", 80, None),
        ("port.example", 8080, "port"),
        ("both.example", 8080, "both at a port"),
        ("both.example", 80, "both"),
        ("xn--bcher-kva.example", 443, "idna"),
        ("a.example.", 443, "exact"),
        ("127.0.0.1", 80, "address"),
        ("127.0.0.1", 81, "address"),
        ("2.127.0.0.1", 80, None),
        ("::1", 80, "six"),
        ("0:0:0:0:0:0:0:1", 80, "six"),
        ("2001:db8::1", 81, "six at a port"),
        ("2001:db8::1", 82, None),
        ("fe80::1%", 80, None),  # that of `[fe80::1%.]`, whose zone is a dot
    ],
)
def test_the_most_specific_key_holds(host: str, port: int, found: str | None):
    """Exact before wildcard, longer before shorter, with a port before without."""
    patterns = HostPatterns(
        {
            "*.a.example": "below a",
            "A.Example.": "exact",
            "*.b.a.example": "below b",
            "*.b.a.example:8443": "below b at a port",
            "special.b.a.example": "special",
            "port.example:8080": "port",
            "both.example": "both",
            "both.example:8080": "both at a port",
            "BÜCHER.example": "idna",
            "127.0.0.1": "address",
            "[::0:1]": "six",
            "[2001:DB8::1]:81": "six at a port",
        }
    )

    assert patterns.get(("https", host, port)) == found


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("https://a.example/", "without scheme"),
        ("a.example/path", "without scheme"),
        ("user:secret@a.example", "without scheme"),
        ("", "give a name"),
        (".", "give a name"),
        ("*.", "give a name"),
        ("*", "use the option itself"),
        ("a.*.example", "use the option itself"),
        ("*a.example", "use the option itself"),
        ("::1", "in brackets"),
        ("[::1", "in brackets"),
        ("a.example:", "after a colon"),
        ("a.example:http", "after a colon"),
        ("a.example:0", "from 1 to 65535"),
        ("a.example:65536", "from 1 to 65535"),
        ("a..example", "give a name"),
        ("a b.example", "without scheme"),
        ("*.127.0.0.1", "give each address"),
        ("*.[::1]", "give each address"),
        ("[nonsense]", "give a name"),
    ],
)
def test_what_is_no_host_is_refused_with_the_cure(key: str, cure: str):
    """At the call, and without showing a password."""
    with pytest.raises(ValueError, match="a key of hosts must be a host") as caught:
        Fetcher(hosts={key: HostLimits()})

    assert cure in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("hosts", "error", "message"),
    [
        (["a.example"], TypeError, "hosts must be a mapping"),
        ("a.example", TypeError, "hosts must be a mapping"),
        ({1: HostLimits()}, TypeError, "a key of hosts must be a str .* not 1"),
        ({"a.example": 2}, TypeError, "must be an asyncbatch.HostLimits, not 2"),
        ({"a.example": {"per_host": 2}}, TypeError, "must be an asyncbatch.HostLimits"),
        (
            {"a.example": HostLimits(), "A.example.": HostLimits()},
            ValueError,
            "two keys for one host: 'a.example' and 'A.example.'",
        ),
    ],
)
def test_what_is_no_mapping_of_limits_is_refused(hosts: Any, error: Any, message: str):
    """At the call, by value."""
    with pytest.raises(error, match=message):
        Fetcher(hosts=hosts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("per_host", 0),
        ("per_host", True),
        ("per_host", 1.5),
        ("rate", 20),
        ("timeout", 0),
        ("timeout", "5"),
        ("connect_timeout", -1),
        ("max_body", -1),
        ("max_body", "1 MB"),
    ],
)
def test_a_wrong_limit_is_refused(field: str, value: Any):
    """Where it is written down."""
    with pytest.raises((TypeError, ValueError), match=f"{field} must be") as caught:
        HostLimits(**{field: value})

    assert repr(value) in str(caught.value)


def test_limits_are_values():
    """They compare, and do not change."""
    assert HostLimits(per_host=2) == HostLimits(per_host=2)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        HostLimits().per_host = 1  # type: ignore[misc]


# What they do


@pytest.fixture(params=["asyncio", "trio"])
def virtual(request: pytest.FixtureRequest):
    """Run a function under virtual time."""
    return lambda function: run_virtually(request.param, function)


async def slow(request: httpx.Request) -> httpx.Response:
    await anyio.sleep(1)
    return httpx.Response(200)


def test_a_cap_and_a_rate_hold_for_their_hosts_only(virtual):
    """And what is None is as the fetcher has it."""

    async def main():
        hosts = {
            "capped.test": HostLimits(per_host=1),
            "*.slow.test": HostLimits(rate=Rate(1, per=10)),
            "wide.test": HostLimits(per_host=4),
        }
        ended: dict[str, float] = {}
        names = ("capped.test", "a.slow.test", "b.slow.test", "wide.test", "other.test")
        urls = [f"http://{name}/{n}" for n in range(4) for name in names]
        begun = anyio.current_time()
        fetcher = Fetcher(transport=httpx.MockTransport(slow), per_host=2, hosts=hosts)
        async with fetcher, fetcher.stream(urls) as results:
            async for result in results:
                assert result.url is not None
                ended[result.url.host] = anyio.current_time() - begun
        return ended

    assert virtual(main) == pytest.approx(
        {
            "capped.test": 4,
            "a.slow.test": 31,
            "b.slow.test": 31,
            "wide.test": 1,
            "other.test": 2,
        },
        abs=0.2,
    )


@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_limits_of_an_attempt_hold_for_their_host_in_both_lanes(lane: str):
    """Among others at once, in any order; what a request says itself comes first."""
    client = httpx.AsyncClient() if lane == "client" else None
    async with LoopbackServer(hosts=2, default=Reply(body=b"x" * 1000)) as server:
        first, second = httpx.URL(server.url("/")), httpx.URL(server.url("/", host=2))
        own = f"{second.host}:{second.port}" if first.host == second.host else second.host
        urls: list[Any] = [str(url) for _ in range(20) for url in (first, second)]
        urls += [Request(str(second), max_body=5000)] * 3
        async with Fetcher(client, concurrency=2, hosts={own: HostLimits(max_body=10)}) as fetcher:
            results = await fetcher.fetch_many(urls)
    if client is not None:
        await client.aclose()

    assert [result.ok or result.kind for result in results] == [True, "too_large"] * 20 + [True] * 3


def test_a_timeout_holds_for_its_host(virtual):
    """The attempt and the connection; a request's own wins."""

    async def main():
        hosts = {"quick.test": HostLimits(timeout=0.5)}
        url = "http://quick.test/"
        urls = [url, "http://other.test/", Request(url, timeout=3)]
        fetcher = Fetcher(transport=httpx.MockTransport(slow), hosts=hosts, retry=None)
        async with fetcher:
            return await fetcher.fetch_many(urls)

    results = virtual(main)

    assert [result.ok or result.kind for result in results] == ["timeout", True, True]
    assert "timeout=0.5" in str(results[0].error)


def test_connect_timeout_and_timeout_reach_the_transport():
    """Each where it is given, and the fetcher's where it is not."""
    seen: dict[str, Any] = {}

    def note(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.extensions["timeout"]["connect"]
        return httpx.Response(200)

    async def main():
        hosts = {
            "a.test": HostLimits(connect_timeout=1),
            "b.test": HostLimits(timeout=7),
            "c.test": HostLimits(timeout=httpx.Timeout(9, connect=4)),
        }
        transport = httpx.MockTransport(note)
        async with Fetcher(transport=transport, hosts=hosts, connect_timeout=3) as fetcher:
            await fetcher.fetch_many([f"http://{name}.test/" for name in "abcd"])

    anyio.run(main)

    assert seen == {"a.test": 1, "b.test": 3, "c.test": 4, "d.test": 3}


def test_hosts_without_limits_of_an_attempt_keep_the_fast_way():
    """A cap for one host costs the others nothing, and is served by the direct lane."""

    async def main():
        async with LoopbackServer() as server:
            hosts = {httpx.URL(server.url()).host: HostLimits(max_body=10_000)}
            async with Fetcher(hosts=hosts) as fetcher:
                lanes = lanes_of(fetcher)
                await fetcher.fetch_many([server.url()] * 5)
                return lanes

    assert anyio.run(main) == ["direct"] * 5
