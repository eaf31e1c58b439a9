"""Clients that are killed at any step on the disk, while servers lie; and the runs after that."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import anyio
import pytest

from asyncbatch import Fetcher, Folder, Retry
from asyncbatch._files import _disk, _download
from asyncbatch._files._groups import Groups
from asyncbatch._runtime._threads import Threads
from tests.behaviour.files.killed import Kill, Killed, knows_unnamed
from tests.behaviour.files.lies import (
    CASES,
    CUT,
    SHORTER,
    TAG,
    TAG2,
    V1,
    V2,
    Answers,
    Ask,
    Case,
    Script,
    conditional,
    ranged,
    whole,
)
from tests.behaviour.files.test_lying_servers import fetch, names_in
from tests.machines import need_own_transports
from tests.raw_server import Peer, serve

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]

WHOLES = {V1, V2, SHORTER, b""}

AFTER: dict[str, Callable[[Case, Script], Script]] = {
    "the same": lambda _, script: script,
    "another version without a validator, and then the first": lambda case, _: Script(
        Case("", (whole(V2, cut=30), ranged(V1, TAG)), mirrors=case.mirrors)
    ),
}
"""What the server does after the client was killed, by the case and what it did before."""

FEW = {"a new version that is cut"}
"""The cases that are played without being asked for: the others take minutes."""


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each piece that arrives written by itself."""
    monkeypatch.setattr(_download, "AT_ONCE", 1)


def check_folder(folder: Path) -> None:
    """Check that what is there is a whole file, or a part, and that nothing is elsewhere."""
    if not folder.exists():
        return
    assert names_in(folder.parent) == {"folder"}
    assert names_in(folder) <= {"file", "file.part", ".file.resume"}
    assert "file" not in names_in(folder) or (folder / "file").read_bytes() in WHOLES


async def kill_and_run_again(case: Case, folder: Path, after: str, *, tears: bool) -> int:
    """Kill the client at each of its steps, let it run again, and return how many there are."""
    script = Script(case)

    async def play(peer: Peer) -> None:
        await script(peer)

    async with serve(play) as server:
        for at in count(1):
            script = Script(case)
            kill = Kill(at, tears=tears)
            with kill.threads(), contextlib.suppress(Killed, BaseExceptionGroup):
                await fetch(case, server.port, folder / "file")
            check_folder(folder)
            if not kill.has_killed:
                return at - 1
            script = AFTER[after](case, script)
            for _ in range(2):
                result = await fetch(case, server.port, folder / "file")
                check_folder(folder)
                assert result.ok == (folder / "file").exists()
            assert not result.ok or names_in(folder) == {"file"}
            shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError


@pytest.mark.asyncio_only
@pytest.mark.any_loop
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.name, marks=[] if case.name in FEW else pytest.mark.slow)
        for case in CASES
    ],
)
@pytest.mark.parametrize("received", ["small_pieces", "small_blocks"])
async def test_a_client_that_is_killed_leaves_no_wrong_file(
    case: Case, after: str, received: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """
    At whichever step it is killed, and whatever the server does then.

    Long bodies are received by the threads that are killed.
    """
    if received == "small_blocks":
        need_own_transports()
    in_threads = request.getfixturevalue(received)
    for tears in (False, True):
        folder = tmp_path / str(tears) / "folder"
        steps = await kill_and_run_again(case, folder, after, tears=tears)

        # What is refused by its head alone does not touch the disk.
        assert steps > 0 or case.file is case.left is None
    assert received == "small_pieces" or case.name not in FEW or sum(in_threads) > 0


@pytest.mark.asyncio_only
@pytest.mark.any_loop
@pytest.mark.parametrize("is_new", [False, True], ids=["a folder", "no folder"])
async def test_a_client_that_is_killed_with_a_whole_body_leaves_all_of_it_or_none(
    is_new: bool, tmp_path: Path
) -> None:
    """Where files without names are known, not even a part of it; the next run has it."""
    case = Case("", ())
    knows = await anyio.to_thread.run_sync(knows_unnamed, tmp_path)
    left = {"file"} if knows else {"file", "file.part"}

    async def play(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"".join(whole(V1)(Ask(None)).pieces()))

    async with serve(play) as server:
        for at in count(1):
            folder = tmp_path / str(at) / "folder"
            if not is_new:
                folder.mkdir(parents=True)
            kill = Kill(at, tears=at % 2 == 0)
            with kill.threads(), contextlib.suppress(Killed, BaseExceptionGroup):
                await fetch(case, server.port, folder / "file")
            check_folder(folder)
            assert not folder.exists() or names_in(folder) <= left
            if not kill.has_killed:
                break
            result = await fetch(case, server.port, folder / "file")

            assert result.ok
            assert names_in(folder) == {"file"}
            assert (folder / "file").read_bytes() == V1

    assert at > 3


class OneGroup(Groups):
    """Has no thread begin before there are as many calls as a group takes."""

    def _hand_over(self) -> None:
        if len(self._waiting) < self._size:
            self._local.turn = None
            return
        super()._hand_over()


@pytest.mark.asyncio_only
@pytest.mark.any_loop
@pytest.mark.parametrize("tears", [False, True])
async def test_a_client_that_is_killed_with_a_group_leaves_each_file_whole_or_not_there(
    tears: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each step of the group: none is written half, and the next run has all of them."""
    names = set("abcde")
    if not await anyio.to_thread.run_sync(knows_unnamed, tmp_path):
        pytest.skip("this file system has no files without names")
    threads = Threads("asyncbatch-disk", 2)
    group = OneGroup(threads, limit=2, size=len(names), weight=2**20)
    monkeypatch.setattr(_disk, "_groups", group)

    async def play(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"".join(whole(V1)(Ask(None)).pieces()))

    async def fetch_all(folder: Path, port: int) -> int:
        urls = [f"http://127.0.0.1:{port}/{name}" for name in sorted(names)]
        async with Fetcher(give_up_host_after=None) as fetcher:
            results = await fetcher.fetch_many(urls, to=Folder(folder))
        return sum(result.ok for result in results)

    async with serve(play) as server:
        for at in count(1):
            folder = tmp_path / str(at)
            kill = Kill(at, tears=tears)
            with kill.threads(), contextlib.suppress(Killed, BaseExceptionGroup):
                await fetch_all(folder, server.port)
            found = names_in(folder) if folder.exists() else set()
            assert found <= names
            assert all((folder / name).read_bytes() == V1 for name in found)
            if not kill.has_killed:
                break
            with monkeypatch.context() as patch:  # there are too few for a group
                patch.setattr(group, "_size", len(names - found))
                assert await fetch_all(folder, server.port) == len(names)

            assert names_in(folder) == names
            assert all((folder / name).read_bytes() == V1 for name in names)

    # A folder, five bodies, at least one sync, and five names.
    assert at > 12


@pytest.mark.asyncio_only
@pytest.mark.any_loop
@pytest.mark.slow
@pytest.mark.parametrize("name", ["the rest", "a new version that is cut", "a part unnamed"])
async def test_a_process_that_ends_at_a_step_leaves_no_wrong_file(
    name: str, tmp_path: Path
) -> None:
    """Without any of what a program does at its end."""
    (case,) = (case for case in CASES if case.name == name)
    script = Script(case)
    folder = tmp_path / "folder"

    async def play(peer: Peer) -> None:
        await script(peer)

    async with serve(play) as server:
        for at in count(1):
            script = Script(case)
            command = [sys.executable, "-m", "tests.behaviour.files.killed"]
            ended = await anyio.run_process(
                [*command, str(server.port), str(folder / "file"), str(at)],
                check=False,
                cwd=ROOT,
                stderr=None,
            )
            check_folder(folder)
            if ended.returncode == 0:
                break
            assert ended.returncode == 9
            result = await fetch(case, server.port, folder / "file")
            check_folder(folder)
            assert result.ok == (folder / "file").exists()
            shutil.rmtree(folder, ignore_errors=True)

    assert at > 5
    assert ended.stdout.strip() == b"True"
    assert names_in(folder) == {"file"}


@pytest.mark.asyncio_only
@pytest.mark.any_loop
@pytest.mark.once
@pytest.mark.parametrize("exists", ["overwrite", "refresh", "rename"])
@pytest.mark.parametrize("back", [False, True], ids=["changed", "changed back"])
async def test_a_client_that_is_killed_leaves_the_file_before_or_the_file_after(
    exists: str, back: bool, tmp_path: Path, small_pieces: None
) -> None:
    """And the next run has what the server has, even if that is what it had before all."""
    script = Script(Case("", ()))

    async def play(peer: Peer) -> None:
        await script(peer)

    async def run(*answers: Answers) -> None:
        nonlocal script
        script = Script(Case("", answers))
        to = Folder(folder, exists=exists)
        async with Fetcher(to=to, retry=Retry(backoff=0.0), give_up_host_after=None) as fetcher:
            await fetcher.fetch(f"{server.url}file")

    async with serve(play) as server:
        for at in count(1):
            folder = tmp_path / str(at)
            await run(conditional(V1, TAG))
            kill = Kill(at, tears=at % 2 == 0)
            with kill.threads(), contextlib.suppress(Killed, BaseExceptionGroup):
                await run(whole(V2, TAG2, cut=CUT), conditional(V2, TAG2))
            assert (folder / "file").read_bytes() in (V1, V2)
            if not kill.has_killed:
                break
            now, tag = (V1, TAG) if back else (V2, TAG2)
            await run(conditional(now, tag))

            if exists == "rename":
                made = {(folder / name).read_bytes() for name in names_in(folder) - {"file"}}
                assert (folder / "file").read_bytes() == V1
                assert made in ({now}, {V2, now})
            else:
                assert (folder / "file").read_bytes() == now
                assert names_in(folder) - {".file.refresh"} == {"file"}

    assert at > 5
