"""What is shown of files that are being received."""

from __future__ import annotations

from pathlib import Path

from asyncbatch import Progress, fetch_many
from asyncbatch.testing import LoopbackServer, Reply


async def test_progress_has_the_files_under_way(server: LoopbackServer, tmp_path: Path):
    """Their bytes and rates, each and in all; afterwards there are none."""
    server.on("/*", Reply(body=b"x" * 400_000).paced(100_000, every=0.15))
    seen: list[Progress] = []
    urls = [server.url("/a"), server.url("/b")]
    await fetch_many(urls, to=tmp_path, progress=seen.append)
    under_way = [progress for progress in seen if len(progress.files) == 2]

    assert under_way
    assert {file.path for file in under_way[0].files} == {tmp_path / "a", tmp_path / "b"}
    assert {file.size for progress in under_way for file in progress.files} == {400_000}
    for progress in under_way:
        assert progress.bytes == sum(file.received for file in progress.files)
    assert any(file.rate > 0 for progress in under_way for file in progress.files)
    assert any(progress.byte_rate > 0 for progress in under_way)
    assert (seen[-1].files, seen[-1].bytes) == ((), 800_000)


async def test_files_that_were_there_count_no_bytes(server: LoopbackServer, tmp_path: Path):
    """Nothing was received of them."""
    (tmp_path / "a").write_bytes(b"x" * 100)
    seen: list[Progress] = []
    results = await fetch_many([server.url("/a")], to=tmp_path, progress=seen.append)

    assert seen[-1].bytes == results.summary().bytes == 0
    assert results[0].size == 100
