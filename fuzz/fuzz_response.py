"""
A coverage-guided fuzz target for the reading of responses; `README.md` says how to run it.

An input is a plan of five bytes (`Plan`) and, behind it, what the peer sends. Whatever that is and
however it is cut, what `check` asserts has to hold.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import atheris

with atheris.instrument_imports(include=["asyncbatch._engine.http11"]):
    from asyncbatch._engine.http11 import (
        MAX_HEAD_BYTES,
        ExchangeError,
        ResponseProtocol,
        ResponseState,
        _body,
        _body_reader,
        _response,
    )

from tests.unit.engine.http11.readers import read_h11

# So that the short bodies of a fuzzer go the ways of long ones, too.
_response._SHORT = 64
_body_reader._SHORTEST_PLACED = 8
_body.TAIL = 4

MAX_BODY = 4096
FLOOD = 3 * MAX_HEAD_BYTES
FLOOD_PIECE = 8 * 1024


@dataclass(frozen=True)
class Plan:
    """How the bytes of the peer are handed over."""

    is_head_request: bool
    ends_cleanly: bool
    takes_pieces: bool
    """Whether the body is taken after each piece, as a reader of a stream does, or at the end."""
    places_body: bool
    """Whether a body of known length that is taken at the end is received where it stays."""
    sizes: tuple[int, ...]
    """The sizes of the pieces, repeated as often as needed."""

    @classmethod
    def decode(cls, control: bytes) -> Plan:
        """Make a plan of five bytes, whichever they are."""
        flags, *sizes = control
        return cls(
            is_head_request=bool(flags & 1),
            ends_cleanly=not flags & 2,
            takes_pieces=bool(flags & 4),
            places_body=flags & 12 == 8,
            sizes=tuple(size + 1 for size in sizes),
        )

    def cut(self, wire: bytes) -> list[bytes]:
        """Cut the bytes into pieces."""
        pieces: list[bytes] = []
        position = 0
        while position < len(wire):
            size = self.sizes[len(pieces) % len(self.sizes)]
            pieces.append(wire[position : position + size])
            position += size
        return pieces


@dataclass(frozen=True)
class Outcome:
    """All that can be observed of one response."""

    kind: str
    status: int = 0
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    is_reusable: bool = False


def read(protocol: ResponseProtocol, plan: Plan, pieces: list[bytes]) -> Outcome:
    """Read one response; any exception other than an `ExchangeError` is a finding."""
    protocol.begin_response(plan.is_head_request, MAX_BODY)
    body = b""
    left = len(pieces)
    try:
        for piece in pieces:
            left -= 1
            is_complete = receive(protocol, plan, memoryview(piece))
            assert is_complete is (protocol.state is ResponseState.DONE)
            assert is_complete or not protocol.is_reusable
            assert protocol.untaken <= MAX_BODY
            if plan.takes_pieces:
                body += protocol.take_body()
            if is_complete:
                break
        else:
            protocol.receive_eof(is_clean=plan.ends_cleanly)
            assert not protocol.is_reusable
    except ExchangeError as exc:
        return Outcome(exc.kind)
    head = protocol.head
    assert head is not None
    body += protocol.take_body()
    assert len(body) <= MAX_BODY
    return Outcome(
        "",
        head.status,
        head.fields,
        body,
        protocol.trailers,
        # Pieces behind a complete response reach an idle connection, which then is closed.
        is_reusable=protocol.is_reusable and not left,
    )


def receive(protocol: ResponseProtocol, plan: Plan, piece: memoryview) -> bool:
    """Hand one piece over, as a connection does: where the body is to stay, if there is a place."""
    while plan.places_body and (window := protocol.place_body()) is not None:
        here, piece = piece[: len(window)], piece[len(window) :]
        window[: len(here)] = here
        is_complete = protocol.receive(window[: len(here)])
        # Else the body is handed out as a copy.
        window.release()
        if not piece or is_complete:
            assert not piece
            return is_complete
    return protocol.receive(piece)


def flood(plan: Plan, wire: bytes) -> None:
    """Go on with the end of the bytes for ever: no more than the limits allow may be kept."""
    protocol = ResponseProtocol()
    protocol.begin_response(plan.is_head_request, MAX_BODY)
    end = wire[-64:]
    rest = end * (FLOOD_PIECE // len(end))
    try:
        if protocol.receive(wire):
            return
        for _ in range(FLOOD // FLOOD_PIECE):
            if protocol.receive(rest):
                return
            chunks = None if protocol._reader is None else protocol._reader._chunks
            kept = len(protocol._partial) + (0 if chunks is None else len(chunks._pending))
            assert kept <= MAX_HEAD_BYTES, f"{kept} bytes of framing are kept"
            assert len(protocol.take_body()) <= MAX_BODY
    except ExchangeError:
        pass


def check(data: bytes) -> None:
    """Assert what has to hold for each input."""
    if len(data) < 6:
        return
    plan, wire = Plan.decode(data[:5]), data[5:]
    protocol = ResponseProtocol()
    whole = read(protocol, plan, [wire])
    in_pieces = read(ResponseProtocol(), plan, plan.cut(wire))
    assert whole == in_pieces, f"whole: {whole}\nin pieces: {in_pieces}"
    if not whole.kind:
        # The next response of a connection takes a short cut where its head is the same.
        again = read(protocol, plan, [wire])
        assert again == whole, f"first: {whole}\nthen: {again}"
    if whole.is_reusable:
        behind = read(ResponseProtocol(), plan, [wire + b"x"])
        assert not behind.is_reusable
        assert behind.body == whole.body
    if not whole.kind and plan.ends_cleanly:
        theirs = read_h11(wire, b"HEAD" if plan.is_head_request else b"GET", ends=True)
        ours = (whole.status, whole.body)
        assert theirs is None or theirs == ours, f"h11: {theirs}\nours: {ours}"
    flood(plan, wire)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
