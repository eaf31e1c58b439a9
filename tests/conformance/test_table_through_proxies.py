"""
The table, played through a proxy that passes every byte on: the same answers and failures.

Forward, a case with TLS takes a tunnel; by SOCKS5 each case does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conformance import ScriptedServer
from conformance.cases import CASES
from conformance.clients.proxied import forward, tunnel
from conformance.known import OTHER_THROUGH_A_PROXY
from tests.conformance.test_table import every, played


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.parametrize("lane", [forward, tunnel])
def test_every_case_comes_out_as_without_a_proxy(lane: Any, scripted: ScriptedServer) -> None:
    """Behind a tunnel, and in answers that are forwarded, the origin is meant."""
    wrong = played(lane, scripted, every(3))

    assert [str(report) for report in wrong] == []


@pytest.mark.parametrize("part", OTHER_THROUGH_A_PROXY)
def test_each_exception_is_for_a_case(part: str) -> None:
    """A case that is renamed is renamed there too."""
    assert any(part in case.name for case in CASES)
