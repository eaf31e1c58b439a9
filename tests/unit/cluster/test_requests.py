"""The requests of shards on disk."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch import Request
from asyncbatch.cluster._requests import AT_ONCE, MOST, RequestsWriter, read_requests


class Tag:
    """What a request may be for."""


def read(path: Path) -> list[tuple[int, Any]]:
    return [
        pair for places, items in read_requests(path) for pair in zip(places, items, strict=True)
    ]


def writer(folder: Path) -> RequestsWriter:
    return RequestsWriter(lambda shard: folder / str(shard))


def test_requests_come_back_in_their_order(tmp_path: Path) -> None:
    """Each shard has its own, with their places in the input."""
    requests = writer(tmp_path)
    for index in range(3 * AT_ONCE + 1):
        requests.add(index % 2, index, f"http://example.org/{index}")
    requests.flush()

    even, odd = read(tmp_path / "0"), read(tmp_path / "1")
    assert even == [(n, f"http://example.org/{n}") for n in range(0, 3 * AT_ONCE + 1, 2)]
    assert [index for index, _ in odd] == list(range(1, 3 * AT_ONCE + 1, 2))


def test_a_bounded_number_is_in_memory(tmp_path: Path) -> None:
    """Also with as many shards as requests."""
    requests = writer(tmp_path)
    for index in range(MOST):
        requests.add(index % 500, index, "http://example.org/")

    assert sum(len(read(path)) for path in tmp_path.iterdir()) == MOST


def test_requests_of_all_forms_travel(tmp_path: Path) -> None:
    """With tag and body."""
    given = [
        Request("http://a.example/", "POST", json={"a": [1]}, tag=("x", 1), key="k"),
        httpx.URL("http://b.example/"),
        httpx.Request("PUT", "http://c.example/", content=b"body"),
        7,
    ]
    requests = writer(tmp_path)
    for index, item in enumerate(given):
        requests.add(0, index, item)
    requests.flush()

    post, url, put, seven = (item for _, item in read(tmp_path / "0"))
    assert (post, url, seven) == (given[0], given[1], 7)
    assert (put.method, put.content) == ("PUT", b"body")


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request("http://a.example/", tag=threading.Lock()), "tag"),
        (Request("http://a.example/", "POST", content=(part for part in [b"x"])), "content"),
        (Request("http://a.example/", auth=lambda request: request), "auth"),
    ],
)
def test_what_cannot_travel_is_named(tmp_path: Path, request_: Request, what: str) -> None:
    """With the place of its request, also among others that can."""
    requests = writer(tmp_path)
    requests.add(0, 0, "http://example.org/")
    requests.add(0, 1, request_)

    with pytest.raises(TypeError, match=rf"^request 1 cannot be pickled.* whose {what} is a") as e:
        requests.flush()
    assert str(e.value).count("; give") == 1


def test_an_error_that_no_request_causes_is_raised_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Want of memory for many of them together, say."""
    requests, error = writer(tmp_path), MemoryError()
    requests.add(0, 0, "http://example.org/")
    dumps = pickle.dumps

    def fail(value: Any, *options: Any) -> bytes:
        if isinstance(value, tuple):
            raise error
        return dumps(value, *options)

    monkeypatch.setattr(pickle, "dumps", fail)

    with pytest.raises(MemoryError) as caught:
        requests.flush()
    assert caught.value is error


def test_what_a_worker_cannot_import_is_told(tmp_path: Path) -> None:
    """A tag of a class below the guard of a program."""
    requests = writer(tmp_path)
    requests.add(0, 0, Request("http://a.example/", tag=Tag()))
    requests.flush()
    path = tmp_path / "0"
    path.write_bytes(path.read_bytes().replace(b"Tag", b"Tug"))

    with pytest.raises(TypeError, match=r"^a request cannot be read by the worker: .*Tug.*; put"):
        read(path)
