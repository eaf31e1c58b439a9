"""The options: what each does, what it defaults to, and how a wrong value is refused."""

from __future__ import annotations

import inspect
import math
import resource
import warnings
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from asyncbatch import (
    Fetcher,
    FetcherOptions,
    Progress,
    Rate,
    Retry,
    SyncFetcher,
    fetch_many,
    fetch_many_sync,
)
from asyncbatch._api._options import CLIENT_DEFAULTS, Options, split_options
from asyncbatch.testing import LoopbackServer, Reply
from tests.transports import SLACK, HeldTransport, mock, run_virtually, urls


def fetcher_with(**options: object) -> Fetcher:
    return Fetcher(**options)  # type: ignore[arg-type]


def test_the_defaults():
    """What holds where nothing is said."""
    options, rest = split_options({})

    assert options.concurrency == 100
    assert options.per_host is None
    assert options.rate is None
    assert options.total_rate is None
    assert options.retry == Retry()
    assert options.deadline is None
    assert options.max_body.value == 32 * 1024 * 1024
    assert options.give_up_host_after == 10
    assert options.progress is False
    assert rest == {}


ENTRY_POINTS = [fetch_many, fetch_many_sync, Fetcher, SyncFetcher]


def shown_defaults(entry_point: Any) -> dict[str, Any]:
    """Return the options in a signature, by their defaults."""
    parameters = inspect.signature(entry_point).parameters
    names = FetcherOptions.__optional_keys__
    return {name: each.default for name, each in parameters.items() if name in names}


@pytest.mark.parametrize("entry_point", ENTRY_POINTS)
def test_the_signature_shows_each_option_with_its_default(entry_point: Any) -> None:
    """For `help()`, for tab completion and for the reference; a stand-in is shown by its value."""
    signature = inspect.signature(entry_point)
    shown = shown_defaults(entry_point)

    assert list(shown) == list(FetcherOptions.__annotations__)
    assert signature.return_annotation
    assert "client" in signature.parameters
    assert not any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    assert shown["concurrency"] == 100
    assert shown["retry"] == Retry()
    assert (shown["timeout"], shown["connect_timeout"]) == (30.0, 10.0)
    assert (shown["follow_redirects"], shown["max_redirects"]) == (True, 20)
    assert "NotGiven" not in repr(signature)
    assert "object at" not in repr(signature)


def test_each_option_stands_in_one_table() -> None:
    """Those that are typed are those that have a default."""
    own = [field.name for field in attrs.fields(Options)]

    assert [*own, *CLIENT_DEFAULTS] == list(FetcherOptions.__annotations__)


def test_the_defaults_of_the_client_are_httpxs() -> None:
    """But for `limits`, which `concurrency` settles, and what we have options of our own for."""
    httpxs = {
        name: each.default for name, each in inspect.signature(httpx.AsyncClient).parameters.items()
    }

    assert {name: httpxs[name] for name in CLIENT_DEFAULTS} | {"limits": None} == CLIENT_DEFAULTS
    assert httpxs.keys() - CLIENT_DEFAULTS.keys() <= {field.name for field in attrs.fields(Options)}


async def test_what_is_shown_may_be_given(server: LoopbackServer) -> None:
    """Each default, as it is shown, does what leaving it out does."""
    server.on("/moved", Reply.redirect("/"))
    async with Fetcher(**shown_defaults(Fetcher)) as fetcher:
        result = await fetcher.fetch(server.url("/moved"))

        assert result.ok
        assert fetcher.client.timeout == httpx.Timeout(30.0, connect=10.0)
        assert fetcher.statistics().concurrency == 100


def test_a_fetcher_of_the_callers_shows_its_own_signature() -> None:
    """A class that derives from ours says itself what it takes."""

    class Mine(Fetcher):
        def __init__(self, site: str) -> None:
            super().__init__(base_url=site)

    assert list(inspect.signature(Mine).parameters) == ["site"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"concurrency": 0}, ValueError, "concurrency must be at least 1, not 0"),
        ({"concurrency": "9"}, TypeError, "concurrency must be an int, not '9'"),
        ({"concurrency": None}, TypeError, "concurrency must be an int, not None"),
        ({"concurrency": True}, TypeError, "concurrency must be an int, not True"),
        ({"per_host": 0}, ValueError, "per_host must be at least 1, not 0"),
        ({"per_host": 2.5}, TypeError, "per_host must be an int, not 2.5"),
        ({"rate": 20}, TypeError, r"rate must be .* give rate=asyncbatch.Rate\(20\)"),
        ({"total_rate": "1/s"}, TypeError, "total_rate must be an asyncbatch.Rate or None"),
        ({"retry": 3}, TypeError, r"retry must be .* give retry=asyncbatch.Retry\(attempts=4\)"),
        ({"timeout": 0}, ValueError, "timeout must be above 0 seconds, not 0; None switches it"),
        ({"timeout": -1}, ValueError, "timeout must be above 0 seconds, not -1"),
        ({"timeout": math.nan}, ValueError, "timeout must be above 0 seconds, not nan"),
        ({"timeout": "5"}, TypeError, "timeout must be a number of seconds or None, not '5'"),
        ({"connect_timeout": 0}, ValueError, "connect_timeout must be above 0 seconds"),
        ({"deadline": -5}, ValueError, "deadline must be above 0 seconds, not -5"),
        ({"follow_redirects": 1}, TypeError, "follow_redirects must be True or False, not 1"),
        ({"max_redirects": -1}, ValueError, "max_redirects must be at least 0, not -1"),
        ({"max_redirects": "3"}, TypeError, "max_redirects must be an int, not '3'"),
        ({"max_body": -1}, ValueError, "max_body must be at least 0, not -1"),
        ({"minimum_rate": 0}, ValueError, "minimum_rate must be above 0 bytes per second, not 0;"),
        ({"minimum_rate": -1.5}, ValueError, "minimum_rate must be above 0 .*, not -1.5"),
        ({"minimum_rate": math.nan}, ValueError, "minimum_rate must be above 0 .*, not nan"),
        ({"minimum_rate": math.inf}, ValueError, "minimum_rate must be above 0 .*, not inf"),
        ({"minimum_rate": "1k"}, TypeError, "minimum_rate must be a number of bytes per second"),
        ({"minimum_rate": True}, TypeError, "minimum_rate must be a number .*, not True"),
        ({"give_up_host_after": 0}, ValueError, "give_up_host_after must be at least 1, not 0"),
        ({"progress": "bar"}, ValueError, "progress='bar' is unknown: use True, False"),
        ({"progress": 7}, TypeError, "progress=7 is of a wrong type"),
        ({"concurency": 5}, TypeError, "unknown option 'concurency'; did you mean 'concurrency'?"),
        ({"retries": 5}, TypeError, "unknown option 'retries'"),
        ({"zzz": 5}, TypeError, "unknown option 'zzz'$"),
    ],
)
def test_a_wrong_option_is_refused_with_its_value_and_the_cure(options, error, message):
    """At the call, before anything is opened."""
    with pytest.raises(error, match=message):
        fetcher_with(**options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"backlog": 0}, ValueError, "backlog must be at least 1, not 0"),
        ({"backlog": 1.5}, TypeError, "backlog must be an int, not 1.5"),
        ({"batch_timeout": 0}, ValueError, "batch_timeout must be above 0 seconds, not 0"),
        ({"batch_timeout": "1"}, TypeError, "batch_timeout must be a number of seconds"),
    ],
)
async def test_a_wrong_argument_of_a_stream_is_refused_at_the_call(arguments, error, message):
    """Not only when the stream is entered."""
    async with Fetcher(transport=mock()) as fetcher:
        with pytest.raises(error, match=message):
            fetcher.stream([], **arguments)


def test_options_of_the_client_are_refused_together_with_a_client():
    """They are set on the client, and would be ignored."""
    client = httpx.AsyncClient(transport=mock())
    with pytest.raises(TypeError, match="headers is set on the client; give either"):
        Fetcher(client, headers={"a": "b"})


# Each option does something


async def test_concurrency_bounds_what_is_under_way():
    """No more requests than that are sent at once."""
    transport = HeldTransport()
    transport.let_go(50)
    async with Fetcher(transport=transport, concurrency=3) as fetcher:
        await fetcher.fetch_many(urls(50))

    assert transport.peak == 3


async def test_per_host_bounds_what_is_under_way_to_one_origin():
    """Two origins have twice as many together."""
    transport = HeldTransport()
    transport.let_go(40)
    async with Fetcher(transport=transport, per_host=2) as fetcher:
        await fetcher.fetch_many(urls(20) + urls(20, host="other.test"))

    assert transport.peak == 4


@pytest.mark.parametrize(("option", "seconds"), [("rate", 9), ("total_rate", 19)])
def test_rates_space_the_starts(option, seconds):
    """`rate` those of each host, `total_rate` those of all."""

    async def main():
        async with fetcher_with(transport=mock(), **{option: Rate(1)}) as fetcher:
            return await fetcher.fetch_many(urls(10) + urls(10, host="other.test"))

    for backend in ("asyncio", "trio"):
        assert run_virtually(backend, main).duration == pytest.approx(seconds)


async def test_retry_none_tries_everything_once(server: LoopbackServer):
    """And a `Retry` as often as it says."""
    server.on("/", Reply(500))
    async with Fetcher(retry=None) as fetcher:
        once = await fetcher.fetch(server.url("/"))
    async with Fetcher(retry=Retry(attempts=5, backoff=0)) as fetcher:
        often = await fetcher.fetch(server.url("/"))

    assert (once.attempts, often.attempts) == (1, 5)


def test_time_limits_cut():
    """`timeout` one attempt, `deadline` all of them."""

    async def main():
        async with LoopbackServer(default=Reply().hang()) as server:
            retry = Retry(attempts=3, backoff=0)
            async with Fetcher(timeout=2, retry=retry) as fetcher:
                first = await fetcher.fetch(server.url("/"))
            async with Fetcher(timeout=2, deadline=3, retry=retry) as fetcher:
                second = await fetcher.fetch(server.url("/"))
            return first, second

    first, second = run_virtually("asyncio", main)

    assert (first.kind, first.attempts) == ("timeout", 3)
    assert first.elapsed == pytest.approx(6, abs=SLACK)
    assert (second.kind, second.attempts) == ("timeout", 2)
    assert second.elapsed == pytest.approx(3, abs=SLACK)


@pytest.mark.parametrize("given", [False, True], ids=["own client", "client given"])
def test_connect_timeout_limits_connecting(given):
    """With a client of the caller's too, and together with `timeout`."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200)

    async def main():
        transport = httpx.MockTransport(note)
        client = httpx.AsyncClient(transport=transport, timeout=7) if given else None
        own = {} if given else {"transport": transport}
        for options in ({"connect_timeout": 3}, {"connect_timeout": 3, "timeout": 20}, {}):
            async with Fetcher(client, **options, **own) as fetcher:
                await fetcher.fetch("http://host.test/")
        if client is not None:
            await client.aclose()

    run_virtually("asyncio", main)

    assert [limits["connect"] for limits in seen] == [3, 3, 7 if given else 10]


@pytest.mark.parametrize("given", [False, True], ids=["own client", "client given"])
async def test_redirects_are_followed_as_told(server: LoopbackServer, given: bool):
    """By `follow_redirects` and `max_redirects`, over what the client says."""
    server.on("/0", Reply.redirect("/1"))
    server.on("/1", Reply.redirect("/2"))
    statuses = []
    for options in ({"follow_redirects": False}, {"follow_redirects": True}, {"max_redirects": 1}):
        client = httpx.AsyncClient(follow_redirects=True, trust_env=False) if given else None
        async with fetcher_with(client=client, **options) as fetcher:
            result = await fetcher.fetch(server.url("/0"))
            statuses.append(result.status_code or result.kind)
        if client is not None:
            await client.aclose()

    assert statuses == [302, 200, "redirect"]


async def test_the_settings_of_a_client_stand_where_nothing_is_said(server: LoopbackServer):
    """Httpx follows no redirects by default, and a client that was given does not either."""
    server.on("/0", Reply.redirect("/1"))
    async with httpx.AsyncClient(trust_env=False) as client, Fetcher(client) as fetcher:
        assert (await fetcher.fetch(server.url("/0"))).status_code == 302


async def test_max_body_bounds_a_body(server: LoopbackServer):
    """A longer one fails; `None` bounds nothing."""
    server.on("/", Reply(body=b"x" * 1001))
    async with Fetcher(max_body=1000) as bounded, Fetcher(max_body=None) as unbounded:
        assert (await bounded.fetch(server.url("/"))).kind == "too_large"  # type: ignore[union-attr]
        assert (await unbounded.fetch(server.url("/"))).ok


async def test_progress_calls_a_function():
    """With how far the batch is, and at its end with all of it."""
    seen: list[Progress] = []
    async with Fetcher(transport=mock(), progress=seen.append) as fetcher:
        await fetcher.fetch_many(urls(20))

    assert (seen[-1].total, seen[-1].succeeded, seen[-1].in_flight) == (20, 20, 0)
    assert seen[-1].bytes == sum(len(f"/{number}") for number in range(20))


async def test_other_options_go_to_the_client():
    """Headers, `base_url`, authentication: as `httpx.AsyncClient` takes them."""
    seen = []

    def note(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    async with Fetcher(
        transport=httpx.MockTransport(note),
        base_url="http://host.test/api/",
        headers={"x-who": "me"},
        auth=("user", "word"),
        params={"page": "1"},
    ) as fetcher:
        result = await fetcher.fetch("items")

    assert result.ok
    assert str(seen[0].url) == "http://host.test/api/items?page=1"
    assert seen[0].headers["x-who"] == "me"
    assert seen[0].headers["authorization"].startswith("Basic ")


async def test_fetch_many_takes_every_option():
    """The function is a fetcher for one batch."""
    transport = HeldTransport()
    transport.let_go(20)
    results = await fetch_many(urls(20), transport=transport, concurrency=2, retry=None)

    assert transport.peak == 2
    assert len(results.successes) == 20


# Bounds by the machine and by the client


@pytest.fixture
def few_descriptors():
    """Allow this process 300 open files."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.usefixtures("few_descriptors")
def test_concurrency_leaves_half_of_the_descriptors():
    """More is lowered, with a warning at the caller's own line; the default goes quietly."""
    with pytest.warns(RuntimeWarning, match="concurrency=200 is lowered to 150: half") as caught:
        options = Fetcher(concurrency=200)

    assert options.statistics().concurrency == 150
    assert Path(caught[0].filename) == Path(__file__)


@pytest.mark.usefixtures("few_descriptors")
async def test_the_warning_of_fetch_many_names_the_callers_line():
    """However deep inside the library it arises."""
    with pytest.warns(RuntimeWarning, match="lowered to 150") as caught:
        await fetch_many([], transport=mock(), concurrency=200)

    assert Path(caught[0].filename) == Path(__file__)


async def test_concurrency_does_not_pass_the_pool_of_a_client():
    """Asked for, it is lowered with a warning; the default is lowered quietly."""
    limits = httpx.Limits(max_connections=7)
    async with httpx.AsyncClient(limits=limits) as client:
        with pytest.warns(RuntimeWarning, match=r"concurrency=50 is lowered to 7: .*limits="):
            assert Fetcher(client, concurrency=50).statistics().concurrency == 7
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert Fetcher(client).statistics().concurrency == 7


async def test_two_fetchers_on_one_client_stay_within_its_pool_together(server: LoopbackServer):
    """The gate belongs to the client, not to the fetcher."""
    limits = httpx.Limits(max_connections=3)
    client = httpx.AsyncClient(limits=limits, trust_env=False)
    one, other = Fetcher(client), Fetcher(client)
    streamed = one.stream([server.url(f"/{n}") for n in range(30)])
    async with client, one, other, streamed as results:
        second = await other.fetch_many([server.url(f"/b{n}") for n in range(30)])
        first = [result async for result in results]

    assert all(result.ok for result in (*first, *second))
    assert server.statistics().peak_connections <= 3


def test_every_option_is_written_down_once():
    """The `TypedDict` that type checkers see has the options that there are."""
    import attrs

    from asyncbatch._api._options import BatchOptions

    assert BatchOptions.__optional_keys__ == {field.name for field in attrs.fields(Options)}


# Options of the client

WRONGLY_TYPED: dict[str, list[Any]] = {
    "auth": ["s3cr3t", 5, ("a", "s3cr3t", "c")],
    "base_url": [5, None, b"http://host.test/"],
    "cert": [5, b"s3cr3t"],
    "cookies": [5, "a=s3cr3t"],
    "default_encoding": [5, None],
    "event_hooks": [[], 5, {"request": print}],
    "headers": [5, "authorization: s3cr3t", b"a: s3cr3t"],
    "http1": ["yes", None, 1],
    "http2": ["yes", None, 1],
    "limits": [5, (5, 5)],
    "mounts": [5, [], "http://", {"http://": 5}],
    "params": [5, iter([("a", "b")]), ["ab"], {"a": iter("x")}, {"a": object()}],
    "proxy": [5, {"http://me:s3cr3t@host.test"}],
    "transport": [5, "http"],
    "trust_env": ["no", None, 0],
    "verify": [5, None, 0, object()],
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, values in WRONGLY_TYPED.items() for value in values],
)
def test_an_option_of_the_client_of_a_wrong_type_is_refused(option: str, value: Any):
    """With its name and the cure, and without what may be a secret."""
    with pytest.raises(TypeError, match=f"^{option} must be ") as caught:
        Fetcher(**{option: value})

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["", "me:s3cr3t@x", "http//me:s3cr3t@x", "ftp://me:s3cr3t@x"])
def test_a_proxy_that_is_none_is_refused_without_its_password(proxy: str):
    """What httpx says of it has the password in it."""
    with pytest.raises(ValueError, match=r"^proxy must be a URL") as caught:
        Fetcher(proxy=proxy)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"auth": None, "cert": None, "cookies": None, "event_hooks": None, "headers": None},
        {"mounts": None, "params": None, "proxy": None, "transport": None},
        {"auth": httpx.BasicAuth("a", "b"), "cookies": CookieJar(), "headers": httpx.Headers()},
        {"auth": lambda request: request, "cookies": httpx.Cookies(), "headers": [("a", "b")]},
        {"params": "a=b", "base_url": httpx.URL("http://host.test/"), "mounts": {}},
        {"params": httpx.QueryParams("a=b"), "limits": httpx.Limits(), "verify": False},
        {"default_encoding": "latin-1", "event_hooks": {"request": [print], "response": ()}},
        {"proxy": httpx.Proxy("http://127.0.0.1:1"), "trust_env": False, "http2": False},
    ],
)
def test_an_option_of_the_client_of_a_right_type_is_taken(options: dict[str, Any]):
    """In every form that httpx takes."""
    Fetcher(**options)
