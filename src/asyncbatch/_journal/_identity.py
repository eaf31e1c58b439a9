"""
The identity of a request in a journal: 128 bits, equal for equal requests of different runs.

Pure: it reads only the request. Fields that a fetcher or a client adds (a token that rotates, a
`User-Agent`) are not part of it. The hash has a random key, which is kept in the journal, so that
no secret can be found by hashing guesses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import httpx

from asyncbatch._values._body_source import (
    IterableSource,
    check_piece,
    is_file,
    is_stored,
    source_of,
)
from asyncbatch._values._checks import check_params
from asyncbatch._values._plain_urls import split_plain
from asyncbatch._values._request import (
    UNSET,
    KeyTypes,
    Request,
    check_key,
    is_prepared,
    native_of,
    plain_url,
)
from asyncbatch._values._urls import ABSOLUTE, text_of

SIZE = 16
"""Bytes of an identity, and of the key of the first request with it; see `Identifier.nth`."""

Locate: TypeAlias = Callable[[object], Any]
"""Returns the absolute URL of a request, as the client requests it."""

# What all other keys end with, so that they are longer than that of the first equal request.
_AGAIN = b"+"

# Ports that a plain URL may name although they are the default.
_DEFAULTS = ":80", ":443"

_NEEDS_KEY = (
    "the body comes from {}, which can be read only once: in a journal, such a request needs a "
    "key, as in Request(..., key='report-7')"
)


class Identity(NamedTuple):
    """The identity of a request."""

    key: bytes
    """Equal for two requests if the second is the first one once more."""
    contents: bytes | None
    """For a request with a key of its own: the identity of the request itself."""


class Identifier:
    """
    Identifies requests for one journal.

    Args:
        secret: The random key of the journal.
        locate: Finds the URL of requests that are relative to a `base_url`.
    """

    def __init__(self, secret: bytes, locate: Locate) -> None:
        self._hasher = hashlib.blake2b(digest_size=SIZE, key=secret)
        # With what the parts of a plain request begin with.
        self._plain = self._hasher.copy()
        self._plain.update(_with_length(b"GET"))
        self._locate = locate

    def identify(self, item: object, key: KeyTypes | None = None) -> Identity:
        """
        Return the identity of a request in any form.

        Args:
            item: The request. One that cannot be fetched has an identity too.
            key: The caller's key, if there is one.

        Raises:
            ValueError: If its body can be read only once and there is no key, or its authentication
                cannot be told from another one.
        """
        if key is None:
            return Identity(self._of(item, is_keyed=False), None)
        return Identity(self._digest([b"key", *_parts_of_key(key)]), self._of(item, is_keyed=True))

    def refused(self, item: object) -> Identity:
        """Return an identity for a request that has none, and so is a failure each time."""
        request = Request.of(item)
        return Identity(
            self._digest([b"refused", _bytes_of(request.method), _bytes_of(text_of(request.url))]),
            None,
        )

    def nth(self, key: bytes, n: int) -> bytes:
        """Return the key of the `n`th request with an identity, from 0."""
        return key if n == 0 else self._digest([b"again", key, b"%d" % n]) + _AGAIN

    def beside(self, key: bytes) -> bytes:
        """Return the key for a result that does not replace the one with `key`."""
        return self._digest([b"beside", key]) + _AGAIN

    def _of(self, item: object, *, is_keyed: bool) -> bytes:
        url = item if type(item) is str else plain_url(item)
        if url is not None:
            split = split_plain(url)
            if split is not None and not split[0].endswith(_DEFAULTS):
                # The same as `_digest`, in a third of the time: most requests are plain.
                hasher = self._plain.copy()
                hasher.update(_with_length(split[0].encode("ascii") + split[1]))
                return hasher.digest()
        request = Request.of(item)
        try:
            target = self._url_of(request)
        except Exception:
            # It will be refused; until then it is known by what it was given as.
            return self.refused(item).key
        own = native_of(request)
        parts = [_bytes_of(request.method.upper()), target]
        parts += _body_of_native(own, is_keyed) if own is not None else _body(request, is_keyed)
        parts += _fields(request)
        return self._digest(parts)

    def _url_of(self, request: Request) -> bytes:
        given = native_of(request)
        url = httpx.URL(str(given.url)) if given is not None else self._located(request)
        query = url.query
        if request.params is not None:
            check_params(request.params)
            added = str(httpx.QueryParams(request.params)).encode()  # type: ignore[arg-type]
            query = b"&".join(filter(None, (query, added)))
        path = url.raw_path.partition(b"?")[0] or b"/"
        userinfo = url.userinfo + b"@" if url.userinfo else b""
        scheme, netloc = url.raw_scheme.lower(), url.netloc.lower()
        # httpx keeps it if the scheme is in capitals.
        netloc = netloc.removesuffix(b":443" if scheme == b"https" else b":80")
        whole = scheme + b"://" + userinfo + netloc + path
        return whole + b"?" + query if query else whole

    def _located(self, request: Request) -> httpx.URL:
        text = text_of(request.url)
        if ABSOLUTE.match(text):
            try:
                return httpx.URL(text)
            except Exception:
                return httpx.URL(str(self._locate(request)))
        found = httpx.URL(str(self._locate(request)))
        # The client may have added parameters of its own.
        own = text.partition("#")[0].partition("?")[2]
        return found.copy_with(query=httpx.URL(f"?{own}").query or None)

    def _digest(self, parts: Iterable[bytes]) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(b"".join(_with_length(part) for part in parts))
        return hasher.digest()


def key_of(item: object, rule: str | Callable[[Request], Any] | None) -> KeyTypes | None:
    """
    Return the caller's key of a request; `None` without one.

    Args:
        item: The request, in any form.
        rule: The option `key` of the journal.

    Raises:
        ValueError: If it is of a type that cannot be a key.
        Exception: As raised by a function of the caller.
    """
    own = item.key if isinstance(item, Request) else None
    if own is not None or rule is None:
        return own
    request = Request.of(item)
    key = request.tag if rule == "tag" else rule(request)  # type: ignore[operator]
    if key is None:
        return None
    return check_key(key, "a tag that is the key" if rule == "tag" else "what Journal.key returns")


def _with_length(part: bytes) -> bytes:
    return b"%d:%b" % (len(part), part)


def _parts_of_key(key: KeyTypes) -> Iterator[bytes]:
    if isinstance(key, tuple):
        yield b"tuple"
    for part in key if isinstance(key, tuple) else (key,):
        yield type_of(part)
        yield part if isinstance(part, bytes) else _bytes_of(str(part))


def type_of(part: object) -> bytes:
    """Return the name of the type of a part of a key: `1`, `"1"` and `b"1"` are three keys."""
    if isinstance(part, str):
        return b"str"
    return b"bytes" if isinstance(part, bytes) else b"int"


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _body_of_native(native: Any, is_keyed: bool) -> list[bytes]:
    content = getattr(native, "_content", None)
    if content is not None:
        return [b"content", content] if content else []
    if is_keyed:
        return [b"stream"]
    raise ValueError(_NEEDS_KEY.format("a stream"))


def _body(request: Request, is_keyed: bool) -> list[bytes]:
    """Return the parts of the identity for the body; none without a body."""
    parts: list[bytes] = []
    if request.content is not None:
        content = _content(request.content, is_keyed)
        parts += [b"content", content] if content else []
    if request.json is not None:
        dumped = json.dumps(request.json, ensure_ascii=False, separators=(",", ":"))
        parts += [b"json", _bytes_of(dumped)]
    if request.data is not None:
        parts += [b"data", *_form(request.data)]
    if request.files is not None:
        parts += [b"files", *_files(request.files, is_keyed)]
    return parts


def _content(content: Any, is_keyed: bool) -> bytes:
    if isinstance(content, str):
        return _bytes_of(content)
    if is_stored(content):
        return bytes(content)
    source = source_of(content)
    is_async = hasattr(content, "__aiter__")
    if not source.is_repeatable or is_async:
        if is_keyed:
            return b""
        raise ValueError(_NEEDS_KEY.format(_named(source, is_async)))
    hasher = hashlib.blake2b()
    for piece in source.read():  # type: ignore[union-attr]  # not an async one
        hasher.update(check_piece(piece))
    return hasher.digest()


def _named(source: object, is_async: bool) -> str:
    if is_async:
        return "an async iterable"
    return "an iterator" if isinstance(source, IterableSource) else "a file"


def _form(data: Any) -> Iterator[bytes]:
    if not isinstance(data, Mapping):
        yield data if isinstance(data, bytes) else _bytes_of(str(data))
        return
    for name, value in data.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            yield _bytes_of(str(name))
            yield each if isinstance(each, bytes) else _bytes_of(_primitive(each))


def _primitive(value: object) -> str:
    # As httpx writes it in a form.
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _files(files: Any, is_keyed: bool) -> Iterator[bytes]:
    for name, given in files.items() if isinstance(files, Mapping) else files:
        yield _bytes_of(str(name))
        content: Any
        described: tuple[Any, ...] = ()
        if isinstance(given, tuple):
            filename, content, *rest = given
            described = tuple(rest)
            yield _bytes_of(str(filename))
        else:
            content = given
            yield _bytes_of(str(getattr(given, "name", ""))) if is_file(given) else b""
        yield _content(content, is_keyed)
        yield _bytes_of(repr(described))


def _fields(request: Request) -> list[bytes]:
    """Return the parts that stand for headers, cookies and authentication of the request itself."""
    parts: list[bytes] = []
    if request.headers is not None:
        raw = getattr(request.headers, "raw", None) or httpx.Headers(request.headers).raw
        # In the order of their names: fields of one name keep theirs.
        fields = sorted(((name.lower(), value) for name, value in raw), key=lambda field: field[0])
        if native_of(request) is not None:
            fields = [field for field in fields if field[0] not in _ADDED]
        parts += [b"headers", *(part for field in fields for part in field)] if fields else []
    if request.cookies is not None:
        parts += [b"cookies", *_cookies(request.cookies)]
    if request.auth is not UNSET:
        parts += [b"auth", *_auth(request.auth)]
    return parts


# httpx adds these to a request when it is made.
_ADDED = {b"host", b"content-length", b"transfer-encoding"}


def _cookies(cookies: Any) -> list[bytes]:
    if hasattr(cookies, "jar"):
        found = [(each.name, each.value or "", each.domain, each.path) for each in cookies.jar]
    else:
        pairs = cookies.items() if isinstance(cookies, Mapping) else cookies
        found = [(str(name), str(value), "", "") for name, value in pairs]
    return [_bytes_of(part) for each in sorted(found) for part in each]


def _auth(auth: Any) -> list[bytes]:
    """
    Return the part of the identity for an authentication.

    Raises:
        ValueError: If two of its kind cannot be told apart: the one would get the other's results.
    """
    if auth is None:
        return [b"none"]
    if isinstance(auth, tuple):
        return [b"basic", *(each if isinstance(each, bytes) else _bytes_of(each) for each in auth)]
    name = type(auth).__name__
    if type(auth).__module__.partition(".")[0] in ("httpx", "httpx2"):
        if name == "BasicAuth":
            return [b"header", _bytes_of(auth._auth_header)]
        if name == "DigestAuth":
            return [b"digest", auth._username, auth._password]
    raise ValueError(
        f"the auth of this request, a {name}, cannot be told from another one: in a journal, give "
        "the request a key, or give auth as (user, password), or to the fetcher"
    )


def is_with_key(item: object) -> bool:
    """Whether a request has an `Idempotency-Key`, by which the server knows it when sent twice."""
    headers = item.headers if isinstance(item, Request) or is_prepared(item) else None  # type: ignore[attr-defined]
    if headers is None:
        return False
    return "idempotency-key" in httpx.Headers(getattr(headers, "raw", headers))
