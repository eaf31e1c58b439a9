"""
What became of one request: `Success | Failure`, a closed union of values.

Made by the batch; nothing here knows how.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

import attrs
import httpx

from asyncbatch._errors import FailureKind
from asyncbatch._request import Request
from asyncbatch._timing import Attempt, Timing


@attrs.frozen(eq=False, repr=False, kw_only=True)
class _Result:
    """What a success and a failure have in common."""

    index: int
    """Position of the request in the input, from 0."""
    _item: Any
    # The request as it was given: most are plain strings, and most callers never ask for the rest.
    _url: httpx.URL | None
    # The URL asked for, where there is no response that knows better; None if it is no URL.
    elapsed: float
    """Seconds from the first admission to the end, retries and their waits included."""
    attempts: int
    """How many times it was tried; 0 if it never was."""
    history: tuple[Attempt, ...]
    """The tries before the last."""
    _queued: float
    _throttled: float
    _network: Timing
    # Put together when somebody asks: of a million results, few are asked for their phases.

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        return self._network.with_waits(queued=self._queued, throttled=self._throttled)

    @property
    def request(self) -> Request:
        """The request, with its `tag`; the caller's own object where a `Request` was given."""
        return Request.of(self._item)

    @property
    def url(self) -> httpx.URL | None:
        """The final URL, after redirects; `None` only if the request's own was invalid."""
        response = self._any_response()
        return self._url if response is None else response.url

    @property
    def status_code(self) -> int | None:
        """The response's status, `None` where there is no response."""
        response = self._any_response()
        return None if response is None else response.status_code

    @property
    def headers(self) -> httpx.Headers:
        """The response's headers, empty where there is no response."""
        response = self._any_response()
        return httpx.Headers() if response is None else response.headers

    @property
    def content(self) -> bytes:
        """The decoded body, `b""` where there is no response."""
        response = self._any_response()
        return b"" if response is None else response.content

    @property
    def text(self) -> str:
        """The decoded body as text, `""` where there is no response."""
        response = self._any_response()
        return "" if response is None else response.text

    def json(self, **kwargs: Any) -> Any:
        """
        Parse the body as JSON; arguments as for `json.loads`.

        Raises:
            json.JSONDecodeError: If the body is no JSON, or there is none.
        """
        response = self._any_response()
        if response is None:
            return httpx.Response(200).json(**kwargs)
        return response.json(**kwargs)

    def _any_response(self) -> httpx.Response | None:
        raise NotImplementedError


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Success(_Result):
    """A request that was answered with a status below 400, body and all."""

    ok: ClassVar[Literal[True]] = True
    """Always `True`; tells the two kinds of `Result` apart."""
    response: httpx.Response
    """The response, read and closed. With an httpx2 client it is an `httpx2.Response`."""

    def unwrap(self) -> httpx.Response:
        """Return the response."""
        return self.response

    def _any_response(self) -> httpx.Response:
        return self.response

    def __repr__(self) -> str:
        return (
            f"<Success {self.index}: {self.response.status_code} {_shown(self.url)}"
            f" in {self.elapsed:.3f} s>"
        )


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Failure(_Result):
    """A request that was not answered, or answered with a status of 400 or above."""

    ok: ClassVar[Literal[False]] = False
    """Always `False`; tells the two kinds of `Result` apart."""
    error: Exception
    """The last error; for a failed status an `httpx.HTTPStatusError`."""
    kind: FailureKind
    """The error in one word."""
    response: httpx.Response | None = None
    """The response, if a complete one arrived."""

    def unwrap(self) -> NoReturn:
        """
        Raise the error.

        Raises:
            Exception: `error`, always.
        """
        raise self.error

    def _any_response(self) -> httpx.Response | None:
        return self.response

    def __repr__(self) -> str:
        shown = _shown(self.url) if self.url is not None else repr(self.request.url)
        return f"<Failure {self.index}: {self.kind} {shown}: {self.error}>"


Result: TypeAlias = Success | Failure


def _shown(url: httpx.URL | None) -> str:
    # Without the password: the repr of a URL hides it, its str does not.
    return repr(url).removeprefix("URL('").removesuffix("')")
