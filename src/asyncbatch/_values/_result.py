"""
The result of one request: `Success | Failure`, a closed union of values.

The batch makes them; nothing here knows how.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

import attrs
import httpx

from asyncbatch._values._errors import FailureKind, message_of
from asyncbatch._values._pickling import name_encoding, restore, state_of
from asyncbatch._values._redaction import redacted, redacted_url
from asyncbatch._values._request import Request
from asyncbatch._values._text import body_text, encoding_of, parse_json
from asyncbatch._values._timing import Attempt, Course, Timing, moment_of, timing_of

# httpx adds a link to the description of a failed status.
_LINK = re.compile(r"\s*For more information check: \S+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN = 300


@attrs.frozen(init=False, eq=False, repr=False, kw_only=True)
class _Result:
    """The fields that a success and a failure have in common."""

    index: int
    """Position of the request in the input, from 0."""
    _item: Any = attrs.field(alias="item")
    # The request as given. Most are plain strings, and most callers never ask for a `Request`.
    _url: httpx.URL | None = attrs.field(alias="url")
    # The URL of the request, if there is no response with its own; None if it is not a URL.
    elapsed: float
    """Seconds from its first slot to its end, retries and their waits included."""
    attempts: int
    """How many times it was tried; 0 if it was never tried."""
    history: tuple[Attempt, ...]
    """The tries before the last one."""
    _queued: float = attrs.field(alias="queued")
    _throttled: float = attrs.field(alias="throttled")
    _network: Timing | Course = attrs.field(alias="network")
    # `timing` is put together when asked for: of a million results, few are.
    _content: bytes = attrs.field(default=b"", alias="content")
    _answer: Any = attrs.field(default=None, alias="response")
    # The response, or an object that builds it. Status and content need no built response.
    _started: float = attrs.field(default=0.0, alias="started")
    # When it was started first, in seconds since 1970; 0.0 if never, or not known.
    _saved: tuple[Path | str, int, int | None] | None = attrs.field(default=None, alias="saved")
    # The file that the body is in: a `Saved`, as a tuple that pickles.
    from_journal: bool = False
    """Whether it comes from a journal, and the request was not sent by this batch."""

    @property
    def started(self) -> datetime | None:
        """
        When its first try began, in UTC; `None` if it was never tried.

        It ended at `started + elapsed`. The wall clock is read once, when the batch begins. It is
        also `None` if that clock is beyond the years of a `datetime`.
        """
        return moment_of(self._started)

    @property
    def timing(self) -> Timing:
        """The seconds spent in each phase."""
        return timing_of(self._network, queued=self._queued, throttled=self._throttled)

    @property
    def request(self) -> Request:
        """The request, with its `tag`. If a `Request` was given, it is that object."""
        return Request.of(self._item)

    @property
    def url(self) -> httpx.URL | None:
        """The final URL, after redirects; `None` only if the URL of the request is invalid."""
        answer = self._answer
        if answer is None:
            return self._url
        url_for = getattr(answer, "url_for", None)
        if url_for is None:
            return answer.url  # type: ignore[no-any-return]  # a URL of either library
        if self._url is None:
            object.__setattr__(self, "_url", url_for(self._item))
        return self._url

    @property
    def status_code(self) -> int | None:
        """The status of the response; `None` without a response."""
        return None if self._answer is None else self._answer.status_code

    @property
    def headers(self) -> httpx.Headers:
        """The headers of the response; empty without a response."""
        response = self._built()
        return httpx.Headers() if response is None else response.headers

    @property
    def content(self) -> bytes:
        """The decoded body; `b""` without a response, and if the body is in a file."""
        return self._content

    @property
    def path(self) -> Path | None:
        """The file with the decoded body; `None` if it is in memory, or there is none."""
        saved = self._saved
        if saved is None:
            return None
        if isinstance(saved[0], str):
            saved = (Path(saved[0]), *saved[1:])
            object.__setattr__(self, "_saved", saved)
        return saved[0]  # type: ignore[return-value]  # made above

    @property
    def size(self) -> int:
        """The size of the decoded body in bytes, in a file or in memory."""
        return len(self._content) if self._saved is None else self._saved[1]

    @property
    def resumed_from(self) -> int | None:
        """How many bytes of the file were there before the last try; `None` without a try."""
        return None if self._saved is None else self._saved[2]

    @property
    def reason_phrase(self) -> str:
        """The reason phrase of the status line; `""` without a response."""
        response = self._built()
        return "" if response is None else response.reason_phrase

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookies that this response sets; none without a response."""
        response = self._built()
        return httpx.Cookies() if response is None else response.cookies

    @property
    def links(self) -> dict[str | None, dict[str, str]]:
        """The `Link` headers by their `rel`, as httpx parses them; `{}` without a response."""
        response = self._built()
        return {} if response is None else response.links

    @property
    def encoding(self) -> str | None:
        """
        The encoding used for `text`; `None` without a response.

        It is the charset that the server names, if Python knows it. Otherwise it is the client's
        `default_encoding`, by default UTF-8.
        """
        response = self._built()
        return None if response is None else encoding_of(response)

    @property
    def text(self) -> str:
        """
        The decoded body as text; `""` without a response.

        It never raises, with any charset of the server: bytes that do not decode become U+FFFD.
        Only a function given as `default_encoding` may raise.
        """
        response = self._built()
        return "" if response is None else body_text(response)

    def json(self, **kwargs: Any) -> Any:
        """
        Parse the body as JSON, in UTF-8, UTF-16 or UTF-32. Takes the arguments of `json.loads`.

        Raises:
            json.JSONDecodeError: If the body is not JSON, or there is none. The message names the
                URL. It is also raised for JSON that Python's parser refuses (very long numbers,
                very deep nesting), and for a `ValueError` of a function among the arguments.
        """
        url = self.url
        shown = redacted_url(self.request.url if url is None else url)
        return parse_json(self.content, shown, kwargs)

    def _figures(self: Any) -> tuple[Any, ...]:
        answer = self._answer
        return (
            self.kind,
            None if answer is None else answer.status_code,
            # Of a file that was there before, nothing was received.
            len(self._content) if self._saved is None else self._saved[1] * (self.attempts > 0),
            self.attempts,
            self.elapsed,
            self._queued,
            self._throttled,
            self._network,
        )

    def _built(self) -> httpx.Response | None:
        """Return the response; it is built on the first call."""
        build = getattr(self._answer, "build", None)
        if build is not None:
            object.__setattr__(self, "_answer", build(self._item, self._content, self._network))
        return self._answer  # type: ignore[no-any-return]  # a response of either library

    def _state(self) -> dict[str, Any]:
        """Return the fields for `pickle`, with the response built: its builder does not pickle."""
        name_encoding(self._built())
        state = state_of(self)
        if isinstance(self._item, Request):
            from asyncbatch._values._request_parcel import RequestParcel  # only pickles need it

            state["_item"] = RequestParcel(self._item)
        return state


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Success(_Result):
    """
    The result of a request that got a complete response with a status below 400.

    If `exists="skip"` found its file, nothing was sent: `attempts` is 0, and `status_code` and
    `response` are `None`.
    """

    ok: ClassVar[Literal[True]] = True
    """Always `True`; `False` on a `Failure`."""
    kind: ClassVar[None] = None
    """Always `None`."""
    error: ClassVar[None] = None
    """Always `None`."""

    def __getstate__(self) -> dict[str, Any]:
        return self._state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    def url(self) -> httpx.URL:
        """The final URL, after redirects."""
        return super().url  # type: ignore[return-value]  # a response has one

    @property
    def status_code(self) -> int:
        """The status of the response."""
        answer = self._answer
        return None if answer is None else answer.status_code  # type: ignore[return-value]

    @property
    def response(self) -> httpx.Response:
        """The response, read and closed. With an httpx2 client it is an `httpx2.Response`."""
        return self._built()  # type: ignore[return-value]  # None only if nothing was sent

    def unwrap(self) -> httpx.Response:
        """Return the response."""
        return self.response

    def __repr__(self) -> str:
        return (
            f"<Success {self.index}: {self.status_code} {_shown(self.url)} in {self.elapsed:.3f} s>"
        )


class _Draft(Success):
    """
    A `Success` whose fields are being set; setting its `__class__` to `Success` ends that.

    An object of a frozen class takes 1.1 µs, since each field is set through `object.__setattr__`,
    and one made by a constructor of a class that is not frozen 0.3 µs. This takes 0.15: CPython
    3.11 passes arguments to an `__init__` by a tuple, and sets fields one by one at once.
    """

    __slots__ = ()
    __init__: Any = object.__init__
    # Both, since they share a slot of the type: one left frozen would slow the other down.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


draft: Callable[[], Any] = _Draft
"""Make a `Success` without fields."""


def success(
    index: int,
    item: object,
    elapsed: float,
    attempts: int,
    history: tuple[Attempt, ...],
    queued: float,
    throttled: float,
    network: Timing | Course,
    content: bytes,
    response: object,
    started: float,
    from_journal: bool = False,
    saved: tuple[Path | str, int, int | None] | None = None,
) -> Success:
    """Make a `Success` without the URL, which its response has; `Worker` does the same inline."""
    made = draft()
    made.index = index
    made._item = item
    made._url = None
    made.elapsed = elapsed
    made.attempts = attempts
    made.history = history
    made._queued = queued
    made._throttled = throttled
    made._network = network
    made._content = content
    made._answer = response
    made._started = started
    made._saved = saved
    made.from_journal = from_journal
    made.__class__ = Success
    return made  # type: ignore[no-any-return]


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Failure(_Result):
    """The result of a request without a complete response, or with a status of 400 or above."""

    ok: ClassVar[Literal[False]] = False
    """Always `False`; `True` on a `Success`."""
    # None for a failed status until `error` is read, which makes it from the response.
    _error: Exception | None = attrs.field(alias="error")
    kind: FailureKind
    """Why it failed, in one word."""
    out_of_budget: bool = False
    """Whether tries were left, but the retry budget of the host was spent (`Retry.budget`)."""

    @property
    def error(self) -> Exception:
        """The error of the last try; for a failed status, an `httpx.HTTPStatusError`."""
        if self._error is None:
            object.__setattr__(self, "_error", status_error(self._built()))
        return self._error  # type: ignore[return-value]

    def __getstate__(self) -> dict[str, Any]:
        if self._error is None:
            object.__setattr__(self, "_error", status_error(self._built()))
        return self._state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    def response(self) -> httpx.Response | None:
        """The response, if a complete one arrived; else `None`."""
        return self._built()

    def unwrap(self) -> NoReturn:
        """
        Raise the error.

        Raises:
            Exception: `error`, always.
        """
        raise self.error

    def __repr__(self) -> str:
        shown = _shown(self.url) if self.url is not None else repr(redacted_url(self.request.url))
        error = type(self.error).__name__
        if said := _one_line(message_of(self.error)):
            error = f"{error}: {said}"
        return f"<Failure {self.index}: {self.kind} {shown}: {error}>"


Result: TypeAlias = Success | Failure


figures_of: Callable[[Result], tuple[Any, ...]] = _Result._figures  # pyright: ignore[reportPrivateUsage]
"""Return the figures that a summary counts, without building the response."""


def asked_url_of(result: Result) -> object:
    """Return the URL that was asked for, as it was given; without making a `Request` of a text."""
    item = result._item  # pyright: ignore[reportPrivateUsage]
    return item if type(item) is str else Request.of(item).url


def status_error(response: Any) -> Exception:
    """Return the `HTTPStatusError` of a failed response, of the response's own library."""
    try:
        response.raise_for_status()
    except Exception as error:
        # The text of httpx without user and password of the URL, and without the link to the
        # description of the status. A new object, because the traceback would hold this frame.
        kind: Any = type(error)
        # The whole URL first: within a text, its end is hard to find.
        text = str(error).replace(str(response.url), redacted_url(response.url))
        text = _LINK.sub("", redacted(text))
        found: Exception = kind(text, request=response.request, response=response)
        return found
    raise AssertionError("a status of 400 or above is an error to httpx")


def _one_line(text: str) -> str:
    text = " ".join(_CONTROLS.sub(" ", _LINK.sub("", text)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _shown(url: httpx.URL | None) -> str:
    # httpx hides only the password in the repr of a URL, and nothing in its str.
    return redacted_url(url)
