"""Every `Retry-After` of the table, with a policy that tries again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import asyncbatch
from asyncbatch import FailureKind, Retry
from conformance import Case, ScriptedServer, answer, ok
from conformance.cases.hostile.refusals import VALUES

pytestmark = [pytest.mark.any_loop, pytest.mark.once]

# What asks for more than `retry_after_max` here, and how much, where that is the same tomorrow. The
# others are waited for, or are none.
TOO_LONG = {
    "a time beyond every clock": 2.0**31,
    "more digits than a number may have": 2.0**31,
    "a sign": 5.0,
    "a fraction": 2.0,
    "an exponent": 1e9,
    "two times": 2.0,
    "a date in the far future": None,
}


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.parametrize("name", VALUES)
async def test_no_retry_after_holds_a_batch_up(name: str, scripted: ScriptedServer) -> None:
    """It is waited for, refused with its value, or taken for none; never shortened."""
    wire = b"HTTP/1.1 429 Later\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % VALUES[name]
    case = Case(name=name, source="RFC 9110 §10.2.3", expected=ok(), script=answer(wire) * 3)
    retry = Retry(attempts=2, backoff=0.01, retry_after_max=1.5)

    with scripted.open(case) as run:
        async with asyncbatch.Fetcher(retry=retry, timeout=5.0) as fetcher:
            result = await fetcher.fetch(run.url)

    assert not result.ok
    assert result.status_code == 429
    if name in TOO_LONG:
        assert (result.kind, result.attempts) == (FailureKind.retry_after, 1)
        assert isinstance(result.error, asyncbatch.RetryAfterTooLong)
        assert result.error.retry_after == TOO_LONG[name] or result.error.retry_after > 1e9
    else:
        assert (result.kind, result.attempts) == (FailureKind.status, 2)
