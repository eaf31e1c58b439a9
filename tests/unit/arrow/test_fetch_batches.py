"""`fetch_batches`: record batches in, and the same with the answers beside them out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

import asyncbatch
from asyncbatch.arrow import fetch_batches, fetched_schema, schema, table
from asyncbatch.testing import LoopbackServer, success

pytestmark = pytest.mark.extras

pa: Any = pytest.importorskip("pyarrow")
pc: Any = pytest.importorskip("pyarrow.compute")


def answer(request: httpx.Request) -> httpx.Response:
    """Answer with the method, the path and the body; `/status/404` with that status."""
    status = int(request.url.path.rpartition("/")[2]) if "/status/" in request.url.path else 200
    body = b" ".join([request.method.encode(), request.url.raw_path, request.content])
    return httpx.Response(status, content=body)


ANSWERING: dict[str, Any] = {"transport": httpx.MockTransport(answer), "retry": None}


def batch(*urls: Any, **columns: Any) -> Any:
    return pa.record_batch({"url": pa.array(urls, pa.string()), **columns})


def fetched(batches: Any, *args: Any, **options: Any) -> list[Any]:
    return list(fetch_batches(batches, *args, **{**ANSWERING, **options}))


def test_rows_and_columns_keep_their_order() -> None:
    """And failures are rows like the others."""
    given = [
        batch("http://a.test/0", "http://a.test/status/404", number=[1, 2]),
        batch("http://b.test/2", number=[3]),
        batch(number=pa.array([], pa.int64())),
        batch("http://a.test/3", number=[4]),
    ]

    found = fetched(given)

    assert [each.num_rows for each in found] == [2, 1, 0, 1]
    assert all(each.schema == fetched_schema(given[0].schema) for each in found)
    whole = pa.Table.from_batches(found)
    assert whole.select(["url", "number"]) == pa.Table.from_batches(given)
    assert whole.column("status").to_pylist() == [200, 404, 200, 200]
    assert whole.column("kind").to_pylist() == [None, "status", None, None]
    assert whole.column("content").to_pylist()[2] == b"GET /2 "


def test_a_row_that_cannot_be_fetched_says_why() -> None:
    """One without a URL, one whose URL is none, and one with a wrong method."""
    given = batch(
        *(None, "", "ftp://a.test/", "http://a.test/", "http://a.test/"),
        method=["GET", None, None, "a b", None],
    )

    (found,) = fetched([given], method="method")

    assert found.column("kind").to_pylist() == [*["invalid_request"] * 4, None]
    assert found.column("ok").to_pylist() == [False] * 4 + [True]
    assert found.column("attempts").to_pylist() == [0, 0, 0, 0, 1]
    assert found.column("error").to_pylist()[0] == "ValueError: the URL is null"
    assert "'A B'" in found.column("error").to_pylist()[3]


def test_a_column_of_the_batch_stays_and_the_result_s_is_renamed() -> None:
    """As often as it takes."""
    given = batch("http://a.test/", status=["x"], fetch_status=["y"], tag=["z"])

    (found,) = fetched([given])

    assert found.schema.names[:4] == ["url", "status", "fetch_status", "tag"]
    assert found.column("fetch_fetch_status").to_pylist() == [200]
    assert found.column("status").to_pylist() == ["x"]
    assert {"index", "fetch_tag", "fetch_url"}.isdisjoint(found.schema.names)


def test_the_schema_keeps_its_metadata() -> None:
    """What an engine has written there, such as types of its own."""
    plain = batch("http://a.test/")
    given = plain.replace_schema_metadata({"engine": "x"})

    (found,) = fetched([given])

    assert found.schema.metadata == {b"engine": b"x"}
    assert fetched_schema(given.schema).metadata == {b"engine": b"x"}


def test_methods_and_bodies_are_of_columns() -> None:
    """A row with a body is a POST, unless it says otherwise."""
    given = batch(
        *["http://a.test/x"] * 4,
        how=["PUT", None, None, "delete"],
        what=pa.array([b"1", b"2", None, None], pa.binary()),
    )

    (both,) = fetched([given], method="how", body="what")
    (one,) = fetched([given], body="what")

    assert both.column("content").to_pylist() == [
        *(b"PUT /x 1", b"POST /x 2", b"GET /x ", b"DELETE /x "),
    ]
    assert one.column("method").to_pylist() == ["POST", "POST", "GET", "GET"]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_text_may_be_of_any_type(kind: str) -> None:
    """Engines differ in it; the column has a name of its own here."""
    types = {"dictionary": pa.dictionary(pa.int32(), pa.string())}
    column = pa.array(["http://a.test/"], types.get(kind) or getattr(pa, kind)())

    (found,) = fetched([pa.record_batch({"link": column})], "link")

    assert found.column("status").to_pylist() == [200]


@pytest.mark.parametrize(
    ("column", "options", "error", "text"),
    [
        ("link", {}, KeyError, "there is no column 'link'; there are 'url', 'n'"),
        ("url", {"body": "x"}, KeyError, "there is no column 'x'; there are 'url', 'n'"),
        ("n", {}, TypeError, "the column 'n' must be text, not int64"),
        ("url", {"body": "n"}, TypeError, "the column 'n' must be text or binary, not int64"),
    ],
)
def test_a_wrong_column_is_told(column: str, options: Any, error: Any, text: str) -> None:
    """With what there is."""
    with pytest.raises(error) as caught:
        fetched([batch("http://a.test/", n=[1])], column, **options)

    assert text in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        "http://a.test/",
        ["http://a.test/"],
        [{"url": "http://a.test/"}],
        {"url": ["x"]},
        5,
        None,
        pa.array(["http://a.test/"]),
        pa.chunked_array([["http://a.test/"]]),
        [[pa.record_batch({"url": ["http://a.test/"]})]],
    ],
)
def test_what_is_no_table_is_told(wrong: Any) -> None:
    """With the cure."""
    with pytest.raises(TypeError, match=r"(?s)^batches must be .*; make a table of them: py"):
        fetched(wrong)


def test_a_table_without_rows_has_its_columns() -> None:
    """An engine wants those of an empty block too."""
    empty = batch(number=pa.array([], pa.int64())).schema.empty_table()

    for given in (empty, [empty], empty.to_reader()):
        [found] = fetched(given)
        assert found.num_rows == 0
        assert found.schema == fetched_schema(empty.schema)
    assert [each.num_rows for each in fetched([empty, batch("http://a.test/", number=[1])])] == [
        0,
        1,
    ]
    assert fetched([]) == []


def test_the_schema_of_a_table_is_known() -> None:
    """As that of a schema, and of any other stream."""
    one = batch("http://a.test/")
    table = pa.Table.from_batches([one])
    reader = pa.RecordBatchReader.from_batches(one.schema, [one])

    for of in (one, table, reader):
        assert fetched_schema(of) == fetched_schema(one.schema)
    with pytest.raises(TypeError, match=r"takes a pyarrow.Schema or a table, not 'url'"):
        fetched_schema("url")


def test_encoded_text_and_bytes_of_one_size_are_taken() -> None:
    """As engines store them."""
    urls = pc.run_end_encode(pa.array(["http://a.test/1", "http://a.test/1"]))
    bodies = pa.array([b"ab", None], pa.binary(2))

    [found] = fetched(pa.record_batch({"url": urls, "body": bodies}), body="body")

    assert found.column("content").to_pylist() == [b"POST /1 ab", b"GET /1 "]


def test_a_name_of_several_columns_is_told() -> None:
    """Neither of them is the one that is meant."""
    twice = pa.RecordBatch.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["url", "url"])

    with pytest.raises(KeyError, match="there are several columns 'url'; give each a name"):
        fetched(twice)


def test_a_wrong_option_is_told_at_once() -> None:
    """Before there is a batch."""
    with pytest.raises(TypeError, match="colour"):
        fetch_batches([], colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="per_host"):
        fetch_batches([], per_host=0)


def test_an_error_of_the_input_comes_after_what_was_read_before() -> None:
    """So that nothing that was fetched is lost."""

    def batches() -> Iterator[Any]:
        yield batch("http://a.test/1")
        yield batch("http://a.test/2")
        raise RuntimeError("no more")

    found = []
    with pytest.raises(RuntimeError, match="no more"):
        found.extend(fetch_batches(batches(), **ANSWERING))  # extend keeps what came before

    assert [each.num_rows for each in found] == [1, 1]


@pytest.mark.parametrize("form", ["batches", "tables", "table", "reader", "batch", "stream"])
def test_batches_may_come_in_any_form(form: str) -> None:
    """In an iterable, in a table, or as any stream of Arrow."""
    given = [batch("http://a.test/1"), batch("http://a.test/2")]
    whole = pa.Table.from_batches(given)
    forms = {
        "batches": given,
        "tables": [pa.Table.from_batches([each]) for each in given],
        "table": whole,
        "reader": whole.to_reader(),
        "batch": whole.combine_chunks().to_batches()[0],
        "stream": asyncbatch.Results([success("http://a.test/1"), success()], duration=1.0),
    }

    assert pa.Table.from_batches(fetched(forms[form])).num_rows == 2


def test_no_more_than_two_batches_are_held() -> None:
    """Whatever the consumer does: the third is read when the first has been taken."""
    alive: list[Any] = []
    most = 0

    def batches() -> Iterator[Any]:
        nonlocal most
        for place in range(10):
            made = batch(f"http://a.test/{place}")
            kept = made.column("url")
            alive.append(weakref.ref(made))
            del kept
            yield made
            del made
            most = max(most, sum(each() is not None for each in alive))

    for found in fetch_batches(batches(), **ANSWERING):
        assert found.num_rows == 1
        del found

    gc.collect()
    assert most <= 2
    assert not any(each() is not None for each in alive)


def test_the_next_batch_is_fetched_while_one_is_awaited() -> None:
    """A slow request does not keep those of the next batch waiting."""
    asked: list[str] = []
    is_asked = anyio.Event()

    async def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 2:
            is_asked.set()
        await is_asked.wait()
        return httpx.Response(200)

    given = [batch("http://a.test/slow"), batch("http://a.test/fast")]

    found = fetched(given, transport=httpx.MockTransport(handle))

    assert len(found) == 2


def test_connections_are_kept_over_batches() -> None:
    """One request after the other takes one connection."""
    with LoopbackServer().in_thread() as server:
        urls = [server.url(f"/{place}") for place in range(20)]
        found = list(fetch_batches([batch(url) for url in urls], concurrency=1))
        connections = server.statistics().connections

    assert [each.column("status").to_pylist() for each in found] == [[200]] * 20
    assert connections == 1


@pytest.mark.parametrize("is_begun", [True, False])
def test_closing_early_leaves_nothing_behind(is_begun: bool) -> None:
    """No thread, no task and no socket, which are looked for after each test."""
    with LoopbackServer().in_thread() as server:
        urls = [[server.url("/")], [server.silent_url("/"), server.url("/")]]
        found: Any = fetch_batches(batch(*each) for each in urls)
        if is_begun:
            assert next(found).column("status").to_pylist() == [200]
        found.close()

        assert list(found) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.may_block
async def test_it_works_inside_a_running_loop(anyio_backend: str) -> None:
    """Which it blocks, as in a notebook."""
    assert [each.num_rows for each in fetched([batch("http://a.test/")])] == [1]


def test_the_table_and_its_schema_are_public() -> None:
    """For results of any origin, and for engines that ask for the schema first."""
    results = [success(tag="a"), success(tag=None)]

    assert table(iter(results)).schema == schema()
    assert table(results).num_rows == 2


@pytest.mark.parametrize("name", ["__arrow_c_schema__", "__arrow_c_stream__"])
def test_the_schema_of_another_library_is_known(name: str) -> None:
    """By the interface of Arrow alone."""
    table = pa.table({"url": ["http://a.test/"], "n": [1]})
    given = table.schema if name == "__arrow_c_schema__" else table
    other = type(
        "Other", (), {name: lambda _, *args, **named: getattr(given, name)(*args, **named)}
    )

    assert fetched_schema(other()) == fetched_schema(table.schema)
