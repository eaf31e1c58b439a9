"""The file of a kept result: where it is in this run, and whether it is as it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from asyncbatch import Folder, Request
from asyncbatch._files import Files
from asyncbatch._journal._saved import (
    SavedFile,
    destination_of,
    names_file,
    place_of,
    saved_in,
)
from tests.samples import success

URL = "http://host.test/a"


def saved_at(path: Path, checksum: str | None = None) -> SavedFile:
    """Write a file, and return what a record keeps of it."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"body")
    return SavedFile(str(path), 4, 0, checksum, path.stat().st_mtime_ns)


def test_a_request_names_its_file_by_either_of_two_fields() -> None:
    """A URL alone names none."""
    assert names_file(Request(URL, to="x"))
    assert names_file(Request(URL, to=None))
    assert names_file(Request(URL, checksum=f"md5:{'0' * 32}"))
    assert not names_file(Request(URL))
    assert not names_file(URL)


def test_the_destination_of_the_request_counts_before_that_of_the_call() -> None:
    """Also if it is memory."""
    files = Files("folder")

    assert destination_of(URL, files) == Folder("folder")
    assert destination_of(Request(URL), files) == Folder("folder")
    assert destination_of(Request(URL, to="x"), files) == "x"
    assert destination_of(Request(URL, to=None), files) is None


@pytest.mark.parametrize(
    ("to", "place"),
    [
        (Folder("files"), "files/a"),
        (Folder("./files/../files"), "files/../files/a"),
        ("files/a", "files/a"),
        ("files/", "files/a"),
        ("files", "files/a"),
        (Path("files"), "files/a"),
        ("{}/files/a", "{}/files/a"),
        (Folder("other"), None),
        ("files/b", None),
        ("files/a/", None),
        ("other/", None),
    ],
)
def test_a_file_is_named_as_the_run_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, place: str | None
) -> None:
    """It is kept by its absolute path; if it goes elsewhere now, it is in no place."""
    monkeypatch.chdir(tmp_path)
    saved = saved_at(tmp_path / "files" / "a")
    if isinstance(to, str):
        to = to.format(tmp_path)

    found = place_of(saved, Request(URL), to)

    assert found == (None if place is None else Path(place.format(tmp_path)))


def test_a_file_that_is_gone_or_changed_is_in_no_place(tmp_path: Path) -> None:
    """Its size and its time are compared, and no link is followed."""
    path, to = tmp_path / "files" / "a", Folder(tmp_path / "files")
    saved = saved_at(path)

    path.write_bytes(b"longer")
    assert place_of(saved, URL, to) is None
    path.write_bytes(b"BODY")
    os.utime(path, ns=(1, 1))
    assert place_of(saved, URL, to) is None
    path.rename(tmp_path / "b")
    assert place_of(saved, URL, to) is None
    path.symlink_to(tmp_path / "b")
    assert place_of(saved, URL, to) is None
    path.unlink()
    path.mkdir()
    assert place_of(saved._replace(size=path.stat().st_size), URL, to) is None


def test_a_checksum_decides_about_a_file_of_another_time(tmp_path: Path) -> None:
    """The same content may have been copied; the checksum must be the one of then."""
    path, to = tmp_path / "files" / "a", Folder(tmp_path / "files")
    checksum = f"sha256:{hashlib.sha256(b'body').hexdigest()}"
    saved, request = saved_at(path, checksum), Request(URL, checksum=checksum)

    os.utime(path, ns=(1, 1))
    assert place_of(saved, request, to) == path
    path.write_bytes(b"BODY")
    assert place_of(saved, request, to) is None
    assert place_of(saved_at(path), request, to) is None
    assert place_of(saved_at(path, checksum), Request(URL), to) is None


def test_a_file_that_is_gone_before_it_is_recorded_is_in_no_place(tmp_path: Path) -> None:
    """Whatever stands there later: its time is not known."""
    path = tmp_path / "files" / "a"
    saved = saved_in(success(saved=(path, 4, None)))
    there = saved_at(path)

    assert saved is not None
    assert saved == there._replace(resumed_from=None, modified=None)
    assert place_of(there, URL, path.parent) == path
    assert place_of(saved, URL, path.parent) is None
