"""Files from servers that lie about ranges: what is asked for, what is there, what is left."""

from __future__ import annotations

import random
import ssl
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import trustme

import asyncbatch
from asyncbatch import Fetcher, Request, Retry
from asyncbatch._engine.connection import _partial_response
from asyncbatch._engine.io import _tls_transport
from asyncbatch._engine.io._refill import Refill
from asyncbatch._files import _download
from tests.behaviour.files.lies import CASES, PACKED, V1, Case, Script
from tests.machines import need_own_transports
from tests.raw_server import Peer, serve

pytestmark = [pytest.mark.once, pytest.mark.any_loop]


def names_in(folder: Path) -> set[str]:
    """Return the names of all that is in a folder."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


async def fetch(case: Case, port: int, target: Path, client: Any = None) -> asyncbatch.Result:
    """Fetch the file of a case, through a client if one is given."""
    retry = Retry(
        attempts=case.attempts,
        backoff=0.0,
        budget=None,
        methods={"GET", "POST"},
        pause_hosts=False,
    )
    url = f"http://127.0.0.1:{port}{case.path}"
    request = Request(url, case.method, to=target, checksum=case.checksum)
    async with Fetcher(client, retry=retry, give_up_host_after=None) as fetcher:
        return await fetcher.fetch(request)


def check(case: Case, script: Script, result: asyncbatch.Result, folder: Path) -> None:
    """Check what was asked for, the result, and all that is in the folder and beside it."""
    assert tuple(script.asked) == case.asked
    assert (result.kind, result.ok) == (case.kind, case.kind is None)
    assert result.path == (None if case.file is None else folder / "file")
    assert result.content == b"" or case.file is None
    assert {name: (folder / name).read_bytes() for name in names_in(folder) - {".file.resume"}} == {
        name: content
        for name, content in {"file": case.file, "file.part": case.left}.items()
        if content is not None
    }
    assert (".file.resume" in names_in(folder)) is (case.left is not None)
    assert names_in(folder.parent) <= {"folder"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_server_that_lies(case: Case, tmp_path: Path) -> None:
    """The file is one version as a whole, or there is none."""
    folder = tmp_path / "folder"
    script = Script(case)
    async with serve(script) as server:
        result = await fetch(case, server.port, folder / "file")

    check(case, script, result, folder)


@pytest.mark.asyncio_only
@pytest.mark.parametrize(
    "case",
    # What comes in chunks is not received so, and its length is checked when it is written.
    [case for case in CASES if "chunks" not in case.name],
    ids=lambda case: case.name,
)
async def test_a_server_that_lies_about_a_long_body(
    case: Case, tmp_path: Path, small_blocks: list[int]
) -> None:
    """It is received where it is written, in threads too, and is one version all the same."""
    folder = tmp_path / "folder"
    script = Script(case)
    async with serve(script) as server:
        result = await fetch(case, server.port, folder / "file")

    check(case, script, result, folder)


async def test_a_long_body_is_received_in_threads(tmp_path: Path, small_blocks: list[int]) -> None:
    """As the test above means to show."""
    need_own_transports()
    body = bytes(range(256)) * 40

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with serve(script) as server, Fetcher() as fetcher:
        result = await fetcher.fetch(Request(server.url, to=tmp_path / "file"))

    assert result.ok
    assert (tmp_path / "file").read_bytes() == body
    assert sum(small_blocks) > 0


async def test_a_long_body_over_tls_is_received_and_decrypted_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of it the event loop has received before, and receives at the end."""
    need_own_transports()
    received: list[int] = []

    class Counted(Refill):
        def __call__(self, memory: memoryview) -> int:
            size = super().__call__(memory)
            received.append(size)
            return size

    monkeypatch.setattr(_tls_transport, "Refill", Counted)
    monkeypatch.setattr(_partial_response, "_FULL", 1)
    monkeypatch.setattr(_download, "AT_ONCE", 1)
    body = random.Random(1).randbytes(4_000_000)
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_context)
    context = ssl.create_default_context()
    authority.configure_trust(context)

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await peer.read_request()  # what is not sent yet is lost when this returns

    async with serve(script, tls=server_context) as server, Fetcher(verify=context) as fetcher:
        url = f"https://127.0.0.1:{server.port}/"
        result = await fetcher.fetch(Request(url, to=tmp_path / "file"))

    assert result.ok
    assert (tmp_path / "file").read_bytes() == body
    assert sum(received) > 0


@pytest.mark.once
@pytest.mark.asyncio_only
@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: library.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_server_that_lies_to_a_client(case: Case, library: Any, tmp_path: Path) -> None:
    """On the transports of httpx and httpx2 as on ours."""
    folder = tmp_path / "folder"
    script = Script(case)
    async with serve(script) as server, library.AsyncClient(follow_redirects=True) as client:
        result = await fetch(case, server.port, folder / "file", client)

    check(case, script, result, folder)


def test_the_table_is_long_enough() -> None:
    """Each case has a name of its own, and asks what it says."""
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    assert PACKED != V1
