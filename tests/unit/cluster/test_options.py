"""Which options go to the workers."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import httpx
import pytest

from asyncbatch import HostLimits, Rate, Retry
from asyncbatch.cluster._options import Limits, checked, packed


def test_the_limits_of_hosts_are_taken_from_the_options() -> None:
    """With the defaults of a fetcher."""
    hosts = {"a.example": HostLimits(per_host=1)}

    assert checked({}) == Limits(100, None, None, {})
    assert checked({"concurrency": 7, "per_host": 2, "rate": Rate(3), "hosts": hosts}) == Limits(
        7, 2, Rate(3), hosts
    )


def test_options_are_pickled_whole() -> None:
    """A worker has what the caller gave, and no defaults of this release."""
    options: Any = {"retry": Retry(attempts=2), "headers": {"user-agent": "me"}, "timeout": 3}

    assert pickle.loads(packed(options)) == options


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("check", lambda response: None),
        ("retry", Retry(when=lambda result: None)),
        ("event_hooks", {"request": [lambda request: None]}),
        ("auth", threading.Lock()),
        ("transport", httpx.AsyncHTTPTransport()),
    ],
)
def test_what_cannot_be_pickled_is_named(name: str, value: Any) -> None:
    """Before anything is sent, with the cure."""
    with pytest.raises(TypeError, match=rf"^{name} cannot be pickled.*give functions and classes"):
        packed({"per_host": 1, name: value})  # type: ignore[misc]


def test_what_is_off_is_not_refused() -> None:
    """Options passed on with their defaults."""
    assert checked({"progress": False, "to": None, "total_rate": None}).concurrency == 100
