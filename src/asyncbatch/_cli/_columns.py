"""
Reader of URLs from a column of a table: CSV, record by record, and Parquet, some rows at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO

from asyncbatch._cli._urls import MAX_LINE, Lines, NotAList
from asyncbatch._results._arrow import library

PARQUET = b"PAR1"
ROWS = 4096

_DELIMITERS = ",;\t|"


class CsvRecords(Lines):
    """
    Takes the bytes of a CSV file, in pieces of any size, and returns the URLs of one column.

    The first record has the names of the columns. The fields are separated by what the names are
    separated by: a comma, a semicolon, a tab or a bar.

    Args:
        name: The name of the file in messages.
        column: The name of the column.
    """

    def __init__(self, name: str, column: str) -> None:
        super().__init__(name)
        self._column = column
        # None until the first record: the place of the column, and what separates the fields.
        self._place: int | None = None
        self._delimiter = ","
        # The lines of a record whose last quoted field has not ended, and their length.
        self._begun: list[str] = []
        self._length = 0

    def _url_of(self, line: str) -> Iterator[str]:
        # A quote within a field is written twice, so the number is even at the end of a record.
        is_odd = line.count('"') % 2 == 1
        if is_odd == bool(self._begun):
            record = "\n".join([*self._begun, line]).removesuffix("\r")
            self._begun, self._length = [], 0
            if record:
                yield from self._url_in(record)
            return
        self._begun.append(line)
        self._length += len(line) + 1
        if self._length > MAX_LINE:
            raise NotAList(f"{self._name} is not valid CSV: a record is longer than 1 MiB")

    def finish(self) -> Iterator[str]:
        """
        Yield the URL of a last record without an end.

        Raises:
            NotAList: If the file is incomplete.
        """
        yield from super().finish()
        if self._begun:
            raise NotAList(f"{self._name} is not valid CSV: a quoted field has no end")
        if self._place is None:
            raise NotAList(f"{self._name} is empty: the first line of a CSV names the columns")

    def _url_in(self, record: str) -> Iterator[str]:
        if self._place is None:
            self._delimiter = max(_DELIMITERS, key=record.count)
            self._place = self._place_in(self._fields_of(record))
            return
        fields = self._fields_of(record)
        yield fields[self._place] if self._place < len(fields) else ""

    def _fields_of(self, record: str) -> list[str]:
        try:
            return next(csv.reader([record], delimiter=self._delimiter))
        except csv.Error as error:
            raise NotAList(f"{self._name} is not valid CSV: {error}") from None

    def _place_in(self, names: list[str]) -> int:
        if self._column not in names:
            raise NotAList(missing(self._name, self._column, names))
        return names.index(self._column)


def missing(name: str, column: str, names: list[str]) -> str:
    """Return the message about a column that is not there."""
    return f"{name} has no column {column!r}; it has {', '.join(map(repr, names)) or 'none'}"


def urls_in_parquet(file: BinaryIO, name: str, column: str) -> Iterator[str]:
    """
    Return the URLs in a column of a Parquet file; that of a null is `""`.

    Args:
        file: The file.
        name: Its name in messages.
        column: The name of the column.

    Raises:
        NotAList: If it is damaged, or has no such column.
        ImportError: If `pyarrow` is not installed.
    """
    parquet = library("pyarrow.parquet", "arrow")
    pa = library("pyarrow", "arrow")
    file.seek(0)
    try:
        table: Any = parquet.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise NotAList(f"{name} is not a valid Parquet file: {error}") from None
    schema = table.schema_arrow
    if column not in schema.names:
        raise NotAList(missing(name, column, schema.names))
    kind = schema.field(column).type
    texts = [pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary]
    if not any(test(kind) for test in texts):
        raise NotAList(f"the column {column!r} of {name} is {kind}, not text")
    return _read(table, name, column, pa)


def _read(table: Any, name: str, column: str, pa: Any) -> Iterator[str]:
    try:
        for batch in table.iter_batches(batch_size=ROWS, columns=[column]):
            for url in batch.column(0).to_pylist():
                yield "" if url is None else str(url)
    except (pa.ArrowException, OSError) as error:
        raise NotAList(f"{name} is not a valid Parquet file: {error}") from None
