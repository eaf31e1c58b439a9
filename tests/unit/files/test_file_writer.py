"""`FileWriter`: what threads of the disk do for one file, called without a thread."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from asyncbatch import FailureKind, Folder, Request
from asyncbatch._files._continuation import Action, Asked, Decision
from asyncbatch._files._file_writer import MAX_REPETITIONS, FileWriter
from asyncbatch._files._files import Files
from asyncbatch._files._naming import Naming
from asyncbatch._files._part import Part
from asyncbatch._values._checksum import checksum_of
from asyncbatch._values._sink import Head, Mismatch, SinkFailure, TooLarge

URL = "http://host.test/x"
HEAD = Head(200, "GET", URL, [(b"etag", b'"one"')], lambda: None)


def file_writer(
    folder: Path, *, exists: str = "overwrite", resume: bool = True, checksum: str | None = None
) -> FileWriter:
    request = Request(URL)
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
