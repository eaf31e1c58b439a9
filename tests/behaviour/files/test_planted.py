"""What stands in the place of a file, of its part, or of what is beside that, before a fetch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from asyncbatch import Fetcher, Folder
from tests.behaviour.files.lies import CUT, TAG, V1, V2, Ask, Case, Script, ranged, whole
from tests.behaviour.files.test_lying_servers import fetch, names_in
from tests.raw_server import Peer, serve
from tests.waiting import until

VICTIM = b"not to be touched"

pytestmark = [
    pytest.mark.any_loop,
    pytest.mark.once,
    pytest.mark.skipif(sys.platform == "win32", reason="no links and pipes without privileges"),
]


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "victim")


def link_to_nothing(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "new")


def link_to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def relative_link(place: Path, outside: Path) -> None:
    place.symlink_to(os.path.relpath(outside / "victim", place.parent))


def second_name(place: Path, outside: Path) -> None:
    os.link(outside / "victim", place)


def folder(place: Path, outside: Path) -> None:
    place.mkdir()


def full_folder(place: Path, outside: Path) -> None:
    place.mkdir()
    (place / "inside").write_bytes(VICTIM)


def pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


LINKS = [link_to_file, link_to_nothing, link_to_folder, relative_link]
OTHERS = [folder, full_folder, pipe]

Plant = Callable[[Path, Path], None]


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return what is in a folder, and the mode of each."""
    return {path.name: (path.read_bytes(), path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize("cut", [None, CUT])
@pytest.mark.parametrize(
    ("name", "plant", "is_written"),
    [
        *[("file", plant, False) for plant in [*LINKS, *OTHERS]],
        *[("file.part", plant, False) for plant in [*LINKS, *OTHERS]],
        ("file.part", second_name, True),
        *[(".file.resume", plant, True) for plant in [*LINKS, second_name, pipe]],
        *[(".file.resume", plant, False) for plant in [folder, full_folder]],
    ],
)
async def test_what_is_planted_leads_nowhere(
    name: str, plant: Plant, is_written: bool, cut: int | None, tmp_path: Path
) -> None:
    """No link is followed, and nothing outside of the folder is changed or made."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "victim").write_bytes(VICTIM)
    plant(inside / name, outside)
    before = snapshot(outside)
    case = Case("planted", (whole(V1, TAG, cut=cut), ranged(V1, TAG)))
    async with serve(Script(case)) as server:
        result = await fetch(case, server.port, inside / "file")

    assert snapshot(outside) == before
    assert result.kind == (None if is_written else "disk"), result.error
    if is_written:
        assert names_in(inside) == {"file"}
        assert (inside / "file").read_bytes() == V1
        assert not (inside / "file").is_symlink()
    else:
        assert (inside / name).is_symlink() or not (inside / name).is_file()
        assert names_in(inside) <= {name, "file.part", ".file.resume"}


@pytest.mark.parametrize("exists", ["skip", "overwrite", "refresh", "error", "rename"])
async def test_a_file_with_a_second_name_elsewhere_is_never_written_into(
    exists: str, tmp_path: Path
) -> None:
    """A file is replaced by its name, so that its other names keep what they have."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "victim").write_bytes(VICTIM)
    os.link(outside / "victim", inside / "file")
    case = Case("planted", (ranged(V1, TAG),))
    to = Folder(inside, exists=exists)
    async with serve(Script(case)) as server, Fetcher(to=to, retry=None) as fetcher:
        result = await fetcher.fetch(f"{server.url}file")

    assert (outside / "victim").read_bytes() == VICTIM
    assert result.kind == ("disk" if exists == "error" else None)
    written = {"overwrite": "file", "refresh": "file", "rename": "file (1)"}.get(exists)
    assert written is None or (inside / written).read_bytes() == V1
    assert (inside / "file").read_bytes() == (V1 if written == "file" else VICTIM)


@pytest.mark.parametrize("place", ["victim/file", "victim/deeper/file"])
async def test_a_target_below_a_file_is_a_failure_of_the_disk(place: str, tmp_path: Path) -> None:
    """There is no folder for it, and none can be made."""
    (tmp_path / "victim").write_bytes(VICTIM)
    case = Case("no folder", (ranged(V1, TAG),))
    script = Script(case)
    async with serve(script) as server:
        result = await fetch(case, server.port, tmp_path / place)

    assert result.kind == "disk"
    assert isinstance(result.error, OSError)
    assert (tmp_path / "victim").read_bytes() == VICTIM
    assert script.asked == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that root cannot write")
async def test_a_folder_that_cannot_be_written_is_a_failure_of_the_disk() -> None:
    """It is found out when there is something to write."""
    case = Case("not writable", (ranged(V1, TAG),))
    async with serve(Script(case)) as server:
        result = await fetch(case, server.port, Path("/proc/self/file"))

    assert result.kind == "disk"
    assert isinstance(result.error, OSError)


async def test_of_two_fetchers_with_one_target_the_second_fails(tmp_path: Path) -> None:
    """The part is locked while a body arrives; the first one's file is as it was sent."""
    part = tmp_path / "file.part"
    second_has_ended = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        head, *pieces = whole(V1, TAG)(Ask(None)).pieces()
        await peer.send(head, pieces[0])
        await second_has_ended.wait()
        await peer.send(*pieces[1:])

    results = []
    case = Case("two", ())
    async with serve(script) as server, anyio.create_task_group() as group:

        async def fetch_first() -> None:
            results.append(await fetch(case, server.port, tmp_path / "file"))

        group.start_soon(fetch_first)
        await until(lambda: part.exists() and part.stat().st_size > 0)
        second = await fetch(case, server.port, tmp_path / "file")
        second_has_ended.set()

    assert second.kind == "disk"
    assert "another program" in str(second.error)
    assert results[0].ok
    assert (tmp_path / "file").read_bytes() == V1
    assert names_in(tmp_path) == {"file"}
    assert len(server.requests) == 1


LOCK = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


async def test_a_part_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    """Its lock ends with the process; then the file is fetched."""
    part = tmp_path / "file.part"
    part.write_bytes(V2[:CUT])
    case = Case("locked", (ranged(V1, TAG),))
    command = [sys.executable, "-c", LOCK, str(part)]
    async with serve(Script(case)) as server:
        async with await anyio.open_process(command, stderr=None) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            await process.stdout.receive()
            while_locked = await fetch(case, server.port, tmp_path / "file")
            left = part.read_bytes()
            await process.stdin.aclose()
            await process.wait()
        afterwards = await fetch(case, server.port, tmp_path / "file")

    assert while_locked.kind == "disk"
    assert left == V2[:CUT]
    assert afterwards.ok
    assert (tmp_path / "file").read_bytes() == V1
