"""Which options go to the workers."""

from __future__ import annotations

import pickle
import ssl
import threading
from typing import Any

import httpx
import pytest

from asyncbatch import HostLimits, Rate, Retry
from asyncbatch.cluster._options import PlanLimits, checked, packed, unpickled


def test_the_limits_of_hosts_are_taken_from_the_options() -> None:
    """With the defaults of a fetcher."""
    hosts = {"a.example": HostLimits(per_host=1)}

    assert checked({}) == PlanLimits(100, None, None, {})
    assert checked(
        {"concurrency": 7, "per_host": 2, "rate": Rate(3), "hosts": hosts}
    ) == PlanLimits(7, 2, Rate(3), hosts)


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
    ],
)
def test_what_cannot_be_pickled_is_named(name: str, value: Any) -> None:
    """Before anything is sent, with the cure."""
    with pytest.raises(TypeError, match=rf"^{name} cannot be pickled.*give functions and classes"):
        packed({"per_host": 1, name: value})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("verify", ssl.create_default_context(), "give True or False, and name other certificates"),
        ("client", httpx.AsyncClient(), "give the options of the client themselves"),
        ("transport", httpx.AsyncHTTPTransport(), "leave it out"),
        ("mounts", {"all://": httpx.AsyncHTTPTransport()}, "give proxy"),
    ],
)
def test_what_can_never_be_pickled_has_a_cure_of_its_own(name: str, value: Any, cure: str) -> None:
    """No function of a module stands in for it."""
    with pytest.raises(TypeError, match=rf"^{name} cannot be pickled.*; {cure}"):
        packed({name: value})  # type: ignore[misc]


def test_what_a_worker_cannot_import_is_told() -> None:
    """With the places where it can."""
    text = pickle.dumps({"check": len}).replace(b"len", b"nil")

    with pytest.raises(TypeError, match=r"^an option cannot be read.*above \"if __name__ =="):
        unpickled(text, "an option")


def test_what_is_off_is_not_refused() -> None:
    """Options passed on with their defaults."""
    assert checked({"progress": False, "to": None, "total_rate": None}).concurrency == 100
