"""
The table, played through a proxy that passes every byte on: the same answers and failures.

Forward, a case with TLS takes a tunnel; by SOCKS5 each case does.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import asyncbatch
from conformance import ScriptedServer
from conformance.cases import CASES
from conformance.clients.ours import FetcherClient
from tests.conformance.test_table import every, played
from tests.proxies import Manner, ProxyServer

# Cases that are other ones through a proxy, by what is in their names.
OTHERS = {
    "idle": "what comes on an idle connection comes later, by as much as the proxy takes",
    "an answer before the question": "likewise",
    "late by": "likewise",
    "in place of a handshake": "a server that speaks first in a tunnel is taken for the proxy",
    "a redirect to no host": "it is the proxy that cannot connect",
    "a redirect with a scheme alone": "likewise",
    "a redirect to a server that is not there": "likewise",
    "by a reset": "a reset overtakes the bytes that the proxy has not sent yet",
    "413 to the head": "this proxy does not know where a body ends that is not read",
}

# Forwarded, a request without a byte of an answer is the proxy's fault: see `_proxied.py`.
SILENCE = "the connection ended without a response instead of"


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_every_case_comes_out_as_without_a_proxy(scheme: str, scripted: ScriptedServer) -> None:
    """Behind a tunnel, and in answers that are forwarded, the origin is meant."""
    with ProxyServer(Manner(is_transparent=True)) as proxy:

        @contextlib.asynccontextmanager
        async def lane(trust: Any) -> AsyncIterator[FetcherClient]:
            async with contextlib.AsyncExitStack() as stack:

                def open_fetcher(**options: Any) -> asyncbatch.Fetcher:
                    return asyncbatch.Fetcher(
                        proxy=proxy.url(scheme), verify=trust.client_context, **options
                    )

                yield FetcherClient("asyncbatch, through a proxy", open_fetcher, stack)

        cases = [case for case in every(3) if not any(name in case.name for name in OTHERS)]
        wrong = [str(report) for report in played(lane, scripted, cases)]

    if scheme == "http":
        wrong = [report for report in wrong if not ("ProxyError" in report and SILENCE in report)]
    assert wrong == []


@pytest.mark.parametrize("name", OTHERS)
def test_each_exception_is_for_a_case(name: str) -> None:
    """A case that is renamed is renamed there too."""
    assert any(name in case.name for case in CASES)
