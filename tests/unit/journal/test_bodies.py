"""`Bodies`: how each body is kept, and what a damaged one is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asyncbatch._journal._bodies import (
    BESIDE,
    DEFLATED,
    DEFLATED_BESIDE,
    INLINE,
    LEFT_OUT,
    RAW,
    Bodies,
    DamagedBody,
)

RANDOM = os.urandom(INLINE + 1)
PAGE = b"<p>one more line of a page, %d</p>"


def bodies(tmp_path: Path, *, is_synced: bool = False) -> Bodies:
    return Bodies(tmp_path / "run.db", is_synced=is_synced)


@pytest.mark.parametrize(
    ("content", "coding"),
    [
        (b"", RAW),
        (b"short", RAW),
        (b"a" * 5000, DEFLATED),
        (RANDOM[:INLINE], RAW),
        (RANDOM, BESIDE),
        (b"".join(PAGE % number for number in range(30_000)), DEFLATED),
        (RANDOM * 3 + bytes(10_000_000), BESIDE),
        (bytes(20_000) + RANDOM * 2, BESIDE),
        (b"".join(b"%x" % byte for byte in RANDOM * 3), DEFLATED_BESIDE),
    ],
    ids=[
        "empty",
        "short",
        "zeros",
        "random",
        "large",
        "page",
        "large-start",
        "zeros-start",
        "large-hex",
    ],
)
@pytest.mark.parametrize("is_synced", [False, True])
def test_a_body_comes_back(tmp_path: Path, content: bytes, coding: int, is_synced: bool) -> None:
    """Compressed where that helps, and in a file beside the journal if it is large."""
    kept_by = bodies(tmp_path, is_synced=is_synced)

    found, kept = kept_by.kept(content)

    assert found == coding
    assert kept_by.content(found, kept) == content
    assert (tmp_path / "run.db.d").exists() is (coding in (BESIDE, DEFLATED_BESIDE))


def test_equal_bodies_are_one_file(tmp_path: Path) -> None:
    """Named after its contents, for the user alone, and without a leftover."""
    kept_by = bodies(tmp_path)
    ones = {kept_by.kept(RANDOM) for _ in range(3)}

    [file] = [path for path in (tmp_path / "run.db.d").rglob("*") if path.is_file()]

    assert len(ones) == 1
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("harm", ["removed", "short", "changed"])
def test_a_damaged_file_is_found(tmp_path: Path, harm: str) -> None:
    """It is never taken for the body; when the body is kept again, it is mended."""
    kept_by = bodies(tmp_path)
    coding, kept = kept_by.kept(RANDOM)
    [file] = [path for path in (tmp_path / "run.db.d").rglob("*") if path.is_file()]
    if harm == "removed":
        file.unlink()
    else:
        file.write_bytes(RANDOM[:-1] if harm == "short" else RANDOM[:-1] + b"\0\1"[:1])
        if file.read_bytes() == RANDOM:
            file.write_bytes(RANDOM[:-1] + b"\1")

    with pytest.raises(DamagedBody):
        kept_by.content(coding, kept)

    kept_by.kept(RANDOM)
    assert kept_by.content(coding, kept) == RANDOM


def test_a_body_that_was_left_out_is_empty(tmp_path: Path) -> None:
    """And one whose compressed form is damaged is none."""
    assert bodies(tmp_path).content(LEFT_OUT, None) == b""
    with pytest.raises(DamagedBody):
        bodies(tmp_path).content(DEFLATED, b"no zlib")


def test_an_error_of_writing_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The half-written file is removed."""

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "no space")

    monkeypatch.setattr(Path, "replace", fail)

    with pytest.raises(OSError, match="no space"):
        bodies(tmp_path).kept(RANDOM)

    assert [path for path in (tmp_path / "run.db.d").rglob("*") if path.is_file()] == []
