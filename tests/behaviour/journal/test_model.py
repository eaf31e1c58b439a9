"""Runs over random inputs with one journal, compared with a model."""

from __future__ import annotations

import collections
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch import Request, Retry, fetch_many_sync

pytestmark = pytest.mark.may_block

REQUESTS = st.lists(
    st.tuples(st.sampled_from(["GET", "POST", "PUT"]), st.integers(0, 3)), max_size=12
)
RUNS = st.lists(st.tuples(REQUESTS, st.integers(0, 3)), min_size=1, max_size=4)


class Model:
    """What is to be sent: of each request, as many as are beyond those that were fetched."""

    def __init__(self) -> None:
        self.done: collections.Counter[Any] = collections.Counter()

    def sent(self, requests: list[Any], failing: int) -> list[Any]:
        wanted = collections.Counter(requests)
        sent = list((wanted - self.done).elements())
        self.done |= collections.Counter({r: n for r, n in wanted.items() if r[1] != failing})
        return sorted(sent)


class Server(httpx.AsyncBaseTransport):
    """Answers with a number, or refuses one of the paths with 429."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.failing = 0
        self._number = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = int(request.url.path[1:])
        self.seen.append((request.method, number))
        self._number += 1
        return httpx.Response(429 if number == self.failing else 200, text=str(self._number))


@settings(max_examples=60)
@given(RUNS)
def test_what_is_sent_is_what_the_model_says(runs: list[Any]) -> None:
    """With equal requests, reordered, grown and shrunk inputs, and failures that pass."""
    model, server = Model(), Server()
    with tempfile.TemporaryDirectory() as folder:
        for requests, failing in runs:
            server.seen, server.failing = [], failing
            expected = model.sent(requests, failing)

            results = fetch_many_sync(
                [Request(f"http://host.test/{number}", method) for method, number in requests],
                journal=Path(folder, "run.db"),
                transport=server,
                retry=Retry(attempts=1, pause_hosts=False),
            )

            assert sorted(server.seen) == expected
            assert [result.from_journal for result in results].count(False) == len(expected)
            fetched = [result.content for result in results if result.ok]
            assert len(set(fetched)) == len(fetched)


SPELLINGS: list[Any] = [
    "http://host.test/{}".format,
    "http://host.test/{}".format,
    "HTTP://HOST.test/{}".format,
    " http://host.test/{}#part".format,
    lambda number: Request(f"http://host.test/{number}", tag="a tag"),
    lambda number: Request(f"http://host.test/{number}", timeout=9.0),
    lambda number: httpx.URL(f"http://host.test/{number}"),
]
SPELT = st.lists(st.tuples(st.integers(0, len(SPELLINGS) - 1), st.integers(0, 2)), max_size=12)


class Failing(httpx.AsyncBaseTransport):
    """Answers each request with a number of its own; fails some of them."""

    def __init__(self, fails: list[bool]) -> None:
        self._fails = iter(fails)
        self._number = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._number += 1
        return httpx.Response(429 if next(self._fails, False) else 200, text=str(self._number))


@settings(max_examples=80)
@given(st.lists(SPELT, min_size=2, max_size=4), st.lists(st.booleans(), max_size=20))
def test_the_nth_equal_request_has_the_result_of_the_nth(
    runs: list[Any], fails: list[bool]
) -> None:
    """Although equal requests are spelt in different ways, some fail, and end in any order."""
    server = Failing(fails)
    kept: dict[Any, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for requests in runs:
            results = fetch_many_sync(
                [SPELLINGS[spelling](number) for spelling, number in requests],
                journal=Path(folder, "run.db"),
                transport=server,
                retry=Retry(attempts=1, pause_hosts=False),
            )

            seen: collections.Counter[int] = collections.Counter()
            for result, (_, number) in zip(results, requests, strict=True):
                nth = number, seen[number]
                seen[number] += 1
                assert result.from_journal == (nth in kept)
                assert result.content == kept.get(nth, result.content)
                if result.ok:
                    kept[nth] = result.content
