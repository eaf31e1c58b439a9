"""`FileWriter`: what threads of the disk do for one file, called without a thread."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncbatch import FailureKind, Folder, Request
from asyncbatch._files._continuation import Action, Asked, Decision
from asyncbatch._files._file_writer import MAX_REPETITIONS, TURN, FileWriter
from asyncbatch._files._files import Files
from asyncbatch._files._naming import Naming
from asyncbatch._files._part import Part
from asyncbatch._files._unnamed import OpenFolder, OpenFolders, close_files
from asyncbatch._values._checksum import checksum_of
from asyncbatch._values._sink import Head, Mismatch, Saved, SinkFailure, TooLarge

URL = "http://host.test/x"
HEAD = Head(200, "GET", URL, [(b"etag", b'"one"')], lambda: None)


def file_writer(
    folder: Path,
    *,
    exists: str = "overwrite",
    resume: bool = True,
    checksum: str | None = None,
    params: dict[str, str] | None = None,
) -> FileWriter:
    request = Request(URL, params=params)
    naming = Naming(Folder(folder, exists=exists), request, Files(None).claim, None)  # type: ignore[arg-type]
    return FileWriter(
        naming,
        request,
        exists=exists,
        resume=resume,
        checksum=None if checksum is None else checksum_of(checksum),
        has_condition=False,
    )


def begun(writer: FileWriter, length: int | None = None) -> Part:
    """Begin a try whose whole body comes."""
    part = Part()
    writer.reset()
    writer.prepare(part)
    writer.decision = Decision(Action.WRITE, length, length)
    writer.begin_anew(HEAD)
    return part


def expected(writer: FileWriter, length: int | None = None) -> Part:
    """Begin a try whose whole body comes, without a look at the disk."""
    writer.reset()
    writer.decision = Decision(Action.WRITE, length, length)
    writer.begin_anew(HEAD)
    return Part()


def finished(writer: FileWriter, part: Part, *pieces: bytes) -> Saved:
    """Take all the steps of a body that is there as a whole, as `Download` does."""
    assert writer.is_whole(part, sum(map(len, pieces)))
    folders, body = OpenFolders(), writer.whole_body(part, list(pieces), None)
    if body.make_first_step(folders):
        body.go_on(None)
    close_files([] if body.file is None else [body.file])
    folders.close()
    saved: Saved | None = body.unwrap()
    if saved is None:
        return writer.finish(part, list(pieces))
    part.close()
    return saved._replace(path=Path(saved.path))


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_short_body_is_continued_from_where_it_ended(tmp_path: Path) -> None:
    """The next try asks for the rest."""
    writer = file_writer(tmp_path)
    part = begun(writer, 6)
    writer.write(part, [b"abc"])
    with pytest.raises(SinkFailure) as caught:
        writer.finish(part, [])
    writer.keep(part, [])
    again = Part()
    writer.reset()
    writer.prepare(again)
    asked, kept = writer.asked, writer.kept
    again.close()

    assert caught.value.kind is FailureKind.truncated
    assert asked is Asked.REST
    assert kept is not None
    assert kept.size == 3


def test_bytes_beyond_the_end_remove_the_part(tmp_path: Path) -> None:
    """Before they are written, so that they are never continued."""
    writer = file_writer(tmp_path)
    part = begun(writer, 3)
    with pytest.raises(SinkFailure, match="longer than its head says"):
        writer.write(part, [b"abcd"])

    assert not part.is_open
    assert not writer.may_continue
    assert names(tmp_path) == []


def test_a_body_longer_than_the_limit_removes_the_part(tmp_path: Path) -> None:
    """If its head does not say how long it is."""
    writer = file_writer(tmp_path)
    writer.max_body = 3
    part = begun(writer)
    with pytest.raises(TooLarge):
        writer.write(part, [b"abcd"])

    assert names(tmp_path) == []


def test_the_hash_goes_on_over_a_part_that_is_continued(tmp_path: Path) -> None:
    """It covers the bytes of the earlier try, too."""
    writer = file_writer(tmp_path, checksum=f"sha256:{hashlib.sha256(b'abcdef').hexdigest()}")
    part = begun(writer, 6)
    writer.keep(part, [b"abc"])
    rest = Part()
    writer.reset()
    writer.prepare(rest)
    writer.decision = Decision(Action.APPEND, 6, 6)
    saved = writer.finish(rest, [b"def"])

    assert saved.plain() == (tmp_path / "x", 6, 3)
    assert (tmp_path / "x").read_bytes() == b"abcdef"


def test_another_hash_leaves_no_file_and_no_part(tmp_path: Path) -> None:
    """The next try begins at 0."""
    writer = file_writer(tmp_path, checksum=f"sha256:{hashlib.sha256(b'right').hexdigest()}")
    part = begun(writer, 5)
    with pytest.raises(Mismatch):
        writer.finish(part, [b"wrong"])

    assert not part.is_open
    assert not writer.may_continue
    assert names(tmp_path) == []


@pytest.mark.parametrize("resume", [True, False])
def test_a_part_of_an_earlier_run_is_continued_if_the_caller_allows_it(
    tmp_path: Path, resume: bool
) -> None:
    """By the folder's `resume`."""
    first = file_writer(tmp_path)
    first.keep(begun(first, 6), [b"abc"])
    second, part = file_writer(tmp_path, resume=resume), Part()
    second.prepare(part)
    part.close()

    assert second.asked is (Asked.REST if resume else Asked.WHOLE)


@pytest.mark.parametrize(
    ("exists", "size", "content"),
    [("skip", 3, b"old"), ("overwrite", 4, b"mine"), ("rename", 4, b"old")],
)
def test_a_file_that_another_program_made_meanwhile(
    tmp_path: Path, exists: str, size: int, content: bytes
) -> None:
    """It is kept, replaced, or given company, as `exists` says."""
    writer = file_writer(tmp_path, exists=exists)
    part = begun(writer, 4)
    (tmp_path / "x").write_bytes(b"old")
    saved = writer.finish(part, [b"mine"])

    assert saved.size == size
    assert (tmp_path / "x").read_bytes() == content


def test_an_error_for_a_file_that_exists_names_it(tmp_path: Path) -> None:
    """With `exists="error"`, before anything is sent."""
    (tmp_path / "x").write_bytes(b"old")

    with pytest.raises(FileExistsError, match="x"):
        file_writer(tmp_path, exists="error").prepare(Part())


def test_tries_that_begin_at_once_are_bounded(tmp_path: Path) -> None:
    """A server that sends a byte for each request does not hold one up forever."""
    writer = file_writer(tmp_path)

    assert [writer.may_repeat() for _ in range(MAX_REPETITIONS + 1)].count(True) == MAX_REPETITIONS


@pytest.fixture(params=["unnamed", "named"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With files without names, and on systems that have none."""
    if request.param == "named":
        monkeypatch.setattr(OpenFolder, "open_unnamed", lambda _: None)
    return str(request.param)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"ab", b"c"]])
def test_a_body_that_is_there_as_a_whole_is_written_at_once(
    tmp_path: Path, pieces: list[bytes]
) -> None:
    """Into a folder that is made for it, and nothing else is left."""
    writer = file_writer(tmp_path / "new", exists="skip")
    part = expected(writer, sum(map(len, pieces)))
    saved = finished(writer, part, *pieces)

    assert saved.plain() == (tmp_path / "new" / "x", sum(map(len, pieces)), 0)
    assert (tmp_path / "new" / "x").read_bytes() == b"".join(pieces)
    assert names(tmp_path / "new") == ["x"]
    assert not part.is_open


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("exists", "size"), [("skip", 3), ("rename", 4), ("error", None)])
def test_a_file_that_came_before_a_whole_body_is_kept(
    tmp_path: Path, exists: str, size: int | None
) -> None:
    """And nothing is left of the body, unless it has a name of its own."""
    writer = file_writer(tmp_path, exists=exists)
    part = expected(writer, 4)
    (tmp_path / "x").write_bytes(b"old")
    if size is None:
        with pytest.raises(FileExistsError, match="x"):
            finished(writer, part, b"mine")
        part.remove()
    else:
        assert finished(writer, part, b"mine").size == size

    assert (tmp_path / "x").read_bytes() == b"old"
    assert names(tmp_path) == (["x", "x (1)"] if exists == "rename" else ["x"])


@pytest.mark.usefixtures("way")
def test_a_whole_body_with_another_hash_leaves_nothing(tmp_path: Path) -> None:
    """As one that comes in pieces."""
    writer = file_writer(tmp_path, exists="skip", checksum=f"sha256:{'0' * 64}")
    part = expected(writer)
    with pytest.raises(Mismatch):
        finished(writer, part, b"wrong")

    assert names(tmp_path) == []
    assert not part.is_open


@pytest.mark.usefixtures("way")
def test_a_part_that_is_there_meanwhile_is_used_if_it_is_free(tmp_path: Path) -> None:
    """A body that is there as a whole goes no way around the lock of another program."""
    (tmp_path / "x.part").write_bytes(b"of another URL")
    writer = file_writer(tmp_path, exists="skip")
    other, part = Part(), expected(writer)
    other.open(tmp_path / "x")
    with pytest.raises(BlockingIOError, match="another program writes it"):
        finished(writer, part, b"mine")
    other.close()
    part = expected(writer)
    finished(writer, part, b"mine")

    assert (tmp_path / "x").read_bytes() == b"mine"
    assert names(tmp_path) == ["x"]


def test_a_whole_body_of_a_try_that_has_ended_gets_no_name(tmp_path: Path) -> None:
    """A thread may come too late, after its try was cancelled."""
    writer = file_writer(tmp_path, exists="skip")
    part = expected(writer)
    folders, body = OpenFolders(), writer.whole_body(part, [b"late"], None)
    is_written = body.make_first_step(folders)
    part.close()
    if is_written:
        body.go_on(None)
        assert body.file is not None
        close_files([body.file])
        with pytest.raises(OSError, match="closed"):
            body.unwrap()
    folders.close()

    assert names(tmp_path) == []


def test_a_whole_body_that_could_not_be_written_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for a moment: nothing has been written that could be continued."""
    writer = file_writer(tmp_path, exists="skip")
    part = expected(writer)
    opened = []
    monkeypatch.setattr(Part, "open", lambda _, target: opened.append(target))
    writer.keep(part, [])

    assert opened == []
    assert not part.is_open


@pytest.mark.parametrize("exists", ["overwrite", "refresh"])
def test_a_body_that_may_replace_a_file_has_a_part(tmp_path: Path, exists: str) -> None:
    """Only what has a name can take the place of another file."""
    writer = file_writer(tmp_path, exists=exists)

    assert not writer.is_whole(expected(writer), 4)


def test_a_body_is_whole_only_if_it_is_what_its_head_says(tmp_path: Path) -> None:
    """Not if it is too short, too long, or longer than the limit, nor if there is a part."""
    writer = file_writer(tmp_path, exists="skip")
    part = expected(writer, 4)
    found = [writer.is_whole(part, size) for size in (3, 4, 5)]
    writer.max_body = 3
    limited = writer.is_whole(part, 4)
    writer.max_body = None
    part.open(tmp_path / "x")
    part.close()

    assert found == [False, True, False]
    assert not limited
    assert not writer.is_whole(part, 4)


def test_a_file_system_that_gives_no_name_gets_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash is that of the body, counted once."""
    digest = hashlib.sha256(b"abc").hexdigest()
    writer = file_writer(tmp_path, exists="skip", checksum=f"sha256:{digest}")
    part = expected(writer)
    link = os.link

    def refuse(source: str, target: Path, **options: object) -> None:
        if options.get("follow_symlinks"):
            raise PermissionError("no names here")
        link(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", refuse)
    finished(writer, part, b"abc")

    assert (tmp_path / "x").read_bytes() == b"abc"
    assert names(tmp_path) == ["x"]


def refilling(*pieces: bytes) -> Callable[[memoryview], int]:
    """Make what receives these pieces."""
    left = list(pieces)

    def refill(memory: memoryview) -> int:
        piece = left.pop(0) if left else b""
        memory[: len(piece)] = piece
        return len(piece)

    return refill


def never() -> bool:
    return False


def test_what_is_received_in_the_thread_is_written_and_hashed(tmp_path: Path) -> None:
    """Like what is handed over."""
    body = b"abcdefghi"
    writer = file_writer(tmp_path, checksum=f"sha256:{hashlib.sha256(body).hexdigest()}")
    part = begun(writer, len(body))
    writer.write(part, [b"abc"])
    count = writer.go_on(part, refilling(b"def", b"gh"), memoryview(bytearray(4)), never)
    saved = writer.finish(part, [b"i"])

    assert count == 5
    assert saved.size == len(body)
    assert (tmp_path / "x").read_bytes() == body


def test_a_thread_that_is_waited_for_receives_no_more(tmp_path: Path) -> None:
    """After its turn."""
    writer = file_writer(tmp_path)
    part = begun(writer)
    piece = bytes(TURN // 2)
    memory = memoryview(bytearray(TURN))
    count = writer.go_on(part, refilling(piece, piece, piece), memory, lambda: True)
    writer.finish(part, [])

    assert count == TURN
    assert (tmp_path / "x").stat().st_size == TURN


def test_for_a_part_that_is_closed_nothing_is_received(tmp_path: Path) -> None:
    """Its try was cancelled."""
    writer = file_writer(tmp_path)
    part = begun(writer)
    writer.write(part, [b"abc"])
    part.close()

    assert writer.go_on(part, refilling(b"def"), memoryview(bytearray(4)), never) == 0


def test_too_many_bytes_are_found_in_the_thread(tmp_path: Path) -> None:
    """By the length of the body, and by its limit."""
    writer = file_writer(tmp_path)
    part = begun(writer, 4)
    writer.write(part, [b"abc"])
    with pytest.raises(SinkFailure, match="longer than its head says"):
        writer.go_on(part, refilling(b"def"), memoryview(bytearray(4)), never)
    part = begun(writer)
    writer.max_body = 5
    writer.write(part, [b"abc"])
    with pytest.raises(TooLarge):
        writer.go_on(part, refilling(b"def"), memoryview(bytearray(4)), never)

    assert names(tmp_path) == []


def test_a_part_is_continued_only_for_the_same_parameters(tmp_path: Path) -> None:
    """They are a part of the URL."""
    writer = file_writer(tmp_path, params={"a": "1"})
    part = begun(writer, 6)
    writer.write(part, [b"abc"])
    writer.keep(part, [])
    asked = {}
    for value in ("2", "1"):
        again, other = Part(), file_writer(tmp_path, params={"a": value})
        other.prepare(again)
        asked[value] = other.asked
        again.close()

    assert asked == {"1": Asked.REST, "2": Asked.WHOLE}


@pytest.mark.parametrize(
    ("content", "asked"),
    [(b"abc", Asked.NEWER), (b"abd", Asked.WHOLE), (None, Asked.WHOLE)],
    ids=["right", "wrong", "absent"],
)
def test_a_file_is_refreshed_only_if_its_hash_is_right(
    tmp_path: Path, content: bytes | None, asked: Asked
) -> None:
    """The server would say that a wrong one has not changed."""
    digest = hashlib.sha256(b"abc").hexdigest()
    path = tmp_path / "x"
    if content is not None:
        writer = file_writer(tmp_path, exists="refresh")
        part = begun(writer, 3)
        writer.finish(part, [content])
        assert path.read_bytes() == content
    writer = file_writer(tmp_path, exists="refresh", checksum=f"sha256:{digest}")
    part = Part()

    writer.prepare(part)
    part.close()

    assert writer.asked is asked


class Halves:
    """A decoder that passes each byte on twice, in two pieces."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put

    def feed(self, piece: bytes) -> None:
        self._put(piece)
        self._put(piece)

    def finish(self) -> None:
        pass


@pytest.mark.parametrize(("hashed", "is_right"), [(b"abab", True), (b"ab", False)])
def test_the_hash_is_that_of_the_decoded_body(
    tmp_path: Path, hashed: bytes, is_right: bool
) -> None:
    """Which is what the file has."""
    digest = hashlib.sha256(hashed).hexdigest()
    writer = file_writer(tmp_path, checksum=f"sha256:{digest}")
    part = begun(writer)
    writer.decode_by(Halves, part)  # type: ignore[arg-type]  # as much of a decoder as is used
    if not is_right:
        with pytest.raises(Mismatch):
            writer.finish(part, [b"ab"])
        assert names(tmp_path) == []
        return

    writer.finish(part, [b"ab"])

    assert (tmp_path / "x").read_bytes() == b"abab"
