"""Which fields of a propagator are added to a request."""

from __future__ import annotations

import pytest

from asyncbatch.telemetry._propagation import allowed_fields

pytestmark = pytest.mark.any_loop

NAMES = ("traceparent", "tracestate", "baggage")


@pytest.mark.parametrize(
    ("present", "sent"),
    [
        ((), ["traceparent", "baggage"]),
        (("traceparent",), ["baggage"]),
        (("tracestate",), ["baggage"]),
        (("accept", "host"), ["traceparent", "baggage"]),
        (("baggage",), ["traceparent"]),
        (("traceparent", "baggage"), []),
    ],
)
def test_fields_that_are_there_stay(present: tuple[str, ...], sent: list[str]) -> None:
    """The fields of a trace go together, and the baggage by itself."""
    injected = {"traceparent": "00-1-2-01", "baggage": "a=b"}

    assert [name for name, _ in allowed_fields(injected, NAMES, present)] == sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "elsewhere.test"),
        ("Content-Length", "0"),
        ("authorization", "Bearer token"),
        ("bad name", "value"),
        ("", "value"),
        ("name", "two\r\nlines"),
        ("name", " blank"),
    ],
)
def test_no_propagator_sets_what_a_request_is_framed_by(name: str, value: str) -> None:
    """Nor a field that cannot be sent; the others are."""
    injected = {name: value, "traceparent": "00-1-2-01"}

    assert allowed_fields(injected, NAMES, ()) == [("traceparent", "00-1-2-01")]
