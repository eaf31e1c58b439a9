"""`NO_PROXY`: which hosts are asked without the proxies of the environment."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._lanes import OwnClient
from asyncbatch._lanes.client._no_proxy import NoProxy


@pytest.mark.parametrize(
    ("value", "direct", "proxied"),
    [
        (
            "a.test",
            ["http://a.test", "https://b.a.test:8080", "http://A.Test."],
            ["http://ba.test"],
        ),
        (".a.test", ["http://a.test", "http://b.a.test"], ["http://ba.test"]),
        (".a.test:81", ["http://a.test:81", "http://b.a.test:81"], ["http://a.test"]),
        ("*.a.test", ["http://b.a.test", "http://c.b.a.test"], ["http://a.test"]),
        ("A.Test.", ["http://a.test"], ["http://b.test"]),
        ("localhost", ["http://localhost:8000"], ["http://local"]),
        (" a.test ,\tb.test ", ["http://a.test", "http://b.test"], ["http://c.test"]),
        ("a.test b.test", ["http://a.test", "http://b.test"], ["http://c.test"]),
        (",,a.test,", ["http://a.test"], ["http://b.test"]),
        ("a.test,*", ["http://b.test", "https://[::1]"], []),
        ("a.test:8080", ["http://a.test:8080", "http://b.a.test:8080"], ["http://a.test"]),
        ("a.test:80", ["http://a.test"], ["https://a.test", "http://a.test:8080"]),
        ("a.test:443", ["https://a.test"], ["http://a.test"]),
        ("https://a.test", ["https://a.test"], ["http://a.test"]),
        ("http://a.test:80/", ["http://a.test"], ["http://a.test:81"]),
        ("all://a.test", ["http://a.test", "https://a.test"], ["http://b.test"]),
        ("10.1.2.3", ["http://10.1.2.3", "http://[::ffff:10.1.2.3]"], ["http://10.1.2.30"]),
        ("10.1.2.3:81", ["http://10.1.2.3:81"], ["http://10.1.2.3"]),
        ("10.0.0.0/8", ["http://10.255.0.1:81"], ["http://11.0.0.1", "http://10.test"]),
        ("10.1.2.3/8", ["http://10.255.0.1"], ["http://11.0.0.1"]),
        ("::1", ["http://[::1]", "https://[0:0::1]:81"], ["http://[::2]"]),
        ("[::1]", ["http://[::1]", "http://[::1]:81"], ["http://[::2]"]),
        ("[::1]:81", ["http://[::1]:81"], ["http://[::1]"]),
        ("fe80::/10", ["http://[fe80::1]", "http://[febf::1]"], ["http://[fec0::1]"]),
        ("[fd00::]/8", ["http://[fd12::1]"], ["http://[fe80::1]"]),
        ("bücher.test", ["http://bücher.test", "http://xn--bcher-kva.test"], ["http://b.test"]),
        ("xn--bcher-kva.test", ["http://www.bücher.test"], ["http://b.test"]),
    ],
)
def test_it_is_read_as_curl_and_go_read_it(
    value: str, direct: list[str], proxied: list[str]
) -> None:
    """Names and what is below them, addresses, networks, ports, however they are written."""
    no_proxy = NoProxy(value)

    assert [url for url in direct if not no_proxy.matches(httpx.URL(url))] == []
    assert [url for url in proxied if no_proxy.matches(httpx.URL(url))] == []


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            ",",
            ".",
            "*.",
            "[",
            "]",
            "[]",
            "[::1",
            ":",
            ":80",
            "a:b:c",
            "::1::",
            "a.test:x",
        ),
        *("10.0.0.0/33", "fe80::/129", "a.test/8", "/8", "1.2.3", "http://", "ftp://a.test"),
        *("*a.test", "a*.test", "**", "*:80x", "http://a.test/path", "\udcff", "x" * 300, "a..b"),
    ],
)
def test_what_means_nothing_is_passed_over(value: str) -> None:
    """And stops nobody: Docker, OpenShift and VPN clients write such values."""
    no_proxy = NoProxy(f"{value},b.test")

    assert no_proxy.matches(httpx.URL("http://b.test"))
    assert not no_proxy.matches(httpx.URL("http://a.test"))
    assert not no_proxy.matches(httpx.URL("http://[::1]"))


@given(st.text())
def test_no_value_raises(value: str) -> None:
    """Nor is a URL without a host one to fail at."""
    no_proxy = NoProxy(value)

    for url in ("http://a.test", "http://[::1]", "http://10.0.0.1:81", "http:///", "/"):
        no_proxy.matches(httpx.URL(url))


def way(client: OwnClient, url: str) -> str:
    """Say whether a URL is asked for directly, or through which proxy."""
    transport: Any = client._transport_for_url(httpx.URL(url))
    if transport is client.own_transport:
        return "direct"
    return str(getattr(transport, "name", None) or transport._pool.route.host)


@pytest.mark.parametrize("case", [str.upper, str.lower])
async def test_it_counts_before_the_environments_proxies(
    case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the case of the variables."""
    monkeypatch.setenv(case("http_proxy"), "one.test:3128")
    monkeypatch.setenv(case("all_proxy"), "http://other.test:3128")
    monkeypatch.setenv(case("no_proxy"), "a.test,fe80::/10")

    async with OwnClient() as client:
        ways = [way(client, f"http://{host}/") for host in ("a.test", "[fe80::1]", "b.test")]
        secure = [way(client, f"https://{host}/") for host in ("a.test", "b.test")]

    assert ways == ["direct", "direct", "one.test"]
    assert secure == ["direct", "other.test"]


async def test_a_mount_for_a_host_counts_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who wrote the program has said so."""
    monkeypatch.setenv("HTTP_PROXY", "http://one.test:3128")
    monkeypatch.setenv("NO_PROXY", "a.test,b.test")
    mounted: Any = httpx.MockTransport(lambda _: httpx.Response(200))
    mounted.name = "mounted"

    async with OwnClient(mounts={"http://a.test": mounted}) as client:
        ways = [way(client, f"http://{host}/") for host in ("a.test", "b.test", "c.test")]

    assert ways == ["mounted", "direct", "one.test"]


async def test_without_trust_in_the_environment_there_are_no_proxies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in httpx."""
    monkeypatch.setenv("HTTP_PROXY", "http://one.test:3128")
    monkeypatch.setenv("NO_PROXY", "*")

    async with OwnClient(trust_env=False) as client:
        assert way(client, "http://a.test/") == "direct"
        assert client._mounts == {}
