"""
What a proxy answers to CONNECT never becomes the answer of the server behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import asyncbatch
from conformance import Case, Close, Flood, Pause, ReadHead, Reset, ScriptedServer, Send, Step, ok

pytestmark = pytest.mark.once

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
MADE = b"HTTP/1.1 200 Connection established\r\n\r\n"

REPLIES: dict[str, tuple[Step, ...]] = {
    "a page in place of a tunnel": (Send(EVIL),),
    "a page behind the tunnel's head": (Send(MADE + EVIL),),
    "a page into the tunnel": (Send(MADE), Pause(0.02), Send(EVIL)),
    "a chunked page": (
        Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n"),
    ),
    "an error page": (Send(b"HTTP/1.1 502 Bad\r\nContent-Length: 4\r\n\r\nEVIL"),),
    "a demand for a password": (
        Send(b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 4\r\n\r\nEVIL"),
    ),
    "a redirect": (Send(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%PORT%/evil\r\n\r\n"),),
    "a cookie": (Send(b"HTTP/1.1 403 No\r\nSet-Cookie: a=b; Domain=test\r\n\r\n"),),
    "no status line": (Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),),
    "a greeting of SMTP": (Send(b"220 mail.test ESMTP\r\n\r\n"),),
    "a field that breaks the line": (Send(b"HTTP/1.1 200 OK\r\nX: a\rEVIL: b\r\n\r\n"), Close()),
    "a head without end": (Send(b"HTTP/1.1 200 OK\r\n"), Flood(b"X-A: b\r\n", 8_000_000)),
    "no answer": (Pause(5),),
    "a close": (Close(),),
    "a reset": (Reset(),),
    "a tunnel that ends": (Send(MADE), Close()),
    "rubbish in the tunnel": (Send(MADE), Pause(0.02), Send(b"\x00\xff" * 40)),
    "a switch of protocols": (Send(b"HTTP/1.1 101 Switching\r\nUpgrade: evil\r\n\r\n"), Close()),
}


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.mark.parametrize("name", REPLIES)
async def test_a_hostile_proxy_makes_a_failure(name: str, scripted: ScriptedServer) -> None:
    """Of a kind that says where; nothing that it sent is in the result, or asked for again."""
    script = (ReadHead(), *REPLIES[name])
    case = Case(name=name, source="RFC 9110 §9.3.6", expected=ok(), script=script, exact=True)

    with scripted.open(case) as run:
        async with asyncbatch.Fetcher(proxy=run.url, retry=None, timeout=1.5) as fetcher:
            result = await fetcher.fetch("https://target.test/")
            cookies = dict(fetcher.client.cookies)

    assert not result.ok
    assert result.content == b""
    assert result.status_code is None
    assert result.kind in (
        asyncbatch.FailureKind.proxy,
        asyncbatch.FailureKind.tls,
        asyncbatch.FailureKind.protocol,
        asyncbatch.FailureKind.timeout,
    )
    assert cookies == {}
    assert [request.split()[0] for request in run.requests] == [b"CONNECT"]
