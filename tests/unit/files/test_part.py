"""`Part`: a file while it is written, its lock, and what stands beside it."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from asyncbatch._files import _part
from asyncbatch._files._part import Part


def opened(target: Path) -> Part:
    part = Part()
    part.open(target)
    return part


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_part_stands_beside_its_target_until_it_is_complete(tmp_path: Path):
    """And nothing else remains afterwards."""
    part = opened(tmp_path / "x.bin")
    part.keep({"etag": '"1"'})
    part.write([b"ab", b"c"])
    while_written = names(tmp_path)
    part.complete(tmp_path / "x.bin", replaces=False)

    assert while_written == [".x.bin.resume", "x.bin.part"]
    assert names(tmp_path) == ["x.bin"]
    assert (tmp_path / "x.bin").read_bytes() == b"abc"


def test_a_part_is_found_again_with_what_was_kept(tmp_path: Path):
    """A second `Part` goes on where the first was closed."""
    part = opened(tmp_path / "x")
    part.keep({"etag": '"1"'})
    part.write([b"abc"])
    part.close()
    again = opened(tmp_path / "x")
    state = again.state()
    size = again.size
    again.write([b"d"])
    again.complete(tmp_path / "x", replaces=False)

    assert state is not None
    assert (state["etag"], size) == ('"1"', 3)
    assert (tmp_path / "x").read_bytes() == b"abcd"


def test_an_empty_part_does_not_remain(tmp_path: Path):
    """A request that never had a body leaves nothing behind."""
    opened(tmp_path / "x").close()

    assert names(tmp_path) == []


def test_a_part_has_one_writer(tmp_path: Path):
    """The second is told, and the lock ends with the first."""
    first = opened(tmp_path / "x")
    second = Part()
    with pytest.raises(BlockingIOError, match="another program writes it"):
        second.open(tmp_path / "x")
    first.write([b"a"])
    first.close()

    opened(tmp_path / "x").close()


class Windows:
    """The locks of Windows' C library: of bytes, by open file, until that is closed."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.locked: dict[tuple[int, int, int], int] = {}

    def locking(self, fd: int, mode: int, count: int) -> None:
        found = os.fstat(fd)
        byte = found.st_dev, found.st_ino, os.lseek(fd, 0, os.SEEK_CUR)
        holder = self.locked.get(byte)
        assert (mode, count) == (self.LK_NBLCK, 1)
        if holder not in (None, fd) and is_open(holder, found):
            raise PermissionError(errno.EACCES, "Permission denied")
        self.locked[byte] = fd


def is_open(fd: int, found: os.stat_result) -> bool:
    """Whether a file is still open as `fd`."""
    try:
        return os.path.samestat(os.fstat(fd), found)
    except OSError:
        return False


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """Lock as on Windows, where an open file is neither removed nor renamed."""
    library, unlink, replace, rename = Windows(), Path.unlink, Path.replace, Path.rename

    def refuse_open(path: Path) -> None:
        if any(is_open(fd, path.stat()) for fd in library.locked.values()):
            raise PermissionError(errno.EACCES, "it is open", str(path))

    def unlink_closed(path: Path, missing_ok: bool = False) -> None:
        refuse_open(path)
        unlink(path, missing_ok)

    def replace_closed(path: Path, target: Path) -> Path:
        refuse_open(path)
        return replace(path, target)

    def rename_closed(path: Path, target: Path) -> Path:
        refuse_open(path)
        return rename(path, target)

    for name, function in (
        ("unlink", unlink_closed),
        ("replace", replace_closed),
        ("rename", rename_closed),
    ):
        monkeypatch.setattr(Path, name, function)
    for name, value in (("fcntl", None), ("msvcrt", library), ("_IS_WINDOWS", True)):
        monkeypatch.setattr(_part, name, value, raising=False)
    return library


def test_a_part_is_written_by_one_on_windows_too(tmp_path: Path, windows: Windows):
    """By a lock on a byte that no body reaches, since bytes that are locked cannot be read."""
    first = opened(tmp_path / "x")
    first.write([b"abc"])
    with pytest.raises(BlockingIOError, match="another program writes it"):
        Part().open(tmp_path / "x")
    first.close()
    second = opened(tmp_path / "x")
    size = second.size
    second.close()

    assert size == 3
    assert {byte for _, _, byte in windows.locked} == {2**43}


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("replaces", [False, True])
def test_a_part_is_closed_before_it_is_moved_on_windows(tmp_path: Path, replaces: bool):
    """An open file cannot get another name there, and cannot be removed."""
    completed, removed = opened(tmp_path / "x"), opened(tmp_path / "y")
    completed.write([b"abc"])
    completed.complete(tmp_path / "x", replaces=replaces)
    removed.write([b"abc"])
    removed.keep({"etag": '"1"'})
    removed.remove()

    assert names(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"abc"


def test_a_part_that_was_completed_between_opening_and_locking_is_not_touched(tmp_path: Path):
    """The name leads to the finished file then, which must stay as it is."""
    first = opened(tmp_path / "x")
    first.write([b"whole"])
    second = Part()
    second.path = first.path
    opened_before = first.path.stat()
    first.complete(tmp_path / "x", replaces=False)
    is_there = second._is_at(opened_before)
    second.open(tmp_path / "x")
    second.write([b"new"])
    second.close()

    assert not is_there
    assert (tmp_path / "x").read_bytes() == b"whole"


@pytest.mark.parametrize("plant", ["link", "folder", "pipe"])
def test_what_is_planted_in_the_place_of_a_part_is_refused(tmp_path: Path, plant: str):
    """No link is followed, and nothing but a file is opened."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    place = folder / "x.part"
    if plant == "link":
        place.symlink_to(victim)
    elif plant == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    part = Part()
    with pytest.raises(OSError):  # noqa: PT011  # each has its own errno
        part.open(folder / "x")

    assert victim.read_bytes() == b"precious"


def test_a_hard_link_in_the_place_of_a_part_is_replaced(tmp_path: Path):
    """What is written must not appear elsewhere."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.link(victim, tmp_path / "x.part")
    part = opened(tmp_path / "x")
    size = part.size
    part.write([b"new"])
    part.complete(tmp_path / "x", replaces=False)

    assert size == 0
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("replaces", [True, False])
def test_a_file_that_takes_the_place_of_an_open_part_is_not_taken_for_it(
    tmp_path: Path, replaces: bool
):
    """Neither does it get the name of the target, nor is it removed."""
    part = opened(tmp_path / "x")
    part.write([b"ours"])
    (tmp_path / "x.part").unlink()
    (tmp_path / "x.part").write_text("of another program")

    with pytest.raises(OSError, match="another file has taken the place"):
        part.complete(tmp_path / "x", replaces=replaces)
    part.remove()

    assert names(tmp_path) == ["x.part"]
    assert (tmp_path / "x.part").read_text() == "of another program"


def test_a_link_in_the_place_of_the_file_beside_is_not_followed(tmp_path: Path):
    """Neither to read nor to write."""
    victim = tmp_path / "victim"
    victim.write_text('{"etag": "1"}\n')
    (tmp_path / ".x.resume").symlink_to(victim)
    part = opened(tmp_path / "x")
    state = part.state()
    part.keep({"etag": '"2"'})
    part.close()

    assert state is None
    assert victim.read_text() == '{"etag": "1"}\n'


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"\xff\xfe\n", b"{" * 200_000])
def test_damage_beside_a_part_is_no_error(tmp_path: Path, content: bytes):
    """Nothing is known then, and the body begins at 0."""
    (tmp_path / ".x.resume").write_bytes(content)
    part = opened(tmp_path / "x")
    state = part.state()
    part.close()

    assert state is None


def test_after_a_restart_of_the_system_only_synced_bytes_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The others may be zeros, whatever the size of the file says."""
    part = opened(tmp_path / "x")
    part.keep({})
    part.write([b"abc"])
    part.sync()
    part.write([b"def"])
    part.close()
    monkeypatch.setattr("asyncbatch._files._part._boot", lambda: "another")
    again = opened(tmp_path / "x")
    again.state()
    size = again.size
    again.close()

    assert size == 3


def test_a_count_that_was_cut_off_is_not_joined_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Of 1 and 3, 13 would be more than there is; the complete one counts."""
    part = opened(tmp_path / "x")
    part.keep({})
    part.write([b"abc"])
    with (tmp_path / ".x.resume").open("ab") as beside:
        beside.write(b"1")
    part.sync()
    part.write([b"d" * 20])
    part.close()
    monkeypatch.setattr("asyncbatch._files._part._boot", lambda: "another")
    again = opened(tmp_path / "x")
    again.state()
    size = again.size
    again.close()

    assert size == 3


def test_the_mode_is_that_of_the_umask(tmp_path: Path):
    """As for every file that a program makes; what stands beside it is the owner's alone."""
    before = os.umask(0o027)
    try:
        part = opened(tmp_path / "x")
        part.keep({})
        part.write([b"a"])
        beside = (tmp_path / ".x.resume").stat().st_mode
        part.complete(tmp_path / "x", replaces=False)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
    assert stat.S_IMODE(beside) == 0o600


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path):
    """Unless it is to be."""
    part = opened(tmp_path / "x")
    part.write([b"new"])
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        part.complete(tmp_path / "x", replaces=False)
    kept = (tmp_path / "x").read_bytes()
    part.complete(tmp_path / "x", replaces=True)

    assert kept == b"old"
    assert (tmp_path / "x").read_bytes() == b"new"
    assert names(tmp_path) == ["x"]


def test_without_hard_links_a_file_is_not_replaced_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As on FAT."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    part = opened(tmp_path / "x")
    part.write([b"new"])
    (tmp_path / "x").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        part.complete(tmp_path / "x", replaces=False)
    (tmp_path / "x").unlink()
    part.complete(tmp_path / "x", replaces=False)

    assert (tmp_path / "x").read_bytes() == b"new"


def test_after_closing_nothing_is_written(tmp_path: Path):
    """A thread may come too late, after its try was cancelled."""
    fed: list[bytes] = []
    part = opened(tmp_path / "x")
    part.keep({})
    part.write([b"a"])
    part.close()
    part.write([b"b"])
    part.cut(0)
    part.sync()
    part.keep({"etag": '"2"'})
    part.feed(fed.append)
    with pytest.raises(OSError, match="has been closed"):
        part.complete(tmp_path / "x", replaces=False)
    late = Part()
    late.close()
    late.open(tmp_path / "y")

    assert (tmp_path / "x.part").read_bytes() == b"a"
    assert '"2"' not in (tmp_path / ".x.resume").read_text()
    assert fed == []
    assert not late.is_open
    assert not (tmp_path / "y.part").exists()


def test_bytes_that_are_there_are_fed_to_a_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In pieces, each once."""
    monkeypatch.setattr("asyncbatch._files._part._READ", 2)
    part = opened(tmp_path / "x")
    part.write([b"abcde"])
    fed: list[bytes] = []
    part.feed(fed.append)
    part.close()

    assert b"".join(fed) == b"abcde"
    assert max(map(len, fed)) == 2


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="not on this system")
def test_a_long_part_is_brought_to_the_disk_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each byte is on its way once, so that little is left to sync at the end."""
    monkeypatch.setattr("asyncbatch._files._part._UNSTARTED", 4)
    asked: list[tuple[int, int]] = []

    def advise(fd: int, start: int, length: int, advice: int) -> None:
        asked.append((start, length))
        raise OSError(errno.EINVAL, "no advice here")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    part = opened(tmp_path / "x")
    for piece in (b"abc", b"defg", b"h", b"ijklmnop"):
        part.write([piece])
    part.cut(2)
    part.write([b"cdef"])
    part.complete(tmp_path / "x", replaces=False)

    assert asked == [(0, 7), (7, 9), (2, 4)]
    assert (tmp_path / "x").read_bytes() == b"abcdef"


def test_threads_may_call_it_at_the_same_time(tmp_path: Path):
    """Each call is whole."""
    part = opened(tmp_path / "x")
    threads = [threading.Thread(target=part.write, args=([bytes([at]) * 1000],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    part.complete(tmp_path / "x", replaces=False)
    content = (tmp_path / "x").read_bytes()

    assert sorted(content[at : at + 1000] for at in range(0, 8000, 1000)) == [
        bytes([at]) * 1000 for at in range(8)
    ]


@pytest.mark.parametrize("becomes", ["nothing", "another file"])
def test_a_part_that_is_taken_away_each_time_it_is_opened_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, becomes: str
):
    """Other programs complete the file again and again."""
    openings: list[int] = []

    def lock_late(fd: int, path: Path) -> None:
        openings.append(fd)
        path.unlink()
        if becomes == "another file":
            path.write_bytes(b"theirs")

    monkeypatch.setattr(_part, "_lock_file", lock_late)
    part = Part()

    with pytest.raises(OSError, match="other programs write it"):
        part.open(tmp_path / "x")

    part.close()
    assert len(openings) == 10
    assert names(tmp_path) == ([] if becomes == "nothing" else ["x.part"])


def test_a_piece_that_is_written_in_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A call of the system may write less than it is given, as near the end of a disk."""
    write = os.write
    part = opened(tmp_path / "x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, piece: write(fd, bytes(piece)[:2]))
        part.write([b"abcde", b"f"])
    part.complete(tmp_path / "x", replaces=False)

    assert part.size == 6
    assert (tmp_path / "x").read_bytes() == b"abcdef"


def test_a_part_that_became_shorter_has_no_hash(tmp_path: Path):
    """Another program has cut it; reading would not end."""
    part = opened(tmp_path / "x")
    part.write([b"abcde"])
    os.truncate(part.path, 3)
    fed: list[bytes] = []

    with pytest.raises(OSError, match="became shorter"):
        part.feed(fed.append)

    part.close()
    assert fed == [b"abc"]


def test_without_advice_to_the_system_a_long_part_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only Linux and some others take it."""
    monkeypatch.setattr(_part, "_UNSTARTED", 4)
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    part = opened(tmp_path / "x")

    part.write([b"abcdef"])
    part.complete(tmp_path / "x", replaces=False)

    assert (tmp_path / "x").read_bytes() == b"abcdef"


@pytest.mark.skipif(_part.fcntl is None, reason="other locks")
def test_a_file_system_without_locks_has_parts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Some network file systems have none."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_part.fcntl, "flock", refuse)
    part = opened(tmp_path / "x")
    part.write([b"a"])
    part.complete(tmp_path / "x", replaces=False)

    assert (tmp_path / "x").read_bytes() == b"a"


def test_a_system_that_does_not_name_its_start_is_taken_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only Linux names it: a part is continued elsewhere too."""

    def refuse(path: Path, *given: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(_part, "_boot", _part._boot.__wrapped__)
    monkeypatch.setattr(Path, "read_text", refuse)
    part = opened(tmp_path / "x")
    part.keep({"etag": '"1"'})
    part.write([b"abc"])
    part.close()
    again = opened(tmp_path / "x")

    assert again.state() == {"etag": '"1"'}
    assert again.size == 3
    again.close()


def test_a_part_that_was_removed_is_not_missed(tmp_path: Path):
    """By another program, say; nothing of it remains."""
    part = opened(tmp_path / "x")
    part.keep({"etag": '"1"'})
    part.write([b"ours"])
    (tmp_path / "x.part").unlink()
    part.remove()

    assert names(tmp_path) == []
