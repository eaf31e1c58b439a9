"""
Redirects within one origin: where they lead, and what they carry.
"""

from __future__ import annotations

from conformance._case import Case, Request
from conformance._expected import either, fails, ok
from conformance._steps import Close, ReadRequest, Send

from ._make import HI, OK

_LOCATION = "RFC 9110 §10.2.2"
_EVIL = OK + b"Content-Length: 4\r\n\r\nEVIL"
_FINAL = (ReadRequest(), Send(OK + HI))


def redirect(status: int, location: bytes, framing: bytes = b"Content-Length: 0\r\n\r\n") -> bytes:
    """Return a redirect."""
    return b"HTTP/1.1 %d X\r\nLocation: %s\r\n%s" % (status, location, framing)


def followed(name: str, source: str, hop: bytes, **more: object) -> Case:
    """Make a case of one hop, and the answer behind it."""
    return Case(
        name=name,
        source=source,
        script=((ReadRequest(), Send(hop), *_FINAL), _FINAL),
        expected=ok(b"hi"),
        decided_by="redirect",
        **more,  # type: ignore[arg-type]
    )


def _kept(name: str, source: str, wire: bytes, status: int, body: bytes, **more: object) -> Case:
    return Case(
        name=name,
        source=source,
        script=(ReadRequest(), Send(wire)),
        expected=ok(body, status),
        decided_by="redirect",
        **more,  # type: ignore[arg-type]
    )


_POST = Request(method="POST", body=b"body")

VALID: tuple[Case, ...] = (
    *(
        followed(f"{s}", f"RFC 9110 §15.4: {s}", redirect(s, b"/next"))
        for s in (301, 302, 303, 307, 308)
    ),
    *(
        followed(f"{s} to a POST", f"RFC 9110 §15.4: {s}", redirect(s, b"/next"), request=_POST)
        for s in (301, 302, 303, 307, 308)
    ),
    followed("a whole URL", _LOCATION, redirect(302, b"http://127.0.0.1:%PORT%/next")),
    followed("a URL without a scheme", "RFC 3986 §4.2", redirect(302, b"//127.0.0.1:%PORT%/next")),
    followed("a path without a slash", "RFC 3986 §4.2", redirect(302, b"next")),
    followed("a path with points", "RFC 3986 §5.2.4", redirect(302, b"../../a/./b")),
    followed("a query alone", "RFC 3986 §4.2", redirect(302, b"?a=b")),
    followed("a fragment alone", "RFC 3986 §4.2", redirect(302, b"#top")),
    followed("a path with a fragment", "RFC 9110 §10.2.2", redirect(302, b"/next#top")),
    followed("a blank within a location", "browsers take it", redirect(302, b"/a b")),
    followed("blanks around a location", "curl test 28", redirect(302, b" \t/next \t")),
    followed("a location in UTF-8", "browsers take it", redirect(302, "/größe".encode())),
    followed("a location with escapes", "RFC 3986 §2.1", redirect(302, b"/gr%C3%B6%C3%9Fe")),
    followed("a location with a bad escape", "browsers take it", redirect(302, b"/a%zz")),
    followed(
        "a location of 4 KiB",
        "RFC 9110 §4.1: at least 8,000 octets",
        redirect(302, b"/" + b"a" * 4096),
    ),
    followed(
        "a redirect with a body",
        "RFC 9110 §15.4",
        redirect(302, b"/next", b"Content-Length: 5\r\n\r\nhello"),
    ),
    followed(
        "a redirect in chunks",
        "RFC 9110 §15.4",
        redirect(302, b"/next", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ),
    followed(
        "a redirect behind 103", "RFC 8297 §2", b"HTTP/1.1 103 X\r\n\r\n" + redirect(302, b"/next")
    ),
    followed(
        "a redirect with a cookie",
        "RFC 6265 §3",
        redirect(302, b"/next", b"Set-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"),
        host="127.0.0.2",
    ),
    Case(
        name="a redirect that closes",
        source="RFC 9112 §9.6",
        script=(
            (
                ReadRequest(),
                Send(redirect(302, b"/next", b"Connection: close\r\nContent-Length: 0\r\n\r\n")),
                Close(),
            ),
            _FINAL,
        ),
        expected=ok(b"hi"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect with a body until the end",
        source="RFC 9112 §6.3",
        script=((ReadRequest(), Send(redirect(302, b"/next", b"\r\nhello")), Close()), _FINAL),
        expected=ok(b"hi"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect with a byte behind it",
        source="RFC 9112 §6.3: extra data is never a response",
        # In one piece: what comes behind the next request is sent, nobody can tell from its answer.
        script=((ReadRequest(), Send(redirect(302, b"/next") + b"x", cut=False)), _FINAL),
        expected=ok(b"hi"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect with a response behind it",
        source="undici GHSA-35p6-xmwp-9g52",
        script=((ReadRequest(), Send(redirect(302, b"/next") + _EVIL, cut=False)), _FINAL),
        expected=ok(b"hi"),
        decided_by="redirect",
    ),
    Case(
        name="five redirects",
        source="RFC 9110 §15.4",
        script=((ReadRequest(), Send(redirect(302, b"/next"))) * 5 + _FINAL),
        expected=ok(b"hi"),
        decided_by="redirect",
    ),
    _kept("302 without a location", "RFC 9110 §15.4", b"HTTP/1.1 302 X\r\n" + HI, 302, b"hi"),
    _kept(
        "302 that is not to be followed",
        "RFC 9110 §15.4",
        b"HTTP/1.1 302 X\r\nLocation: /x\r\n" + HI,
        302,
        b"hi",
        request=Request(follow_redirects=False),
    ),
    _kept(
        "304 with a location",
        "RFC 9110 §15.4.5",
        b"HTTP/1.1 304 X\r\nLocation: /x\r\n\r\n",
        304,
        b"",
    ),
    _kept(
        "201 with a location",
        "RFC 9110 §15.3.2",
        b"HTTP/1.1 201 X\r\nLocation: /x\r\n" + HI,
        201,
        b"hi",
    ),
)


def _nowhere(name: str, source: str, location: bytes) -> Case:
    return Case(
        name=name,
        source=source,
        script=(ReadRequest(), Send(redirect(302, location))),
        expected=fails("redirect"),
        max_requests=1,
        decided_by="redirect",
    )


BROKEN: tuple[Case, ...] = (
    _nowhere("a location with another scheme", "curl CVE-2009-0037", b"ftp://127.0.0.1/"),
    _nowhere("a location of a file", "curl CVE-2009-0037", b"file:///etc/passwd"),
    _nowhere("a location of a script", "curl --proto-redir", b"javascript:alert(1)"),
    _nowhere("a location with a port that is none", "Go: invalid port", b"http://127.0.0.1:port/"),
    _nowhere(
        "a location with an impossible port",
        "observed: httpx raises OverflowError",
        b"http://127.0.0.1:99999/",
    ),
    _nowhere("a location with half a bracket", "RFC 3986 §3.2.2", b"http://[::1/"),
    Case(
        name="a redirect to itself",
        source="Go, curl, reqwest: a limit",
        script=(ReadRequest(), Send(redirect(302, b"/"))) * 30,
        request=Request(max_redirects=5),
        expected=fails("redirect"),
        max_requests=6,
        decided_by="redirect",
    ),
    Case(
        name="a redirect cut in its head",
        source="Go TestTransportServerClosingUnexpectedly",
        script=(ReadRequest(), Send(b"HTTP/1.1 302 X\r\nLocation: /next\r\n"), Close()),
        expected=fails("protocol"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect to an answer that is broken",
        source="RFC 9112 §4",
        script=(ReadRequest(), Send(redirect(302, b"/next")), ReadRequest(), Send(b"garbage\r\n")),
        expected=fails("protocol"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect to an answer that is cut",
        source="RFC 9112 §8",
        script=(
            ReadRequest(),
            Send(redirect(302, b"/next")),
            ReadRequest(),
            Send(OK + b"Content-Length: 5\r\n\r\nhe"),
            Close(),
        ),
        expected=fails("truncated"),
        decided_by="redirect",
    ),
)

UNCLEAR: tuple[Case, ...] = (
    Case(
        name="a location without a host",
        source="RFC 9110 §4.2.1: invalid; httpx and curl take the host asked before",
        script=(ReadRequest(), Send(redirect(302, b"http://:%PORT%/next")), *_FINAL),
        expected=either(ok(b"hi"), "redirect", reason="invalid, and clear enough"),
        decided_by="redirect",
    ),
    Case(
        name="an empty location",
        source="RFC 3986 §4.4: the same document",
        script=(ReadRequest(), Send(b"HTTP/1.1 302 X\r\nLocation:\r\n" + HI), *_FINAL),
        expected=either(
            ok(b"hi", 302), "redirect", reason="no location, or the same one", or_else=ok(b"hi")
        ),
        request=Request(max_redirects=1),
        decided_by="redirect",
    ),
    Case(
        name="two locations that differ",
        source="curl test 580",
        script=(
            ReadRequest(),
            Send(b"HTTP/1.1 302 X\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"),
            *_FINAL,
        ),
        expected=either(ok(b"hi"), "redirect", "protocol", reason="one of them, or neither"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect whose body is cut",
        source="RFC 9112 §8",
        script=(
            (
                ReadRequest(),
                Send(redirect(302, b"/next", b"Content-Length: 50\r\n\r\nhe")),
                Close(),
            ),
            _FINAL,
        ),
        expected=either(ok(b"hi"), "truncated", reason="nobody reads the body of a redirect"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect whose body is corrupt",
        source="RFC 9110 §8.4",
        script=(
            ReadRequest(),
            Send(redirect(302, b"/next", b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx")),
            *_FINAL,
        ),
        expected=either(ok(b"hi"), "decode", reason="nobody reads the body of a redirect"),
        decided_by="redirect",
    ),
    Case(
        name="a redirect to an endless chain",
        source="Go: 10; curl: 50; httpx: 20",
        script=(ReadRequest(), Send(redirect(302, b"/again"))) * 60,
        expected=fails("redirect"),
        decided_by="redirect",
    ),
)

CASES = VALID + BROKEN + UNCLEAR
