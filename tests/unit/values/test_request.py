"""`Request` and the other forms that a request may be given in."""

from __future__ import annotations

import copy
import datetime
import enum
import inspect
import io
import pickle
import re
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import attrs
import httpx
import pytest

from asyncbatch import FailureKind, Fetcher, Request
from asyncbatch._values._body_source import source_of
from asyncbatch._values._request import is_request, method_of, native_of, plain_url
from asyncbatch._values._tries import hold, is_repeatable
from asyncbatch.testing import LoopbackServer

URL = "http://host.test/"


async def _chunks() -> AsyncIterator[bytes]:
    yield b"a"


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_every_form_becomes_a_request(library: str) -> None:
    """A text, a URL, or a request object of either library."""
    module: Any = pytest.importorskip(library)
    forms = [URL, module.URL(URL), module.Request("PUT", URL), Request(URL, tag=1)]

    requests = [Request.of(form) for form in forms]

    assert all(is_request(form) for form in forms)
    assert [str(request.url) for request in requests] == [URL] * 4
    assert requests[2].method == "PUT"
    assert native_of(requests[2]) is forms[2]
    assert requests[3] is forms[3]


def test_what_is_no_request_can_still_be_named() -> None:
    """Its result has to say which it was, even if it cannot say what it is."""

    class Unspeakable:
        def __str__(self) -> str:
            raise ValueError

    assert Request.of(None).url == "None"
    assert Request.of(Unspeakable()).url == "<Unspeakable object>"
    assert not is_request(None)


def test_what_is_kept_for_sending_is_no_part_of_the_surface() -> None:
    """Neither of the constructor, nor of the `repr` and of what an attribute access shows."""
    request = Request.of(httpx.Request("PUT", URL, content=b"secret"))
    hold(request, [source_of(io.BytesIO(b"secret"))])
    names = [name for name in dir(request) if not name.startswith("_")]

    assert {"url", "tag"} <= inspect.signature(Request).parameters.keys() <= set(names)
    assert not {"native", "prepared", "sources"} & {*names, *inspect.signature(Request).parameters}
    assert repr(request).count("=") == repr(Request(URL)).count("=")


def test_requests_of_different_bodies_differ() -> None:
    """What was made of two requests of httpx is equal where those are."""
    first, second = (httpx.Request("PUT", URL, content=body) for body in (b"a", b"b"))

    assert Request.of(first) == Request.of(first)
    assert Request.of(first) != Request.of(second)


@pytest.mark.parametrize("carry", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_sends_no_less(carry: Callable[[Request], Request]) -> None:
    """A copy keeps the request of httpx that it was made of, and what has been read."""
    native = httpx.Request("PUT", URL, content=b"body")
    read = Request(URL, content=iter([b"a"]))
    hold(read, [source := source_of(read.content)])
    source.read()

    copied = native_of(carry(Request.of(native)))
    assert copied is not None
    assert copied.content == b"body"
    assert not is_repeatable(carry(read))
    assert b"asyncbatch._" not in pickle.dumps(read)


def test_the_repr_shows_no_secrets() -> None:
    """Not in the URL, nor in headers, cookies, body and authentication."""
    request = Request(
        "http://me:secret@host.test/",
        headers={"authorization": "secret"},
        cookies={"a": "secret"},
        content="secret",
        auth=("me", "secret"),
    )

    assert "secret" not in repr(request).replace("[secure]", "")
    assert "http://[secure]@host.test/" in repr(request)


@pytest.mark.parametrize("url", [None, 42, b"http://host.test/"])
def test_a_url_of_another_type_is_refused(url: Any) -> None:
    """With a client's `base_url`, `None` would otherwise be a path."""
    with pytest.raises(TypeError, match="url must be"):
        Request(url)


def test_a_method_of_another_type_is_refused() -> None:
    """At the call, where the mistake is."""
    method: Any = b"GET"
    with pytest.raises(TypeError, match="method must be"):
        Request(URL, method)


class Odd:
    """A value that is equal to anything, as tables of numbers are, element by element."""

    def __eq__(self, other: object) -> Any:
        raise TypeError("neither true nor false")

    __hash__ = None  # type: ignore[assignment]


OPTIONS: dict[str, Any] = {
    "method": "HEAD",
    "headers": {},
    "params": {},
    "content": b"",
    "data": {},
    "json": Odd(),
    "files": {},
    "cookies": {},
    "auth": None,
    "timeout": None,
    "deadline": None,
    "retry": None,
    "max_body": None,
    "follow_redirects": False,
    "proxy": None,
    "extensions": {},
    "to": None,
    "checksum": "md5:" + 32 * "0",
}


def test_a_url_with_a_tag_or_a_key_is_a_plain_url() -> None:
    """And so is a URL alone; not what some library makes of it."""
    assert plain_url(Request("http://a.test/", key="k")) == "http://a.test/"
    assert plain_url("http://a.test/") == "http://a.test/"
    assert plain_url(Request("http://a.test/", tag=Odd())) == "http://a.test/"
    assert plain_url(httpx.URL("http://a.test/")) == "http://a.test/"
    assert plain_url(Request(httpx.URL("http://a.test/"))) == "http://a.test/"
    assert plain_url(Request.of(httpx.Request("GET", "http://a.test/"))) is None
    assert plain_url(1) is None


@pytest.mark.parametrize(
    "option",
    [
        each.name
        for each in attrs.fields(Request)
        if each.init and each.name not in ("url", "tag", "key")
    ],
)
def test_any_option_makes_a_request_more_than_a_plain_url(option: str) -> None:
    """Also one that means the same as none."""
    assert plain_url(Request("http://a.test/", **{option: OPTIONS[option]})) is None


Verb = enum.Enum("Verb", {"ask": "GET"}, type=str)


def test_a_method_is_taken_by_its_value() -> None:
    """A member of an Enum has a hash of its own, by which no table finds it."""
    method = Request("http://a.test/", Verb.ask).method

    assert type(method) is str
    assert method == "GET"


NO_PARAMS: dict[str, Any] = {
    "an iterator": ({"a": iter("x")}, "the value of 'a' is a .*iterator, not a text"),
    "a generator in a list": ({"a": [1, (x for x in "x")]}, "the value of 'a' is a generator"),
    "a dict": ({"a": {"b": 1}}, "the value of 'a' is a dict"),
    "a set": ({"a": {1}}, "the value of 'a' is a set"),
    "a range": ({"a": range(3)}, "the value of 'a' is a range"),
    "bytes": ({"a": b"x"}, "the value of 'a' is a bytes"),
    "an object": ({"a": object()}, "the value of 'a' is a object"),
    "a function": ({"a": len}, "the value of 'a' is a builtin_function_or_method"),
    "a tuple in a pair": ([("a", (1, 2))], "the value of 'a' is a tuple"),
    "pairs by and by": (iter([("a", "b")]), "params must be a dict .*, not a list_iterator"),
    "no pairs": (["ab"], "params must be a dict .*; a str is not a pair"),
    "a number": (5, "params must be a dict .*, not a int"),
}


@pytest.mark.parametrize("lane", ["direct", "client"])
async def test_parameters_that_have_no_text_are_refused_by_name(
    lane: str, server: LoopbackServer
) -> None:
    """They would be sent as the `repr` of an object."""
    extensions: Any = {} if lane == "direct" else {"own": 1}
    requests = [
        Request(server.url(), params=params, extensions=extensions)
        for params, _ in NO_PARAMS.values()
    ]
    async with Fetcher(trust_env=False) as fetcher:
        results = await fetcher.fetch_many(requests)

    for result, (_, message) in zip(results, NO_PARAMS.values(), strict=True):
        assert result.kind == FailureKind.invalid_request
        assert isinstance(result.error, TypeError)
        assert re.search(message, str(result.error)), result.error
    assert not server.requests


async def test_parameters_that_have_a_text_are_sent_as_that(server: LoopbackServer) -> None:
    """Numbers, truth, nothing, and objects that say what they are."""
    params: Any = {"a": [1, "b c", None, True], "d": datetime.date(2020, 1, 2), "e": Decimal("1.5")}
    async with Fetcher(trust_env=False) as fetcher:
        result = await fetcher.fetch(Request(server.url(), params=params))

    assert str(result.url) == server.url("/?a=1&a=b%20c&a=&a=true&d=2020-01-02&e=1.5").replace(
        "%20", "+"
    )


@pytest.mark.parametrize("key", ["", "k", 5, b"k", ("k", 5, b"k"), ("k",)], ids=repr)
def test_a_key_is_a_str_an_int_bytes_or_a_tuple_of_these(key: Any) -> None:
    """And is given back as it is."""
    assert Request("http://a.test/", key=key).key == key


@pytest.mark.parametrize("key", [1.5, True, [1], {"a"}, (), ("a", 1.5), (("a",),)], ids=repr)
def test_a_key_of_another_type_is_refused(key: Any) -> None:
    """Its equality may change from one run to the next."""
    with pytest.raises(ValueError, match="key must be a str, int, bytes or a tuple of these"):
        Request("http://a.test/", key=key)


@pytest.mark.parametrize(
    ("item", "method"),
    [
        (URL, "GET"),
        (httpx.URL(URL), "GET"),
        (httpx.Request("put", URL), "PUT"),
        (Request(URL, "post"), "POST"),
    ],
)
def test_each_form_of_a_request_has_its_method(item: Any, method: str) -> None:
    """In capitals."""
    assert method_of(item) == method
