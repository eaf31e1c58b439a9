"""
Errors of the caller's own code: what tells them from a library's, and what is kept of them.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

from asyncbatch._engine import causes_of, is_uncalled_for
from asyncbatch._runtime._event_loop import is_in_task
from asyncbatch._values._errors import add_note

# What sends requests. Between the caller's code and an error of theirs there is one of these.
_SENDERS = {"asyncbatch", "httpx", "httpx2", "httpcore", "httpcore2"}

# Where httpx calls event hooks, and where we do.
_CALL_HOOKS = {"_send_handling_redirects", "call_hooks"}

_NOTED_FRAMES = 3


class CallersError(Exception):
    """Carries what code of the caller's has raised through libraries that would sort it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def stray_cancellation(error: BaseException) -> Exception | None:
    """
    Return what stands for an end that nobody asked of the running task.

    Code of the caller's may wait for a task of its own, that fetches a token for all, say. What
    that has raised when it was cancelled would end the whole batch in place of one request. And so
    would a `GeneratorExit`, which in a task that runs nobody has sent but the code itself.
    """
    if isinstance(error, GeneratorExit) and is_in_task():
        return exit_of_caller(error)
    if not is_uncalled_for(error):
        return None
    stand_in = RuntimeError("what the caller's own code has waited for was cancelled")
    stand_in.__cause__ = error
    return stand_in


def exit_of_caller(error: GeneratorExit) -> Exception:
    """Return what stands for a `GeneratorExit` that code of the caller's has raised."""
    stand_in = RuntimeError("the caller's own code raised GeneratorExit")
    stand_in.__cause__ = error
    stand_in.__traceback__ = error.__traceback__
    return stand_in


def is_callers(error: BaseException) -> bool:
    """
    Say whether code of the caller's raised an error: a hook, a transport, an `Auth`, a mock.

    By the frames that it came through: between an error of a library that sends, or of what that
    uses, and all code of the caller's there is a frame of that library.
    """
    is_own = False
    for frame in _frames(error):
        package = _package_of(frame)
        if package in _SENDERS:
            is_own = False
        elif not is_own:
            is_own = _is_foreign(frame)
    return is_own


def is_hooks(error: BaseException) -> bool:
    """Say whether an event hook raised an error, be it one of the client's own library."""
    frames = list(_frames(error))
    for frame, called in zip(frames, [*frames[1:], None], strict=True):
        if frame.f_code.co_name not in _CALL_HOOKS or _package_of(frame) not in _SENDERS:
            continue
        # A hook that is no coroutine function fails where it is awaited.
        if called is None:
            return isinstance(error, TypeError)
        # Where a response's hook raises, httpx raises that once more: its frame is there twice.
        if _package_of(called) not in _SENDERS:
            return True
    return False


def callers_error(error: Exception) -> Exception:
    """
    Return an error of the caller's, ready to be kept: its traceback begins where that code does.

    The frames of libraries keep their locals, connections and all, for as long as the result is.
    """
    note_places(error)
    for each in causes_of(error):
        found = each.__traceback__
        while found is not None and _package_of(found.tb_frame) in _SENDERS:
            found = found.tb_next
        each.with_traceback(found)  # setting it is refused by some
    return error


def note_places(error: BaseException) -> None:
    """Note where an error was raised: other processes see no traceback."""
    # Line numbers only: the source would have to be read from disk, inside the event loop.
    frames = list(_frames(error))[-_NOTED_FRAMES:]
    if not frames:
        return
    places = (f"{f.f_code.co_filename}:{f.f_lineno} in {f.f_code.co_name}" for f in frames)
    note = f"raised at {', from '.join(reversed([*places]))}"
    if note not in getattr(error, "__notes__", ()):  # the same object may be raised again
        add_note(error, note)


def _frames(error: BaseException) -> Iterator[FrameType]:
    found: TracebackType | None = error.__traceback__
    yield from (frame for frame, _ in traceback.walk_tb(found))
    cause = error.__cause__
    if isinstance(error, RuntimeError) and isinstance(cause, StopIteration | StopAsyncIteration):
        # Python's own stand-in for these two, where a coroutine or generator lets them out: the
        # frames of that are with the cause.
        yield from (frame for frame, _ in traceback.walk_tb(cause.__traceback__))


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__") or ""
    return name.partition(".")[0]


def _is_foreign(frame: FrameType) -> bool:
    """Say whether a frame is of code that no sending library uses by itself."""
    return _package_of(frame) not in _USED


# What sending libraries are built on: an error that came through these alone is theirs.
_USED = {
    *("anyio", "trio", "sniffio", "outcome", "exceptiongroup", "asyncio", "uvloop", "concurrent"),
    *("ssl", "socket", "selectors", "threading", "contextlib", "functools", "encodings", "idna"),
    *("h11", "h2", "hpack", "hyperframe", "socksio", "certifi", "truststore", "zlib", "gzip"),
    *("http", "urllib", "email", "typing", "collections", "codecs", "json", "logging"),
}
