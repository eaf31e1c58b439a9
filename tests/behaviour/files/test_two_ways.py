"""
Bodies that go to files by relay, against the same by a task each: all that can be seen agrees.

A URL may go by relay; a `Request` of the same URL never does.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import attrs
import pytest

from asyncbatch import Fetcher, Folder, Request, Result, Retry
from asyncbatch._batch._file_worker import FileWorker
from asyncbatch._engine.connection import _connection
from tests.behaviour.files.killed import knows_unnamed
from tests.raw_server import Peer, serve

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = OK + b"Content-Length: 5\r\n"
PACKED = gzip.compress(b"hello", mtime=0)
BROKEN = b""
"""In place of an answer: the connection ends."""

ANSWERS: dict[str, list[bytes]] = {
    "plain": [FIVE + b"X-A: 1\r\n\r\nhello"],
    "empty": [OK + b"Content-Length: 0\r\n\r\n"],
    "long": [OK + b"Content-Length: 3000\r\n\r\n" + b"b" * 3000],
    "closing": [FIVE + b"Connection: close\r\n\r\nhello"],
    "until-close": [b"HTTP/1.0 200 OK\r\n\r\nhello", BROKEN],
    "in-chunks": [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
    "after-its-head": [FIVE + b"\r\n", b"he", b"llo"],
    "coded": [OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED],
    "identity": [FIVE + b"Content-Encoding: identity\r\n\r\nhello"],
    "cookie": [FIVE + b"Set-Cookie: a=b\r\n\r\nhello"],
    "type": [FIVE + b"Content-Type: text/plain; charset=latin-1\r\n\r\nh\xe9llo"],
    "link": [FIVE + b'Link: </next>; rel="next"\r\n\r\nhello'],
    "early": [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + FIVE + b"\r\nhello"],
    "created": [b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"],
    "nothing": [b"HTTP/1.1 204 No Content\r\n\r\n"],
    "unasked-part": [
        b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello"
    ],
    "slice": [FIVE + b"Content-Range: bytes 0-4/9\r\n\r\nhello"],
    "moved": [b"HTTP/1.1 302 Found\r\nLocation: /plain?moved\r\nContent-Length: 0\r\n\r\n"],
    "missing": [b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnope!"],
    "busy": [b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"],
    "more-than-said": [FIVE + b"\r\nhelloEXTRA"],
    "less-than-said": [OK + b"Content-Length: 10\r\n\r\nhello", BROKEN],
    "no-answer": [BROKEN],
    "bad-length": [OK + b"Content-Length: x\r\n\r\n"],
}


async def play(peer: Peer) -> None:
    """Answer each request as its target says."""
    while True:
        target = (await peer.read_request()).split()[1].decode()
        pieces = ANSWERS[target.partition("?")[0].strip("/")]
        await peer.send(*[piece for piece in pieces if piece])
        if pieces[-1] == BROKEN:
            return


def shown(value: object, port: int) -> str:
    """Return how a value is shown, whatever port the server has."""
    return repr(value).replace(str(port), "PORT")


def seen(result: Result, port: int) -> dict[str, str]:
    """Return all public fields of a result; of times, whether there are any."""
    found: dict[str, Any] = {
        name: getattr(result, name)
        for name in dir(type(result))
        if name[0] != "_" and name not in ("json", "unwrap")
    }
    found["elapsed"], found["started"] = result.elapsed > 0.0, result.started is not None
    found["timing"] = _phases(result.timing)
    found["history"] = [
        (each.status_code, repr(each.error), each.delay, _phases(each.timing))
        for each in result.history
    ]
    found["request"] = result.request.url
    found["path"] = result.path and (result.path.name, result.path.read_bytes())
    found["headers"] = result.headers.raw
    found["cookies"] = dict(result.cookies)
    found["error"] = (repr(result.error), repr(getattr(result.error, "__cause__", None)))
    response = result.response
    if response is not None:
        found["response"] = (
            (response.request.method, response.request.url, response.request.headers.raw),
            (response.http_version, response.content, response.num_bytes_downloaded),
            (response.is_closed, response.is_stream_consumed, sorted(response.extensions)),
            [(each.status_code, each.url) for each in response.history],
        )
    return {name: shown(value, port) for name, value in found.items()}


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def _phases(timing: Any) -> dict[str, bool]:
    return {name: value is not None for name, value in attrs.asdict(timing).items()}


async def fetch(folder: Path, options: dict[str, Any], *, by_task: bool) -> tuple[Any, ...]:
    """Fetch all of it, one after the other; return what is seen, asked for and left."""
    async with (
        serve(play) as server,
        Fetcher(
            concurrency=1,
            retry=Retry(attempts=2, when=lambda _: 0.0),
            give_up_host_after=None,
            timeout=600,
            **options,
        ) as fetcher,
    ):
        urls = [f"{server.url}{name}" for name in ANSWERS]
        items = [Request(url) for url in urls] if by_task else urls
        results = await fetcher.fetch_many(items, to=Folder(folder))
        found = {
            name: seen(result, server.port) for name, result in zip(ANSWERS, results, strict=True)
        }
        asked = [shown(request, server.port) for request in server.requests]
    return found, asked, names_in(folder)


@pytest.mark.parametrize("options", [{}, {"max_body": 1000}, {"minimum_rate": 1.0}], ids=str)
async def test_the_ways_of_a_body_to_its_file_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Each field of each result, each request as sent, and each file."""
    monkeypatch.setattr(_connection, "GATHERING", 60.0)
    tried = list[str]()
    attempt = FileWorker._try

    async def noted(worker: FileWorker, job: Any) -> None:
        tried.append(str(job.request))
        await attempt(worker, job)

    monkeypatch.setattr(FileWorker, "_try", noted)
    by_relay = await fetch(tmp_path / "relay", options, by_task=False)
    of_relay = len(tried)
    by_task = await fetch(tmp_path / "task", options, by_task=True)

    for name in ANSWERS:
        assert by_relay[0][name] == by_task[0][name], name
    assert by_relay[1:] == by_task[1:]
    assert len(tried) - of_relay >= len(ANSWERS)
    if knows_unnamed(tmp_path):
        assert not any("plain" in url or "after-its-head" in url for url in tried[:of_relay])
