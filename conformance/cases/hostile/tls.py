"""
TLS: who is at the other end, and where a message was cut.
"""

from __future__ import annotations

from conformance._case import Case, Hop, Request, Reuse
from conformance._expected import fails, ok
from conformance._steps import Close, Pause, ReadRequest, Reset, Send, Step, answer

from .redirects import THERE, moved

HEAD = b"HTTP/1.1 200 OK\r\n"
HELLO = HEAD + b"Content-Length: 5\r\n\r\nhello"
BADSSL = "badssl.com; reqwest tests/badssl.rs; curl test 312"
BRIEF = Request(timeout=0.5)


def _certificates() -> list[Case]:
    bad = {
        "expired": "RFC 5280 §6.1.3",
        "not yet valid": "RFC 5280 §6.1.3",
        "wrong host": "RFC 9110 §4.3.4",
        "another address": "RFC 9110 §4.3.5",
        "name of the address": "RFC 9110 §4.3.5",
        "common name only": "RFC 9525 §2",
        "self-signed": "RFC 5280 §6.1",
        "unknown authority": "RFC 5280 §6.1",
        "without its issuer": "RFC 8446 §4.4.2",
        "valid over TLS 1": "RFC 8996",
        "valid over TLS 1.1": "RFC 8996",
        "valid and asks for one": "RFC 8446 §4.3.2",
        "valid and asks for one over TLS 1.2": "RFC 5246 §7.4.4",
    }
    good = {
        "valid": "127.0.0.1",
        "valid over TLS 1.2": "127.0.0.1",
        "valid over TLS 1.3": "127.0.0.1",
        "from an intermediate": "127.0.0.1",
        "name of the address": "localhost",
    }
    return [
        *[
            Case(
                name=f"a certificate: {name}",
                source=f"{source}; {BADSSL}",
                script=answer(HELLO),
                tls=name,
                # The server may close with an alert or without a word.
                expected=fails("tls", "protocol") if "asks" in name else fails("tls"),
                max_requests=0 if "asks" not in name else None,
                exact=True,
            )
            for name, source in bad.items()
        ],
        *[
            Case(
                name=f"a certificate that is good: {name}, for {host}",
                source=BADSSL,
                script=answer(HELLO),
                tls=name,
                host=host,
                expected=ok(b"hello"),
                exact=True,
            )
            for name, host in good.items()
        ],
        Case(
            name="a certificate of the address, for its name",
            source=f"RFC 6066 §3; {BADSSL}",
            script=answer(HELLO),
            tls="valid",
            host="localhost",
            scheme="https",
            expected=fails("tls"),
            max_requests=0,
            exact=True,
        ),
    ]


def _handshakes() -> list[Case]:
    alert = b"\x15\x03\x01\x00\x02\x02\x28"  # fatal, handshake_failure
    steps: dict[str, tuple[Step, ...]] = {
        "an answer in plain text": (Send(HELLO),),
        "a refusal in plain text": (
            Send(b"HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n"),
            Close(),
        ),
        "rubbish": (Send(b"\x00\xff\xfe\xfd" * 20),),
        "a greeting of SSH": (Send(b"SSH-2.0-OpenSSH_9.2\r\n"),),
        "an alert": (Send(alert), Close()),
        "a record that is too long": (Send(b"\x16\x03\x03\xff\xff" + b"x" * 70_000),),
        "the beginning of an answer": (Send(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76"), Close()),
        "nothing, and a close": (Close(),),
        "nothing, and a reset": (Reset(),),
    }
    return [
        *[
            Case(
                name=f"in place of a handshake: {title}",
                source="RFC 8446 §4, §6; Go TestTLSHandshakeTrace",
                script=script,
                scheme="https",
                expected=fails("tls", "connect", "protocol"),
                exact=True,
            )
            for title, script in steps.items()
        ],
        Case(
            name="in place of a handshake: silence",
            source="Go Transport.TLSHandshakeTimeout",
            script=(Pause(9),),
            scheme="https",
            request=BRIEF,
            expected=fails("timeout"),
            exact=True,
        ),
        Case(
            name="in place of a handshake: half a record, and silence",
            source="Go Transport.TLSHandshakeTimeout",
            script=(Send(b"\x16\x03\x03\x00\x7a\x02"), Pause(9)),
            scheme="https",
            request=BRIEF,
            expected=fails("timeout"),
            exact=True,
        ),
        Case(
            name="plain HTTP to a port that speaks TLS",
            source="RFC 9110 §4.2.2",
            script=answer(HELLO),
            tls="valid",
            scheme="http",
            expected=fails("protocol"),
            max_requests=0,
            exact=True,
        ),
    ]


def _cut() -> list[Case]:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    contents = {
        "before an answer": (b"", "protocol"),
        "inside the head": (HEAD + b"X: y\r\n", "protocol"),
        "behind the head": (HEAD + b"Content-Length: 5\r\n\r\n", "truncated"),
        "inside a body with a length": (HEAD + b"Content-Length: 50\r\n\r\nhello", "truncated"),
        "inside a chunk": (chunked + b"50\r\nhello", "truncated"),
        "in place of the last chunk": (chunked + b"5\r\nhello\r\n", "truncated"),
        "inside a body that ends with the connection": (HEAD + b"\r\nhello", "truncated"),
    }
    # Whoever sends no closing alert has not said that this is all.
    ends: dict[str, Step] = {
        "without an alert": Close(abruptly=True),
        "with an alert": Close(),
        "by a reset": Reset(),
    }
    whole = {
        "a body with a length": HELLO,
        "chunks": chunked + b"5\r\nhello\r\n0\r\n\r\n",
    }
    return [
        *[
            Case(
                name=f"TLS that ends {place} {how}",
                source="RFC 9112 §9.8; rustls: peer closed connection without close_notify",
                script=(ReadRequest(), Send(content), Pause(0.02), end),
                tls="valid",
                expected=fails(kind),
                # Sending a GET once more is allowed (RFC 9110 §9.2.2).
                max_requests=2,
                exact=True,
            )
            for place, (content, kind) in contents.items()
            for how, end in ends.items()
            if (place, how) != ("inside a body that ends with the connection", "with an alert")
        ],
        Case(
            name="TLS that ends a body with its closing alert",
            source="RFC 9112 §9.8",
            script=(ReadRequest(), Send(HEAD + b"\r\nhello"), Close()),
            tls="valid",
            expected=ok(b"hello"),
            exact=True,
        ),
        *[
            Case(
                name=f"TLS that ends behind {title} {how}",
                source="RFC 9112 §9.8: as many bytes as announced are all",
                script=(ReadRequest(), Send(content), Pause(0.02), end),
                tls="valid",
                expected=ok(b"hello"),
                reuse=Reuse.MUST_NOT,
                exact=True,
            )
            for title, content in whole.items()
            for how, end in ends.items()
        ],
    ]


def _redirected() -> list[Case]:
    return [
        Case(
            name=f"a redirect to a server with a certificate: {name}",
            source=f"CVE-2014-0138 (curl) and the like; {BADSSL}",
            script=(ReadRequest(), Send(moved(b"https://127.0.0.1:%OTHER%/there"))),
            other=THERE,
            other_tls=name,
            expected=fails("tls"),
            never_sent=(b"get ",),
            decided_by="redirect",
            exact=True,
        )
        for name in ("expired", "self-signed", "wrong host", "unknown authority")
    ] + [
        Case(
            name=f"a redirect from {first} to {second}",
            source="RFC 9110 §4.2.2: two schemes are two origins",
            script=(
                ReadRequest(),
                Send(moved(second.encode() + b"://127.0.0.1:%OTHER%/there")),
            ),
            other=THERE,
            tls="valid" if first == "https" else None,
            other_tls="valid" if second == "https" else None,
            expected=ok(b"there"),
            hops=(Hop(b"get / "), Hop(b"get /there ", is_other=True)),
            decided_by="redirect",
            exact=True,
        )
        for first, second in (("http", "https"), ("https", "http"), ("https", "https"))
    ]


CASES = (*_certificates(), *_handshakes(), *_cut(), *_redirected())
