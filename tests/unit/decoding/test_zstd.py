"""zstd by each module that can be there."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from asyncbatch._decoding import _zstd
from asyncbatch._decoding._stage import MAX_MEMBERS, MAX_PIECE, BodyCut, CorruptBody
from asyncbatch._decoding._zstd import ZstandardStage, ZstdStage, load_zstd, zstd_stage

TEXT = b"hello " * 50
SKIPPABLE = b"\x52\x2a\x4d\x18\x05\x00\x00\x00abcde"


def modules() -> list[Any]:
    """Return a parameter for each way to undo zstd; what is missing is left out."""
    found = []
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        found.append(pytest.param(module, id=name))
    return found


pytestmark = pytest.mark.skipif(not modules(), reason="there is no zstd")


@pytest.fixture(params=modules())
def module(request: pytest.FixtureRequest) -> Any:
    return request.param


def packed(content: bytes, **options: Any) -> bytes:
    """Encode by whichever module there is."""
    any_module = modules()[0].values[0]
    if hasattr(any_module, "ZstdCompressor") and hasattr(any_module, "compress"):
        compress: Any = any_module.compress
        return bytes(compress(content))
    return bytes(any_module.ZstdCompressor(**options).compress(content))


def stage_of(module: Any, sink: Any) -> Any:
    is_bounded = hasattr(module, "DecompressionParameter")
    return (ZstdStage if is_bounded else ZstandardStage)(sink, module)


def decode(module: Any, wire: bytes, size: int = 1 << 20) -> bytes:
    pieces: list[bytes] = []
    stage = stage_of(module, pieces.append)
    for start in range(0, len(wire), size):
        stage.feed(wire[start : start + size])
    stage.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("size", [1, 2, 5, 1 << 20])
def test_content_comes_out_however_the_bytes_are_cut(module: Any, size: int) -> None:
    """Every frame; those to be skipped are."""
    wire = packed(TEXT) + SKIPPABLE + packed(b"") + packed(TEXT)

    assert decode(module, wire, size) == TEXT * 2
    assert decode(module, b"") == b""


def test_an_end_before_the_end_is_a_cut(module: Any) -> None:
    """At whatever byte, of a frame or of one to be skipped."""
    for wire in (packed(TEXT), SKIPPABLE):
        for length in range(1, len(wire)):
            with pytest.raises(BodyCut):
                decode(module, wire[:length])


@pytest.mark.parametrize(
    "wire",
    [
        b"no zstd at all, but long enough",
        packed(TEXT) + b"no frame",
        packed(b"") * (MAX_MEMBERS + 1),
    ],
    ids=["rubbish", "behind", "frames"],
)
def test_what_is_none_is_corrupt(module: Any, wire: bytes) -> None:
    """Also what comes after the last frame."""
    with pytest.raises(CorruptBody):
        decode(module, wire)


def test_pieces_are_bounded(module: Any) -> None:
    """However well it was packed."""
    sizes: list[int] = []
    stage = stage_of(module, lambda piece: sizes.append(len(piece)))
    stage.feed(packed(bytes(5 * MAX_PIECE + 3)))
    stage.finish()

    assert sum(sizes) == 5 * MAX_PIECE + 3
    assert max(sizes) <= MAX_PIECE


def test_the_stage_is_of_the_module_that_there_is(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that can bound its output is preferred."""
    monkeypatch.setattr(_zstd, "load_zstd", lambda: module)
    stage = zstd_stage(lambda _: None)

    assert isinstance(stage, ZstdStage) is hasattr(module, "DecompressionParameter")
    assert load_zstd() in [parameter.values[0] for parameter in modules()]
