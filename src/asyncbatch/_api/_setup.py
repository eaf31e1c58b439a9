"""
Set-up of a fetcher: makes its client from the options, and the `Shared` state of its batches.

It decides everything once; nothing here runs a batch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import httpx

from asyncbatch._api._client_options import pool_in
from asyncbatch._api._options import DEFAULT_MAX_BODY, NotGiven, Options, warn_caller
from asyncbatch._batch import Shared
from asyncbatch._batch._attempt import Attempter
from asyncbatch._batch._log import HostLog
from asyncbatch._batch._proxies import Proxies
from asyncbatch._engine import bounds_for
from asyncbatch._lanes import (
    ClientLane,
    DirectLane,
    Lane,
    OwnClient,
    binding_of,
    capacity_of,
    slots_of,
)
from asyncbatch._policies._host_limits import HostLimits
from asyncbatch._policies._proxy_pool import ProxyPool
from asyncbatch._results._summary import ReportWriter
from asyncbatch._runtime._slots import BothSlots, Permits, Slots
from asyncbatch._runtime._stalls import Stalls
from asyncbatch._schedule._host_rules import HostRules, RulesFor
from asyncbatch._schedule._hosts import Hosts
from asyncbatch._values._checks import check_count
from asyncbatch._values._proxy import proxy_of
from asyncbatch._values._redaction import shown
from asyncbatch._values._timeouts import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_TIMEOUT,
    TimeLimits,
    limits_of,
    limits_of_client,
)


def make_client(options: Options, client_options: dict[str, Any]) -> httpx.AsyncClient:
    """Return a new client for a fetcher that was not given one."""
    limits = _limits(options, None)
    settings: dict[str, Any] = {
        # For the pools of proxies, which are httpcore's. Both numbers are equal, since httpcore
        # closes idle connections beyond the second even while requests wait for connections.
        "limits": httpx.Limits(
            max_connections=options.concurrency, max_keepalive_connections=options.concurrency
        ),
        "bounds": None if "limits" in client_options else bounds_for(options.concurrency),
        "timeout": httpx.Timeout(limits.total, connect=limits.connect),
        "follow_redirects": True,
    }
    if not isinstance(options.follow_redirects, NotGiven):
        settings["follow_redirects"] = options.follow_redirects
    if not isinstance(options.max_redirects, NotGiven):
        settings["max_redirects"] = options.max_redirects
    client_options = {**settings, **client_options}
    pool = pool_in(client_options)
    if pool is not None:
        client_options |= {"proxy": None, "proxies": [proxy_of(url) for url in pool.urls]}
    return OwnClient(
        addresses=options.addresses, proxy_resolves=options.proxy_resolves, **client_options
    )


def refuse_with_client(options: Options, client_options: dict[str, Any]) -> None:
    """
    Raise for options that can only be set when the client is made.

    Raises:
        TypeError: If an option of the client was given.
        ValueError: If `addresses` was given, and `proxy_resolves` with it.
    """
    for name in client_options:
        raise TypeError(f"{name} is set on the client; give either client or {name}, not both")
    if options.addresses is not None:
        raise ValueError(
            "addresses cannot be set on a client of yours; make the client with "
            "httpx.AsyncClient(transport=asyncbatch.HTTPTransport(addresses=...))"
        )


def fitted(options: Options, client: httpx.AsyncClient, *, asked: bool) -> Options:
    """
    Return `options` with no more concurrency than the client's pool holds.

    Args:
        options: The options.
        client: The client.
        asked: Whether the caller gave this concurrency, and so is to be warned.
    """
    capacity = capacity_of(client)
    if capacity is None or options.concurrency <= capacity:
        return options
    if asked:
        warn_caller(
            f"concurrency={options.concurrency} is lowered to {capacity}: the client's pool "
            "holds no more; give the client limits=httpx.Limits(max_connections=...) to match"
        )
    return attrs.evolve(options, concurrency=capacity)


def window_of(options: Options) -> int:
    """Return how many requests of a batch may be read and unfinished."""
    return max(1000, 10 * options.concurrency)


def report_of(*, wanted: bool) -> ReportWriter | None:
    """
    Return a report for the results of a stream, if it is wanted.

    Raises:
        TypeError: If it is not a bool, such as the path of a file.
    """
    if not isinstance(wanted, bool):
        raise TypeError(
            f"report must be True or False, not {shown(wanted)}: give report=True, and call "
            "results.report(path) when the results are there"
        )
    if not wanted:
        return None
    # Loaded here, since few programs write a report.
    from asyncbatch._results.report._report import BatchReport

    return BatchReport()


def backlog_of(options: Options, backlog: int | None, *, ordered: bool) -> int:
    """
    Return the backlog of a stream: as given, or the default for `None`.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it is below 1.
    """
    if backlog is None:
        return window_of(options) if ordered else 2 * options.concurrency
    return check_count("backlog", backlog)


def equip(
    options: Options,
    client: httpx.AsyncClient,
    slots: Slots,
    *,
    owns_client: bool,
    end_all: Callable[[BaseException], bool],
    proxy_pool: ProxyPool | None = None,
) -> Shared:
    """
    Return the state that all batches of a fetcher share.

    Args:
        options: The options of the fetcher.
        client: Its client.
        slots: Its slots.
        owns_client: Whether it has made the client.
        end_all: Ends its batches with an error; returns whether there are any.
        proxy_pool: Its pool of proxies.
    """
    permits: Permits = slots
    capacity = capacity_of(client)
    if capacity is not None and not owns_client:
        permits = BothSlots(slots, slots_of(client, capacity))
    limits = _limits(options, None if owns_client else client)
    stalls = Stalls()
    lane = _lane(options, client)
    lane.take_part_in(stalls)
    lane.tell_of_errors(end_all)
    stalls.join(slots.take_out)
    return Shared(
        attempter=Attempter(
            lane,
            limits,
            value_of(options.max_body, None),
            None if proxy_pool is None else Proxies(proxy_pool, random.random),
        ),
        hosts=Hosts(
            per_host=options.per_host,
            rate=options.rate,
            total_rate=options.total_rate,
            give_up_host_after=options.give_up_host_after,
            retry=options.retry,
            random=random.random,
            rules_for=_rules_for(options, limits),
            concurrency=options.concurrency,
            listener=HostLog(),
        ),
        slots=slots,
        permits=permits,
        concurrency=options.concurrency,
        window=window_of(options),
        retry=options.retry,
        deadline=options.deadline,
        check=options.check,
        progress=options.progress,
        stalls=stalls,
        end_all=end_all,
        telemetry=options.telemetry,
    )


def _rules_for(options: Options, limits: TimeLimits) -> RulesFor | None:
    """Return a function from an origin to the rules of the option `hosts`, if that is given."""
    own = options.hosts.values()
    if not own:
        return None
    rules = {
        id(each): HostRules(each.per_host, each.rate, _limits_at(each, limits)) for each in own
    }
    return options.hosts.map(rules).get  # type: ignore[return-value]  # the keys are origins


def _limits_at(own: HostLimits, limits: TimeLimits) -> TimeLimits | None:
    """Return the limits of attempts at a host, or `None` if they are `limits`."""
    if own.timeout is None and own.connect_timeout is None and own.max_body is None:
        return None
    if own.timeout is not None:
        limits = limits_of(own.timeout, limits.connect)
    if own.connect_timeout is not None:
        limits = attrs.evolve(limits, connect=own.connect_timeout)
    return limits if own.max_body is None else attrs.evolve(limits, max_body=own.max_body)


def _lane(options: Options, client: httpx.AsyncClient) -> Lane:
    rules: dict[str, Any] = {
        "max_body": value_of(options.max_body, DEFAULT_MAX_BODY),
        "follow_redirects": value_of(options.follow_redirects, client.follow_redirects),
        "max_redirects": value_of(options.max_redirects, client.max_redirects),
        "minimum_rate": options.minimum_rate,
    }
    binding = binding_of(client)
    # Exactly this class: a subclass may behave differently.
    if type(client) is OwnClient:
        return DirectLane(client, binding, **rules)
    return ClientLane(client, binding, **rules)


def _limits(options: Options, client: httpx.AsyncClient | None) -> TimeLimits:
    """Return the time limits of the options; those not given are the client's, if there is one."""
    if client is None or not isinstance(options.timeout, NotGiven):
        timeout = value_of(options.timeout, DEFAULT_TIMEOUT)
        limits = limits_of(timeout, DEFAULT_CONNECT_TIMEOUT)
    else:
        limits = limits_of_client(client.timeout)
    return attrs.evolve(
        limits,
        connect=value_of(options.connect_timeout, limits.connect),
        is_default=isinstance(options.timeout, NotGiven),
    )


def value_of(value: Any, otherwise: Any) -> Any:
    """Return an option, or the value of its client if it was not given."""
    return otherwise if isinstance(value, NotGiven) else value
