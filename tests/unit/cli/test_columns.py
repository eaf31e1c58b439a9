"""URLs in a column of a table: CSV in pieces of any size, and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._cli._columns import CsvRecords, urls_in_parquet
from asyncbatch._cli._urls import NotAList, opened, urls_in

TABLE = 'id,url,what\n1,http://a.test/,x\n2,"http://b.test/?a,b","two\nlines, ""quoted"""\n3,,z\n'
URLS = ["http://a.test/", "http://b.test/?a,b", ""]


def read(content: bytes, column: str = "url", size: int = 1 << 20) -> list[str]:
    """Return the URLs of a CSV that comes in pieces of that size."""
    records = CsvRecords("mine", column)
    found = []
    for start in range(0, len(content), size):
        found += records.feed(content[start : start + size])
    return [*found, *records.finish()]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_each_record_has_its_url_however_it_comes(size: int) -> None:
    """Fields may be quoted, and have separators, quotes and lines in them."""
    assert read(TABLE.encode(), size=size) == URLS
    assert read(TABLE.encode(), column="id", size=size) == ["1", "2", "3"]


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.removesuffix("\n").encode(),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("utf-16"),
        gzip.compress(TABLE.encode(), mtime=0),
        TABLE.encode() + b"\n\n",
    ],
)
def test_the_form_of_a_file_does_not_matter(content: bytes) -> None:
    """Ends of lines, marks of encodings, compression, and empty lines."""
    assert read(content, size=5) == URLS


@given(
    rows=st.lists(st.lists(st.text("ab,;|\"\n'#", max_size=5), min_size=2, max_size=2)),
    delimiter=st.sampled_from(",;\t|"),
    size=st.integers(1, 50),
)
def test_what_python_writes_is_read(
    rows: Sequence[Sequence[str]], delimiter: str, size: int
) -> None:
    """With any of the four separators."""
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows([["x", "url"], *rows])

    assert read(written.getvalue().encode(), size=size) == [url for _, url in rows]


def test_a_record_that_is_too_short_has_no_url() -> None:
    """It becomes a request that is invalid, so that no row is lost."""
    assert read(b"id,url\n1,http://a.test/\n2\n") == ["http://a.test/", ""]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"id,link\n1,x\n", "mine has no column 'url'; it has 'id', 'link'"),
        (b"", "mine is empty"),
        (b'url\n"http://a.test/\n', "mine is not valid CSV: a quoted field has no end"),
        (b'url\n"' + b"x\n" * 600_000, "mine is not valid CSV: a record is longer than 1 MiB"),
        (b"url\n" + b"x" * 200_000 + b"\n", "mine is not valid CSV: field larger than"),
        (b"\x89PNG\r\n\x1a\n", "mine is an image"),
    ],
)
def test_what_is_no_table_with_that_column_is_told(content: bytes, text: str) -> None:
    """With the columns that there are."""
    with pytest.raises(NotAList, match=text):
        read(content)


def test_a_file_of_csv_is_read_as_far_as_asked(tmp_path: Path) -> None:
    """And the header of a wrong one before anything is fetched."""
    path = tmp_path / "urls.csv"
    path.write_text(TABLE)

    with opened(str(path)) as file:
        assert list(urls_in(file, CsvRecords("urls.csv", "url"))) == URLS  # type: ignore[arg-type]
    with opened(str(path)) as file, pytest.raises(NotAList, match="no column 'x'"):
        urls_in(file, CsvRecords("urls.csv", "x"))


@pytest.mark.extras
class TestParquet:
    """Files of Parquet."""

    def written(self, tmp_path: Path, **columns: Any) -> Any:
        pa: Any = pytest.importorskip("pyarrow")
        parquet: Any = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "urls.parquet"
        parquet.write_table(pa.table(columns), path)
        return path.open("rb")

    def test_a_column_has_the_urls(self, tmp_path: Path) -> None:
        """A null is a request that is invalid."""
        pa: Any = pytest.importorskip("pyarrow")
        urls = [f"http://a.test/{place}" for place in range(10_000)] + [None]
        words = pa.array(urls).dictionary_encode()

        with self.written(tmp_path, url=urls, word=words) as file:
            assert list(urls_in_parquet(file, "mine", "url")) == [*urls[:-1], ""]
            assert list(urls_in_parquet(file, "mine", "word")) == [*urls[:-1], ""]

    def test_a_wrong_column_is_told(self, tmp_path: Path) -> None:
        """With the columns that there are, or with its type."""
        with self.written(tmp_path, n=[1], link=["x"]) as file:
            with pytest.raises(NotAList, match="mine has no column 'url'; it has 'n', 'link'"):
                urls_in_parquet(file, "mine", "url")
            with pytest.raises(NotAList, match="the column 'n' of mine is int64, not text"):
                urls_in_parquet(file, "mine", "n")

    def test_a_damaged_file_is_told(self, tmp_path: Path) -> None:
        """Whether its end or its middle is missing."""
        pytest.importorskip("pyarrow.parquet")
        with self.written(tmp_path, url=[f"http://{n}" for n in range(9999)]) as file:
            content = file.read()
        damaged = content[:4] + bytes(len(content) // 2) + content[len(content) // 2 + 4 :]

        with pytest.raises(NotAList, match="mine is not a valid Parquet file"):
            urls_in_parquet(io.BytesIO(content[:-8]), "mine", "url")
        with pytest.raises(NotAList, match="mine is not a valid Parquet file"):
            list(urls_in_parquet(io.BytesIO(damaged), "mine", "url"))
