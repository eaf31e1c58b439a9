"""
The input of a batch: any iterable of requests, read lazily, item by item.

The batch decides when to read.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import io
import itertools
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import httpx

from asyncbatch._runtime._event_loop import is_in_task
from asyncbatch._values._errors import add_note
from asyncbatch._values._redaction import shown
from asyncbatch._values._request import Request, is_request
from asyncbatch._values._result import Result
from asyncbatch._values._timeouts import CLOSE_SECONDS
from asyncbatch._values._urls import BLANKS

if TYPE_CHECKING:
    import httpx2

    RequestLike: TypeAlias = str | httpx.URL | httpx.Request | Request | httpx2.URL | httpx2.Request
else:  # for libraries that read annotations; httpx2 may not be installed
    RequestLike = str | httpx.URL | httpx.Request | Request
    """The forms of a request; URLs and requests of httpx2 are accepted too."""

Requests: TypeAlias = Iterable[RequestLike] | AsyncIterable[RequestLike]
"""The requests of a batch: an iterable or async iterable of `RequestLike`."""

END: Final = object()
"""Returned by `Input.read` at the end of the input."""


class Settled:
    """An item of an input that has its result already, and is not sent."""

    __slots__ = ("result",)

    def __init__(self, result: Result) -> None:
        self.result = result


class Input:
    """
    One pass over the requests of a batch.

    A file opened as text has one URL on each line; blank lines are ignored.

    Raises:
        TypeError: If `requests` cannot be iterated over, is a single request, or is a file opened
            in binary mode.
    """

    def __init__(self, requests: Requests) -> None:
        _refuse_single(requests)
        name = _name_of_file(requests)
        self.read_count = 0
        self.exhausted = False
        """Whether the input has ended or raised."""
        self.is_callers_code = True
        """Whether reading runs code of the caller, which may take any time."""
        self.is_at_hand = False
        """Whether `read` may be called: reading needs no waiting, and there may be more."""
        self.take: Callable[[], Any] | None = None
        """Returns the index and the next item, or `END`, without calling a method of this class and
        without noting the end. `None` unless the input is a container."""
        self.error: Exception | None = None
        """The error that the iterable raised."""
        self.size = len(requests) if isinstance(requests, Collection) else None
        """Number of requests, if it is known before reading."""
        self._next: Callable[[], Any]  # of an input that is not async
        # The same input, and what calls a function that reads it.
        self._numbered: Iterator[tuple[int, Any]]
        self._run: Callable[..., Any] = _call
        self._async_iterator: AsyncIterator[Any] | None = None
        if isinstance(requests, AsyncIterable):
            lines: Any = requests
            self._async_iterator = aiter(requests if name is None else _lines_async(lines, name))
        elif isinstance(requests, Iterable):
            lines = requests
            iterator = iter(requests if name is None else _lines(lines, name))
            self.is_callers_code = type(iterator) not in _OF_CONTAINERS
            numbered = self._numbered = enumerate(iterator)
            if self.is_callers_code:
                # Items are read in any task, and in callbacks of the event loop. The context
                # variables that the caller's generator sees must not depend on that.
                self._run = contextvars.copy_context().run
                self._next = functools.partial(self._run, next, numbered)
            else:
                self._next = numbered.__next__
                self.take = functools.partial(next, numbered, END)
            self.is_at_hand = True
        else:
            raise TypeError(
                f"requests must be an iterable or async iterable, not {shown(requests)}"
            )

    @property
    def is_ahead(self) -> bool:
        """Whether `read` returns an item at once although reading may wait."""
        return False

    def take_settled(self, most: int) -> Sequence[Result]:
        """Return the results of the next items, as far as they are known already."""
        return ()

    @property
    def can_be_finished(self) -> bool:
        """Whether `read` returns all that is left without waiting, and there is an end."""
        return self.size is not None and not self.is_async

    @property
    def pump(self) -> Callable[[], Awaitable[None]] | None:
        """Has to run in a task of its own for `read_async` to go on; `None` if nothing has to."""
        return None

    @property
    def is_async(self) -> bool:
        """Whether reading may wait. If so, use `read_async`, else `read`."""
        return self._async_iterator is not None

    def read(self) -> Any:
        """
        Return the index of the next item and the item, or `END`.

        An error of the iterable is stored in `error`.
        """
        pull = self._next  # a call of an attribute is not specialised
        try:
            numbered = pull()
        except StopIteration:
            self.exhausted = True
            self.is_at_hand = False
            return END
        except (StopAsyncIteration, GeneratorExit) as error:
            self._fail_for(error)
            return END
        except Exception as error:
            self._fail(error)
            return END
        self.read_count = numbered[0] + 1
        return numbered

    def read_some(self, most: int, seconds: float) -> list[tuple[int, Any]]:
        """
        Return the next items with their indices, all at once; fewer than `most` at the end.

        It takes a quarter of the time of reading them one by one.

        Args:
            most: How many at most.
            seconds: Seconds after which no further one is read.
        """
        items: list[tuple[int, Any]] = []
        if self.exhausted:
            return items
        try:
            is_at_end = self._run(_read_into, items, self._numbered, most, seconds)
        except (StopAsyncIteration, GeneratorExit) as error:
            self.read_count += len(items)
            self._fail_for(error)
        except Exception as error:
            self.read_count += len(items)
            self._fail(error)
        else:
            self.read_count += len(items)
            if is_at_end:
                self.exhausted = True
                self.is_at_hand = False
        return items

    async def read_async(self) -> Any:
        """Wait for the next item and return it as `read` does."""
        assert self._async_iterator is not None
        try:
            item = await anext(self._async_iterator)
        except StopAsyncIteration:
            self.exhausted = True
            return END
        except GeneratorExit as error:
            if not is_in_task():
                raise
            self._fail_for(error)
            return END
        except Exception as error:
            self._fail(error)
            return END
        self.read_count += 1
        return self.read_count - 1, item

    async def aclose(self) -> None:
        """
        Close an async generator that was not read to its end.

        The caller could not continue it, since items were read ahead. Garbage collection would run
        its clean-up in another task, if at all.
        """
        if not isinstance(self._async_iterator, AsyncGenerator):
            return
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            try:
                await self._async_iterator.aclose()
            except Exception as error:
                self._fail(error)

    def _fail_for(self, error: BaseException) -> None:
        # If raised to the consumer of a stream, it would end the results like a normal end.
        wrapped = RuntimeError(f"the iterable raised {type(error).__name__}")
        wrapped.__cause__ = error
        self._fail(wrapped)

    def _fail(self, error: Exception) -> None:
        self.exhausted = True
        self.is_at_hand = False
        add_note(error, f"asyncbatch: raised by the input after {self.read_count} requests")
        self.error = self.error or error


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _read_into(
    items: list[tuple[int, Any]], numbered: Iterator[tuple[int, Any]], most: int, seconds: float
) -> bool:
    """Read items, and return whether there are no more; an error leaves those before it."""
    clock, add = time.perf_counter, items.append
    ends_at = clock() + seconds
    for item in itertools.islice(numbered, most):
        add(item)
        if clock() >= ends_at:
            return False
    return len(items) < most


# Iterators that run no code of the caller.
_OF_CONTAINERS = {type(iter(list[Any]())), type(iter(tuple[Any]())), type(iter(range(0)))}


def _name_of_file(requests: Any) -> str | None:
    """
    Return the name of an open text file for messages, or `None` if `requests` is not a file.

    Raises:
        TypeError: If the file is opened in binary mode.
    """
    if isinstance(requests, type) or not callable(getattr(requests, "readline", None)):
        return None
    name = getattr(requests, "name", None)
    shown_name = name if isinstance(name, str) else "the file"
    mode = getattr(requests, "mode", "")
    if isinstance(requests, io.RawIOBase | io.BufferedIOBase) or "b" in str(mode):
        raise TypeError(_OF_BYTES.format(shown_name))
    return shown_name


_OF_BYTES = (
    "{} is open in binary mode; open it as text, with open(path), or with gzip.open(path, 'rt') "
    "if it is compressed"
)


def _lines(file: Iterable[Any], name: str) -> Iterator[str]:
    """Yield the URLs of a text file, one on each line; ignore blank lines."""
    with _naming(name):
        for number, line in enumerate(file, 1):
            if url := _url_in(line, number, name):
                yield url


async def _lines_async(file: Any, name: str) -> AsyncGenerator[str]:
    """Yield the URLs of an async file, as `_lines` does."""
    number = 0
    with _naming(name):
        while line := await file.readline():
            number += 1
            if url := _url_in(line, number, name):
                yield url


@contextlib.contextmanager
def _naming(name: str) -> Generator[None]:
    """Name the file in the error if it does not decode."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not text in {error.encoding}: {error.reason} at byte {error.start}; "
            "open it with the right encoding=, or with gzip.open(path, 'rt') if it is compressed"
        ) from error


def _url_in(line: Any, number: int, name: str) -> str:
    """
    Return the URL of a line, or `""`.

    Raises:
        TypeError: If the file gives bytes.
        ValueError: If the line is not text.
    """
    if not isinstance(line, str):
        raise TypeError(_OF_BYTES.format(name))
    if "\0" in line:
        raise ValueError(
            f"{name} is not a list of URLs: line {number} contains a NUL character; "
            "if it is UTF-16, open it with encoding='utf-16'"
        )
    # Some editors write a byte order mark before the first line.
    return (line.removeprefix("\ufeff") if number == 1 else line).strip(BLANKS)


def _refuse_single(requests: object) -> None:
    """
    Raise for iterables that are not iterables of requests.

    Raises:
        TypeError: For a single request, bytes and mappings.
    """
    if is_request(requests):
        raise TypeError(
            f"requests must be an iterable of requests, not a single one: {shown(requests)}; "
            "use Fetcher.fetch, or a list of one request"
        )
    if isinstance(requests, bytes | bytearray | memoryview):
        raise TypeError(f"requests must be an iterable of str, not bytes: {shown(requests)}")
    if isinstance(requests, Mapping):
        raise TypeError(
            "requests must be an iterable of requests, not a mapping; give its values(), or a "
            "Request(url, tag=key) for each item"
        )
