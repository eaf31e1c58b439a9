"""What the plain GETs to one origin have in common."""

from __future__ import annotations

import pytest

from asyncbatch._lanes import OwnClient, binding_of
from asyncbatch._lanes.request._origin_head import OriginHeads
from asyncbatch._values._timeouts import limits_of


def test_the_origins_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl of a million hosts keeps no more heads than that."""
    monkeypatch.setattr("asyncbatch._lanes.request._origin_head._MAX_ORIGINS", 10)
    client = OwnClient(trust_env=False)
    origin_heads = OriginHeads(client, binding_of(client), client.own_transport)

    for number in range(35):
        origin = f"http://host{number}.test"
        assert origin_heads.of(origin) is origin_heads.of(origin)

    assert len(origin_heads.made) <= 10


def test_the_heads_that_are_kept_with_cookies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that changes with each response keeps no more heads than that."""
    monkeypatch.setattr("asyncbatch._lanes.request._origin_head._MAX_LINES", 2)
    client = OwnClient(trust_env=False)
    origin_head = OriginHeads(client, binding_of(client), client.own_transport).of("http://a.test")

    for number in range(5):
        client.cookies.set("session", str(number), domain="a.test")
        with_cookie = origin_head.for_target(client.cookies.jar, "/")
        assert with_cookie is not None
        assert f"session={number}".encode() in with_cookie.head
        assert len(origin_head._with_cookies) <= 2


def test_changed_headers_are_in_the_next_template() -> None:
    """And what was made with the old ones is forgotten, for all origins."""
    client = OwnClient(trust_env=False)
    origin_heads = OriginHeads(client, binding_of(client), client.own_transport)
    before = origin_heads.of("http://a.test")
    client.headers["x-own"] = "1"

    after = origin_heads.of("http://a.test")

    assert b"x-own" not in before.head
    assert b"x-own: 1\r\n" in after.head
    assert before.origin == after.origin


def test_a_request_is_shown_with_cookies_beside_a_host_of_the_clients() -> None:
    """It is built by httpx's own constructor then."""
    client = OwnClient(trust_env=False, headers={"host": "h.test"})
    client.cookies.set("a", "1", domain="a.test")
    origin_head = OriginHeads(client, binding_of(client), client.own_transport).of("http://a.test")
    with_cookie = origin_head.for_target(client.cookies.jar, "/")
    assert with_cookie is not None
    native = with_cookie.builder.build("http://a.test/", limits_of(5.0, 2.0))

    assert native.headers["cookie"] == "a=1"
    assert native.headers["host"] == "h.test"
