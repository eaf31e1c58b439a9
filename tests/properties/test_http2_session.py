"""Whatever a server sends, however it is cut: the session tells the same, in a valid order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("ngh2")
pytest.importorskip("h2")

from asyncbatch._engine.http2 import STREAM_WINDOW, new_session
from asyncbatch._engine.http11 import MAX_HEAD_BYTES, ExchangeError, ResponseHead
from tests import http2_peer as wire

pytestmark = pytest.mark.once

REQUEST = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"host.test"),
    (b":path", b"/"),
]


class Checked:
    """An owner that checks the order of its calls, and writes them down."""

    def __init__(self, streams: int) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.session: Any = new_session(self)
        self.has_ended = False
        self.state: dict[int, str] = {}
        for _ in range(streams):
            stream = self.session.open_stream(REQUEST, is_end=True)
            self.state[stream] = "head"

    def _move(self, stream: int, *allowed: str, to: str) -> None:
        assert not self.has_ended
        assert self.state[stream] in allowed, (stream, self.state[stream], to)
        self.state[stream] = to

    def informational_received(self, stream: int) -> None:
        self._move(stream, "head", to="head")

    def head_received(self, stream: int, head: ResponseHead, *, is_end: bool) -> None:
        self._move(stream, "head", to="over" if is_end else "body")
        assert 200 <= head.status <= 999
        assert len(head.block) <= MAX_HEAD_BYTES + 100
        lines = head.block.split(b"\r\n")
        assert len(lines) == len(head.fields) + 2
        self.calls.append(("head", stream, head.block, is_end))

    def content_received(self, stream: int, content: bytes, *, is_end: bool) -> None:
        self._move(stream, "body", to="over" if is_end else "body")
        self.session.consume(stream, len(content))
        last = self.calls[-1] if self.calls else ()
        if last[:2] == ("body", stream):
            content = self.calls.pop()[2] + content
        self.calls.append(("body", stream, content))
        if is_end:
            self.calls.append(("end", stream))

    def trailers_received(self, stream: int, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self._move(stream, "body", to="over")
        self.calls.append(("trailers", stream, fields))

    def stream_reset(self, stream: int, code: int) -> None:
        self._move(stream, "head", "body", "over", to="over")
        self.calls.append(("reset", stream, code))

    def stream_refused(self, stream: int) -> None:
        self._move(stream, "head", "body", "over", to="over")
        self.calls.append(("refused", stream))

    def stream_failed(self, stream: int, error: ExchangeError) -> None:
        self._move(stream, "head", "body", "over", to="over")
        self.calls.append(("failed", stream, type(error)))

    def settings_changed(self) -> None:
        assert self.session.max_streams >= 0
        self.calls.append(("settings", self.session.max_streams))

    def server_leaves(self) -> None:
        self.calls.append(("leaves",))

    def session_ended(self, error: ExchangeError) -> None:
        assert not self.has_ended
        self.has_ended = True
        self.calls.append(("ended", type(error)))


def calls_for(content: bytes, sizes: list[int]) -> list[tuple[Any, ...]]:
    """Return what an owner hears of bytes in pieces of these sizes, in turn."""
    owner = Checked(streams=4)
    owner.session.take_outgoing(1 << 20)
    start = number = 0
    while start < len(content):
        size = sizes[number % len(sizes)]
        owner.session.receive(content[start : start + size])
        assert len(owner.session.take_outgoing(1 << 20)) < STREAM_WINDOW
        start, number = start + size, number + 1
    return owner.calls


NAMES = st.sampled_from([":status", "a", "content-length", "set-cookie", "Upper", "te", "x y"])
VALUES = st.sampled_from(["200", "204", "100", "3", "0", "", " v ", "a\r\nb: c", "x" * 300])
BLOCKS = st.one_of(
    st.lists(st.tuples(NAMES, VALUES), max_size=6).map(lambda fields: wire.block(*fields)),
    st.lists(st.tuples(NAMES, VALUES), max_size=3).map(
        lambda fields: wire.block((":status", "200"), *fields)
    ),
    st.binary(max_size=20),
)
STREAMS = st.sampled_from([0, 1, 1, 1, 3, 3, 5, 7, 2, 9])
FLAGS = st.sampled_from([0, 1, 4, 4, 5, 5, 8, 0xFF])


def _frames(kind: int, payloads: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(wire.frame, st.just(kind), FLAGS, STREAMS, payloads)


NUMBERS = st.sampled_from([0, 1, 2, 7, 8, 13, 99, 2**31 - 1, 2**32 - 1]).map(wire.number)
FRAMES = st.one_of(
    _frames(wire.HEADERS, BLOCKS),
    _frames(wire.HEADERS, BLOCKS),
    _frames(wire.DATA, st.binary(max_size=40)),
    _frames(wire.DATA, st.just(b"x" * 9000)),
    _frames(wire.CONTINUATION, BLOCKS),
    _frames(wire.RST_STREAM, NUMBERS),
    st.builds(wire.reset, STREAMS, st.integers(0, 14)),
    st.builds(wire.goaway, st.sampled_from([0, 1, 3, 7, 2**31 - 1]), st.integers(0, 14)),
    st.builds(
        wire.settings,
        st.dictionaries(st.integers(0, 9), st.sampled_from([0, 1, 100, 20_000, 2**31]), max_size=3),
    ),
    st.just(wire.frame(wire.PING, 0, 0, b"12345678")),
    _frames(wire.WINDOW_UPDATE, NUMBERS),
    _frames(wire.PUSH_PROMISE, BLOCKS.map(lambda block: wire.number(2) + block)),
    st.builds(wire.frame, st.integers(0, 255), FLAGS, STREAMS, st.binary(max_size=20)),
    st.just(wire.head(1)),
    st.just(wire.data(1, b"abc", end=True)),
    st.binary(max_size=12),
)


@given(
    frames=st.lists(FRAMES, max_size=12),
    has_settings=st.booleans(),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=3),
)
def test_frames_mean_the_same_however_they_are_cut(
    frames: list[bytes], has_settings: bool, sizes: list[int]
) -> None:
    """And nothing is raised, and nothing is told of a stream after its end."""
    check((wire.settings() if has_settings else b"") + b"".join(frames), sizes)


def check(content: bytes, sizes: list[int]) -> None:
    """Check what an owner hears of bytes, whole and in pieces of these sizes."""
    whole = calls_for(content, [len(content) or 1])
    cut = calls_for(content, sizes)

    # A stream that fails is reset, and a session ends, when the bytes at hand have been read. What
    # the server sends behind that in the same bytes comes too late in pieces.
    if any(call[0] == "failed" for call in whole + cut) or _has_ended(whole) or _has_ended(cut):
        return
    for stream in (1, 3, 5, 7):
        assert _about(stream, whole) == _about(stream, cut)


def _has_ended(calls: list[tuple[Any, ...]]) -> bool:
    return any(call[0] == "ended" for call in calls)


def _about(stream: int, calls: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the calls about one stream: those refused come in any order."""
    return [call for call in calls if call[1:2] == (stream,) and call[0] != "settings"]
