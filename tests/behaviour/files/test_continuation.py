"""Bodies that break off: continued where it is safe, within a request and by the next run."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbatch import Failure, FailureKind, Fetcher, Folder, Request, Result, Retry, Success
from asyncbatch.testing import LoopbackServer, RecordedRequest, Reply

pytestmark = pytest.mark.once

BODY = random.Random(1).randbytes(1_000_000)
ETAG = '"one"'
QUICK = Retry(attempts=4, backoff=0.0, budget=None)
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


def ranged(
    body: bytes = BODY, etag: str | None = ETAG, **more: str
) -> Callable[[RecordedRequest], Reply]:
    """Answer as a good server of ranges does."""

    def answer(request: RecordedRequest) -> Reply:
        headers = {"accept-ranges": "bytes", **({"etag": etag} if etag else {}), **more}
        wanted = request.headers.get("range")
        if wanted is None or request.headers.get("if-range") != etag:
            return Reply(body=body, headers=headers)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            return Reply(416, headers={"content-range": f"bytes */{len(body)}", **headers})
        headers["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Reply(206, body=body[start:], headers=headers)

    return answer


def breaking(at: int, **more: str) -> Callable[[RecordedRequest], Reply]:
    """Answer the same, and cut the connection within the body."""
    answer = ranged(**more)
    return lambda request: answer(request).cut(body=at)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def fetch(
    server: LoopbackServer, to: Path | Folder, retry: Retry | None, checksum: str | None = None
) -> Result:
    async with Fetcher(retry=retry) as fetcher:
        return await fetcher.fetch(Request(server.url("/x"), to=to, checksum=checksum))


@pytest.mark.parametrize("checksum", [None, SHA], ids=["plain", "checked"])
async def test_a_body_is_continued_within_its_retries(
    server: LoopbackServer, tmp_path: Path, checksum: str | None
):
    """Each try asks for the rest, and nothing but the file remains."""
    server.on("/x", breaking(400_000), breaking(300_000), ranged())
    result = await fetch(server, tmp_path / "x", QUICK, checksum)

    assert result.ok
    assert (result.status_code, result.size, result.attempts) == (206, len(BODY), 3)
    assert result.resumed_from == 700_000
    assert (tmp_path / "x").read_bytes() == BODY
    assert names(tmp_path) == ["x"]
    asked = [(each.headers.get("range"), each.headers.get("if-range")) for each in server.requests]
    assert asked == [(None, None), ("bytes=400000-", ETAG), ("bytes=700000-", ETAG)]
    assert {each.headers["accept-encoding"] for each in server.requests} == {"identity"}


async def test_a_body_is_continued_by_the_next_run(server: LoopbackServer, tmp_path: Path):
    """With the part that the first has left, and what stands beside it."""
    server.on("/x", breaking(400_000), ranged())
    first = await fetch(server, tmp_path / "x", None)
    left = names(tmp_path)
    part = (tmp_path / "x.part").read_bytes()
    beside = (tmp_path / ".x.resume").read_text()
    second = await fetch(server, tmp_path / "x", None)

    assert first.kind is FailureKind.truncated
    assert left == [".x.resume", "x.part"]
    assert part == BODY[:400_000]
    assert "127.0.0.1" not in beside
    assert second.resumed_from == 400_000
    assert (tmp_path / "x").read_bytes() == BODY
    assert names(tmp_path) == ["x"]


async def test_a_part_of_an_earlier_run_is_not_continued_if_it_must_not(
    server: LoopbackServer, tmp_path: Path
):
    """`resume=False` begins at 0; a body that breaks off afterwards is continued."""
    server.on("/x", breaking(400_000), breaking(300_000), ranged())
    folder = Folder(tmp_path, resume=False)
    await fetch(server, folder, None)
    result = await fetch(server, folder, QUICK)

    assert result.resumed_from == 300_000
    assert [each.headers.get("range") for each in server.requests] == [None, None, "bytes=300000-"]
    assert (tmp_path / "x").read_bytes() == BODY


async def test_a_part_of_another_url_is_not_continued(server: LoopbackServer, tmp_path: Path):
    """Not even if its validators are the same."""
    server.on("/*", breaking(400_000), ranged())
    async with Fetcher(retry=None) as fetcher:
        await fetcher.fetch(Request(server.url("/x?version=1"), to=tmp_path / "x"))
        server.on("/*", ranged())
        result = await fetcher.fetch(Request(server.url("/x?version=2"), to=tmp_path / "x"))

    assert result.resumed_from == 0
    assert (tmp_path / "x").read_bytes() == BODY


async def test_a_file_that_has_changed_begins_at_0(server: LoopbackServer, tmp_path: Path):
    """The server answers `If-Range` with the whole new file."""
    new = random.Random(2).randbytes(500_000)
    server.on("/x", breaking(400_000), ranged(new, '"two"'))
    result = await fetch(server, tmp_path / "x", QUICK)

    assert (result.status_code, result.resumed_from, result.size) == (200, 0, len(new))
    assert (tmp_path / "x").read_bytes() == new


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
async def test_without_a_strong_validator_a_body_begins_at_0(
    server: LoopbackServer, tmp_path: Path, etag: str | None
):
    """Nothing says that the rest is of the same file."""
    server.on("/x", breaking(400_000, etag=etag), ranged(etag=etag))  # type: ignore[arg-type]
    result = await fetch(server, tmp_path / "x", QUICK)

    assert result.resumed_from == 0
    assert [each.headers.get("range") for each in server.requests] == [None, None]
    assert (tmp_path / "x").read_bytes() == BODY


async def test_all_bytes_and_a_416_are_the_end(server: LoopbackServer, tmp_path: Path):
    """A program may have been killed just before it gave the file its name."""
    server.on("/x", breaking(400_000), ranged())
    await fetch(server, tmp_path / "x", None)
    with (tmp_path / "x.part").open("ab") as part:
        part.write(BODY[400_000:])
    result = await fetch(server, tmp_path / "x", None, SHA)

    assert isinstance(result, Success)
    assert (result.size, result.resumed_from) == (len(BODY), len(BODY))
    assert (tmp_path / "x").read_bytes() == BODY
    assert names(tmp_path) == ["x"]


async def test_a_416_that_is_not_the_end_begins_at_0_within_the_request(
    server: LoopbackServer, tmp_path: Path
):
    """Also without a retry policy: it is the answer to a question of ours."""
    server.on("/x", breaking(400_000), Reply(416, headers={"content-range": "bytes */7"}), ranged())
    await fetch(server, tmp_path / "x", None)
    result = await fetch(server, tmp_path / "x", None)

    assert result.ok
    assert (result.attempts, result.resumed_from) == (2, 0)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    "headers",
    [
        {"content-range": "bytes 400001-999999/1000000", "etag": ETAG},
        {"content-range": "bytes 400000-999999/1000001", "etag": ETAG},
        {"content-range": "bytes 400000-999999/1000000", "etag": '"two"'},
        {"content-range": "bytes 400000-999999/1000000"},
        {"etag": ETAG},
    ],
)
async def test_a_206_that_is_not_the_rest_begins_at_0(
    server: LoopbackServer, tmp_path: Path, headers: dict[str, str]
):
    """Whatever does not fit, nothing of it is written."""
    lie = Reply(206, body=b"x" * 600_000, headers=headers)
    server.on("/x", breaking(400_000), lie, ranged())
    result = await fetch(server, tmp_path / "x", QUICK)

    assert result.ok
    assert result.resumed_from == 0
    assert (tmp_path / "x").read_bytes() == BODY


async def test_a_206_with_less_than_the_rest_is_continued(server: LoopbackServer, tmp_path: Path):
    """At once, and without costing a retry."""

    def some(request: RecordedRequest) -> Reply:
        start = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        end = min(len(BODY), start + 100_000)
        headers = {"etag": ETAG, "content-range": f"bytes {start}-{end - 1}/{len(BODY)}"}
        return Reply(206, body=BODY[start:end], headers=headers)

    server.on("/x", breaking(400_000), some)
    await fetch(server, tmp_path / "x", None)
    result = await fetch(server, tmp_path / "x", None)

    assert (result.resumed_from, result.attempts) == (900_000, 6)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    "reply",
    [
        Reply(206, body=b"x" * 9, headers={"content-range": "bytes 0-8/9", "etag": ETAG}),
        Reply(204),
        Reply(304, headers={"etag": ETAG}),
        Reply(200, body=b"x" * 9, headers={"content-range": "bytes 10-18/100"}),
    ],
    ids=["206", "204", "304", "slice"],
)
async def test_an_answer_that_was_not_asked_for_makes_no_file(
    server: LoopbackServer, tmp_path: Path, reply: Reply
):
    """It is a failure of the protocol."""
    server.on("/x", reply)
    result = await fetch(server, tmp_path / "x", None)

    assert result.kind is FailureKind.protocol
    assert names(tmp_path) == []


async def test_a_429_in_the_middle_leaves_the_part_for_the_next_try(
    server: LoopbackServer, tmp_path: Path
):
    """Its body is not the file's."""
    server.on("/x", breaking(400_000), Reply(429, body=b"slow down"), ranged())
    result = await fetch(server, tmp_path / "x", QUICK)

    assert result.resumed_from == 400_000
    assert (tmp_path / "x").read_bytes() == BODY


async def test_a_post_is_never_continued(server: LoopbackServer, tmp_path: Path):
    """Its answer may differ each time."""
    server.on("/x", breaking(400_000), ranged())
    retry = Retry(backoff=0.0, methods={"POST"})
    async with Fetcher(retry=retry) as fetcher:
        result = await fetcher.fetch(
            Request(server.url("/x"), "POST", content=b"body", to=tmp_path / "x")
        )

    assert result.ok
    assert [each.headers.get("range") for each in server.requests] == [None, None]
    assert [each.body for each in server.requests] == [b"body", b"body"]


async def test_a_range_of_the_callers_own_is_left_alone(server: LoopbackServer, tmp_path: Path):
    """Its 206 is what was asked for, and goes to the file from 0."""
    headers = {"content-range": "bytes 5-8/100", "etag": ETAG}
    server.on("/x", Reply(206, body=b"some", headers=headers))
    async with Fetcher(retry=None) as fetcher:
        result = await fetcher.fetch(
            Request(server.url("/x"), headers={"Range": "bytes=5-8"}, to=tmp_path / "x")
        )

    assert result.ok
    assert server.requests[0].headers["range"] == "bytes=5-8"
    assert (tmp_path / "x").read_bytes() == b"some"


async def test_a_body_with_another_checksum_makes_no_file(server: LoopbackServer, tmp_path: Path):
    """It is fetched once more, from 0, with or without a retry policy."""
    server.on("/x", ranged(b"wrong"))
    failed = await fetch(server, tmp_path / "x", None, SHA)
    server.on("/x", ranged(b"wrong"), ranged())
    good = await fetch(server, tmp_path / "x", None, SHA)

    assert isinstance(failed, Failure)
    assert (failed.kind, failed.attempts) == (FailureKind.checksum, 2)
    assert SHA in str(failed.error)
    assert (good.ok, good.attempts) == (True, 2)
    assert names(tmp_path) == ["x"]


async def test_a_wrong_part_is_found_by_its_checksum(server: LoopbackServer, tmp_path: Path):
    """The second try begins at 0."""
    server.on("/x", breaking(400_000), ranged())
    await fetch(server, tmp_path / "x", None)
    (tmp_path / "x.part").write_bytes(b"x" * 400_000)
    result = await fetch(server, tmp_path / "x", None, SHA)

    assert (result.attempts, result.resumed_from) == (2, 0)
    assert (tmp_path / "x").read_bytes() == BODY


async def test_a_file_with_another_checksum_is_not_there(server: LoopbackServer, tmp_path: Path):
    """One with the right checksum is; nothing is sent for it."""
    server.on("/x", ranged())
    (tmp_path / "x").write_bytes(b"other")
    replaced = await fetch(server, tmp_path / "x", None, SHA)
    kept = await fetch(server, tmp_path / "x", None, SHA)

    assert (replaced.status_code, replaced.attempts) == (200, 1)
    assert (kept.status_code, kept.attempts, kept.size) == (None, 0, len(BODY))
    assert (tmp_path / "x").read_bytes() == BODY


async def test_what_stands_beside_a_part_may_be_anything(server: LoopbackServer, tmp_path: Path):
    """A program that writes into the folder cannot add lines to a request of ours."""
    server.on("/x", breaking(400_000), ranged())
    await fetch(server, tmp_path / "x", None)
    beside = tmp_path / ".x.resume"
    state = json.loads(beside.read_text().splitlines()[0])
    beside.write_text(json.dumps({**state, "etag": '"a"\r\nX-Evil: 1'}) + "\n")
    result = await fetch(server, tmp_path / "x", None)

    assert result.resumed_from == 0
    assert "range" not in server.requests[-1].headers


class TestExisting:
    """What `exists` says about a file that is there."""

    async def test_overwrite_replaces_it(self, server: LoopbackServer, tmp_path: Path):
        """When the new one is complete, and not before."""
        server.on("/x", breaking(400_000), ranged())
        (tmp_path / "x").write_bytes(b"old")
        folder = Folder(tmp_path, exists="overwrite")
        await fetch(server, folder, None)
        meanwhile = (tmp_path / "x").read_bytes()
        await fetch(server, folder, None)

        assert meanwhile == b"old"
        assert (tmp_path / "x").read_bytes() == BODY

    async def test_error_is_a_failure_of_the_disk(self, server: LoopbackServer, tmp_path: Path):
        """Nothing is sent."""
        (tmp_path / "x").write_bytes(b"old")
        result = await fetch(server, Folder(tmp_path, exists="error"), QUICK)

        assert result.kind is FailureKind.disk
        assert isinstance(result.error, FileExistsError)
        assert len(server.requests) == 0

    async def test_rename_gives_the_new_one_a_number(self, server: LoopbackServer, tmp_path: Path):
        """The next that is free."""
        server.on("/x", Reply(body=b"new"))
        (tmp_path / "x").write_bytes(b"old")
        folder = Folder(tmp_path, exists="rename")
        paths = [(await fetch(server, folder, None)).path for _ in range(2)]

        assert paths == [tmp_path / "x (1)", tmp_path / "x (2)"]
        assert (tmp_path / "x").read_bytes() == b"old"

    async def test_refresh_asks_whether_it_has_changed(
        self, server: LoopbackServer, tmp_path: Path
    ):
        """With the entity tag of the last time; a 304 leaves it as it is."""

        def answer(request: RecordedRequest) -> Reply:
            if request.headers.get("if-none-match") == ETAG:
                return Reply(304, headers={"etag": ETAG})
            return Reply(body=BODY, headers={"etag": ETAG})

        server.on("/x", answer)
        folder = Folder(tmp_path, exists="refresh")
        first = await fetch(server, folder, None)
        second = await fetch(server, folder, None)
        server.on("/x", ranged(b"new", '"two"'))
        third = await fetch(server, folder, None)

        assert [each.status_code for each in (first, second, third)] == [200, 304, 200]
        assert [each.size for each in (first, second, third)] == [len(BODY), len(BODY), 3]
        assert (tmp_path / "x").read_bytes() == b"new"
        assert names(tmp_path) == [".x.refresh", "x"]

    async def test_refresh_fetches_a_file_that_was_changed_here(
        self, server: LoopbackServer, tmp_path: Path
    ):
        """What is kept beside it is not of this file."""
        server.on("/x", ranged())
        folder = Folder(tmp_path, exists="refresh")
        await fetch(server, folder, None)
        (tmp_path / "x").write_bytes(b"edited")
        result = await fetch(server, folder, None)

        assert result.status_code == 200
        assert "if-none-match" not in server.requests[-1].headers
        assert (tmp_path / "x").read_bytes() == BODY
