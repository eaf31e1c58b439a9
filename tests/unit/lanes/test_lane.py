"""What a batch asks of a lane, of whichever there are."""

from __future__ import annotations

import inspect
from typing import Any

import anyio
import httpx
import pytest

from asyncbatch import FailureKind
from asyncbatch._lanes import ClientLane, DirectLane, OwnClient, binding_of
from asyncbatch._lanes._lane import Lane
from asyncbatch._values._timeouts import limits_of

pytestmark = pytest.mark.any_loop

LIMITS = limits_of(5.0, 2.0)


def lane_of(kind: type) -> Any:
    """Return a lane of each kind, on a client of its own."""
    client = OwnClient(trust_env=False)
    return kind(client, binding_of(client), max_body=9, follow_redirects=True, max_redirects=5)


@pytest.mark.parametrize("kind", [DirectLane, ClientLane])
def test_each_lane_has_what_a_batch_calls(kind: type) -> None:
    """With the same parameters, in the same order; others of its own need not be given."""
    asked = {name: each for name, each in vars(Lane).items() if name[0] != "_" and callable(each)}
    assert asked

    for name, method in asked.items():
        wanted = [*inspect.signature(method).parameters]
        found = inspect.signature(getattr(kind, name)).parameters
        assert [*found][: len(wanted)] == wanted, name
        assert all(each.default is not each.empty for each in [*found.values()][len(wanted) :])


@pytest.mark.parametrize("kind", [DirectLane, ClientLane])
def test_each_lane_locates_a_request_alike(kind: type) -> None:
    """Or raises what httpx says."""
    lane = lane_of(kind)

    assert lane.locate(" http://A.test:80/x?y\n") == httpx.URL("http://a.test/x?y")
    for wrong in (5, "no url", "ftp://a.test/"):
        with pytest.raises((TypeError, httpx.InvalidURL, httpx.UnsupportedProtocol)):
            lane.locate(wrong)


@pytest.mark.parametrize("kind", [DirectLane, ClientLane])
async def test_what_cannot_be_sent_is_an_outcome(kind: type) -> None:
    """Only a cancellation is raised."""
    lane = lane_of(kind)
    lane.begin_batch(anyio.current_time)
    outcome = await lane.exchange("http://[", None, LIMITS, 5.0, anyio.current_time)

    assert outcome.kind == FailureKind.invalid_request
    assert outcome.error is not None
    assert not outcome.is_silent


def test_the_client_lane_has_no_relays() -> None:
    """A task sends each request."""
    lane = lane_of(ClientLane)

    assert lane.relays(LIMITS) is None
    assert lane.file_relays(LIMITS, 1000) is None
    assert lane.encode("http://a.test/", LIMITS) is None
    assert lane.encode_for_file("http://a.test/", "http://a.test/", LIMITS) is None
