"""
Errors of the caller's own code: how they differ from a library's, and the frames that are kept.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType

from asyncbatch._engine import causes_of, is_uncalled_for
from asyncbatch._runtime._event_loop import is_in_task
from asyncbatch._values._errors import add_note

# Libraries that send requests. A frame of theirs separates the caller's code from their errors.
_SENDERS = {"asyncbatch", "httpx", "httpx2", "httpcore", "httpcore2"}

# The functions of httpx and of ours that call event hooks.
_CALL_HOOKS = {"_send_handling_redirects", "call_hooks"}

_NOTED_FRAMES = 3


class CallersError(Exception):
    """Carries an error of the caller's code through libraries that would convert it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def stray_cancellation(error: BaseException) -> Exception | None:
    """
    Return an `Exception` to replace a cancellation that was not requested of the running task.

    The caller's code may wait for a task of its own, for example one that fetches a token for all
    requests. If that task is cancelled, its error would end the whole batch instead of one request.
    So would a `GeneratorExit`, which in a running task only the caller's code can have raised.
    """
    if isinstance(error, GeneratorExit) and is_in_task():
        return exit_of_caller(error)
    if not is_uncalled_for(error):
        return None
    stand_in = RuntimeError("what the caller's own code has waited for was cancelled")
    stand_in.__cause__ = error
    return stand_in


def exit_of_caller(error: GeneratorExit) -> Exception:
    """Return an `Exception` to replace a `GeneratorExit` that the caller's code has raised."""
    stand_in = RuntimeError("the caller's own code raised GeneratorExit")
    stand_in.__cause__ = error
    stand_in.__traceback__ = error.__traceback__
    return stand_in


def is_callers(error: BaseException) -> bool:
    """
    Whether the caller's code raised an error: a hook, a transport, an `Auth`, a mock.

    The frames of the traceback tell. An error of a sending library, or of a library below it,
    passes a frame of the sending library before it reaches the caller's code.
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
    """Whether an event hook raised an error, even one of the client's own library."""
    frames = list(_frames(error))
    for frame, called in zip(frames, [*frames[1:], None], strict=True):
        if frame.f_code.co_name not in _CALL_HOOKS or _package_of(frame) not in _SENDERS:
            continue
        # A hook that is not a coroutine function fails where it is awaited.
        if called is None:
            return isinstance(error, TypeError)
        # httpx raises an error of a response hook again, so its own frame is there twice.
        if _package_of(called) not in _SENDERS:
            return True
    return False


def callers_error(error: Exception) -> Exception:
    """
    Return an error of the caller's code with the libraries' frames cut off its traceback.

    Those frames would keep their locals, connections included, alive as long as the result.
    """
    note_places(error)
    for each in causes_of(error):
        found = each.__traceback__
        while found is not None and _package_of(found.tb_frame) in _SENDERS:
            found = found.tb_next
        each.with_traceback(found)  # some exceptions refuse an assignment
    return error


def note_places(error: BaseException) -> None:
    """Note where an error was raised, since a traceback does not reach other processes."""
    # Line numbers only: the source would be read from disk inside the event loop.
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
        # Python raises this RuntimeError when a coroutine or generator lets one of these two out.
        # The frames are with the cause.
        yield from (frame for frame, _ in traceback.walk_tb(cause.__traceback__))


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__") or ""
    return name.partition(".")[0]


def _is_foreign(frame: FrameType) -> bool:
    """Whether a frame is of code that no sending library uses by itself."""
    return _package_of(frame) not in _USED


# The packages below sending libraries. An error that came through these alone is a library's.
_USED = {
    *("anyio", "trio", "sniffio", "outcome", "exceptiongroup", "asyncio", "uvloop", "concurrent"),
    *("ssl", "socket", "selectors", "threading", "contextlib", "functools", "encodings", "idna"),
    *("h11", "h2", "hpack", "hyperframe", "socksio", "certifi", "truststore", "zlib", "gzip"),
    *("http", "urllib", "email", "typing", "collections", "codecs", "json", "logging"),
}
