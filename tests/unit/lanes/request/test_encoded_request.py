"""A request as it is sent, and as it is built again for who wants to see it."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch import Request
from asyncbatch._lanes import OwnClient, binding_of
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._values._request import plain_url
from asyncbatch._values._timeouts import limits_of

LIMITS = limits_of(5.0, 2.0)


@pytest.fixture
def client() -> OwnClient:
    return OwnClient(trust_env=False, headers={"x-client": "1"})


def encoded(client: OwnClient, item: Any) -> Any:
    encoder = RequestEncoder(client, binding_of(client), client.own_transport)
    return encoder.encode(item, plain_url(item), LIMITS)


def prepared(client: OwnClient, item: Any) -> PreparedRequest:
    return PreparedRequest.of(encoded(client, item), LIMITS)


GIVEN = [
    "http://a.test/b?c=d",
    Request("http://a.test/b", headers={"x": "y"}),
    Request("http://a.test/b", "POST", json={"a": 1}),
    Request("http://a.test/b?c", params={"d": "e"}),
    Request("https://a.test:8443/b", "DELETE"),
    Request("http://a.test/", cookies={"a": "b"}),
]


@pytest.mark.parametrize("item", GIVEN, ids=str)
def test_what_is_shown_is_what_was_sent(client: OwnClient, item: Any) -> None:
    """Line, fields and body, byte by byte; whichever of the three ways it was encoded in."""
    one = prepared(client, item)
    sent = one.whole()
    native = one.native()
    line = f"{native.method} ".encode() + native.url.raw_path + b" HTTP/1.1\r\n"
    fields = b"".join(name + b": " + value + b"\r\n" for name, value in native.headers.raw)

    assert sent == line + fields + b"\r\n" + native.content
    assert one.native() is native
    assert native.extensions["timeout"] == LIMITS.by_phase()


@pytest.mark.parametrize("item", GIVEN, ids=str)
def test_it_can_be_shown_when_it_has_been_sent(client: OwnClient, item: Any) -> None:
    """What has gone is let go of, unless the request is to be built of it."""
    expected = prepared(client, item).native()
    one = prepared(client, item)
    one.forget_payload()
    native = one.native()

    assert (native.method, native.url, native.headers.raw, native.content) == (
        *(expected.method, expected.url, expected.headers.raw, expected.content),
    )


def test_a_plain_get_is_no_object_before_it_has_to_be(client: OwnClient) -> None:
    """Most requests are; and a request that is prepared stays the one it is."""
    plain = encoded(client, "http://a.test/b")
    one = PreparedRequest.of(plain, LIMITS)

    assert type(plain) is tuple
    assert PreparedRequest.of(one, LIMITS) is one
    assert (one.method, one.item, one.key) == (b"GET", "http://a.test/b", ("http", "a.test", 80))
    assert (one.origin.is_tls, one.origin.host, one.origin.port) == (False, "a.test", 80)
    assert not one.closes


def test_what_a_request_says_of_itself_is_known(client: OwnClient) -> None:
    """Whether it follows redirects, and whether it is the last on its connection."""
    follows = prepared(client, Request("http://a.test/", follow_redirects=True, headers={"x": "y"}))
    closes = prepared(client, Request("http://a.test/", headers={"connection": "close"}))

    assert follows.follow_redirects is True
    assert prepared(client, "http://a.test/").follow_redirects is None
    assert closes.closes


def test_head_and_body_go_in_one_write(client: OwnClient) -> None:
    """Where there is a body."""
    one = prepared(client, Request("http://a.test/", "PUT", content=b"body"))

    assert one.body == b"body"
    assert one.whole() == one.payload + b"body"
    assert prepared(client, Request("http://a.test/", "PUT", content=b"")).body is None


class Carrying:
    """A watch that adds a field to each request, and notes which ones it has."""

    carries = True

    def __init__(self) -> None:
        self.present: Any = ()

    def sent(self, *_: object) -> None:
        """Take no note of it."""

    def fields(self, present: Any) -> list[tuple[str, str]]:
        self.present = present
        return [("traceparent", "t")]


@pytest.mark.parametrize("item", GIVEN[:3], ids=str)
def test_what_it_carries_is_asked_for_with_the_names_it_has(client: OwnClient, item: Any) -> None:
    """Its own ones as well as the client's."""
    one = prepared(client, item)
    one.watch = watch = Carrying()  # type: ignore[assignment]
    one.announce()

    assert "x-client" in watch.present
    assert ("x" in watch.present) is (item is GIVEN[1])
    assert one.whole().count(b"traceparent: t\r\n") == 1


def test_userinfo_is_sent_as_a_field_and_shown_as_one(client: OwnClient) -> None:
    """Of the client's own authentication."""
    client.auth = ("u", "p")
    one = prepared(client, "http://a.test/b")

    assert b"Authorization: Basic dTpw\r\n" in one.whole()
    assert one.native().headers["authorization"] == "Basic dTpw"
