"""The client that a fetcher makes for itself."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any

import httpx
import pytest

from asyncbatch import HTTPTransport
from asyncbatch._lanes import OwnClient
from asyncbatch._lanes.client._own_client import showing_cookies_of

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def ways_of(client: OwnClient, *urls: str) -> list[str]:
    """Say which transport each URL takes."""
    return [
        "own" if client._transport_for_url(httpx.URL(url)) is client.own_transport else "proxy"
        for url in urls
    ]


def test_it_is_httpxs_on_a_transport_of_ours() -> None:
    """One of the caller's takes its place."""
    given = httpx.MockTransport(lambda _: httpx.Response(200))

    assert isinstance(OwnClient().own_transport, HTTPTransport)
    assert OwnClient(transport=given).own_transport is None


def test_a_base_url_keeps_its_query() -> None:
    """Httpx would append the path to it; blanks around are none of it, and a fragment is lost."""
    client = OwnClient(base_url=" http://a.test/v1?key=x#f\n")

    assert str(client.base_url) == "http://a.test/v1/"
    assert client.base_query == b"key=x"


@pytest.mark.parametrize("base", ["a.test", "/v1", "ftp://a.test", "http://", "http://u:S3cr3t@/"])
def test_a_base_url_that_is_none_is_refused(base: str) -> None:
    """At the call, and without a password."""
    with pytest.raises(ValueError, match="base_url") as caught:
        OwnClient(base_url=base)

    assert "S3cr3t" not in str(caught.value)


def test_while_a_request_is_built_it_has_the_cookies_of_one_host() -> None:
    """Httpx copies the whole jar."""
    client = OwnClient()
    for host in ("a.test", "b.test"):
        client.cookies.set("name", host, domain=host)
    with client.showing_cookies_of("a.test"):
        assert [cookie.value for cookie in client.cookies.jar] == ["a.test"]
    with pytest.raises(ZeroDivisionError), client.showing_cookies_of("b.test"):
        assert 1 / 0

    assert len(list(client.cookies.jar)) == 2


def test_only_clients_of_ours_are_shown_less() -> None:
    """The host is that of the URL, or of the base of a relative one."""
    client = OwnClient(base_url="http://b.test/", cookies={"any": "x"})
    client.cookies.set("name", "x", domain="a.test")
    seen = []
    for url in ("http://a.test/x", "/x", " http://A.test/\n", "http://a.test:x/"):
        with showing_cookies_of(client, url):
            seen.append(sorted(cookie.name for cookie in client.cookies.jar))

    assert seen == [["any", "name"], ["any"], ["any", "name"], ["any", "name"]]
    stock = httpx.AsyncClient(cookies={"any": "x"})
    with showing_cookies_of(stock, "http://a.test/"):
        assert len(stock.cookies.jar) == 1


def test_a_jar_of_the_callers_keeps_what_it_likes() -> None:
    """Any other becomes one that keeps what user agents keep."""
    jar = CookieJar()

    assert OwnClient(cookies=jar).cookies.jar is jar
    client = OwnClient()
    client.cookies = {"a": "b"}
    assert [cookie.name for cookie in client.cookies.jar] == ["a"]
    assert type(client.cookies.jar) is type(OwnClient().cookies.jar)


def test_the_environment_names_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scheme, and for all; NO_PROXY counts before them."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "b.test, 10.0.0.0/8")
    urls = ("http://a.test/", "https://a.test/", "http://b.test/", "http://10.1.2.3/")

    assert ways_of(OwnClient(), *urls) == ["proxy", "own", "own", "own"]
    assert ways_of(OwnClient(trust_env=False), *urls) == ["own"] * 4
    monkeypatch.setenv("all_proxy", "127.0.0.1:2")
    assert ways_of(OwnClient(), *urls) == ["proxy", "proxy", "own", "own"]


@pytest.mark.parametrize(
    "value", ["gopher://u:s3cr3t@a.test", "http://u:s3cr3t@", "u:s3cr3t@a:99999", "\udcff"]
)
def test_a_variable_that_names_no_proxy_is_told(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, with the cure and without the password."""
    monkeypatch.setenv("https_proxy", value)

    with pytest.raises(ValueError, match=r"^HTTPS_PROXY of the environment: .*trust_env") as caught:
        OwnClient()

    assert "s3cr3t" not in str(caught.value)


def test_a_proxy_is_read_without_the_blanks_around_it() -> None:
    """As each URL is, whoever names it."""
    (transport,) = OwnClient(proxy=" http://a.test:1\n").proxied_transports

    assert transport.route is not None
    assert transport.route.label == "http://a.test:1"


def test_a_proxy_beside_a_transport_of_the_callers_is_ours() -> None:
    """Httpx takes both: the transport is for what is mounted around the proxy."""
    given = httpx.MockTransport(lambda _: httpx.Response(200))
    client = OwnClient(transport=given, proxy="http://a.test:1")
    (transport,) = client.proxied_transports

    assert transport.route is not None
    assert transport.route.label == "http://a.test:1"
    assert client._transport_for_url(httpx.URL("http://b.test/")) is transport


def test_mounts_for_single_hosts_count_before_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are more exact."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    mounted = httpx.MockTransport(lambda _: httpx.Response(200))
    client = OwnClient(mounts={"http://b.test": mounted})

    assert client._transport_for_url(httpx.URL("http://b.test/")) is mounted
    assert ways_of(client, "http://a.test/") == ["own"]


@pytest.mark.parametrize(
    ("options", "detour"),
    [
        ({"proxy": "http://127.0.0.1:1"}, "all://"),
        ({"mounts": {"http://b.test": HTTPTransport()}}, "http://b.test"),
        ({"transport": HTTPTransport()}, "transport="),
    ],
)
def test_what_would_connect_without_asking_is_refused(options: dict[str, Any], detour: str) -> None:
    """`addresses` holds for all connections, or is an error."""
    with pytest.raises(ValueError, match="cannot be kept") as caught:
        OwnClient(addresses="public", trust_env=False, **options)

    assert detour in str(caught.value)
    for allowed in ({}, {"mounts": {"http://b.test": None}}):
        client = OwnClient(addresses="public", trust_env=False, **allowed)
        assert ways_of(client, "http://b.test/") == ["own"]


def test_a_redirect_takes_the_cookies_of_where_it_leads() -> None:
    """And of no other host; the bytes of its `Location` count."""
    client = OwnClient()
    for host in ("a.test", "b.test"):
        client.cookies.set("name", host, domain=host)
    request = client.build_request("GET", "http://a.test/#f")
    response = httpx.Response(
        302, headers=[(b"Location", b"http://b.test/caf\xe9")], request=request
    )
    following = client._build_redirect_request(request, response)

    assert following.url.raw_path == b"/caf%E9"
    assert following.url.fragment == "f"
    assert following.headers["cookie"] == "name=b.test"


@pytest.mark.parametrize(
    ("asked", "location", "fragment"), [("#f", "", "f"), ("#f", "#g", "g"), ("", "", "")]
)
def test_a_redirect_may_lead_to_a_host_that_httpx_cannot_read(
    asked: str, location: str, fragment: str
) -> None:
    """With the fragment of the request, as any other, unless it has one."""
    client = OwnClient()
    request = client.build_request("GET", f"http://a.test/{asked}")
    there = {"Location": f"http://xn--i-7iq.test/{location}"}

    url = client._redirect_url(request, httpx.Response(302, headers=there, request=request))

    assert url.host == "xn--i-7iq.test"
    assert url.fragment == fragment
