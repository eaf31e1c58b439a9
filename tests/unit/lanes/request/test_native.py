"""Requests made without httpx's constructors: the same as theirs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._engine.http11 import ResponseHead
from asyncbatch._lanes.request import _native
from asyncbatch._lanes.request._native import (
    are_of,
    headers_of,
    no_stream,
    plain_request,
    response_of,
)
from asyncbatch._values._plain_urls import split_plain

URLS = st.one_of(
    st.sampled_from(
        [
            *("http://a.test/", "https://a.test:8443/x/y?z=?&a=%20#", "http://a.test:80/x"),
            *("https://a.test:443/", "http://127.0.0.1:8080/a%2fb;c?'=1", "http://a-b.c_d/..a/"),
        ]
    ),
    st.text("ab/.?=&%4:;'", max_size=12).map("http://a.test/{}".format),
)


@given(URLS, st.lists(st.sampled_from([("A-b", "c"), ("x", "y")]), max_size=3))
def test_a_plain_request_is_what_httpx_would_make(url: str, pairs: list[tuple[str, str]]) -> None:
    """With all that can be asked of it and of its URL."""
    if split_plain(url) is None:
        return
    headers = httpx.Headers(pairs)
    timeout = {"read": 1.0}
    made = plain_request(httpx, url, headers._list, timeout)
    expected = httpx.Request("GET", url, headers=headers, extensions={"timeout": timeout})

    assert made is not None
    for name in ("scheme", "raw_scheme", "host", "raw_host", "port", "netloc", "path", "query"):
        assert getattr(made.url, name) == getattr(expected.url, name)
    assert made.url == expected.url
    assert hash(made.url) == hash(expected.url)
    assert made.url.raw_path == expected.url.raw_path
    assert made.headers == expected.headers
    assert made.headers.raw == expected.headers.raw
    assert made.extensions == expected.extensions
    assert (made.method, made.content, made.read()) == ("GET", b"", b"")
    assert repr(made) == repr(expected)
    assert pickle.loads(pickle.dumps(made)).url == expected.url
    made.headers["x-new"] = "1"
    assert headers == httpx.Headers(pairs)


@given(st.lists(st.tuples(st.sampled_from([b"A", b"b-C"]), st.binary(max_size=5))))
def test_headers_are_what_httpx_would_make(fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever bytes they have, and in their order."""
    head = head_with(fields)
    made, expected = headers_of(httpx, head), httpx.Headers(fields)

    assert vars(made) == vars(expected)
    assert made.raw == expected.raw
    assert are_of(made, head)
    assert made.encoding == expected.encoding
    assert are_of(made, head)


@pytest.mark.parametrize("default_encoding", ["utf-8", lambda _: "latin-1"])
def test_a_response_is_what_httpx_would_make(library: Any, default_encoding: Any) -> None:
    """With the same values, in a response of their own."""
    request = library.Request("GET", "http://a.test/")
    head, stream = head_with([(b"A", b"1"), (b"content-type", b"text/plain")]), no_stream(library)
    extensions = {"http_version": b"HTTP/1.1"}
    made = response_of(
        library, 404, headers_of(library, head), stream, request, extensions, default_encoding
    )
    expected = library.Response(
        404,
        headers=list(head.fields),
        stream=stream,
        request=request,
        extensions=extensions,
        default_encoding=default_encoding,
    )

    assert type(made) is library.Response
    assert vars(made) == vars(expected)
    assert list(vars(made)) == list(vars(expected))
    assert made.headers.raw == expected.headers.raw
    assert made.encoding == expected.encoding
    assert _native._is_response_as_known(library)
    made.headers["x-new"] = "1"
    assert are_of(headers_of(library, head), head)


def test_a_response_of_another_layout_is_made_by_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its constructor was replaced before or later, or the headers are plain fields."""
    made: list[int] = []
    original = httpx.Response.__init__

    def init(self: Any, status_code: int, **options: Any) -> None:
        made.append(status_code)
        original(self, status_code, **options)

    request, stream = httpx.Request("GET", "http://a.test/"), no_stream(httpx)
    fields = ((b"a", b"1"),)
    plain = response_of(httpx, 200, fields, stream, request, {}, "utf-8")
    monkeypatch.setattr(httpx.Response, "__init__", init)
    response = response_of(httpx, 201, httpx.Headers(fields), stream, request, {}, "utf-8")

    assert made == [201]
    assert type(plain.headers) is httpx.Headers
    assert plain.headers == response.headers == httpx.Headers(fields)


def test_a_constructor_that_was_replaced_before_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, although what it makes is as usual; a request is then left to httpx."""
    caches = _native._known_constructor, _native._known_response_constructor
    made: list[int] = []
    as_request, as_response = httpx.Request.__init__, httpx.Response.__init__

    def init_request(self: Any, *given: Any, **options: Any) -> None:
        as_request(self, *given, **options)

    def init_response(self: Any, status_code: int, **options: Any) -> None:
        made.append(status_code)
        as_response(self, status_code, **options)

    headers, stream = httpx.Headers([(b"a", b"1")]), no_stream(httpx)
    request = httpx.Request("GET", "http://a.test/")
    for cache in caches:
        cache.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(httpx.Request, "__init__", init_request)
        patch.setattr(httpx.Response, "__init__", init_response)
        for status in (201, 202, 203):
            assert plain_request(httpx, "http://a.test/", [], {}) is None
            response_of(httpx, status, headers, stream, request, {}, "utf-8")
    for cache in caches:
        cache.cache_clear()

    assert [status for status in made if status != 200] == [201, 202, 203]


def head_with(fields: list[tuple[bytes, bytes]]) -> ResponseHead:
    """Return a head with these fields."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    head = ResponseHead(b"HTTP/1.1 200 OK\r\n" + lines, b"HTTP/1.1", 200, b"OK", 17)
    head._fields = tuple(fields)
    return head


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: headers.update({"a": "2"}),
        lambda headers: headers.pop("a"),
        lambda headers: headers.setdefault("b", "1"),
        lambda headers: headers.update({"A": "1"}),
    ],
    ids=["value", "gone", "new", "spelling"],
)
def test_headers_that_were_changed_are_known(change: Callable[[Any], object]) -> None:
    """By whatever method; the head itself, and other headers made of it, stay as they are."""
    head = head_with([(b"a", b"1"), (b"c", b"3")])
    made, other = headers_of(httpx, head), headers_of(httpx, head)

    change(made)

    assert not are_of(made, head)
    assert are_of(other, head)
    assert other.raw == [(b"a", b"1"), (b"c", b"3")]


@pytest.mark.parametrize("url", ["http://a.test", "http://a.test/#f", "http://a.test?b=/c"])
def test_any_other_url_is_left_to_httpx(url: str) -> None:
    """There is no telling where its target begins and ends."""
    assert plain_request(httpx, url, [], {}) is None


def test_another_layout_is_left_to_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compared once for each library."""

    class Request(httpx.Request):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.more = True

    class Changed:
        URL, Headers, ByteStream = httpx.URL, httpx.Headers, httpx.ByteStream

    Changed.Request = Request  # type: ignore[attr-defined]

    assert plain_request(Changed, "http://a.test/", [], {}) is None
    assert _native._is_as_known(httpx)


def test_a_layout_without_a_known_name_is_left_to_httpx() -> None:
    """The comparison fails in the middle then, which must not be seen."""

    class URL(httpx.URL):
        """A URL that keeps what it has read under another name."""

        _uri_reference = property(None, lambda *_: None)  # type: ignore[assignment]

    names = {"Headers": httpx.Headers, "ByteStream": httpx.ByteStream}
    for_requests = type("httpx", (), {**names, "Request": httpx.Request, "URL": URL})
    for_responses = type("httpx", (), {**names, "Response": httpx.Response})
    headers = httpx.Headers([(b"a", b"1")])
    response = response_of(for_responses, 201, headers, no_stream(httpx), None, {}, "utf-8")

    assert plain_request(for_requests, "http://a.test/", [], {}) is None
    assert response.status_code == 201
    assert response.headers is not headers  # as its constructor does
