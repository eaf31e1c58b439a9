"""`Files`: which file a request of a batch has, and which it may not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncbatch import Folder, Request
from asyncbatch._files import Files


def path_of(files: Files, request: Request) -> Path | None:
    download = files.download_of(request)
    return None if download is None else download._naming.path


def test_a_request_without_a_file_has_none():
    """Its body stays in memory, also if it says so itself."""
    assert Files(None).download_of(Request("http://host.test/a")) is None
    assert Files("folder").download_of(Request("http://host.test/a", to=None)) is None


def test_the_own_file_of_a_request_counts_before_that_of_its_call():
    """A path is a file, one that ends with a slash a folder."""
    files = Files("folder")

    assert path_of(files, Request("http://host.test/a")) == Path("folder/a")
    assert path_of(files, Request("http://host.test/a", to="x/y.bin")) == Path("x/y.bin")
    assert path_of(files, Request("http://host.test/a", to="x/")) == Path("x/a")
    assert path_of(files, Request("http://host.test/b", to=Folder("x"))) == Path("x/b")


def test_a_path_for_many_requests_is_a_folder():
    """With or without a slash, since a `pathlib.Path` cannot end with one."""
    assert path_of(Files("x"), Request("http://host.test/a")) == Path("x/a")
    assert path_of(Files(Path("x")), Request("http://host.test/a")) == Path("x/a")


def test_a_path_for_one_request_is_a_file_unless_it_is_a_folder(tmp_path: Path):
    """By its slash, or because it is there."""
    request = Request("http://host.test/a")

    assert path_of(Files("x.bin", is_one=True), request) == Path("x.bin")
    assert path_of(Files("x/", is_one=True), request) == Path("x/a")
    assert path_of(Files(tmp_path, is_one=True), request) == tmp_path / "a"


@pytest.mark.parametrize(
    ("first", "second"),
    [("x.bin", "x.bin"), ("x.bin", "X.BIN"), ("a/../x.bin", "./x.bin"), ("é", "e\u0301")],
)
def test_two_requests_cannot_have_one_file(first: str, second: str):
    """Not even by another case or another spelling: on some systems, that is one file."""
    files = Files(None)
    files.download_of(Request("http://host.test/a", to=os.path.normpath(first)))
    with pytest.raises(ValueError, match="another request of this batch has the file"):
        files.download_of(Request("http://host.test/b", to=second))


@pytest.mark.parametrize(
    ("first", "second"),
    [("x", "X"), ("x", "sub/../x"), ("x", "../{name}/x"), ("b", "A/../B")],
)
def test_two_spellings_of_an_absolute_path_are_one_file(tmp_path: Path, first: str, second: str):
    """Whichever comes first, and whatever folder came between them."""
    one, two = (f"{tmp_path}/{each.format(name=tmp_path.name)}" for each in (first, second))
    for before, after in ((one, two), (two, one)):
        files = Files(None)
        files.download_of(Request("http://host.test/a", to=Path(before)))
        files.download_of(Request("http://host.test/c", to=f"{tmp_path}/other/x"))
        with pytest.raises(ValueError, match="another request of this batch has the file"):
            files.download_of(Request("http://host.test/b", to=Path(after)))


@pytest.mark.parametrize(
    ("first", "second"),
    [("real/x", "link/x"), ("real/sub/x", "link/sub/x"), ("x", "link/../x"), ("real/x", "LINK2/x")],
)
def test_a_folder_and_a_link_to_it_are_one(
    tmp_path: Path, first: str, second: str, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise two bodies would go to one file, and one of the results would be wrong."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "LINK2").symlink_to(tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    for before, after in ((first, second), (second, first)):
        for folder in ("", f"{tmp_path}/"):
            files = Files(None)
            files.download_of(Request("http://host.test/a", to=f"{folder}{before}"))
            with pytest.raises(ValueError, match="another request of this batch has the file"):
                files.download_of(Request("http://host.test/b", to=after))


def test_a_current_folder_that_was_removed_is_left_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Names in it are still told apart."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    files = Files(Folder("x"))
    files.download_of(Request("http://host.test/a"))
    files.download_of(Request("http://host.test/b"))

    with pytest.raises(ValueError, match="another request of this batch has the file"):
        files.download_of(Request("http://host.test/other/a"))


def test_a_relative_path_is_that_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Which may change in a batch; it is the same file as under its absolute path."""
    files, folder = Files(None), Folder("x")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        files.download_of(Request("http://host.test/a", to=folder))

    with pytest.raises(ValueError, match="another request of this batch has the file"):
        files.download_of(Request("http://host.test/b", to=tmp_path / "one" / "x" / "a"))


def test_equal_names_get_numbers_if_they_may():
    """In the order of the requests."""
    files = Files(Folder("x", exists="rename"))
    paths = [path_of(files, Request(f"http://host.test/{at}/a.txt")) for at in range(3)]

    assert paths == [Path("x/a.txt"), Path("x/a (1).txt"), Path("x/a (2).txt")]


@pytest.mark.parametrize("method", ["HEAD", "head", "TRACE", "CONNECT"])
def test_a_method_without_content_has_no_file(method: str):
    """It would be empty."""
    with pytest.raises(ValueError, match="content"):
        Files("x").download_of(Request("http://host.test/", method))


def test_a_checksum_needs_a_file():
    """It would be ignored otherwise."""
    with pytest.raises(ValueError, match="checksum needs a file"):
        Files(None).download_of(Request("http://host.test/", checksum="md5:" + 32 * "0"))
