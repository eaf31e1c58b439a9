"""
Results by host: to which host a result belongs, in views, reports and the figures of shards alike.
"""

from __future__ import annotations

from collections.abc import Iterable

from asyncbatch._values._host_key import host_in, plain_host_in
from asyncbatch._values._result import Result, asked_url_of


def host_of(result: Result) -> str:
    """Return the host of the requested URL, or of the final one if it is relative; else `""`."""
    asked = asked_url_of(result)
    if (plain := plain_host_in(asked)) is not None:
        return plain
    # httpx parses many a text that cannot be fetched as a URL.
    return "" if result.url is None else host_in(asked) or host_in(result.url) or ""


def by_host(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the results of each host, in the order in which the hosts first appear."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(host_of(result), []).append(result)
    return found
