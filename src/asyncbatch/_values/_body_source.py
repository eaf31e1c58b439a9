"""
Sources of request bodies that are not bytes in memory: files and iterables.

Each object has one `BodySource`, shared by all requests that send it: several requests may have the
same open file, and an iterator that one request has read is empty for the others. Nothing is sent
here.
"""

from __future__ import annotations

import io
import threading
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from collections.abc import (
    Set as AbstractSet,
)
from typing import Any, ClassVar, TypeAlias
from weakref import WeakValueDictionary

PIECE = 64 * 1024
"""Number of bytes read from a file at once."""

Pieces: TypeAlias = Iterator[Any] | AsyncIterator[Any]

_WANTED = (
    "bytes, str, a file opened in binary mode, or an iterable or async iterable of bytes "
    "(json= takes other values, data= the fields of a form)"
)


class UnreadableBody(Exception):
    """A body cannot be read from its beginning; the text says why."""


class WrongPiece(TypeError):
    """A file or iterable gave something other than bytes."""


class BodySource(ABC):
    """
    An object that bodies are read from, and whether it has been read.

    A request must hold its source for as long as it may be sent: with the last reference, the
    knowledge that the object has been read is lost.
    """

    __slots__ = ("__weakref__", "_lock", "given", "is_begun", "most")

    REASON: ClassVar[str]
    """Why a source of this kind cannot be read again."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.is_begun = False
        # Fetchers in several threads may share a file.
        self._lock = threading.Lock()
        self.most = 0
        """Number of bytes that the longest reading gave."""

    def __reduce__(self) -> tuple[Any, ...]:
        # A list's iterator pickles, and is empty when it has been read from.
        return source_of, (self.given, self.is_begun)

    @property
    def is_readable(self) -> bool:
        """Whether it can be read from its beginning, for the first time or once more."""
        return self.is_repeatable or not self.is_begun

    @property
    @abstractmethod
    def is_repeatable(self) -> bool:
        """Whether it can be read any number of times."""

    def check(self) -> None:
        """
        Raise unless the source can be read from its beginning.

        Raises:
            UnreadableBody: If it has been read from and can only be read once.
        """
        if not self.is_readable:
            raise UnreadableBody(self.REASON)

    @abstractmethod
    def read(self) -> Pieces:
        """
        Return the pieces from its beginning.

        Raises:
            UnreadableBody: If it has been read from and can only be read once.
        """


class FileSource(BodySource):
    """
    An open file.

    If the file can be rewound, several requests may read it at once, each at its own position. The
    last of them restores the position that the file had before the first.
    """

    __slots__ = ("_is_rewindable", "_readers", "_start")

    REASON = "the file has been read from and cannot be rewound"

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        self._is_rewindable = _can_rewind(given)
        # Position of the file before the first of the readings under way.
        self._start = 0
        self._readers = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be read any number of times."""
        return self._is_rewindable

    def length(self, start: int | None = None) -> int | None:
        """Return the number of bytes from `start`, or from the position; `None` if unknown."""
        if not self._is_rewindable:
            return None
        with self._lock:
            ends = self._look_at_end()
            if ends is None:
                return None
            end, stands = ends
            begin = (self._start if self._readers else stands) if start is None else start
        length: int = max(0, end - begin)
        return length

    def read(self, start: int | None = None) -> Generator[Any]:
        """
        Return the pieces from `start`, or from the file's position.

        Raises:
            UnreadableBody: If it has been read from and cannot be rewound.
        """
        with self._lock:
            self.check()
            self.is_begun = True
            if self._is_rewindable and not self._readers:
                self._start = self._stands()
            self._readers += 1
            place = self._start if start is None else start
        pieces = self._pieces(place)
        next(pieces)
        return pieces

    def _pieces(self, place: int) -> Generator[Any]:
        try:
            yield None  # `read` advances to here, so that `finally` runs even without a piece read
            while piece := self._read_at(place):
                place += len(piece)
                yield piece
        finally:
            self._reader_left()

    def _read_at(self, place: int) -> Any:
        file = self.given
        if not self._is_rewindable:
            return file.read(PIECE)
        with self._lock:
            if file.tell() != place:  # another request has read in between
                file.seek(place)
            return file.read(PIECE)

    def _look_at_end(self) -> tuple[int, int] | None:
        """Return the end and the position of the file, or `None` if it cannot seek to its end."""
        file = self.given
        try:
            stands = file.tell()
            file.seek(0, io.SEEK_END)
            end = file.tell()
        except Exception:
            return None
        try:
            file.seek(stands)
        except Exception:
            self._is_rewindable = False
            self.is_begun = True  # the position is at the end now: nothing is left to read
            return None
        return end, stands

    def _stands(self) -> int:
        try:
            place: int = self.given.tell()
        except Exception as error:
            raise UnreadableBody(f"the position of the file is unknown: {error!r}") from error
        return place

    def _reader_left(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers or not self._is_rewindable:
                return
            try:
                self.given.seek(self._start)
            except Exception:
                self._is_rewindable = False


class IterableSource(BodySource):
    """An iterable or async iterable; an iterator can be read only once."""

    __slots__ = ("_is_once",)

    REASON = "it comes from an iterator, which can be read only once"

    def __init__(self, given: Any) -> None:
        super().__init__(given)
        self._is_once = hasattr(given, "__next__") or hasattr(given, "__anext__")

    @property
    def is_repeatable(self) -> bool:
        """Whether it can be read any number of times."""
        return not self._is_once

    def read(self) -> Pieces:
        """
        Return the pieces from its beginning.

        Raises:
            UnreadableBody: If it is an iterator that has been read from.
        """
        with self._lock:
            self.check()
            self.is_begun = True
        given = self.given
        pieces: Pieces = aiter(given) if hasattr(given, "__aiter__") else iter(given)
        return pieces


_sources: WeakValueDictionary[int, BodySource] = WeakValueDictionary()
_making = threading.Lock()


def source_of(given: Any, is_begun: bool = False) -> BodySource:
    """
    Return the source for an object, the same one for as long as it is referenced.

    Args:
        given: The object.
        is_begun: Whether it has been read from already.
    """
    with _making:
        source = _sources.get(id(given))
        if source is None:  # else it holds `given`, so that no other object has this id
            maker = FileSource if is_file(given) else IterableSource
            source = _sources[id(given)] = maker(given)
        source.is_begun = source.is_begun or is_begun
        return source


def is_file(given: object) -> bool:
    """Whether `given` has a blocking `read`; an async file counts as an async iterable."""
    return callable(getattr(given, "read", None)) and not hasattr(given, "__aiter__")


def is_stored(content: object) -> bool:
    """Whether a body is in memory, so that it can be sent any number of times."""
    return content is None or isinstance(content, str | bytes | bytearray | memoryview)


def check_content(content: object, name: str = "content") -> None:
    """
    Raise unless `content` can be a body.

    Raises:
        TypeError: Names the type, and what to give instead.
    """
    if is_stored(content):
        return
    if isinstance(content, io.TextIOBase):
        raise TypeError(f"{name} is a file opened as text; open it in binary mode, with 'rb'")
    is_iterable = isinstance(content, Iterable | AsyncIterable) or is_file(content)
    is_meant = is_iterable and not isinstance(content, Mapping | AbstractSet)
    if not is_meant or isinstance(content, type):
        raise TypeError(f"{name} must be {_WANTED}, not a {type(content).__name__}")


def check_piece(piece: object) -> bytes:
    """
    Return a piece of a body as bytes.

    Raises:
        WrongPiece: If it is not bytes; the message names the type.
    """
    if type(piece) is bytes:
        return piece
    if isinstance(piece, bytes | bytearray | memoryview):
        return bytes(piece)
    raise WrongPiece(
        f"the file or iterable of the body must give bytes, not a {type(piece).__name__}"
    )


def _can_rewind(file: Any) -> bool:
    try:
        tells = getattr(file, "seekable", None)
        if tells is not None and not tells():
            return False
        file.seek(file.tell())
    except Exception:  # a pipe, or an object that only looks like a file
        return False
    return True
