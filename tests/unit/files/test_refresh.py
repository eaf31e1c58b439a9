"""The hidden file that names the version of a complete one."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncbatch._files._refresh import forget_refresh, keep_refresh, refreshable
from asyncbatch._files._versions import Version, range_head, version_of

URL = "http://host.test/x"


def version(*fields: tuple[bytes, bytes]) -> Version:
    return version_of(range_head(200, list(fields), URL))


TAGGED = version((b"etag", b'"one"'))


def kept(folder: Path, of: Version = TAGGED) -> Path:
    """Return a file whose version was written down."""
    path = folder / "x"
    path.write_bytes(b"body")
    keep_refresh(path, "identity", of)
    return path


def test_the_version_of_a_file_is_known_until_it_is_forgotten(tmp_path: Path) -> None:
    """For the URL that it was fetched from."""
    path = kept(tmp_path)
    found = refreshable(path, "identity")
    other = refreshable(path, "another")
    forget_refresh(path)
    forget_refresh(path)

    assert found == TAGGED
    assert other is None
    assert refreshable(path, "identity") is None
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", ["longer", "gone"])
def test_a_file_that_was_changed_is_of_no_known_version(tmp_path: Path, change: str) -> None:
    """The server would say that it has not changed."""
    path = kept(tmp_path)
    if change == "longer":
        path.write_bytes(b"another body")
    else:
        path.unlink()

    assert refreshable(path, "identity") is None


def test_of_a_file_that_is_gone_nothing_is_kept(tmp_path: Path) -> None:
    """Another program has removed it; the next run would take it for unchanged."""
    path = tmp_path / "x"

    keep_refresh(path, "identity", TAGGED)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "of",
    [version(), version((b"etag", b'"one"'), (b"content-encoding", b"gzip"))],
    ids=["nothing", "coded"],
)
def test_a_version_that_cannot_be_asked_for_is_none(tmp_path: Path, of: Version) -> None:
    """One without a validator, or whose validator is that of the encoded body."""
    assert refreshable(kept(tmp_path, of), "identity") is None


def test_a_version_without_a_validator_is_not_written_down(tmp_path: Path) -> None:
    """A file beside each file would be of no use."""
    path = kept(tmp_path, version())

    assert list(tmp_path.iterdir()) == [path]
