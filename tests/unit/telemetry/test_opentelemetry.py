"""The option: its providers, and the hosts that it names."""

from __future__ import annotations

import pickle
from time import monotonic
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

from asyncbatch.telemetry import OpenTelemetry
from tests.traced import Traced

pytestmark = pytest.mark.any_loop

API = [(None, None), (NoOpTracerProvider(), NoOpMeterProvider()), (ProxyTracerProvider(), None)]


@pytest.mark.parametrize("providers", API)
def test_providers_of_the_api_alone_record_nothing(providers: Any) -> None:
    """Nor does a batch ask anything of them for each request."""
    option = OpenTelemetry(*providers)
    listener = option.listener(monotonic)
    listener.capture_context()

    assert (option.tracer(), option.histogram()) == (None, None)
    assert listener.is_idle


def test_what_a_provider_has_made_is_kept() -> None:
    """Until there is another provider."""
    one, another = Traced(), Traced()
    option = one.option()
    tracer, histogram = option.tracer(), option.histogram()

    assert option.tracer() is tracer
    assert option.histogram() is histogram
    option._tracer_provider, option._meter_provider = another.tracer_provider, None
    assert option.tracer() not in (None, tracer)
    assert option.histogram() is None


def test_the_global_providers_are_looked_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be set after the option was made."""
    option, traced = OpenTelemetry(), Traced()
    assert (option.tracer(), option.histogram()) == (None, None)

    monkeypatch.setattr(trace, "get_tracer_provider", lambda: traced.tracer_provider)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: traced.meter_provider)

    assert option.tracer() is not None
    assert option.histogram() is not None


@pytest.mark.parametrize(
    ("patterns", "origin", "reaches"),
    [
        ((), ("https", "a.test", 443), False),
        (("*",), ("https", "a.test", 443), True),
        (("a.test",), ("http", "a.test", 80), True),
        (("a.test",), ("http", "b.a.test", 80), False),
        (("*.a.test",), ("http", "b.a.test", 80), True),
        (("*.a.test",), ("http", "a.test", 80), False),
        (("a.test:8080",), ("http", "a.test", 80), False),
        (("x.test", "*"), ("http", "a.test", 80), True),
    ],
)
def test_patterns_are_those_of_the_option_hosts(
    patterns: tuple[str, ...], origin: tuple[str, str, int], reaches: bool
) -> None:
    """And a star alone is for all of them."""
    listener = Traced().option(*patterns).listener(monotonic)
    listener.capture_context()

    assert listener.carries_to(origin) is reaches
    assert listener.carries_to(origin) is reaches  # from memory


def test_an_option_travels_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its patterns, and without what the providers of this process have made."""
    traced = Traced()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: traced.tracer_provider)
    option = OpenTelemetry(propagate=["a.test", "*"])
    assert option.tracer() is not None

    copy = pickle.loads(pickle.dumps(option))

    assert repr(copy) == repr(option) == "<OpenTelemetry: propagate=('a.test', '*')>"
    assert copy.tracer() is not None
