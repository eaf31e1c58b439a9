"""A body while it comes, whatever tells its end."""

from __future__ import annotations

import pytest

from asyncbatch._engine.http11 import ResponseTooLarge, _body_reader
from asyncbatch._engine.http11._body_reader import BodyReader
from asyncbatch._engine.http11._head import CHUNKED, UNTIL_CLOSE

TRAILER = (b"X", b"y")
WIRES = {
    "by its length": (5, b"hello"),
    "in chunks": (CHUNKED, b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n"),
}


def reader_of(length: int, max_body: int = 10) -> BodyReader:
    return BodyReader(length, max_body, max_body, 1_000)


@pytest.mark.parametrize("framing", WIRES)
def test_what_lies_behind_a_body_is_counted(framing: str) -> None:
    """Wherever the bytes are cut; before the end the count is negative."""
    length, wire = WIRES[framing]
    for cut in range(1, len(wire)):
        reader = reader_of(length)

        assert reader.receive(wire[:cut]) < 0
        assert reader.receive(wire[cut:] + b"behind") == 6
        assert reader.untaken == 5
        assert reader.take_body() == b"hello"
        assert reader.untaken == 0
        assert reader.trailers == ((TRAILER,) if length == CHUNKED else ())


def test_only_the_end_of_the_connection_ends_a_body_of_no_length() -> None:
    """Up to the byte that is one too many, taken ones counted."""
    reader = reader_of(UNTIL_CLOSE)

    assert reader.is_until_close
    assert reader.receive(b"123456") < 0
    assert reader.take_body() == b"123456"
    assert reader.receive(b"7890") < 0
    with pytest.raises(ResponseTooLarge):
        reader.receive(b"!")


@pytest.mark.parametrize("length", [5, CHUNKED])
def test_no_other_body_ends_with_the_connection(length: int) -> None:
    """Its end would be missing."""
    assert not reader_of(length).is_until_close


def test_without_memory_to_lend_a_body_is_received_as_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lending only saves a copy."""

    class Full:
        def __init__(self) -> None:
            raise MemoryError

    length = 1 << 20
    reader = BodyReader(length, length, length, 1_000)
    monkeypatch.setattr(_body_reader, "LentBody", Full)

    assert reader.lend() is None
    assert reader.receive(b"x" * length) == 0
    assert reader.take_body() == b"x" * length
