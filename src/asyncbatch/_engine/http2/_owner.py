"""
`SessionOwner`: the interface that a session calls for each event.
"""

from __future__ import annotations

from typing import Protocol

from asyncbatch._engine.http11 import ExchangeError, ResponseHead


class SessionOwner(Protocol):
    """
    Handles the events of a session, in the order of the bytes.

    Each method may call the session. After a stream was reset, by either side, no method is called
    for it.
    """

    def informational_received(self, stream: int) -> None:
        """Note that an informational response has come, which is passed over."""
        ...

    def head_received(self, stream: int, head: ResponseHead, *, is_end: bool) -> None:
        """Handle the head of the final response."""
        ...

    def content_received(self, stream: int, content: bytes, *, is_end: bool) -> None:
        """Handle bytes of the body; call `ClientSession.consume` once they are taken."""
        ...

    def trailers_received(self, stream: int, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Handle the trailers, which end the response."""
        ...

    def stream_reset(self, stream: int, code: int) -> None:
        """Handle that the server has ended a stream."""
        ...

    def stream_refused(self, stream: int) -> None:
        """Handle that the server has not processed a request, and never will."""
        ...

    def stream_failed(self, stream: int, error: ExchangeError) -> None:
        """Handle a response that is not valid, or too large; the session has reset the stream."""
        ...

    def settings_changed(self) -> None:
        """Note that `ClientSession.max_streams` may have changed."""
        ...

    def server_leaves(self) -> None:
        """Note that no more streams can be opened; those that are open go on."""
        ...

    def session_ended(self, error: ExchangeError) -> None:
        """Handle the end of the session; what is to be sent after that is the last."""
        ...
