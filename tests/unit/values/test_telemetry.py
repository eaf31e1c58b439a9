"""The interface of what listens to requests."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from asyncbatch._values._telemetry import AttemptWatch, BatchListener, Telemetry
from asyncbatch.telemetry import OpenTelemetry
from asyncbatch.telemetry._spans import AttemptSpans, Spans

pytestmark = pytest.mark.any_loop


@pytest.mark.parametrize(
    ("interface", "implementation"),
    [(Telemetry, OpenTelemetry), (BatchListener, Spans), (AttemptWatch, AttemptSpans)],
)
def test_ours_has_each_method_as_it_is_called(interface: Any, implementation: type) -> None:
    """With the same parameters."""
    methods = {name: each for name, each in vars(interface).items() if inspect.isfunction(each)}
    methods = {name: each for name, each in methods.items() if not name.startswith("_")}

    assert methods
    for name, method in methods.items():
        theirs = inspect.signature(getattr(implementation, name)).parameters
        assert list(theirs) == list(inspect.signature(method).parameters), name


def test_a_listener_must_say_how_it_listens() -> None:
    """The class by itself cannot be made."""
    with pytest.raises(TypeError):
        Telemetry()  # type: ignore[abstract]
