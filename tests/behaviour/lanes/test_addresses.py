"""The option `addresses`, from a fetcher to the socket: on every hop, on every back end."""

from __future__ import annotations

import ipaddress
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import AddressBlocked, FailureKind, Fetcher
from asyncbatch.testing import LoopbackServer, Reply


def only(address: str) -> Any:
    """Return a policy that allows one address."""
    allowed = ipaddress.ip_address(address)
    return lambda candidate: candidate == allowed


async def test_public_refuses_what_is_not(server: LoopbackServer) -> None:
    """By number and by name, and not a packet goes out; another try would end the same."""
    urls = [server.url(), server.url().replace("127.0.0.1", "localhost"), "http://10.0.0.1/"]

    async with Fetcher(addresses="public", retry=asyncbatch.Retry(backoff=0)) as fetcher:
        results = await fetcher.fetch_many(urls)

    for failure in results.failures:
        assert failure.kind == FailureKind.blocked
        assert isinstance(failure.error, AddressBlocked)
        assert isinstance(failure.error, httpx.ConnectError)
        assert failure.error.request.url == failure.url
        assert failure.attempts == 1
    assert len(results.failures) == 3
    assert server.statistics().connections == 0


async def test_a_callable_decides(server: LoopbackServer) -> None:
    """It is given an address, not a name."""
    async with Fetcher(addresses=only("127.0.0.1"), retry=None) as fetcher:
        allowed, refused = [
            await fetcher.fetch(f"http://{host}:{httpx.URL(server.url()).port}/")
            for host in ("127.0.0.1", "127.0.0.2")
        ]

    assert allowed.ok
    assert not refused.ok
    assert refused.kind == FailureKind.blocked


async def test_a_redirect_to_a_forbidden_address_is_blocked(server: LoopbackServer) -> None:
    """The oldest way in: an allowed host sends us to a forbidden one."""
    port = httpx.URL(server.url()).port
    server.on("/", Reply.redirect(f"http://127.0.0.2:{port}/inside"))

    async with Fetcher(addresses=only("127.0.0.1"), retry=None) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 2)

    assert [failure.kind for failure in results.failures] == [FailureKind.blocked] * 2
    assert [request.target for request in server.requests] == ["/", "/"]


async def test_a_host_is_not_declared_down_for_being_forbidden(server: LoopbackServer) -> None:
    """Each request is told the real reason."""
    async with Fetcher(addresses="public", retry=None, give_up_host_after=1) as fetcher:
        results = await fetcher.fetch_many([server.url()] * 5)

    assert {failure.kind for failure in results.failures} == {FailureKind.blocked}


@pytest.mark.parametrize("option", ["client", "transport", "proxy", "mounts", "environment"])
async def test_what_would_connect_without_asking_is_refused(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, with what is in the way."""
    async with httpx.AsyncClient(trust_env=False) as client:
        settings: dict[str, Any] = {
            "client": {"client": client},
            "transport": {"transport": httpx.AsyncHTTPTransport()},
            "proxy": {"proxy": "http://127.0.0.1:1"},
            "mounts": {"mounts": {"http://a.test": httpx.AsyncHTTPTransport()}},
            "environment": {},
        }
        if option == "environment":
            monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

        with pytest.raises(ValueError, match="addresses") as caught:
            Fetcher(addresses="public", **settings[option])

    words = {"proxy": "all://", "mounts": "a.test", "environment": "https://"}
    assert words.get(option, option) in str(caught.value)


async def test_a_proxy_of_the_environment_may_be_ignored(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the message says."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async with Fetcher(addresses=only("127.0.0.1"), trust_env=False, retry=None) as fetcher:
        result = await fetcher.fetch(server.url())

    assert result.ok


@pytest.mark.parametrize("addresses", ["private", 5, ["127.0.0.1"]])
def test_what_is_no_policy_is_refused(addresses: Any) -> None:
    """With the value."""
    with pytest.raises((TypeError, ValueError), match="addresses"):
        Fetcher(addresses=addresses)


async def test_a_policy_that_fails_is_the_requests_own_failure(server: LoopbackServer) -> None:
    """And lets nothing through."""

    def policy(_: Any) -> bool:
        raise KeyError("no such list")

    async with Fetcher(addresses=policy, retry=None) as fetcher:
        result = await fetcher.fetch(server.url())

    assert not result.ok
    assert server.statistics().connections == 0
