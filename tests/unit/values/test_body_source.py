"""What request bodies are read from."""

from __future__ import annotations

import io
import pickle
import threading
from collections.abc import Generator
from typing import Any

import pytest

from asyncbatch._values._body_source import (
    FileSource,
    UnreadableBody,
    WrongPiece,
    check_piece,
    source_of,
)

CONTENT = bytes(range(256)) * 1000


def _file(file: Any) -> FileSource:
    source = source_of(file)
    assert isinstance(source, FileSource)
    return source


def test_an_object_has_one_source_for_as_long_as_somebody_holds_it() -> None:
    """Each request gets the same source, which knows that the object has been read from."""
    given = iter([b"a"])
    source = source_of(given)
    next(source.read())  # type: ignore[call-overload]  # not async

    assert source_of(given) is source
    with pytest.raises(UnreadableBody):
        source_of(given).read()


def test_readings_of_one_file_do_not_disturb_each_other() -> None:
    """In turns, a piece each; the file stands where it stood when all have left."""
    file = io.BytesIO(CONTENT)
    file.seek(10)
    source = _file(file)
    first, second = source.read(), source.read(0)
    pieces: tuple[list[bytes], list[bytes]] = ([], [])
    for one, other in zip(first, second, strict=False):
        pieces[0].append(one)
        pieces[1].append(other)
    pieces[1].extend(second)
    first.close()

    assert b"".join(pieces[0]) == CONTENT[10:]
    assert b"".join(pieces[1]).endswith(CONTENT[-1000:])
    assert file.tell() == 10


@pytest.mark.parametrize("taken", [0, 1])
def test_a_reading_that_is_dropped_leaves_the_file_as_it_was(taken: int) -> None:
    """StartedConnect or not."""
    file = io.BytesIO(CONTENT)
    reading: Generator[Any] = _file(file).read()
    for _ in range(taken):
        next(reading)
    del reading

    assert file.tell() == 0


def test_threads_may_share_a_file() -> None:
    """Each reads all of it."""
    source = _file(io.BytesIO(CONTENT * 10))
    got: list[bytes] = []
    begin = threading.Barrier(4)

    def read() -> None:
        begin.wait()
        got.append(b"".join(source.read()))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert got == [CONTENT * 10] * 4


def test_a_file_is_as_long_as_what_is_left_of_it() -> None:
    """From where it stands, or from where it is asked for."""
    file = io.BytesIO(CONTENT)
    file.seek(1000)

    assert _file(file).length() == len(CONTENT) - 1000
    assert _file(file).length(0) == len(CONTENT)
    assert file.tell() == 1000


def test_a_source_travels_as_what_it_reads_from() -> None:
    """A request that was tried can still be pickled, if its body can."""
    source = source_of(file := io.BytesIO(CONTENT))
    copy = pickle.loads(pickle.dumps(source))

    assert copy.given.getvalue() == file.getvalue()


class Lost(io.BytesIO):
    """A file that can be rewound, and does not know where it stands."""

    is_lost = False

    def tell(self) -> int:
        if self.is_lost:
            raise OSError("no position")
        return super().tell()


def test_a_file_without_a_position_is_not_read() -> None:
    """It could not be read a second time from the same place; its length is unknown."""
    file = Lost(CONTENT)
    source = _file(file)
    file.is_lost = True

    assert source.length() is None
    with pytest.raises(UnreadableBody, match=r"the position of the file is unknown.*no position"):
        source.read()


@pytest.mark.parametrize("piece", [b"ab", bytearray(b"ab"), memoryview(b"ab")])
def test_a_piece_is_of_any_type_of_bytes(piece: Any) -> None:
    """It is sent as `bytes`."""
    assert check_piece(piece) == b"ab"
    assert type(check_piece(piece)) is bytes


@pytest.mark.parametrize("piece", ["ab", 1, None, [b"ab"]])
def test_a_piece_of_another_type_is_named(piece: Any) -> None:
    """Text has no bytes before it is encoded."""
    with pytest.raises(WrongPiece, match=f"not a {type(piece).__name__}$"):
        check_piece(piece)
