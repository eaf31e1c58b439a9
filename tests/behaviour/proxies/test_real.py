"""Through squid and tinyproxy, where they are installed: the same answers as without."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

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

# The command, its configuration, and what its URL has before the host.
SERVERS: dict[str, tuple[Callable[[Path], list[str]], str, str]] = {
    "squid": (lambda path: ["-N", "-f", str(path)], SQUID, ""),
    "tinyproxy": (lambda path: ["-d", "-c", str(path)], TINYPROXY, "user:s3cr3t@"),
}


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


@pytest.fixture(scope="module", params=SERVERS)
def real_proxy(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run a proxy of somebody else's, and return its URL."""
    arguments, text, userinfo = SERVERS[request.param]
    program = shutil.which(request.param, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip(f"{request.param} is not installed")
    folder, port = tmp_path_factory.mktemp(request.param), _free_port()
    folder.chmod(0o777)
    path = folder / "configuration"
    path.write_text(text.format(port=port, folder=folder))
    with subprocess.Popen(
        [program, *arguments(path)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_listening(port, process)
            yield f"http://{userinfo}127.0.0.1:{port}"
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
    real_proxy: str, origin: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the hosts that are excepted there."""
    monkeypatch.setenv("HTTP_PROXY", real_proxy)
    monkeypatch.setenv("NO_PROXY", "127.0.0.9")
    async with Fetcher(retry=None, timeout=60) as fetcher:
        proxied = await fetcher.fetch(origin.url())
        direct = await fetcher.fetch("http://127.0.0.9:1/")

    assert proxied.ok
    assert proxied.headers.get("via") is not None
    assert direct.kind == "connect"


async def test_a_host_that_is_not_there_is_told_by_the_proxy(
    real_proxy: str, origin: LoopbackServer
) -> None:
    """A page in answer to a forwarded request, and a refusal of a tunnel."""
    async with Fetcher(proxy=real_proxy, retry=None, timeout=60) as fetcher:
        forwarded = await fetcher.fetch("http://127.0.0.1:1/")
        tunnelled = await fetcher.fetch("https://127.0.0.1:1/")

    assert (forwarded.kind, forwarded.status_code) in {("status", 503), ("status", 500)}
    assert tunnelled.kind == "proxy"


async def test_missing_credentials_are_told(real_proxy: str, origin: LoopbackServer) -> None:
    """By those that ask for any."""
    if "@" not in real_proxy:
        pytest.skip("this one asks for none")
    without = real_proxy.replace("user:s3cr3t@", "")
    async with Fetcher(proxy=without, timeout=60) as fetcher:
        result = await fetcher.fetch(origin.url())

    assert result.kind == "proxy"
    assert result.attempts == 1
