"""Results as tables of Arrow, and so of polars, pandas and DuckDB."""

from __future__ import annotations

import gc
import pickle
import weakref
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Results
from asyncbatch._results import _arrow
from asyncbatch._results._arrow import (
    library,
    record_batch,
    record_batches,
    schema,
    table,
)
from asyncbatch._results._record import CHUNK, COLUMNS, records_of, tag_types_of
from asyncbatch.arrow import table as public_table
from asyncbatch.testing import success
from tests.tables import BEGAN, HEADERS, MIXED_TAGS, SIMPLE_TAGS, every_kind, tagged

pytestmark = pytest.mark.extras

pa: Any = pytest.importorskip("pyarrow")


def rows_of(table: Any) -> list[dict[str, Any]]:
    """Return a table as records, whose heads are tuples of pairs."""
    return [
        row | {"headers": tuple((each["name"], each["value"]) for each in row["headers"])}
        for row in table.to_pylist()
    ]


def test_every_kind_of_result_comes_back() -> None:
    """Without loss, and with one schema, whatever is in the table."""
    results = Results(every_kind(), duration=1.0)

    found = results.to_arrow()

    assert rows_of(found) == results.to_dicts()
    assert found.schema == schema() == Results([], duration=0.0).to_arrow().schema
    assert tuple(found.schema.names) == COLUMNS
    assert found.validate(full=True) is None


@given(
    headers=HEADERS,
    content=st.binary(max_size=50),
    tags=st.lists(MIXED_TAGS) | st.one_of(*map(st.lists, SIMPLE_TAGS.values())),
)
def test_any_head_body_and_tag_comes_back(headers: Any, content: bytes, tags: Any) -> None:
    """Tags of one simple type in a column of that type, others as text."""
    results = tagged(tags, headers, content)

    found = table(results)

    assert rows_of(found) == list(records_of(results))
    assert found.schema == schema(tag_types_of(results))


@pytest.mark.parametrize(
    ("tags", "kind"),
    [
        ([1, None], "int64"),
        ([1.5], "double"),
        ([True], "bool"),
        (["a"], "string"),
        ([None], "string"),
        ([1, "a"], "string"),
        ([2**63], "string"),
    ],
)
def test_the_type_of_the_tags_is_that_of_their_column(tags: Any, kind: str) -> None:
    """Text, if they have no type in common."""
    assert str(table(tagged(tags)).schema.field("tag").type) == kind


def test_numbers_of_a_data_frame_are_numbers() -> None:
    """A row of it has those of numpy, whose repr is of no use in a table."""
    numpy: Any = pytest.importorskip("numpy")
    tags = [numpy.int64(1), numpy.int32(2)]

    assert table(tagged(tags)).column("tag").to_pylist() == [1, 2]
    assert table(tagged([numpy.str_("a")])).column("tag").to_pylist() == ["a"]
    assert table(tagged([numpy.zeros(2)])).column("tag").to_pylist() == ["array([0., 0.])"]


@given(seconds=st.floats(1e-6, 4e9))
def test_a_moment_is_that_of_python(seconds: float) -> None:
    """To the microsecond, rounded in the same way."""
    result = success()
    object.__setattr__(result, "_started", seconds)

    (found,) = record_batch([result]).column("started").to_pylist()

    assert found == datetime.fromtimestamp(seconds, UTC)


def test_text_that_is_no_unicode_is_escaped() -> None:
    """A line of a file that is not UTF-8 is such a text, and Arrow has none."""
    (row,) = table([success(tag="a\udcff"), success(tag="b")][:1]).to_pylist()

    assert row["tag"] == "a\\udcff"


def test_many_results_are_in_several_batches() -> None:
    """In the order of the results; the heads that they share are kept apart from others'."""
    results = [success(index=place, headers={"x": str(place % 3)}) for place in range(9000)]

    found = table(results)

    assert found.column("index").to_pylist() == list(range(9000))
    heads = found.column("headers").to_pylist()
    assert heads == [[{"name": "x", "value": str(place % 3)}] for place in range(9000)]
    assert found.column("index").num_chunks > 1


def test_a_table_is_in_the_memory_of_the_system() -> None:
    """That of pyarrow takes the kernel ten times as long when it is touched first."""
    default = pa.default_memory_pool()
    if default.backend_name == "system":
        pytest.skip("the memory of pyarrow is that of the system here")
    results = [success(index=place, content=b"x" * 1000) for place in range(5000)]
    table(results)
    before = default.bytes_allocated()

    found = table(results)

    # Only what is small for each batch: the different heads, and the ends of lists.
    assert default.bytes_allocated() - before < found.nbytes // 100


def test_an_iterable_of_results_is_a_table_too() -> None:
    """A generator, as of the results that were chosen from a batch."""
    assert table(result for result in every_kind() if result.ok).num_rows == 5


def test_results_are_read_as_a_stream_of_arrow() -> None:
    """By pyarrow, which takes them as a table, as often as they are asked for."""
    results = Results(tagged([1, 2]), duration=1.0)

    assert pa.table(results) == results.to_arrow()
    assert pa.RecordBatchReader.from_stream(results).read_all() == results.to_arrow()


def test_pandas_reads_results() -> None:
    """By any of the three ways; a missing status does not turn the others into fractions."""
    pandas: Any = pytest.importorskip("pandas")
    results = Results(every_kind(), duration=1.0)

    frame = results.to_pandas()

    assert list(frame.columns) == list(COLUMNS)
    assert (frame["status"].dtype, frame["ok"].dtype, frame["index"].dtype) == (
        *("Int16", "bool", "int64"),
    )
    assert frame["started"].dt.tz is not None
    assert frame["content"].tolist() == [result.content for result in results]
    plain = pandas.DataFrame(results.to_dicts())
    assert plain["url"].tolist() == frame["url"].tolist()
    assert len(plain) == len(results)
    if hasattr(pandas.DataFrame, "from_arrow"):  # since pandas 3
        read = pandas.DataFrame.from_arrow(results)
        assert read["error"].tolist() == frame["error"].tolist()


@pytest.mark.parametrize(
    ("tags", "kind"),
    [([2**60 + 1, None], "Int64"), ([1], "Int64"), ([True, None], "boolean"), ([False], "boolean")],
)
def test_a_missing_tag_changes_no_other_in_pandas(tags: list[Any], kind: str) -> None:
    """Whole numbers and bools stay what they are, and the column has the same type without it."""
    pandas: Any = pytest.importorskip("pandas")

    frame = Results(tagged(tags), duration=1.0).to_pandas()

    assert str(frame["tag"].dtype) == kind
    assert [None if tag is pandas.NA else tag for tag in frame["tag"]] == tags
    assert list(frame.columns) == list(COLUMNS)


def test_polars_reads_results() -> None:
    """With the types of the schema."""
    polars: Any = pytest.importorskip("polars")
    results = Results([*every_kind(), *tagged([None])], duration=1.0)

    frame = results.to_polars()

    assert frame.columns == list(COLUMNS)
    assert frame["status"].dtype == polars.Int16
    assert frame["started"].dtype == polars.Datetime("us", "UTC")
    assert frame["content"].to_list() == [result.content for result in results]
    assert frame.filter(~polars.col("ok")).height == len(results.failures)


def test_duckdb_reads_results_by_their_name() -> None:
    """As a table, which is what its replacement scans are for."""
    duckdb: Any = pytest.importorskip("duckdb")
    results = Results(every_kind(), duration=1.0)

    with duckdb.connect() as connection:
        counts = connection.sql(
            "select ok, count(*), max(started) from results group by ok order by ok"
        ).fetchall()
        heads = connection.sql("select headers[1].value from results where index = 0").fetchall()

    assert [count for _, count, _ in counts] == [len(results.failures), len(results.successes)]
    assert counts[1][2] == BEGAN
    assert heads == [("1",)]


class Tag:
    """Something that can be watched."""


def test_columns_of_one_value_share_their_memory_over_all_batches() -> None:
    """Most columns have one value throughout; each batch of them would take as much again."""
    results = [success(index=place) for place in range(12_000)]

    found = table(results)

    first, second, _ = (chunk.buffers() for chunk in found.column("method").chunks)
    assert [each.address for each in first if each] == [each.address for each in second if each]
    assert found.column("method").unique().to_pylist() == ["GET"]
    urls, final_urls = found.column("url").chunk(0), found.column("final_url").chunk(0)
    assert urls.buffers()[2].address == final_urls.buffers()[2].address


def test_a_column_that_begins_and_ends_with_one_value_keeps_the_others() -> None:
    """So does one whose values count as equal and are not: `-0.0` and `0.0`."""
    zero, text = 0.0, "a"

    floats = table(tagged([zero, -0.0, zero])).column("tag").to_pylist()
    texts = table(tagged([text, "b", text])).column("tag").to_pylist()

    assert list(map(str, floats)) == ["0.0", "-0.0", "0.0"]
    assert texts == ["a", "b", "a"]


def test_more_values_than_are_kept_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch has a tag of its own, as of a caller that numbers the batches."""
    monkeypatch.setattr(_arrow, "MOST_REPEATED", 3)
    tags = [str(place) for place in range(3 + 3)]
    maker = record_batches((each for tag in tags for each in tagged([tag] * CHUNK)), (str,))

    found = [batch.column("tag").unique().to_pylist() for batch in maker]

    assert found == [[tag] for tag in tags]


def test_a_table_keeps_no_result_alive() -> None:
    """And makes no circle of references: what is dropped is gone at once."""
    tag = Tag()
    results = Results(tagged([tag]), duration=1.0)
    watched = weakref.ref(tag)
    gc.collect()
    gc.disable()
    try:
        found = [results.to_arrow(), pa.table(results), results.to_dicts()]
        del results, tag
        assert watched() is None
    finally:
        gc.enable()
    assert found


def test_results_pickle_after_they_were_a_table() -> None:
    """Nothing of a table is kept in them."""
    results = Results(every_kind(), duration=1.0)
    before = results.to_arrow()

    assert pickle.loads(pickle.dumps(results)).to_arrow() == before


def test_a_missing_library_is_named_with_its_extra() -> None:
    """So that it can be installed by what the message says."""
    with pytest.raises(ImportError, match=r"pip install 'asyncbatch\[arrow\]'") as caught:
        library("asyncbatch_nowhere.sub", "arrow")

    assert caught.value.name == "asyncbatch_nowhere"


def test_only_results_are_a_table() -> None:
    """What is none is named."""
    with pytest.raises(TypeError, match="must be a Success or a Failure, not 'x'"):
        public_table(["x"])  # type: ignore[list-item]
