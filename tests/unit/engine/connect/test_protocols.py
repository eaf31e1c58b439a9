"""`Protocols`: HTTP/2 is spoken where it is allowed, and where the server wants it."""

from __future__ import annotations

import pytest

from asyncbatch._engine import Origin
from asyncbatch._engine.connect import _protocols
from asyncbatch._engine.connect._protocols import HTTP11, Protocols


def origin(name: str = "a", *, is_tls: bool = True) -> Origin:
    return Origin(is_tls=is_tls, host=f"{name}.test", port=443)


@pytest.mark.parametrize(
    ("http1", "http2", "offered", "over_tls", "in_clear_text"),
    [
        (True, False, ["http/1.1"], False, False),
        (True, True, ["h2", "http/1.1"], True, False),
        (False, True, ["h2"], True, True),
        (False, False, ["http/1.1"], False, False),
    ],
)
def test_an_origin_is_offered_what_is_allowed(
    http1: bool, http2: bool, offered: list[str], over_tls: bool, in_clear_text: bool
) -> None:
    """Without TLS, HTTP/2 is spoken only if nothing else may be."""
    protocols = Protocols(http1=http1, http2=http2)

    assert protocols.offered_to(origin()) == offered
    assert protocols.may_speak_http2(origin()) is over_tls
    assert protocols.may_speak_http2(origin(is_tls=False)) is in_clear_text


def test_an_origin_that_requires_http11_is_offered_nothing_else() -> None:
    """Others are, and nothing changes where only HTTP/2 may be spoken."""
    protocols, only_http2 = Protocols(http1=True, http2=True), Protocols(http1=False, http2=True)

    assert protocols.require_http11(origin("a"))
    assert not only_http2.require_http11(origin("a"))

    assert protocols.offered_to(origin("a")) == HTTP11
    assert protocols.offered_to(origin("b")) == ["h2", "http/1.1"]
    assert only_http2.offered_to(origin("a")) == ["h2"]


def test_origins_that_require_http11_are_known_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that said so first is forgotten first."""
    monkeypatch.setattr(_protocols, "MOST_HTTP11_ONLY", 2)
    protocols = Protocols(http1=True, http2=True)
    origins = [origin(name) for name in "abc"]

    assert all(map(protocols.require_http11, origins))

    assert [protocols.may_speak_http2(each) for each in origins] == [True, False, False]
