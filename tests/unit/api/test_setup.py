"""A fetcher's client, and what its batches share, made of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from asyncbatch import HostLimits
from asyncbatch._api._options import Options
from asyncbatch._api._setup import (
    backlog_of,
    equip,
    fitted,
    make_client,
    refuse_with_client,
    report_of,
    window_of,
)
from asyncbatch._lanes import ClientLane, DirectLane, OwnClient
from asyncbatch._runtime._slots import Slots


def equipped(options: Options, client: Any = None, **client_options: Any) -> Any:
    """Return what the batches of a fetcher share, on a client of its own or of the caller's."""
    owns = client is None
    client = make_client(options, client_options) if owns else client
    return equip(options, client, Slots(options.concurrency), owns_client=owns, end_all=bool)


def test_a_client_is_made_of_the_options() -> None:
    """It follows redirects, and its pools hold what is under way at a time."""
    client = make_client(Options(concurrency=7, timeout=9.0, connect_timeout=2.0), {})
    told = make_client(Options(follow_redirects=False, max_redirects=3), {})

    assert type(client) is OwnClient
    assert (client.follow_redirects, told.follow_redirects, told.max_redirects) == (True, False, 3)
    assert client.timeout == httpx.Timeout(9.0, connect=2.0)


def test_options_of_the_client_win() -> None:
    """They are the caller's own."""
    client = make_client(Options(), {"timeout": 1.0, "headers": {"x": "y"}})

    assert client.timeout == httpx.Timeout(1.0)
    assert client.headers["x"] == "y"


@pytest.mark.parametrize(
    ("options", "client_options", "error"),
    [
        (Options(), {"headers": {}}, TypeError),
        (Options(addresses="public"), {}, ValueError),
    ],
)
def test_what_is_set_on_a_client_is_refused_beside_one(
    options: Options, client_options: Any, error: Any
) -> None:
    """It would be ignored."""
    with pytest.raises(error):
        refuse_with_client(options, client_options)
    refuse_with_client(Options(), {})


@pytest.mark.parametrize(
    ("asked", "limit", "concurrency"), [(True, 5, 5), (False, 5, 5), (True, 50, 20)]
)
def test_no_more_is_under_way_than_a_pool_holds(
    asked: bool, limit: int, concurrency: int, recwarn: pytest.WarningsRecorder
) -> None:
    """Who has asked for more is told."""
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=limit))
    options = Options(concurrency=20)
    found = fitted(options, client, asked=asked)

    assert found.concurrency == concurrency
    assert len(recwarn) == (asked and limit < 20)
    recwarn.clear()


def test_a_backlog_is_as_given_or_by_the_concurrency() -> None:
    """An order takes more of it; it is at least one."""
    options = Options(concurrency=200)

    assert backlog_of(options, 7, ordered=True) == 7
    assert backlog_of(options, None, ordered=False) == 400
    assert backlog_of(options, None, ordered=True) == window_of(options) == 2000
    assert window_of(Options(concurrency=1)) == 1000
    for wrong in (0, 1.5, True):
        with pytest.raises((TypeError, ValueError), match="backlog"):
            backlog_of(options, wrong, ordered=False)  # type: ignore[arg-type]


def test_only_our_own_client_has_the_direct_lane() -> None:
    """A subclass may behave differently."""

    class Own(OwnClient):
        pass

    assert isinstance(equipped(Options()).attempter.lane, DirectLane)
    for client in (Own(), httpx.AsyncClient()):
        assert isinstance(equipped(Options(), client).attempter.lane, ClientLane)


@pytest.mark.parametrize(
    ("options", "timeout", "total", "connect"),
    [
        ({}, 3.0, 30.0, 3.0),
        ({"timeout": 7.0}, 3.0, 7.0, 10.0),
        ({"timeout": 70.0}, 3.0, 70.0, 10.0),
        ({"connect_timeout": 2.0}, 3.0, 30.0, 2.0),
    ],
)
def test_limits_that_are_not_given_are_the_clients(
    options: dict[str, Any], timeout: float, total: float, connect: float
) -> None:
    """The whole attempt has at least the default."""
    client = httpx.AsyncClient(timeout=timeout)
    limits = equipped(Options(**options), client).attempter.limits

    assert (limits.total, limits.connect) == (total, connect)


def test_single_hosts_have_limits_of_their_own() -> None:
    """What they do not say is as for all."""
    hosts = {
        "a.test": HostLimits(per_host=3, timeout=5.0),
        "b.test": HostLimits(connect_timeout=1.0, max_body=7),
        "c.test": HostLimits(per_host=2),
    }
    shared = equipped(Options(per_host=9, hosts=hosts, timeout=20.0))
    found = {name: shared.hosts.get(("http", f"{name}.test", 80)) for name in "abcd"}

    assert {name: host._policies.cap for name, host in found.items()} == {
        "a": 3,
        "b": 9,
        "c": 2,
        "d": 9,
    }
    assert (found["a"].limits.total, found["b"].limits.total) == (5.0, 20.0)
    assert (found["b"].limits.connect, found["b"].limits.max_body) == (1.0, 7)
    assert found["c"].limits is found["d"].limits is None


def test_what_is_shared_is_as_the_options_say() -> None:
    """Each by its name."""
    options = Options(concurrency=3, deadline=5.0, check=print, progress=False)
    shared = equipped(options)

    for name in ("concurrency", "retry", "deadline", "check", "progress"):
        assert getattr(shared, name) == getattr(options, name), name
    assert shared.window == window_of(options)


@pytest.mark.parametrize("wanted", ["f.html", Path("f.html"), None, 1])
def test_a_report_is_asked_for_by_a_bool(wanted: Any) -> None:
    """A path would be accepted, and nothing written."""
    with pytest.raises(TypeError, match=r"give report=True, and call results\.report\(path\)"):
        report_of(wanted=wanted)
