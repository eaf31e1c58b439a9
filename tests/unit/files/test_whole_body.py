"""`WholeBody`: the steps of a body that goes to a file without a name, made without a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncbatch import Folder
from asyncbatch._files import _whole_body
from asyncbatch._files._files import Files
from asyncbatch._files._naming import Naming
from asyncbatch._files._unnamed import OpenFolders, close_files
from asyncbatch._files._whole_body import WholeBody
from asyncbatch._values._sink import Saved

URL = "http://host.test/x"


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[OpenFolders]:
    opened = OpenFolders()
    folder = opened.get(str(tmp_path))
    file = None if folder is None else folder.open_unnamed()
    if file is None:
        pytest.skip("this file system has no files without names")
    close_files([file])
    yield opened
    opened.close()


def body(
    folder: Path,
    exists: str = "skip",
    check: Callable[[bytes], None] | None = None,
    is_wanted: Callable[[], bool] | None = None,
) -> WholeBody:
    naming = Naming(Folder(folder, exists=exists), URL, Files(None).claim, None)  # type: ignore[arg-type]
    return WholeBody(naming, exists, b"mine", None, None, check, is_wanted)


def made(whole: WholeBody, folders: OpenFolders) -> Saved | None:
    """Make both steps, and close the file."""
    try:
        if whole.make_first_step(folders):
            whole.go_on(None)
    finally:
        close_files([] if whole.file is None else [whole.file])
    saved: Saved | None = whole.unwrap()
    return saved


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_has_its_name_after_the_second_step_only(
    tmp_path: Path, folders: OpenFolders
) -> None:
    """Between the two it is brought to the disk."""
    whole = body(tmp_path)
    is_written = whole.make_first_step(folders)
    before = names(tmp_path)
    whole.go_on(None)
    assert whole.file is not None
    close_files([whole.file])

    assert is_written
    assert before == []
    assert whole.unwrap() == Saved(str(tmp_path / "x"), 4, 0)
    assert (tmp_path / "x").read_bytes() == b"mine"


def test_a_body_is_quick_in_memory_if_nothing_is_computed_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop writes it then."""
    on_disk = body(tmp_path).is_quick
    monkeypatch.setattr(_whole_body, "is_quick", lambda folder: folder == str(tmp_path))

    assert not on_disk
    assert body(tmp_path).is_quick
    assert not body(tmp_path / "other").is_quick
    assert not body(tmp_path, check=lambda _: None).is_quick


def test_where_there_is_a_part_nothing_is_written(tmp_path: Path, folders: OpenFolders) -> None:
    """Another program may have it locked."""
    (tmp_path / "x.part").write_bytes(b"theirs")

    assert made(body(tmp_path), folders) is None
    assert names(tmp_path) == ["x.part"]


def test_a_file_of_a_faster_program_stays_as_it_is(tmp_path: Path, folders: OpenFolders) -> None:
    """It is skipped, is an error, or is there beside one with a number, as `exists` says."""
    (tmp_path / "x").write_bytes(b"theirs, longer")
    skipped = made(body(tmp_path, "skip"), folders)
    with pytest.raises(FileExistsError) as caught:
        made(body(tmp_path, "error"), folders)
    renamed = made(body(tmp_path, "rename"), folders)

    assert skipped == Saved(tmp_path / "x", 14)
    assert caught.value.filename == str(tmp_path / "x")
    assert renamed == Saved(str(tmp_path / "x (1)"), 4, 0)
    assert (tmp_path / "x").read_bytes() == b"theirs, longer"
    assert names(tmp_path) == ["x", "x (1)"]


def test_a_body_that_is_refused_leaves_nothing(tmp_path: Path, folders: OpenFolders) -> None:
    """It is looked at before it is written."""

    def refuse(content: bytes) -> None:
        raise ValueError(content.decode())

    with pytest.raises(ValueError, match="mine"):
        made(body(tmp_path, check=refuse), folders)

    assert names(tmp_path) == []


def test_a_body_that_is_not_wanted_any_more_gets_no_name(
    tmp_path: Path, folders: OpenFolders
) -> None:
    """Neither after its try was cancelled, nor after its steps were given up."""
    with pytest.raises(OSError, match="closed"):
        made(body(tmp_path, is_wanted=lambda: False), folders)
    whole = body(tmp_path)
    whole.make_first_step(folders)
    whole.give_up_steps()
    whole.go_on(None)
    assert whole.file is not None
    close_files([whole.file])

    assert names(tmp_path) == []
