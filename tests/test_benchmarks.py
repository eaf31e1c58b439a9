"""That what is measured layer by layer is still there to be measured."""

from __future__ import annotations

import pytest

from benchmarks.layers import LAYERS


@pytest.mark.once
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_can_be_measured(name: str) -> None:
    """Its way through private parts leads somewhere."""
    repeat = LAYERS[name]()

    repeat(3)
