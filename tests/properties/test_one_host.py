"""
One URL means one host: to the schedule, to the socket, in the `Host` field, and to httpx.

Limits per host, the check of addresses and virtual hosts would otherwise be about different ones.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncbatch._lanes import DirectLane, OwnClient, binding_of
from asyncbatch._lanes.request._encode import RequestEncoder
from asyncbatch._values._host_key import host_key_of
from asyncbatch._values._timeouts import limits_of
from tests.served import prepared_by

WORDS = r"""
    http:// https:// HTTP:// hTTps:// http: // \\ \ / a.test B.test sub.b.test xn--9ca.test
    127.0.0.1 0x7f.1 2130706433 [::1] [::FFFF:127.0.0.1] [fe80::1%1] [::1 ] % %2f %00 %40 %2e
    @ u@ u:p@ u:@ : :80 :443 :8080 :080 :0 :65535 :65536 :0x50 ? # . .. - _ * ~ ; & = + | ^ < > ' {
"""
ODD = ["\t", "\n", " ", "\x00", "\xa0", "\u3002", "\uff0e", "\u2460", "\xe9.test", "\ud800"]

CLIENT = OwnClient(trust_env=False)
LANE = DirectLane(CLIENT, binding_of(CLIENT), max_body=1, follow_redirects=True, max_redirects=1)
PREPARER = RequestEncoder(CLIENT, binding_of(CLIENT), CLIENT.own_transport)
LIMITS = limits_of(30.0, 10.0)
PORTS = {"http": 80, "https": 443}

texts = st.lists(st.sampled_from([*WORDS.split(), *ODD]), min_size=1, max_size=6).map("".join)


@given(st.one_of(texts, texts.map("http://".__add__), texts.map("https://u:p@".__add__)))
@settings(max_examples=200, deadline=None)
def test_everybody_means_the_same_host(url: str) -> None:
    """Or nobody any: then nothing is sent."""
    located = attempt(lambda: LANE.locate(url))
    prepared = attempt(lambda: prepared_by(PREPARER, url, LIMITS))
    scheduled = attempt(lambda: host_key_of(url, LANE.locate))

    if located is None:
        assert prepared is None
        return
    host = located.raw_host.decode("ascii")
    # The dot that ends a name is for the resolver only: with and without it, it is one server.
    server = host.removesuffix(".")
    meant = (located.scheme, server, located.port or PORTS[located.scheme])
    assert scheduled == meant
    authority = re.match(r"(?i)https?://([^/?#]*)", url)
    assert authority is not None
    assert authority[1].count("@") <= 1
    assert "\\" not in authority[1]
    if prepared is not None:
        check_what_is_sent(prepared, located)


def check_what_is_sent(prepared: Any, located: Any) -> None:
    """Compare the socket's host, the one field that names it, and the URL."""
    origin = prepared.origin
    assert origin.host == located.raw_host.decode("ascii")
    assert origin.port == (located.port or PORTS[located.scheme])
    assert origin.is_tls == (located.scheme == "https")
    hosts = re.findall(rb"(?i)\r\nhost: ([^\r\n]*)", prepared.payload)
    shown = f"[{origin.host}]" if ":" in origin.host else origin.host
    assert hosts in ([shown.encode()], [f"{shown}:{origin.port}".encode()])
    line = prepared.payload.partition(b"\r\n")[0]
    assert re.fullmatch(rb"GET /[\x21-\x7e]* HTTP/1\.1", line)


def attempt(function: Any) -> Any:
    """Return what a function returns, or None if it refuses."""
    try:
        return function()
    except Exception:
        return None


@pytest.mark.parametrize("url", ["http://a.test/", "http://B.test:81/x", "https://u:p@[::1]:81/"])
def test_the_property_sees_urls_that_are_sent(url: str) -> None:
    """So that it does not hold for want of any."""
    assert LANE.locate(url).host in ("a.test", "b.test", "::1")
