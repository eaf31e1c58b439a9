"""
The `Request` value, and the other forms that a request may be given in.

Nothing here sends a request or parses a URL. The lane decides whether a request can be sent,
because that depends on the client (its `base_url`, and the library it comes from).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import IO, Any, Final, TypeAlias

import attrs
import httpx

from asyncbatch._values._body_source import BodySource
from asyncbatch._values._checks import check_seconds, check_size
from asyncbatch._values._folder import ToTypes, check_to
from asyncbatch._values._pickling import FieldParcel, given_in, is_plain, restore
from asyncbatch._values._redaction import redacted_url, shown
from asyncbatch._values._retry_policy import RetryPolicy, check_retry


class Unset(Enum):
    """The type of `UNSET`, for arguments where `None` has a meaning of its own."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<the fetcher's own>"  # what signatures show


UNSET: Final = Unset.UNSET

Primitive: TypeAlias = str | int | float | bool | None
HeaderTypes: TypeAlias = (
    httpx.Headers
    | Mapping[str, str]
    | Mapping[bytes, bytes]
    | Sequence[tuple[str, str]]
    | Sequence[tuple[bytes, bytes]]
)
ParamTypes: TypeAlias = (
    httpx.QueryParams
    | Mapping[str, Primitive | Sequence[Primitive]]
    | Sequence[tuple[str, Primitive]]
    | str
    | bytes
)
ContentTypes: TypeAlias = str | bytes | IO[bytes] | Iterable[bytes] | AsyncIterable[bytes]
FileContent: TypeAlias = IO[bytes] | bytes | str
FileTypes: TypeAlias = (
    FileContent
    | tuple[str | None, FileContent]
    | tuple[str | None, FileContent, str | None]
    | tuple[str | None, FileContent, str | None, Mapping[str, str]]
)
FilesTypes: TypeAlias = Mapping[str, FileTypes] | Sequence[tuple[str, FileTypes]]
CookieTypes: TypeAlias = httpx.Cookies | dict[str, str] | list[tuple[str, str]]
AuthTypes: TypeAlias = (
    httpx.Auth | tuple[str | bytes, str | bytes] | Callable[[httpx.Request], httpx.Request]
)
TimeoutTypes: TypeAlias = float | httpx.Timeout
ProxyTypes: TypeAlias = str | httpx.URL | httpx.Proxy
KeyTypes: TypeAlias = str | int | bytes | tuple[str | int | bytes, ...]


def _shown_url(url: object) -> str:
    return repr(redacted_url(url))


def _check_url(_: object, __: object, url: Any) -> None:
    if not isinstance(url, str) and not is_url(url):
        raise TypeError(f"url must be a str or an httpx.URL, not {shown(url)}")


def _by_value(method: Any) -> Any:
    # A member of an Enum has its own hash, and so would not be found in `Retry.methods`.
    return str.__str__(method) if isinstance(method, str) else method


def _check_method(_: object, __: object, method: object) -> None:
    if not isinstance(method, str):
        raise TypeError(f"method must be a str such as 'GET', not {shown(method)}")


def _check_deadline(_: object, __: object, deadline: object) -> None:
    if deadline is not UNSET:
        check_seconds("deadline", deadline)


def _check_retry(_: object, __: object, retry: object) -> None:
    if retry is not UNSET:
        check_retry(retry)


def _check_max_body(_: object, __: object, max_body: object) -> None:
    if max_body is not UNSET:
        check_size("max_body", max_body)


def _check_proxy(_: object, __: object, proxy: object) -> None:
    if proxy is not UNSET and proxy is not None:
        from asyncbatch._values._proxy import proxy_of  # few requests have one

        proxy_of(proxy)


def _check_to(_: object, __: object, to: Any) -> None:
    if to is not UNSET and to is not None:
        check_to(to)


def _check_checksum(_: object, __: object, checksum: Any) -> None:
    if checksum is not None:
        from asyncbatch._values._checksum import check_checksum  # few requests have one

        check_checksum(checksum)


def check_key(key: object, name: str = "key") -> KeyTypes:
    """
    Return `key` if it can identify a request in a journal.

    Raises:
        ValueError: If it is not a str, int, bytes or a tuple of these.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if not parts or not all(
        isinstance(part, str | int | bytes) and not isinstance(part, bool) for part in parts
    ):
        raise ValueError(f"{name} must be a str, int, bytes or a tuple of these, not {shown(key)}")
    return key  # type: ignore[return-value]  # as checked


def _check_key(_: object, __: object, key: Any) -> None:
    if key is not None:
        check_key(key)


@attrs.frozen(kw_only=True)
class Request:
    """
    One request, with a `tag` that its result carries.

    The arguments have the names and types of `httpx.AsyncClient.request`. Every call also takes a
    `str`, an `httpx.URL` or an `httpx.Request` in place of a `Request`. A URL that cannot be
    fetched raises nothing here; its result is a `Failure` of kind `invalid_request`.
    """

    url: str | httpx.URL = attrs.field(kw_only=False, validator=_check_url, repr=_shown_url)
    """
    Absolute, or relative to the client's `base_url`. Blanks and line ends around it are removed.
    """
    method: str = attrs.field(
        default="GET", kw_only=False, converter=_by_value, validator=_check_method
    )
    """Any method. A failed request is tried again only if `Retry.methods` contains its method."""
    headers: HeaderTypes | None = attrs.field(default=None, repr=False)
    """Added to the client's headers; they replace headers of the same name."""
    params: ParamTypes | None = None
    """Appended to the query of the URL; httpx would replace that query."""
    content: ContentTypes | None = attrs.field(default=None, repr=False)
    """
    The body: bytes, text, a file opened in binary mode, or an iterable or async iterable of bytes.

    A file is sent from its position, which is restored afterwards. A body that can be read only
    once (an iterator, a pipe) is never sent a second time.
    """
    data: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Form fields for the body."""
    json: Any = attrs.field(default=None, repr=False)
    """A value to send as JSON."""
    files: FilesTypes | None = attrs.field(default=None, repr=False)
    """Files for a multipart body. A file that cannot be rewound is never sent a second time."""
    cookies: CookieTypes | None = attrs.field(default=None, repr=False)
    """Added to the client's cookies, for this request only."""
    auth: AuthTypes | Unset | None = attrs.field(default=UNSET, repr=False)
    """Replaces the client's authentication; `None`: no authentication."""
    timeout: TimeoutTypes | Unset | None = UNSET
    """Seconds for one attempt. Replaces the fetcher's `timeout`; `None`: no limit."""
    deadline: float | Unset | None = attrs.field(default=UNSET, validator=_check_deadline)
    """Seconds for the request with all its retries. Replaces the fetcher's `deadline`; `None`: no
    limit."""
    retry: RetryPolicy | Unset | None = attrs.field(default=UNSET, validator=_check_retry)
    """Replaces the fetcher's `retry`; `None`: it is tried once, and a 429 or 503 does not pause its
    host."""
    max_body: int | Unset | None = attrs.field(default=UNSET, validator=_check_max_body)
    """Most bytes of the decoded body. Replaces the fetcher's `max_body`; `None`: no limit."""
    follow_redirects: bool | None = None
    """Whether to follow redirects; `None`: as the fetcher does."""
    proxy: ProxyTypes | Unset | None = attrs.field(
        default=UNSET, repr=False, validator=_check_proxy
    )
    """
    The proxy for the request and its redirects. Replaces the fetcher's `proxy`; `None`: no proxy.

    A URL that begins with `http://`, `https://`, `socks5://` (names are resolved locally) or
    `socks5h://` (the proxy resolves names), with user name and password if necessary, or an
    `httpx.Proxy`. It needs a transport of this library.
    """
    to: ToTypes | Unset | None = attrs.field(default=UNSET, validator=_check_to)
    """
    The file that the body is written to; it never is in memory as a whole. Replaces the call's
    `to`; `None`: the body stays in memory.

    A path names the file; one that ends with a slash, or a `Folder`, names the folder.
    """
    checksum: str | None = attrs.field(default=None, validator=_check_checksum)
    """
    The algorithm and the hash that the decoded body must have, such as `"sha256:2cf2..."`.

    A body with another hash makes no file; the request is tried once more, from the beginning, and
    then is a failure of kind `checksum`. Only with `to`.
    """
    extensions: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Extensions as httpx passes them to its transport. A `trace` function is called too."""
    tag: Any = None
    """Any object; returned unchanged as `result.request.tag`."""
    key: KeyTypes | None = attrs.field(default=None, validator=_check_key)
    """
    The identity of the request in a journal, in place of its method, URL, body and headers: a str,
    int, bytes, or a tuple of these. A body that can be read only once needs one.
    """

    # The caller's `httpx.Request`, sent as it is: set by `of`, read by `native_of`. It counts for
    # `==`, by identity as in httpx, since the fields above do not contain its body.
    _native: httpx.Request | None = attrs.field(default=None, init=False, repr=False)
    # The sources of the body, if it is not in memory: set by `_tries`. They are pickled too, or
    # the copy of a request whose iterator has been read would be sent without a body.
    _sources: Sequence[BodySource] = attrs.field(default=(), init=False, repr=False, eq=False)

    def __getstate__(self) -> dict[str, Any]:
        # A request pickled by itself is meant to be sent elsewhere: whole, or not at all.
        state = given_in(self)
        return {
            name: each if is_plain(each) else FieldParcel(each, name.lstrip("_"))
            for name, each in state.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @classmethod
    def of(cls, item: object) -> Request:
        """
        Return `item` as a `Request`; never raises.

        An object that is not a request (see `is_request`) becomes one with its `str()` as the URL,
        so that the result can name it.
        """
        if isinstance(item, Request):
            return item
        if isinstance(item, str) or is_url(item):
            return cls(item)  # type: ignore[arg-type]  # is_url has looked
        if is_prepared(item):
            request = cls(item.url, item.method, headers=item.headers)  # type: ignore[attr-defined]
            object.__setattr__(request, "_native", item)
            return request
        return cls(_text_of(item))


native_of: Callable[[Request], httpx.Request | None] = attrgetter("_native")
"""Return the `httpx.Request` that the request was made from, if any."""


def plain_url(item: object) -> str | None:
    """Return the URL of a GET without any option but a tag; else `None`."""
    if type(item) is not Request:
        return text_of_url(item)
    if item.method != "GET":
        return None
    is_plain = (
        item.auth is UNSET
        and item.timeout is UNSET
        and item.deadline is UNSET
        and item.retry is UNSET
        and item.max_body is UNSET
        and item.proxy is UNSET
        and item.to is UNSET
        # One by one and by identity: it takes 0.2 µs, and an object of the caller may define `==`
        # in its own way, as arrays of numbers do.
        and item.headers is None
        and item.params is None
        and item.content is None
        and item.data is None
        and item.json is None
        and item.files is None
        and item.cookies is None
        and item.follow_redirects is None
        and item.extensions is None
        and item.checksum is None
        and native_of(item) is None
    )
    return text_of_url(item.url) if is_plain else None


def text_of_url(url: object) -> str | None:
    """Return a URL as text if it is a string or exactly an `httpx.URL`; else `None`."""
    if type(url) is str:
        return url
    if isinstance(url, str):
        return str.__str__(url)  # the value; `str()` of a member of an Enum is its name
    return str(url) if type(url) is httpx.URL else None


def is_request(item: object) -> bool:
    """Whether `item` is of a type that is accepted as a request."""
    return isinstance(item, str | Request) or is_url(item) or is_prepared(item)


def is_url(item: object) -> bool:
    """Whether `item` is a URL object of httpx or of httpx2."""
    return _is_library_type(item, "URL")


def is_prepared(item: object) -> bool:
    """Whether `item` is a request object of httpx or of httpx2."""
    return _is_library_type(item, "Request")


def method_of(item: Any) -> str:
    """Return the method of a request in any form; "GET" if the form has none."""
    if isinstance(item, Request):
        return item.method.upper()
    return getattr(item, "method", "GET").upper() if not isinstance(item, str) else "GET"


def _is_library_type(item: object, name: str) -> bool:
    # By name, so that httpx2 need be neither installed nor imported here.
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] in ("httpx", "httpx2")
        for base in type(item).__mro__
    )


def _text_of(item: object) -> str:
    try:
        return str(item)
    except Exception:
        return f"<{type(item).__name__} object>"
