"""
Through the proxies of others, where they are installed: the same answers as without.

squid, tinyproxy and microsocks are Debian's, pproxy is from the package index.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import attrs
import pytest

from asyncbatch import Fetcher, Request
from asyncbatch.testing import LoopbackServer, Reply
from tests.unit.lanes.conftest import TRUSTING

pytestmark = pytest.mark.once

SQUID = """
http_port 127.0.0.1:{port}
http_access allow all
cache deny all
pid_filename {folder}/squid.pid
cache_log {folder}/cache.log
access_log none
coredump_dir {folder}
shutdown_lifetime 1 seconds
forwarded_for delete
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 100
LogLevel Critical
Allow 127.0.0.1
BasicAuth user s3cr3t
"""

# It wants an event loop of asyncio's, and takes uvloop where that is installed.
PPROXY = """
import asyncio, sys
sys.modules["uvloop"] = None
asyncio.set_event_loop(asyncio.new_event_loop())
from pproxy.server import main
main()
"""

USER = "user:s3cr3t@"


@attrs.frozen
class Server:
    """How a proxy is started; `{port}`, `{folder}` and `{path}` are replaced in its arguments."""

    program: str
    arguments: tuple[str, ...]
    configuration: str = ""
    """What is in the file at `path`."""
    userinfo: str = ""
    """What its URL has before the host."""


SERVERS = {
    "squid": Server("squid", ("-N", "-f", "{path}"), SQUID),
    "tinyproxy": Server("tinyproxy", ("-d", "-c", "{path}"), TINYPROXY, USER),
    "microsocks": Server("microsocks", ("-i", "127.0.0.1", "-p", "{port}")),
    "microsocks, with a password": Server(
        "microsocks",
        ("-i", "127.0.0.1", "-p", "{port}", "-u", "user", "-P", "s3cr3t"),
        userinfo=USER,
    ),
    "pproxy": Server(sys.executable, ("-c", PPROXY, "-l", "http+socks5://127.0.0.1:{port}")),
    "pproxy, with a password": Server(
        sys.executable,
        ("-c", PPROXY, "-l", "http+socks5://127.0.0.1:{port}#user:s3cr3t", "--auth", "0"),
        userinfo=USER,
    ),
}

# The server, and the scheme of its URL.
PROXIES = [
    ("squid", "http"),
    ("tinyproxy", "http"),
    *((name, scheme) for name in ("microsocks", "pproxy") for scheme in ("socks5", "socks5h")),
    *((f"{name}, with a password", "socks5h") for name in ("microsocks", "pproxy")),
    ("pproxy", "http"),
    ("pproxy, with a password", "http"),
]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.skip(f"it ended with status {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.skip("it does not listen")


def _program(server: Server) -> str | None:
    if server.program == sys.executable:
        return sys.executable if importlib.util.find_spec("pproxy") else None
    return shutil.which(server.program, path="/usr/sbin:/usr/bin:/usr/local/bin")


@pytest.fixture(scope="module", params=PROXIES, ids=lambda it: f"{it[0]} ({it[1]})")
def real_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run a proxy of somebody else's, and return its URL."""
    name, scheme = request.param
    server = SERVERS[name]
    program = _program(server)
    if program is None:
        pytest.skip(f"{name.partition(',')[0]} is not installed")
    folder, port = tmp_path_factory.mktemp("proxy"), _free_port()
    folder.chmod(0o777)
    path = folder / "configuration"
    names = {"port": port, "folder": folder, "path": path}
    path.write_text(server.configuration.format(**names))
    with subprocess.Popen(
        [program, *(argument.format(**names) for argument in server.arguments)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_listening(port, process)
            yield f"{scheme}://{server.userinfo}127.0.0.1:{port}"
        finally:
            process.terminate()


async def test_requests_are_forwarded(real_proxy: str, origin: LoopbackServer) -> None:
    """With bodies both ways, and nothing of the credentials."""
    body = b"x" * 200_000
    origin.on("/large", Reply(body=body))
    async with Fetcher(proxy=real_proxy, retry=None, timeout=60, concurrency=10) as fetcher:
        results = await fetcher.fetch_many(
            [
                *(origin.url(f"/{number}") for number in range(50)),
                origin.url("/large"),
                Request(origin.url("/post"), "POST", content=body),
            ]
        )

    assert results.failures == []
    assert results[50].content == body
    posted = next(request for request in origin.requests if request.method == "POST")
    assert posted.body == body
    for received in origin.requests:
        assert "proxy-authorization" not in {name.lower() for name in received.headers}


async def test_tunnels_are_opened_and_kept(real_proxy: str, tls_origin: LoopbackServer) -> None:
    """One for each connection, and not for each request."""
    async with Fetcher(
        proxy=real_proxy, verify=TRUSTING, retry=None, timeout=60, concurrency=5
    ) as fetcher:
        results = await fetcher.fetch_many([tls_origin.url(f"/{n}") for n in range(50)])

    assert results.failures == []
    assert tls_origin.statistics().connections <= 5


async def test_the_environment_names_it(
    real_proxy: str,
    origin: LoopbackServer,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """But for the hosts that are excepted there."""
    monkeypatch.setenv("HTTP_PROXY", real_proxy)
    monkeypatch.delenv("ALL_PROXY", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.9")
    async with Fetcher(retry=None, timeout=60) as fetcher:
        proxied = await fetcher.fetch(origin.url())
        direct = await fetcher.fetch("http://127.0.0.9:1/")

    assert proxied.ok
    if any(name in request.node.callspec.id for name in ("squid", "tinyproxy")):
        assert proxied.headers.get("via") is not None
    assert direct.kind == "connect"


async def test_a_host_that_is_not_there_is_told_by_the_proxy(
    real_proxy: str, request: pytest.FixtureRequest
) -> None:
    """A page in answer to a forwarded request, and a refusal of a tunnel."""
    async with Fetcher(proxy=real_proxy, retry=None, timeout=60) as fetcher:
        forwarded = await fetcher.fetch("http://127.0.0.1:1/")
        tunnelled = await fetcher.fetch("https://127.0.0.1:1/")

    kinds = (forwarded.kind, tunnelled.kind)
    if "pproxy" in request.node.callspec.id and real_proxy.startswith("socks"):
        # It says that it has connected before it has, so that the end is the server's.
        assert kinds == ("protocol", "tls")
    elif real_proxy.startswith("http") and forwarded.status_code is not None:
        assert kinds == ("status", "proxy")
        assert forwarded.status_code in {500, 503}
    else:
        assert kinds == ("proxy", "proxy")


async def test_the_address_that_was_checked_is_the_one_asked_for(
    real_proxy: str, origin: LoopbackServer
) -> None:
    """By `socks5://`; the others are refused at once."""

    def is_allowed(address: object) -> bool:
        return str(address) == "127.0.0.1"

    url = origin.url().replace("127.0.0.1", "localhost")
    if not real_proxy.startswith("socks5://"):
        with pytest.raises(ValueError, match="proxy_resolves"):
            Fetcher(proxy=real_proxy, addresses=is_allowed)
        return
    async with Fetcher(proxy=real_proxy, addresses=is_allowed, retry=None, timeout=60) as fetcher:
        allowed = await fetcher.fetch(url)
        refused = await fetcher.fetch("http://127.0.0.2:1/")

    assert allowed.ok
    assert refused.kind == "blocked"


async def test_missing_credentials_are_told(
    real_proxy: str, origin: LoopbackServer, request: pytest.FixtureRequest
) -> None:
    """By those that ask for any."""
    if "@" not in real_proxy:
        pytest.skip("this one asks for none")
    without = real_proxy.replace(USER, "")
    async with Fetcher(proxy=without, timeout=60) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert result.kind == "proxy"
    # By SOCKS5 pproxy closes, and does not say why.
    says_why = real_proxy.startswith("http") or "pproxy" not in request.node.callspec.id
    assert (result.attempts == 1) is says_why
