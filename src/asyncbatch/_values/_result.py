"""
What became of one request: `Success | Failure`, a closed union of values.

Made by the batch; nothing here knows how.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NoReturn, TypeAlias

import attrs
import httpx

from asyncbatch._values._errors import FailureKind, message_of
from asyncbatch._values._pickling import name_encoding, restore, state_of
from asyncbatch._values._redaction import redacted, redacted_url
from asyncbatch._values._request import Request, RequestParcel
from asyncbatch._values._text import encoding_of, parse_json, text_of
from asyncbatch._values._timing import Attempt, Course, Timing, timing_of

# httpx tells with each failed status where to read about it.
_LINK = re.compile(r"\s*For more information check: \S+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SHOWN = 300


@attrs.frozen(eq=False, repr=False, kw_only=True)
class _Result:
    """What a success and a failure have in common."""

    index: int
    """Position of the request in the input, from 0."""
    _item: Any = attrs.field(alias="item")
    # The request as it was given: most are plain strings, and most callers never ask for the rest.
    _url: httpx.URL | None = attrs.field(alias="url")
    # The URL asked for, where there is no response that knows better; None if it is no URL.
    elapsed: float
    """Seconds from when it first got a slot to the end, retries and their waits included."""
    attempts: int
    """How many times it was tried; 0 if it never was."""
    history: tuple[Attempt, ...]
    """The tries before the last."""
    _queued: float = attrs.field(alias="queued")
    _throttled: float = attrs.field(alias="throttled")
    _network: Timing | Course = attrs.field(alias="network")
    # Put together when somebody asks: of a million results, few are asked for their phases.
    _content: bytes = attrs.field(default=b"", alias="content")
    _answer: Any = attrs.field(default=None, alias="response")
    # The response, or what builds it: neither is needed to ask for its status or its content.

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        return timing_of(self._network, queued=self._queued, throttled=self._throttled)

    @property
    def request(self) -> Request:
        """The request, with its `tag`; the caller's own object where a `Request` was given."""
        return Request.of(self._item)

    @property
    def url(self) -> httpx.URL | None:
        """The final URL, after redirects; `None` only if the request's own was invalid."""
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
        """The response's status, `None` where there is no response."""
        return None if self._answer is None else self._answer.status_code

    @property
    def headers(self) -> httpx.Headers:
        """The response's headers, empty where there is no response."""
        response = self._built()
        return httpx.Headers() if response is None else response.headers

    @property
    def content(self) -> bytes:
        """The decoded body, `b""` where there is no response."""
        return self._content

    @property
    def reason_phrase(self) -> str:
        """The words after the response's status, `""` where there is no response."""
        response = self._built()
        return "" if response is None else response.reason_phrase

    @property
    def cookies(self) -> httpx.Cookies:
        """The cookies that this response sets, none where there is no response."""
        response = self._built()
        return httpx.Cookies() if response is None else response.cookies

    @property
    def links(self) -> dict[str | None, dict[str, str]]:
        """The response's `Link` fields by their `rel`, as httpx parses them; else `{}`."""
        response = self._built()
        return {} if response is None else response.links

    @property
    def encoding(self) -> str | None:
        """
        The encoding that `text` is decoded by, `None` where there is no response.

        The charset that the server names, if it is one; else the client's `default_encoding`, which
        is UTF-8.
        """
        response = self._built()
        return None if response is None else encoding_of(response)

    @property
    def text(self) -> str:
        """
        The decoded body as text, `""` where there is no response.

        Never fails, whatever charset the server names: what does not decode becomes U+FFFD. Only
        a `default_encoding` that is a function of yours may raise.
        """
        response = self._built()
        return "" if response is None else text_of(response)

    def json(self, **kwargs: Any) -> Any:
        """
        Parse the body as JSON, in UTF-8, UTF-16 or UTF-32; arguments as for `json.loads`.

        Raises:
            json.JSONDecodeError: If the body is no JSON, or there is none; it names the URL. What
                is too much for Python's parser (very long numbers, very deep nesting) counts as
                none, and so does a `ValueError` that a function among the arguments raises.
        """
        url = self.url
        shown = redacted_url(self.request.url if url is None else url)
        return parse_json(self.content, shown, kwargs)

    def _figures(self: Any) -> tuple[Any, ...]:
        answer = self._answer
        return (
            self.kind,
            None if answer is None else answer.status_code,
            len(self._content),
            self.attempts,
            self.elapsed,
            self._queued,
            self._throttled,
            self._network,
        )

    def _built(self) -> httpx.Response | None:
        """Return the response, built the first time that somebody asks for it."""
        build = getattr(self._answer, "build", None)
        if build is not None:
            object.__setattr__(self, "_answer", build(self._item, self._content, self._network))
        return self._answer  # type: ignore[no-any-return]  # a response of either library

    def _state(self) -> dict[str, Any]:
        """Return the fields for `pickle`, with the response: connections cannot be sent."""
        name_encoding(self._built())
        state = state_of(self)
        if isinstance(self._item, Request):
            state["_item"] = RequestParcel(self._item)
        return state


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Success(_Result):
    """A request that was answered with a status below 400, body and all."""

    ok: ClassVar[Literal[True]] = True
    """Always `True`; tells the two kinds of `Result` apart."""
    kind: ClassVar[None] = None
    """Always `None`: nothing went wrong."""
    error: ClassVar[None] = None
    """Always `None`."""

    def __getstate__(self) -> dict[str, Any]:
        return self._state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    def url(self) -> httpx.URL:
        """The final URL, after redirects."""
        return super().url  # type: ignore[return-value]  # what was answered has one

    @property
    def status_code(self) -> int:
        """The response's status."""
        return self._answer.status_code  # type: ignore[no-any-return]

    @property
    def response(self) -> httpx.Response:
        """The response, read and closed. With an httpx2 client it is an `httpx2.Response`."""
        response = self._built()
        assert response is not None
        return response

    def unwrap(self) -> httpx.Response:
        """Return the response."""
        return self.response

    def __repr__(self) -> str:
        return (
            f"<Success {self.index}: {self.status_code} {_shown(self.url)} in {self.elapsed:.3f} s>"
        )


class _Draft(Success):
    # Both, as they share a place in the type: one left frozen would slow the other down.
    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def _as_drafted(cls: type, fields: list[Any]) -> list[Any]:
    """Let a draft be given its fields by position, and no URL: its response knows better."""
    return [
        field.evolve(init=False, default=None)
        if field.name == "_url"
        else field.evolve(kw_only=False)
        for field in fields
    ]


draft: Callable[..., Success] = attrs.define(eq=False, repr=False, field_transformer=_as_drafted)(
    _Draft
)
"""
Begin a `Success`, with its fields in their order but for the URL; its class is still to be set.

A frozen class pays for each of its fields when an object is made, 1.1 µs in all. A draft sets them
as any object would (0.3 µs), and becomes what it should be when its `__class__` is set to that.
"""


def success(*fields: Any) -> Success:
    """Make a `Success` of its fields, in their order but for the URL."""
    made = draft(*fields)
    made.__class__ = Success
    return made


@attrs.frozen(eq=False, repr=False, kw_only=True)
class Failure(_Result):
    """A request that was not answered, or answered with a status of 400 or above."""

    ok: ClassVar[Literal[False]] = False
    """Always `False`; tells the two kinds of `Result` apart."""
    # None until somebody asks, where the response says what it is.
    _error: Exception | None = attrs.field(alias="error")
    kind: FailureKind
    """The error in one word."""
    out_of_budget: bool = False
    """Whether there were tries left, but no retry in the budget of its host (`Retry.budget`)."""

    @property
    def error(self) -> Exception:
        """The last error; for a failed status an `httpx.HTTPStatusError`."""
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
        """The response, if a complete one arrived."""
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
"""Return what is counted of a result, and nothing that would have to be built."""


def status_error(response: Any) -> Exception:
    """Return the error that a response of a failed status is, of its own library."""
    try:
        response.raise_for_status()
    except Exception as error:
        # As httpx words it, but without the user and password of the URL, and without a link to
        # what the status means. A new object, because the traceback would hold this frame.
        kind: Any = type(error)
        # The URL as a whole first: where it ends is hard to tell from within a text.
        text = str(error).replace(str(response.url), redacted_url(response.url))
        text = _LINK.sub("", redacted(text))
        found: Exception = kind(text, request=response.request, response=response)
        return found
    raise AssertionError("a status of 400 or above is an error to httpx")


def _one_line(text: str) -> str:
    text = " ".join(_CONTROLS.sub(" ", _LINK.sub("", text)).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _shown(url: httpx.URL | None) -> str:
    # httpx leaves out the password in the repr of a URL, but not the user, nor either in its str.
    return redacted_url(url)
