"""
Results as Arrow tables, and so as tables of polars and pandas.

The libraries are imported when a table is made, because nothing else needs them.
"""

from __future__ import annotations

import importlib
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any

from asyncbatch._results._heads import Heads
from asyncbatch._results._record import CHUNK, COLUMNS, columns_of, encodable, tag_types_of
from asyncbatch._values._result import Result

MOST_REPEATED = 64
"""Columns of one value that are kept for the next batches."""


def library(name: str, extra: str) -> Any:
    """
    Return a library that is an extra.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise  # it is installed, and lacks something itself
        raise ImportError(
            f"{error.name} is not installed; pip install 'asyncbatch[{extra}]'", name=error.name
        ) from None


def arrow() -> Any:
    """Return `pyarrow`, or raise an `ImportError` that names the extra."""
    return library("pyarrow", "arrow")


def schema(tag_types: Collection[type] = (str,)) -> Any:
    """
    Return the `pyarrow.Schema` of results; the fields that are never null say so.

    Args:
        tag_types: The type of tags that stay as they are, at most one. Of others `repr` is taken,
            and the column is text.
    """
    pa = arrow()
    tags: dict[type, Any] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    pair = pa.struct([pa.field("name", pa.string(), False), pa.field("value", pa.string(), False)])
    types = {
        "index": pa.int64(),
        "tag": tags.get(next(iter(tag_types), str), pa.string()),
        "status": pa.int16(),
        "ok": pa.bool_(),
        "attempts": pa.int32(),
        "content": pa.large_binary(),
        "headers": pa.list_(pa.field("item", pair, nullable=False)),
        "from_journal": pa.bool_(),
        "started": pa.timestamp("us", tz="UTC"),
        "elapsed": pa.float64(),
        "queued": pa.float64(),
        "throttled": pa.float64(),
        **dict.fromkeys(("dns", "connect", "tls", "send", "wait", "receive"), pa.float64()),
    }
    return pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])


def record_batch(results: Sequence[Result], tag_types: Collection[type] = (str,)) -> Any:
    """
    Return a `pyarrow.RecordBatch` of some results, with the columns of `schema`.

    Args:
        results: The results.
        tag_types: As for `schema`.
    """
    return _BatchMaker(tag_types).batch(results)


def record_batches(
    results: Iterable[Result], tag_types: Collection[type] = (str,)
) -> Iterator[Any]:
    """Yield record batches of results, whose number does not matter."""
    maker = _BatchMaker(tag_types)
    each = iter(results)
    while some := list(islice(each, CHUNK)):
        yield maker.batch(some)


def table(results: Iterable[Result]) -> Any:
    """Return a `pyarrow.Table` of results; see `schema`."""
    results = results if isinstance(results, Sequence) else list(results)
    tag_types = tag_types_of(results)
    return arrow().Table.from_batches(record_batches(results, tag_types), schema(tag_types))


def reader(results: Sequence[Result]) -> Any:
    """Return a `pyarrow.RecordBatchReader` of results, which makes each batch when it is read."""
    tag_types = tag_types_of(results)
    return arrow().RecordBatchReader.from_batches(
        schema(tag_types), record_batches(results, tag_types)
    )


def polars_frame(results: Sequence[Result]) -> Any:
    """Return a `polars.DataFrame` of results."""
    return library("polars", "polars").from_arrow(table(results))


def pandas_frame(results: Sequence[Result]) -> Any:
    """Return a `pandas.DataFrame` of results; integers and bools that may be missing are NA."""
    pandas = library("pandas", "pandas")
    pa, found = arrow(), table(results)
    kept = {pa.int16(): pandas.Int16Dtype()}
    frame = found.to_pandas(types_mapper=kept.get)
    # By its name: `index` and `ok` have these types too, and are never missing.
    tags = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
    if (kind := tags.get(found.schema.field("tag").type)) is not None:
        frame["tag"] = kind.__from_arrow__(found.column("tag"))
    return frame


# Columns


class _BatchMaker:
    """
    Makes record batches of one table.

    Many columns have one value throughout, and are made once for all batches of one length: they
    share its memory.

    Args:
        tag_types: As for `schema`.
    """

    def __init__(self, tag_types: Collection[type]) -> None:
        self._tag_types = tag_types
        self._schema = schema(tag_types)
        self._repeated: dict[tuple[Any, Any, int], Any] = {}

    def batch(self, results: Sequence[Result]) -> Any:
        """Return the record batch of some results."""
        pa = arrow()
        if not results:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        columns = columns_of(results, self._tag_types)
        # Columns that are one list are one array.
        made: dict[int, Any] = {}
        for field in self._schema:
            column = columns[field.name]
            if id(column) not in made:
                made[id(column)] = self._array(field, column)
        arrays = [made[id(columns[name])] for name in self._schema.names]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _array(self, field: Any, column: Any) -> Any:
        convert = _CONVERTED.get(field.name)
        if convert is not None:
            return convert(column, field.type)
        first = column[0]
        # Counting a value that is there throughout takes a hundredth of the time of reading it.
        # Not a number with a point, since `-0.0` counts as `0.0`.
        may_repeat = type(first) is not float and first == column[-1]
        if may_repeat and column.count(first) == len(column):
            return self._repeat(first, field.type, len(column))
        return _values(column, field.type)

    def _repeat(self, value: Any, kind: Any, count: int) -> Any:
        found = self._repeated.get((value, kind, count))
        if found is None:
            if len(self._repeated) >= MOST_REPEATED:
                self._repeated.clear()
            pa = arrow()
            found = pa.repeat(_values([value], kind)[0], count, memory_pool=_pool())
            self._repeated[value, kind, count] = found
        return found


def _values(column: list[Any], kind: Any) -> Any:
    pa = arrow()
    try:
        return pa.array(column, kind, memory_pool=_pool())
    except UnicodeEncodeError:
        # A lone surrogate, as of a line that is not UTF-8, is in no Arrow text.
        return _values([None if text is None else encodable(text) for text in column], kind)


def _bodies(column: Sequence[bytes], kind: Any) -> Any:
    # One copy, into a memory of its length: an array that grows is copied several times.
    pa = arrow()
    ends = pa.py_buffer(array("q", accumulate(map(len, column), initial=0)))
    return pa.Array.from_buffers(kind, len(column), [None, ends, pa.py_buffer(b"".join(column))])


def _moments(seconds: Sequence[float], kind: Any) -> Any:
    pa = arrow()
    pc: Any = importlib.import_module("pyarrow.compute")
    times = pa.array(seconds, pa.float64())
    # Whole seconds apart from the rest, and halves to even, as `datetime.fromtimestamp` has it.
    whole = pc.floor(times)
    rest = pc.round(pc.multiply(pc.subtract(times, whole), 1e6), round_mode="half_to_even")
    micros = pc.add(pc.multiply(pc.cast(whole, pa.int64()), 1_000_000), pc.cast(rest, pa.int64()))
    found = pc.cast(micros, kind)
    return pc.if_else(pc.equal(times, 0.0), pa.scalar(None, kind), found, memory_pool=_pool())


def _headers(heads: Heads, kind: Any) -> Any:
    """Make the column of the heads, each different head and field of which is converted once."""
    pa = arrow()
    pc: Any = importlib.import_module("pyarrow.compute")
    fields = heads.fields
    texts = [_values(each, pa.string()) for each in (fields.names, fields.texts)]
    pairs = pa.StructArray.from_arrays(texts, fields=list(kind.value_type))
    lines = pc.take(pairs, pa.array(heads.lines, pa.int32()), memory_pool=_pool())
    unlike = pa.ListArray.from_arrays(pa.array(heads.ends, pa.int32()), lines, type=kind)
    if len(unlike) == len(heads):
        return unlike
    return pc.take(unlike, pa.array(heads.places, pa.int32()), memory_pool=_pool())


_CONVERTED: dict[str, Callable[[Any, Any], Any]] = {
    "content": _bodies,
    "headers": _headers,
    "started": _moments,
}
"""How columns are made that are not lists of plain values."""


def _pool() -> Any:
    """
    Return the memory of the system.

    That of pyarrow asks the kernel for pages of 2 MB, which take it up to 3 ms for each megabyte
    when they are touched first; those of the system take a tenth of that.
    """
    return arrow().system_memory_pool()
