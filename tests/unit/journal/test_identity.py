"""`Identifier`: which requests are one request in a journal, and which are two."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Request
from asyncbatch._journal._identity import SIZE, Identifier, is_with_key, key_of

URL = "http://host.test/a?b=1"
OPEN = {"b": "2", "a": "1"}


def locate(item: object) -> httpx.URL:
    """Find a URL as a client with a `base_url` and a parameter of its own does."""
    return (
        httpx.URL("http://host.test/base/").join(str(Request.of(item).url)).copy_add_param("k", 1)
    )


IDENTIFIER = Identifier(b"a secret", locate)


def key(item: object, own: Any = None) -> bytes:
    """Return what a request is known by."""
    return IDENTIFIER.identify(item, own).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (URL, Request(URL)),
        (URL, httpx.URL(URL)),
        (URL, httpx.Request("GET", URL)),
        (URL, "HTTP://HOST.test/a?b=1"),
        (URL, "http://host.test:80/a?b=1"),
        (URL, "HTTP://host.test:80/a?b=1"),
        ("https://host.test/", "HTTPS://Host.test:443/"),
        (URL, f"{URL}#part"),
        (URL, f"  {URL}\n"),
        (URL, Request(URL, tag="another tag")),
        (URL, Request(URL, timeout=1.0, deadline=9.0, max_body=5, retry=None)),
        (URL, Request("http://host.test/a", params={"b": 1})),
        ("http://host.test", "http://host.test/"),
        (Request(URL, "post", content="é"), Request(URL, "POST", content="é".encode())),
        (Request(URL, json={"a": 1}), Request(URL, json={"a": 1})),
        (Request(URL, data={"a": ["1", "2"]}), Request(URL, data={"a": [1, 2]})),
        (Request(URL, data={"a": [True, False]}), Request(URL, data={"a": ["true", "false"]})),
        (Request(URL, cookies=httpx.Cookies(OPEN)), Request(URL, cookies=httpx.Cookies(OPEN))),
        (
            Request(URL, auth=httpx.BasicAuth("u", "p")),
            Request(URL, auth=httpx.BasicAuth(b"u", b"p")),
        ),
        (Request(URL, headers={"A": "1", "B": "2"}), Request(URL, headers={"b": "2", "a": "1"})),
        (Request(URL, auth=("u", "p")), Request(URL, auth=(b"u", b"p"))),
        (Request(URL, content=[b"a", b"b"]), Request(URL, content=[b"ab"])),
        (Request(URL, content=io.BytesIO(b"ab")), Request(URL, content=io.BytesIO(b"ab"))),
        (Request("more"), Request("http://host.test/base/more")),
    ],
)
def test_two_spellings_of_a_request_are_one(one: object, other: object) -> None:
    """What is sent counts, and not how it was written."""
    assert key(one) == key(other)


DIFFERENT: list[Any] = [
    URL,
    "https://host.test/a?b=1",
    "http://host.test/A?b=1",
    "http://host.test/a?b=1&",
    "http://host.test/a?b=2",
    "http://host.test:81/a?b=1",
    "http://user@host.test/a?b=1",
    "http://user:x@host.test/a?b=1",
    "http://host.test/a?b=1&c=2",
    "http://host.test/a?c=2&b=1",
    Request(URL, "POST"),
    Request(URL, "HEAD"),
    Request(URL, "POST", content=b"1"),
    Request(URL, "POST", content=b"2"),
    Request(URL, "POST", json={"a": 1}),
    Request(URL, "POST", json={"a": 2}),
    Request(URL, "POST", data={"a": "1"}),
    Request(URL, "POST", data={"a": "1", "b": "1"}),
    Request(URL, "POST", data=b"1"),  # type: ignore[arg-type]  # the journal refuses no request
    Request(URL, "POST", data=b"2"),  # type: ignore[arg-type]
    Request(URL, "POST", files={"a": b"1"}),
    Request(URL, "POST", files={"a": ("name", b"1")}),
    Request(URL, "POST", files={"a": b"2"}),
    Request(URL, headers={"authorization": "one"}),
    Request(URL, headers={"authorization": "two"}),
    Request(URL, headers=[("a", "1"), ("a", "2")]),
    Request(URL, headers=[("a", "2"), ("a", "1")]),
    Request(URL, cookies={"a": "1"}),
    Request(URL, cookies={"a": "2"}),
    Request(URL, auth=("a", "1")),
    Request(URL, auth=("a", "2")),
    Request(URL, cookies=httpx.Cookies({"a": "1"})),
    Request(URL, cookies=httpx.Cookies({"a": "2"})),
    Request(URL, auth=httpx.BasicAuth("a", "1")),
    Request(URL, auth=httpx.BasicAuth("a", "2")),
    Request(URL, auth=httpx.DigestAuth("a", "1")),
    Request(URL, auth=None),
]


def test_requests_that_differ_in_anything_that_is_sent_are_two() -> None:
    """Method, URL, body, and each header, cookie and authentication of the request itself."""
    assert len({key(each) for each in DIFFERENT}) == len(DIFFERENT)


@given(
    st.lists(st.lists(st.binary(max_size=3), max_size=3).map(tuple), min_size=2, max_size=6),
)
def test_no_two_keys_collide_by_where_their_parts_are_cut(keys: list[tuple[bytes, ...]]) -> None:
    """`("ab", "c")` and `("a", "bc")` are two keys."""
    given_keys = {each for each in keys if each}

    assert len({key(URL, each) for each in given_keys}) == len(given_keys)


def test_the_type_of_a_key_counts() -> None:
    """`1`, `"1"`, `b"1"` and tuples of them are different keys."""
    keys: list[Any] = [1, "1", b"1", (1,), ("1",), (b"1",), (1, 1), "11"]

    assert len({key(URL, each) for each in keys}) == len(keys)


def test_a_key_takes_the_place_of_the_request() -> None:
    """Two URLs with one key are one request, whose contents differ."""
    one, other = IDENTIFIER.identify(URL, "k"), IDENTIFIER.identify(f"{URL}&c", "k")

    assert one.key == other.key
    assert one.contents != other.contents
    assert one.key != key(URL)


def test_what_a_client_adds_is_no_part_of_it() -> None:
    """The parameters of a client do not count, the query of a relative URL does."""
    assert key("more?a=1") == key("http://host.test/base/more?a=1")
    assert key("more?a=1") != key("more")


def test_another_secret_gives_another_identity() -> None:
    """So that nothing can be found out from a journal by hashing guesses."""
    assert Identifier(b"other", locate).identify(URL).key != key(URL)


def test_the_nth_equal_request_has_an_identity_of_its_own() -> None:
    """And the first one that of the request."""
    ones = [IDENTIFIER.nth(key(URL), n) for n in range(5)]

    assert ones[0] == key(URL)
    assert len(set(ones)) == 5
    assert [len(one) == SIZE for one in ones] == [True, False, False, False, False]


def pieces() -> Iterator[bytes]:
    yield b"a"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"a"


@pytest.mark.parametrize(
    "request_",
    [
        lambda: Request(URL, "POST", content=pieces()),
        lambda: Request(URL, "POST", content=async_pieces()),
        lambda: Request(URL, "POST", files={"a": Unseekable(b"a")}),
        lambda: httpx.Request("POST", URL, content=pieces()),
    ],
    ids=["iterator", "async iterable", "pipe", "httpx stream"],
)
def test_a_body_that_can_be_read_once_needs_a_key(request_: Any) -> None:
    """It cannot be hashed and sent; nothing of it is read."""
    with pytest.raises(ValueError, match="needs a key"):
        key(request_())

    assert key(request_(), "k") == key(request_(), "k")


class Unseekable(io.BytesIO):
    """A file that cannot be read twice, as a pipe."""

    def seekable(self) -> bool:
        return False


def test_a_file_is_read_from_its_position_and_put_back(tmp_path: Path) -> None:
    """As it is sent."""
    path = tmp_path / "body"
    path.write_bytes(b"head-body")
    with path.open("rb") as file:
        file.seek(5)

        found = key(Request(URL, "POST", content=file))

        assert file.tell() == 5
        assert found == key(Request(URL, "POST", content=io.BytesIO(b"body")))


@pytest.mark.parametrize("auth", [lambda request: request, httpx.Auth()])
def test_an_authentication_that_cannot_be_told_from_another_needs_a_key(auth: Any) -> None:
    """One user would get the results of another one."""
    with pytest.raises(ValueError, match="give the request a key"):
        key(Request(URL, auth=auth))


def test_a_request_that_cannot_be_fetched_has_an_identity_too() -> None:
    """Its failure is kept like any other."""

    def refuse(item: object) -> httpx.URL:
        raise httpx.UnsupportedProtocol("no")

    identifier = Identifier(b"", refuse)

    assert identifier.identify("foo").key == identifier.identify(Request("foo")).key
    assert identifier.identify("foo").key != identifier.identify("bar").key


@pytest.mark.parametrize(
    ("rule", "item", "expected"),
    [
        (None, URL, None),
        (None, Request(URL, key=5), 5),
        ("tag", Request(URL, tag="t"), "t"),
        ("tag", Request(URL, tag="t", key="k"), "k"),
        ("tag", URL, None),
        (lambda request: str(request.url), URL, URL),
        (lambda request: None, URL, None),
    ],
)
def test_the_key_is_that_of_the_request_or_by_the_rule(
    rule: Any, item: object, expected: Any
) -> None:
    """The request's own comes first; without any, the request is known as it is."""
    assert key_of(item, rule) == expected


@pytest.mark.parametrize("tag", [1.5, [1], object(), ("a", 1.5), True, ()])
def test_a_tag_of_another_type_cannot_be_a_key(tag: object) -> None:
    """Its equality may change from one run to the next."""
    with pytest.raises(ValueError, match="must be a str, int, bytes or a tuple of these"):
        key_of(Request(URL, tag=tag), "tag")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (Request(URL, "POST", headers={"Idempotency-Key": "1"}), True),
        (httpx.Request("POST", URL, headers={"idempotency-key": "1"}), True),
        (Request(URL, "POST", headers={"x": "1"}), False),
        (Request(URL, "POST"), False),
        (URL, False),
    ],
)
def test_an_idempotency_key_is_seen_in_any_form(item: object, expected: bool) -> None:
    """As a field of the request itself."""
    assert is_with_key(item) is expected
