"""
Errors as results keep them: without secrets in their text, and without frames.
"""

from __future__ import annotations

import contextlib
from typing import Any

from asyncbatch._decoding import DecodingFailure
from asyncbatch._engine import causes_of
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.failures._callers import note_places

# What h11 writes before it quotes a value.
_QUOTED = "Illegal header value"

# What `json` writes before it quotes a key.
_DICT_ITEM = "when serializing dict item"


def without_secrets(error: Exception, request: Any, library: Any) -> Exception:
    """Return `error`, or a copy without a text that may be a secret."""
    _hide_keys(error)
    if isinstance(error, UnicodeEncodeError):
        # It keeps the whole text, which may be a password, and shows it in its `repr`.
        start, end = error.start, error.end
        masked = "*" * start + error.object[start:end] + "*" * (len(error.object) - end)
        masking = UnicodeEncodeError(error.encoding, masked, start, end, error.reason)
        return masking.with_traceback(error.__traceback__)
    if isinstance(error, library.LocalProtocolError) and str(error).startswith(_QUOTED):
        # h11 quotes the header value that it refuses. Our own check comes first, so this is a value
        # that an event hook has written.
        without: Exception = library.LocalProtocolError(_QUOTED, request=request)
        return without
    return error


def _hide_keys(error: Exception) -> None:
    """Remove the keys of a body from an error's notes: `json` writes them there since 3.14."""
    notes = getattr(error, "__notes__", None)
    if notes:
        shown = [_DICT_ITEM if str(note).startswith(_DICT_ITEM) else note for note in notes]
        with contextlib.suppress(Exception):
            error.__notes__ = shown


def drop_frames(error: Exception, binding: Binding) -> None:
    """Cut the frames off an error and its causes, and note the places in the caller's code."""
    # Frames keep their locals, the connection included, alive as long as the result: some 10 KB
    # each. Frames of httpx and httpcore say nothing that the chain of errors does not. The places
    # in the caller's own code (hooks, authentication, transports) are noted.
    if not isinstance(error, binding.library.HTTPError | DecodingFailure):
        note_places(error)
    for cause in causes_of(error):
        cause.with_traceback(None)
