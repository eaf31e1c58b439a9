"""`addresses` behind proxies, on real sockets: what is checked, and what must be allowed first."""

from __future__ import annotations

import ipaddress
from typing import Any

import httpx
import pytest

from asyncbatch import AddressBlocked, Fetcher, HTTPTransport, ProxyPool, Request
from asyncbatch.testing import LoopbackServer, Reply
from tests.proxies import ProxyServer
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.once

RESOLVING = ["http", "https", "socks5h"]

OPTIONS: dict[str, Any] = {"retry": None, "trust_env": False, "verify": TRUSTING, "timeout": 20}


def only(*addresses: str) -> Any:
    """Return a policy that allows these."""
    allowed = {ipaddress.ip_address(address) for address in addresses}
    return lambda address: address in allowed


@pytest.fixture(params=["direct", "hooked", "client"])
def lane(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what brings a request into each of the lanes."""

    def sign(request: httpx.Request) -> httpx.Request:
        return request

    async def note(request: httpx.Request) -> None:
        return None

    ways = {"hooked": {"event_hooks": {"request": [note]}}, "client": {"auth": sign}}
    return ways.get(request.param, {})


@pytest.mark.parametrize("named_by", ["fetcher", "request", "pool", "environment"])
async def test_a_proxy_that_is_given_addresses_is_given_those_that_were_checked(
    named_by: str, lane: dict[str, Any], proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On each hop, wherever `socks5://` is given; the proxy's own address is not checked."""
    way = proxy.url("socks5")
    options: dict[str, Any] = {**OPTIONS, **lane}
    given: dict[str, Any] = {"proxy": way} if named_by == "request" else {}
    if named_by == "fetcher":
        options["proxy"] = way
    elif named_by == "pool":
        options["proxy"] = ProxyPool([way])
    elif named_by == "environment":
        monkeypatch.setenv("ALL_PROXY", way)
        monkeypatch.delenv("NO_PROXY", raising=False)
        options["trust_env"] = True
    async with LoopbackServer(hosts=2, default=Reply(body=b"ok")) as origins:
        allowed, forbidden = origins.url(host=2), origins.url(host=1)
        by_name = forbidden.replace("127.0.0.1", "localhost")
        origins.on("/away", Reply.redirect(forbidden))
        async with Fetcher(addresses=only("127.0.0.2"), **options) as fetcher:
            results = [
                await fetcher.fetch(Request(url, **given))
                for url in (allowed, forbidden, by_name, origins.url("/away", host=2))
            ]

    assert [result.kind for result in results] == [None, "blocked", "blocked", "blocked"]
    assert isinstance(results[1].error, AddressBlocked)
    assert [request.target for request in origins.requests] == ["/", "/away"]
    assert {host for host, _ in proxy.targets} == {"127.0.0.2"}


@pytest.mark.parametrize("named_by", ["fetcher", "pool", "environment", "transport"])
@pytest.mark.parametrize("way", RESOLVING)
def test_a_proxy_that_resolves_names_is_refused(
    way: str, named_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with the cure and without the password, unless the caller allows it."""
    url = f"{way}://user:s3cr3t@127.0.0.1:1"
    options: dict[str, Any] = {"addresses": "public"}
    if named_by == "environment":
        monkeypatch.setenv("ALL_PROXY", url)
    else:
        options["proxy"] = ProxyPool([url]) if named_by == "pool" else url
    make: Any = HTTPTransport if named_by == "transport" else Fetcher

    with pytest.raises(ValueError, match="proxy_resolves=True") as caught:
        make(**options)

    assert "s3cr3t" not in str(caught.value)
    make(**options, proxy_resolves=True)


@pytest.mark.parametrize("way", RESOLVING)
async def test_so_is_one_of_a_request(
    way: str, lane: dict[str, Any], proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """As a failure, before anything is sent; one that goes directly is checked as ever."""
    options = {**OPTIONS, **lane, "addresses": only("127.0.0.1")}
    async with Fetcher(**options) as fetcher:
        refused = await fetcher.fetch(Request(origin.url(), proxy=proxy.url(way)))
        direct = await fetcher.fetch(Request(origin.url(), proxy=None))

    assert refused.kind == "invalid_request"
    assert "proxy_resolves=True" in str(refused.error)
    assert direct.ok
    assert proxy.accepted == 0


@pytest.mark.parametrize("named_by", ["fetcher", "request", "pool"])
@pytest.mark.parametrize("way", RESOLVING)
async def test_one_that_may_resolve_is_given_names_and_no_forbidden_address(
    way: str,
    named_by: str,
    lane: dict[str, Any],
    proxy: ProxyServer,
    tls_proxy: ProxyServer,
    origin: LoopbackServer,
    tls_origin: LoopbackServer,
) -> None:
    """However it is spelled, by http and https, and by a redirect; nothing of it is sent."""
    used = tls_proxy if way == "https" else proxy
    url = used.url(way)
    options: dict[str, Any] = {**OPTIONS, **lane, "addresses": "public", "proxy_resolves": True}
    if named_by != "request":
        options["proxy"] = url if named_by == "fetcher" else ProxyPool([url])
    given = {"proxy": url} if named_by == "request" else {}
    name = f"http://localhost:{origin.port}"
    origin.on("/away", Reply.redirect(f"http://2130706433:{origin.port}/"))
    spelled = ["127.0.0.1", "2130706433", "0x7f.1", "127.0.0.1.", "[::1]", "[::ffff:7f00:1]"]
    targets = [
        f"{scheme}://{host}:{origin.port}/" for host in spelled for scheme in ("http", "https")
    ]
    async with Fetcher(**options) as fetcher:
        named = await fetcher.fetch(Request(f"{name}/", **given))
        redirected = await fetcher.fetch(Request(f"{name}/away", **given))
        refused = await fetcher.fetch_many([Request(target, **given) for target in targets])

    assert named.content == b"ok"
    assert {result.kind for result in (redirected, *refused)} == {"blocked"}
    assert [request.target for request in origin.requests] == ["/", "/away"]
    asked = {head.split()[1].decode() for head in used.heads} | {host for host, _ in used.targets}
    assert all("localhost" in target for target in asked)


@pytest.mark.parametrize("kind", ["CONNECT", "upgrade"])
async def test_what_httpcore_gives_to_a_proxy_is_checked_too(
    kind: str, proxy: ProxyServer, origin: LoopbackServer
) -> None:
    """An address; and where names must be resolved here, httpcore is not asked."""
    options: dict[str, Any] = {**OPTIONS, "addresses": "public"}
    headers = {"Upgrade": "websocket", "Connection": "upgrade"} if kind == "upgrade" else {}
    method = "CONNECT" if kind == "CONNECT" else "GET"
    urls = [origin.url().replace("127.0.0.1", host) for host in ("127.0.0.1", "[::1]", "0x7f.1")]
    async with Fetcher(proxy=proxy.url(), proxy_resolves=True, **options) as fetcher:
        results = await fetcher.fetch_many([Request(url, method, headers=headers) for url in urls])
    async with Fetcher(proxy=proxy.url("socks5"), **options) as fetcher:
        refused = await fetcher.fetch(Request(urls[0], method, headers=headers))

    assert refused.kind == "invalid_request"
    assert [result.kind for result in results] == ["blocked"] * 3
    assert proxy.accepted == 0


@pytest.mark.parametrize("make", [Fetcher, HTTPTransport])
def test_without_addresses_there_is_nothing_to_allow(make: Any) -> None:
    """It does not turn `socks5://` into `socks5h://`, as one could think."""
    with pytest.raises(ValueError, match="socks5h://"):
        make(proxy_resolves=True, proxy="socks5://127.0.0.1:1")
    with pytest.raises(TypeError, match="proxy_resolves must be True or False"):
        make(proxy_resolves="yes", addresses="public")
