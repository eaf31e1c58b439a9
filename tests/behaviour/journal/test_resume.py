"""A batch that is run again with its journal: what is served, and what is sent."""

from __future__ import annotations

import collections
import os
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import Fetcher, InDoubt, Journal, Request, Results, Retry, fetch_many
from asyncbatch.testing import LoopbackServer, Reply
from asyncbatch.testing import RecordedRequest as Recorded

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

ONCE = Retry(attempts=1)


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    """Run a server that answers each request with a number of its own."""
    async with LoopbackServer() as server:
        numbers = iter(range(1_000_000))
        server.on("*", lambda _: Reply(body=str(next(numbers))))
        yield server


@pytest.fixture
def journal(tmp_path: Path) -> str:
    """Return the path of a journal that does not exist yet."""
    return str(tmp_path / "run.db")


def sent(server: LoopbackServer) -> list[str]:
    """Return the targets of the requests that arrived."""
    return [request.target for request in server.requests]


def bodies(results: Results) -> list[bytes]:
    return [result.content for result in results]


async def test_a_second_run_serves_what_the_first_one_fetched(
    server: LoopbackServer, journal: str
) -> None:
    """Nothing is sent; each result is as it was, and says where it comes from."""
    urls = [server.url(f"/{number}") for number in range(300)]
    first = await fetch_many(urls, journal=journal)

    second = await fetch_many(urls, journal=journal)

    assert len(server.requests) == 300
    assert bodies(second) == bodies(first)
    assert not any(result.from_journal for result in first)
    assert all(result.from_journal for result in second)
    assert [str(result.url) for result in second] == urls
    assert [result.index for result in second] == list(range(300))


async def test_a_served_result_is_as_it_was(server: LoopbackServer, journal: str) -> None:
    """Status, fields, reason, timing and attempts; cookies, which are secrets, are left out."""
    fields = (("x-a", "1"), ("x-a", "2"), ("set-cookie", "a=b"), ("content-type", "text/plain"))
    server.on("/", Reply(500), Reply(203, headers=fields, body="é"))
    url = server.url("/")
    [first] = await fetch_many([Request(url, tag="t")], journal=journal, retry=Retry(backoff=0.0))

    [second] = await fetch_many([Request(url, tag="t")], journal=journal)

    assert second.from_journal
    assert second.ok
    assert (second.status_code, second.text, second.attempts) == (203, "é", 2)
    assert second.request.tag == "t"
    assert second.reason_phrase == first.reason_phrase
    assert second.elapsed == pytest.approx(first.elapsed, abs=1e-5)
    assert second.timing.wait == pytest.approx(first.timing.wait, abs=1e-5)
    assert second.headers.get_list("x-a") == ["1", "2"]
    assert "set-cookie" not in second.headers
    assert second.response.http_version == "HTTP/1.1"
    [try_] = second.history
    assert (try_.status_code, type(try_.error)) == (500, httpx.HTTPStatusError)
    assert str(try_.error) == str(first.history[0].error)


@pytest.mark.parametrize("encoding", ["latin-1", lambda _: "latin-1"])
async def test_the_text_of_a_served_result_is_decoded_as_before(
    server: LoopbackServer, journal: str, encoding: Any
) -> None:
    """By the client's `default_encoding`, where the response names none; a failure's too."""
    page = {"body": "\u00e9".encode("latin-1"), "headers": {"content-type": "text/plain"}}
    server.on("/", Reply(**page))
    server.on("/gone", Reply(404, **page))
    urls = [server.url("/"), server.url("/gone")]

    for is_served in (False, True):
        results = await fetch_many(urls, journal=journal, default_encoding=encoding)

        assert [result.from_journal for result in results] == [is_served] * 2
        assert [result.text for result in results] == ["\u00e9"] * 2
        assert pickle.loads(pickle.dumps(results[0])).text == "\u00e9"


async def test_of_ten_posts_to_one_url_the_five_that_were_refused_are_sent(
    server: LoopbackServer, journal: str
) -> None:
    """Their bodies tell them apart; those answered are not sent again."""
    failing = {f'{{"n":{number}}}' for number in range(5)}

    def answer(request: Recorded) -> Reply:
        body = request.body.decode().replace(" ", "")
        return Reply(429) if body in failing else Reply(body=body)

    server.on("/post", answer)
    requests = [Request(server.url("/post"), "POST", json={"n": n}) for n in range(10)]
    first = await fetch_many(requests, journal=journal, retry=ONCE)
    failing.clear()

    second = await fetch_many(requests, journal=journal, retry=ONCE)

    assert [result.ok for result in first] == [False] * 5 + [True] * 5
    assert [result.from_journal for result in second] == [False] * 5 + [True] * 5
    assert all(result.ok for result in second)
    assert len(server.requests) == 15


async def test_equal_requests_are_matched_one_to_one(server: LoopbackServer, journal: str) -> None:
    """Of five equal requests where three were done, two are sent; each has its own result."""
    url = server.url("/same")
    first = await fetch_many([url] * 3, journal=journal)

    second = await fetch_many([url] * 5, journal=journal)

    assert sorted(bodies(second)[:3]) == sorted(bodies(first))
    assert [result.from_journal for result in second] == [True] * 3 + [False] * 2
    assert len(set(bodies(second))) == 5


async def test_an_input_may_be_reordered_grown_and_shrunk(
    server: LoopbackServer, journal: str
) -> None:
    """Requests are known by what they are, and not by where they stand."""
    urls = [server.url(f"/{number}") for number in range(20)]
    first = await fetch_many(urls[:10], journal=journal)

    second = await fetch_many(urls[15:4:-1], journal=journal)

    known = dict(zip(urls, bodies(first), strict=False))
    for url, result in zip(urls[15:4:-1], second, strict=True):
        assert result.from_journal is (url in known)
        assert result.content == known.get(url, result.content)
    assert len(server.requests) == 16


async def test_params_are_a_part_of_the_url(server: LoopbackServer, journal: str) -> None:
    """`params=` and the query are the same, and other parameters are another request."""
    page = server.url("/page")
    await fetch_many([f"{page}?n=1"], journal=journal)

    results = await fetch_many(
        [Request(page, params={"n": 1}), Request(page, params={"n": 2})], journal=journal
    )

    assert [result.from_journal for result in results] == [True, False]
    assert sent(server) == ["/page?n=1", "/page?n=2"]


async def test_two_users_of_one_url_get_their_own_results(
    server: LoopbackServer, journal: str
) -> None:
    """`Authorization` of the request is a part of its identity."""
    server.on("/me", lambda request: Reply(body=request.headers["authorization"]))
    users = [Request(server.url("/me"), headers={"Authorization": name}) for name in ("one", "two")]
    await fetch_many(users[:1], journal=journal)

    results = await fetch_many(users, journal=journal)

    assert bodies(results) == [b"one", b"two"]
    assert [result.from_journal for result in results] == [True, False]


async def test_a_token_of_the_client_may_change(server: LoopbackServer, journal: str) -> None:
    """What the fetcher adds to all requests is no part of their identity."""
    url = server.url("/a")
    await fetch_many([url], journal=journal, headers={"Authorization": "token 1"})

    [result] = await fetch_many(
        [url], journal=journal, headers={"Authorization": "token 2"}, cookies={"a": "b"}
    )

    assert result.from_journal


async def test_a_body_of_a_generator_needs_a_key(server: LoopbackServer, journal: str) -> None:
    """Without one, it is a failure, and nothing is sent; with one, it is served by it."""

    def body() -> Iterator[bytes]:
        yield b"body"

    def requests() -> list[Request]:
        url = server.url("/upload")
        return [
            Request(url, "POST", content=body()),
            Request(url, "POST", content=body(), key=("upload", 7)),
        ]

    first = await fetch_many(requests(), journal=journal)
    second = await fetch_many(requests(), journal=journal)

    for results in (first, second):
        assert (results[0].kind, results[0].attempts) == ("invalid_request", 0)
        assert "needs a key" in str(results[0].error)
        assert results[1].ok
    assert second[1].from_journal
    assert len(server.requests) == 1


async def test_a_redirected_request_is_served_with_its_final_url(
    server: LoopbackServer, journal: str
) -> None:
    """And not sent again to either of the two."""
    server.on("/from", Reply(302, headers={"location": "/to"}))
    [first] = await fetch_many([server.url("/from")], journal=journal)

    [second] = await fetch_many([server.url("/from")], journal=journal)

    assert second.from_journal
    assert second.url == first.url == httpx.URL(server.url("/to"))
    assert sent(server) == ["/from", "/to"]


@pytest.mark.parametrize("is_async", [False, True], ids=["list", "async"])
async def test_an_ordered_stream_stays_in_order(
    server: LoopbackServer, journal: str, is_async: bool
) -> None:
    """Served results and sent ones come in the order of the input."""
    urls = [server.url(f"/{number}") for number in range(60)]
    await fetch_many(urls[::3], journal=journal)

    async def arrive() -> AsyncIterator[str]:
        for url in urls:
            yield url

    requests: Any = arrive() if is_async else urls
    async with (
        Fetcher() as fetcher,
        fetcher.stream(requests, ordered=True, backlog=7, journal=journal) as stream,
    ):
        results = [result async for result in stream]

    assert [result.index for result in results] == list(range(60))
    assert [result.from_journal for result in results] == [n % 3 == 0 for n in range(60)]


async def test_a_stream_without_an_end_is_read_as_far_as_it_is_consumed(
    server: LoopbackServer, journal: str
) -> None:
    """Served results wait for the consumer, too."""
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield server.url(f"/{read % 50}")

    await fetch_many([server.url(f"/{n}") for n in range(50)] * 4, journal=journal)
    read = 0
    async with (
        Fetcher(concurrency=4) as fetcher,
        fetcher.stream(endless(), backlog=10, journal=journal) as stream,
    ):
        taken = [await anext(stream) for _ in range(100)]

    assert all(result.from_journal for result in taken)
    assert read < 100 + 10 + 1000


async def test_what_a_batch_timeout_leaves_is_sent_by_the_next_run(
    server: LoopbackServer, journal: str
) -> None:
    """Served results come in time, each request has a result, and the rest is sent later."""
    urls = [server.url(f"/{number}") for number in range(30)]
    await fetch_many(urls[:10], journal=journal)
    server.on("*", Reply().hang(head=0))

    cut = await fetch_many(
        urls, journal=journal, batch_timeout=2.0, concurrency=5, retry=None, timeout=None
    )
    server.on("*", Reply(body="at last"))
    rest = await fetch_many(urls, journal=journal)

    assert [result.ok for result in cut] == [True] * 10 + [False] * 20
    kinds = collections.Counter(result.kind for result in cut[10:])
    assert kinds == {"timeout": 5, "not_started": 15}
    assert all(result.ok for result in rest)
    assert [result.from_journal for result in rest] == [True] * 10 + [False] * 20


async def test_two_batches_of_one_fetcher_have_a_journal_each(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """At the same time."""
    urls = [server.url(f"/{number}") for number in range(50)]
    found: dict[str, Results] = {}

    async def run(fetcher: Fetcher, name: str) -> None:
        found[name] = await fetcher.fetch_many(urls, journal=tmp_path / name)

    async with Fetcher() as fetcher:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run, fetcher, "a.db")
                tasks.start_soon(run, fetcher, "b.db")

    assert all(result.from_journal for each in found.values() for result in each)
    assert len(server.requests) == 100


async def test_failures_that_may_pass_are_sent_again_and_others_are_served(
    server: LoopbackServer, journal: str
) -> None:
    """A 503 is sent again, a 404 is served with its body, as is an invalid URL."""
    server.on("/busy", Reply(503))
    server.on("/gone", Reply(404, body="gone"))
    requests = [server.url("/busy"), server.url("/gone"), "no url", server.dead_url()]
    first = await fetch_many(requests, journal=journal, retry=ONCE)

    second = await fetch_many(requests, journal=journal, retry=ONCE)

    assert [result.kind for result in second] == [result.kind for result in first]
    assert [result.from_journal for result in second] == [False, True, True, False]
    assert second[1].content == b"gone"
    assert [str(result.error) for result in second] == [str(result.error) for result in first]
    assert [type(result.error) for result in second] == [type(result.error) for result in first]


@pytest.mark.parametrize(("retry", "again"), [("all", 4), ("none", 0), ("transient", 1)])
async def test_the_journal_says_which_failures_are_sent_again(
    server: LoopbackServer, journal: str, retry: Any, again: int
) -> None:
    """All of them, none, or those that may pass; an unsafe one that may have run is not."""
    server.on("/busy", Reply(503))
    server.on("/gone", Reply(404))
    requests = [
        server.url("/busy"),
        server.url("/gone"),
        Request(server.url("/busy"), "POST"),
        Request(server.url("/gone"), "POST"),
    ]
    await fetch_many(requests, journal=journal, retry=ONCE)
    before = len(server.requests)

    await fetch_many(requests, journal=Journal(journal, retry=retry), retry=ONCE)

    assert len(server.requests) - before == again


def refused(server: LoopbackServer) -> str:
    return server.dead_url()


def timed_out(server: LoopbackServer) -> str:
    server.on("/slow", Reply().hang(head=0))
    return server.url("/slow")


def cut(server: LoopbackServer) -> str:
    server.on("/cut", Reply().cut(head=0))
    return server.url("/cut")


@pytest.mark.parametrize(
    ("make", "seconds", "is_sent_again"),
    [(refused, 30.0, True), (timed_out, 0.3, False), (cut, 30.0, False)],
)
async def test_a_post_is_sent_again_only_if_it_cannot_have_run(
    server: LoopbackServer,
    journal: str,
    make: Callable[[LoopbackServer], str],
    seconds: float,
    is_sent_again: bool,
) -> None:
    """A refused connection passes; after a timeout or a cut one the failure is served."""
    request = Request(make(server), "POST", content=b"1")
    [first] = await fetch_many([request], journal=journal, timeout=seconds, retry=ONCE)

    [second] = await fetch_many([request], journal=journal, timeout=seconds, retry=ONCE)

    assert second.kind == first.kind
    assert second.from_journal is not is_sent_again


async def test_a_post_whose_answer_was_not_waited_for_is_in_doubt(
    server: LoopbackServer, journal: str
) -> None:
    """It was written down before it was sent, and is not sent again unless that is asked for."""
    server.on("/slow", Reply().hang(head=0))
    requests = [Request(server.url("/slow"), "POST"), server.url("/slow")]
    async with Fetcher() as fetcher, fetcher.stream(requests, journal=journal):
        await server.wait_until(lambda seen: seen.requests == 2)
    server.on("/slow", Reply(body="at last"))

    [post, get] = await fetch_many(requests, journal=journal)
    [again, _] = await fetch_many(requests, journal=Journal(journal, retry="none"))
    [sent, _] = await fetch_many(requests, journal=Journal(journal, retry="all"))

    assert (post.kind, post.from_journal, type(post.error)) == ("in_doubt", True, InDoubt)
    assert (again.kind, again.from_journal) == ("in_doubt", True)
    assert get.content == sent.content == b"at last"
    assert [request.method for request in server.requests].count("POST") == 2


async def test_a_doubt_outlasts_a_try_that_was_refused(
    server: LoopbackServer, journal: str
) -> None:
    """Only the first sending may have been carried out; what was asked for once is not a habit."""
    server.on("/slow", Reply().hang(head=0))
    request = Request(server.url("/slow"), "POST")
    async with Fetcher() as fetcher, fetcher.stream([request], journal=journal):
        await server.wait_until(lambda seen: seen.requests == 1)
    server.on("/slow", Reply(429), Reply(body="done"))

    [refused] = await fetch_many([request], journal=Journal(journal, retry="all"), retry=ONCE)
    [doubted] = await fetch_many([request], journal=journal, retry=ONCE)
    [sent] = await fetch_many([request], journal=Journal(journal, retry="all"), retry=ONCE)
    [served] = await fetch_many([request], journal=journal, retry=ONCE)

    assert (refused.status_code, refused.from_journal) == (429, False)
    assert (doubted.kind, doubted.from_journal) == ("in_doubt", True)
    assert (sent.content, served.content) == (b"done", b"done")
    assert served.from_journal
    assert len(server.requests) == 3


async def test_a_damaged_body_is_fetched_again(
    server: LoopbackServer, journal: str, tmp_path: Path
) -> None:
    """A POST whose body is damaged is in doubt: it is sent again only if that is asked for."""
    server.on("/large", lambda _: Reply(body=os.urandom(400_000)))
    requests = [server.url("/large"), Request(server.url("/large"), "POST")]
    first = await fetch_many(requests, journal=journal)
    await anyio.to_thread.run_sync(damage, tmp_path / "run.db.d")

    second = await fetch_many(requests, journal=journal)
    third = await fetch_many(requests[:1], journal=journal)
    sent_before = len(server.requests)
    [post] = await fetch_many(requests[1:], journal=Journal(journal, retry="all"))
    [again] = await fetch_many(requests[1:], journal=journal)

    assert [result.kind for result in second] == [None, "in_doubt"]
    assert not second[0].from_journal
    assert second[0].content != first[0].content
    assert third[0].from_journal
    assert third[0].content == second[0].content
    assert sent_before == 3
    assert (post.ok, post.from_journal) == (True, False)
    assert (again.content, again.from_journal) == (post.content, True)


def damage(folder: Path) -> None:
    """Change a byte of each file."""
    for path in folder.rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[7] ^= 1
            path.write_bytes(content)


async def test_a_served_result_pickles(server: LoopbackServer, journal: str) -> None:
    """As any other."""
    server.on("/gone", Reply(404, body="gone"))
    urls = [server.url("/"), server.url("/gone")]
    await fetch_many(urls, journal=journal)

    for result in await fetch_many(urls, journal=journal):
        arrived = pickle.loads(pickle.dumps(result))
        assert arrived.from_journal
        assert (arrived.content, arrived.kind) == (result.content, result.kind)
        assert arrived.url == result.url


@pytest.mark.parametrize(
    ("request_", "retry"),
    [
        ({"headers": {"Idempotency-Key": "7"}}, ONCE),
        ({}, Retry(attempts=1, methods={"GET", "POST"})),
        ({"retry": Retry(attempts=1, methods={"POST"})}, None),
    ],
    ids=["header", "policy", "request"],
)
async def test_a_post_that_may_be_repeated_is_sent_again(
    server: LoopbackServer, journal: str, request_: dict[str, Any], retry: Retry | None
) -> None:
    """By an `Idempotency-Key`, or by `Retry.methods` of the fetcher or of the request."""
    request = Request(cut(server), "POST", content=b"1", **request_)
    await fetch_many([request], journal=journal, retry=retry)

    [second] = await fetch_many([request], journal=journal, retry=retry)

    assert not second.from_journal


async def test_two_requests_with_one_key(server: LoopbackServer, journal: str) -> None:
    """In one run, another request is refused; in a later one, it gets the result of the first."""
    one, other = (Request(server.url(f"/?signature={n}"), key="page") for n in (1, 2))
    first = await fetch_many([one, other, one], journal=journal)

    second = await fetch_many([other], journal=journal)

    assert [result.kind for result in first] == [None, "invalid_request", None]
    assert "'page' is that of another request" in str(first[1].error)
    assert second[0].from_journal
    assert second[0].content == first[0].content
    assert len(server.requests) == 2


async def test_a_rule_gives_the_keys(server: LoopbackServer, journal: str) -> None:
    """The tag, or what a function of the request returns."""
    options = {"tag": "tag", "path": lambda request: httpx.URL(str(request.url)).path}
    for name, rule in options.items():
        kept = Journal(f"{journal}.{name}", key=rule)
        requests = [Request(server.url(f"/{n}?token={n}"), tag=n) for n in range(3)]
        await fetch_many(requests, journal=kept)
        changed = [Request(server.url(f"/{n}?token=9{n}"), tag=n) for n in range(3)]

        results = await fetch_many(changed, journal=kept)

        assert all(result.from_journal for result in results), name


async def test_a_key_of_a_wrong_type_is_refused_before_anything_is_sent(
    server: LoopbackServer, journal: str
) -> None:
    """At `Request(...)`; a tag or a function that gives one is a failure of its request."""
    with pytest.raises(ValueError, match="key must be a str, int, bytes or a tuple of these"):
        Request(server.url("/"), key=1.5)  # type: ignore[arg-type]

    def fail(request: Request) -> str:
        raise ZeroDivisionError

    tagged = Journal(journal, key="tag")
    [by_tag] = await fetch_many([Request(server.url("/"), tag=[1])], journal=tagged)
    failing = Journal(f"{journal}2", key=fail)
    [by_function] = await fetch_many([server.url("/")], journal=failing)

    assert by_tag.kind == by_function.kind == "invalid_request"
    assert isinstance(by_function.error, ZeroDivisionError)
    assert not server.requests


async def test_results_that_are_too_old_are_fetched_again(
    server: LoopbackServer, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `max_age`, in seconds; a POST is served at any age."""
    requests = [server.url("/"), Request(server.url("/"), "POST")]
    await fetch_many(requests, journal=journal)
    monkeypatch.setattr("asyncbatch._journal._lookup.wall_time", later(100.0))

    young = await fetch_many(requests, journal=Journal(journal, max_age=101.0))
    old = await fetch_many(requests, journal=Journal(journal, max_age=99.0))

    assert [result.from_journal for result in young] == [True, True]
    assert [result.from_journal for result in old] == [False, True]


def later(seconds: float) -> Callable[[], float]:
    """Return a clock that is ahead."""
    import time

    return lambda: time.time() + seconds


@pytest.mark.parametrize(
    ("which", "kept"), [("all", [b"page", b"gone"]), ("ok", [b"page", b""]), ("none", [b"", b""])]
)
async def test_the_journal_says_which_bodies_are_kept(
    server: LoopbackServer, journal: str, which: Any, kept: list[bytes]
) -> None:
    """The others are served empty."""
    server.on("/page", Reply(body="page"))
    server.on("/gone", Reply(404, body="gone"))
    urls = [server.url("/page"), server.url("/gone")]
    await fetch_many(urls, journal=Journal(journal, bodies=which))

    results = await fetch_many(urls, journal=journal)

    assert all(result.from_journal for result in results)
    assert bodies(results) == kept
    assert [result.status_code for result in results] == [200, 404]


@pytest.mark.may_block
async def test_a_text_that_is_no_unicode_fails_its_own_request_only(
    server: LoopbackServer, journal: str
) -> None:
    """A line that is not UTF-8 has lone surrogates, as a URL or as a method."""
    requests = [server.url("/a\udcff"), Request(server.url("/b"), "\udcff"), server.url("/c")]

    first = await fetch_many(requests, journal=journal)
    second = await fetch_many(requests, journal=journal)

    kinds = ["invalid_request", "invalid_request", None]
    assert [result.kind for result in first] == kinds
    assert [result.kind for result in second] == kinds
    assert all(result.from_journal for result in second)
    assert sent(server) == ["/c"]
    with Journal.read(journal) as reader:
        kept = {result.request.url for result in reader}
        methods = {result.request.method for result in reader}
    assert kept == {server.url("/a\\udcff"), server.url("/b"), server.url("/c")}
    assert methods == {"GET", "\\udcff"}


@pytest.mark.may_block
@pytest.mark.skipif(sys.platform != "linux", reason="names there are no bytes, or are UTF-8")
async def test_the_name_of_a_journal_may_be_any_bytes(
    server: LoopbackServer, tmp_path: Path
) -> None:
    """Also those that are no UTF-8, and those that mean something in a URL."""
    urls = [server.url("/a")]
    for name in (os.fsdecode(b"run \xff?%41#.db"), "r\u00fcn.db"):
        await fetch_many(urls, journal=tmp_path / name)

        [result] = await fetch_many(urls, journal=tmp_path / name)

        assert result.from_journal
        with Journal.read(tmp_path / name) as reader:
            assert reader.counts() == {"ok": 1}
