"""IPv6 on real sockets: addresses of proxies, of targets, and in `NO_PROXY`."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from asyncbatch import Fetcher, Request
from tests.proxies import Manner, ProxyServer
from tests.unit.lanes.conftest import AUTHORITY, TRUSTING

WAYS = ["http", "https", "socks5", "socks5h"]
OPTIONS: dict[str, Any] = {"verify": TRUSTING, "retry": None, "trust_env": False, "timeout": 20}


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except (OSError, ValueError):
        return False
    return True


pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1"),
]


class Handler(BaseHTTPRequestHandler):
    """Answers each request, and records it."""

    protocol_version = "HTTP/1.1"
    server: Origin

    def do_GET(self) -> None:
        """Answer."""
        self.server.requests.append((self.path, dict(self.headers)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Keep silent."""


class Origin(ThreadingHTTPServer):
    """An origin on ::1; `LoopbackServer` is on 127.0.0.0/8 alone."""

    address_family = socket.AF_INET6
    daemon_threads = False

    def __init__(self, scheme: str) -> None:
        super().__init__(("::1", 0), Handler)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.authority = f"[::1]:{self.server_address[1]}"
        self.url = f"{scheme}://{self.authority}"
        if scheme == "https":
            self.socket = _server_context("::1").wrap_socket(self.socket, server_side=True)


def _server_context(name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(params=["http", "https"])
def origin(request: pytest.FixtureRequest) -> Iterator[Origin]:
    """Run an origin on ::1, with TLS and without."""
    yield from running(request.param)


@pytest.fixture
def plain_origin() -> Iterator[Origin]:
    """Run an origin on ::1 without TLS."""
    yield from running("http")


def running(scheme: str) -> Iterator[Origin]:
    """Run an origin in a thread."""
    with Origin(scheme) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Return the scheme of the proxy."""
    scheme: str = request.param
    return scheme


@pytest.fixture
def proxy(way: str) -> Iterator[ProxyServer]:
    """Run a proxy on ::1."""
    context = _server_context("::1") if way == "https" else None
    with ProxyServer(context=context, address="::1") as server:
        yield server


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("userinfo", ["", "us%2Fer:s3cr3t@"])
async def test_a_proxy_at_an_ipv6_address_connects_to_one(
    userinfo: str, hooked: bool, way: str, proxy: ProxyServer, origin: Origin
) -> None:
    """In brackets in absolute form and to CONNECT, and as sixteen bytes by SOCKS5."""
    if userinfo:
        proxy.manner = Manner(credentials=("us/er", "s3cr3t"))

    async def note(request: object) -> None:
        return None

    hooks = {"event_hooks": {"request": [note]}} if hooked else {}
    async with Fetcher(proxy=proxy.url(way, userinfo), **OPTIONS, **hooks) as fetcher:
        results = await fetcher.fetch_many([f"{origin.url}/{number}" for number in range(4)])
        own = await fetcher.fetch(Request(f"{origin.url}/own", proxy=proxy.url(way, userinfo)))

    assert [result.error for result in (*results, own)] == [None] * 5
    assert sorted(path for path, _ in origin.requests) == ["/0", "/1", "/2", "/3", "/own"]
    for _, headers in origin.requests:
        assert headers["Host"] == origin.authority
        assert not [name for name in headers if name.lower().startswith("proxy-")]
    if way.startswith("socks"):
        assert set(proxy.kinds) == {4}
        assert {host for host, _ in proxy.targets} == {"::1"}
    elif origin.url.startswith("https"):
        assert {head.split()[1].decode() for head in proxy.heads} == {origin.authority}
        assert all(f"\r\nHost: {origin.authority}\r\n".encode() in head for head in proxy.heads)
    else:
        assert all(head.startswith(f"GET {origin.url}/".encode()) for head in proxy.heads)


@pytest.mark.parametrize("entry", ["::1", "[::1]", "[::1]:{port}", "0:0::1", "::/64", "[::]/64"])
async def test_no_proxy_names_an_ipv6_address(
    entry: str, plain_origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With brackets and without, with a port, and as a network."""
    port = plain_origin.server_address[1]
    with ProxyServer(address="::1") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("NO_PROXY", f"a.test, {entry.format(port=port)}")
        async with Fetcher(**{**OPTIONS, "trust_env": True}) as fetcher:
            result = await fetcher.fetch(f"{plain_origin.url}/direct")

        assert result.ok
        assert proxy.accepted == 0


@pytest.mark.parametrize("entry", ["::2", "[::1]:1", "fe80::/10", "[::1", "::1/129"])
async def test_other_entries_leave_it_to_the_proxy(
    entry: str, plain_origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those without a meaning too."""
    with ProxyServer(address="::1") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url())
        monkeypatch.setenv("NO_PROXY", entry)
        async with Fetcher(**{**OPTIONS, "trust_env": True}) as fetcher:
            result = await fetcher.fetch(f"{plain_origin.url}/proxied")

        assert result.ok
        assert len(proxy.heads) == 1


async def test_what_an_ipv6_proxy_does_wrong_names_it_in_brackets(way: str) -> None:
    """As a URL has it, so that it can be found."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        url = f"{way}://[::1]:{listener.getsockname()[1]}"
    async with Fetcher(proxy=url.replace("://", "://u:s3cr3t@"), **OPTIONS) as fetcher:
        result = await fetcher.fetch("http://[::1]:9/")

    assert result.kind == "proxy"
    assert result.error.proxy == url  # type: ignore[union-attr]
    assert "s3cr3t" not in str(result.error)
