"""
What is not ours: the cases that fail for reasons of httpx 0.28, httpcore 1.0 and h11 0.16.

Names may hold `*`. The suite asserts that nothing else fails, and that each entry still does.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import attrs


@attrs.frozen
class Fault:
    """A fault of another library, and the cases that show it."""

    reason: str
    names: tuple[str, ...]

    def covers(self, name: str) -> bool:
        """Say whether a case shows this fault."""
        # Not a pattern's brackets, which names have of their own.
        return any(fnmatchcase(name, known.replace("[", "[[]")) for known in self.names)


STOCK: tuple[Fault, ...] = (
    Fault(
        "h11 keeps the bytes behind a response, and httpcore reads them as the next one "
        "(encode/httpx#1474)",
        (
            "* behind an answer",
            "* behind chunks",
            "* behind an empty answer",
            "* behind 204",
            "* behind 304",
            "* behind HEAD",
            "* behind a trailer",
            "* behind an error",
            "* behind an error, over TLS",
            "* behind a redirect",
            "* behind a body with a length*",
            "* behind a body in chunks*",
            "* behind an empty body*",
            "* behind a 204*",
            "* behind a 304*",
            "* behind the answer to HEAD*",
            "* behind a final answer behind a 100*",
            "* behind a 30? that is followed*",
            "gzip with a second response behind it",
            "HEAD answered with *",
            "204 with a body",
            "204 with a length and a body",
            "204 with chunks",
            "304 with a body",
            "a length that is too small",
            "a length of 0 and a body",
            "a redirect with a byte behind it",
            "a redirect with a response behind it",
        ),
    ),
    Fault(
        "httpcore looks at a kept connection only for its end, not for bytes that nobody asked for",
        (
            "a kept connection that brings a response before it is used",
            "an answer before the question, and another one",
        ),
    ),
    Fault(
        "httpcore does not send a request again whose kept connection ended meanwhile",
        (
            "a kept connection that ends when it is used",
            "a kept connection that is reset when it is used",
        ),
    ),
    Fault(
        "h11 waits for the end of a head before it looks at its beginning",
        (
            "a greeting of *",
            "random bytes",
            "a redirect to an answer that is broken",
            "a redirect to a server that breaks",
        ),
    ),
    Fault(
        "h11 waits for the end of a chunk's line, and for content of any size",
        (
            "a size past 64 bits",
            "a size of 64 bits",
            "a size of 63 bits",
            "sizes that add up past 64 bits",
            "a size line without end",
            "line feeds for all line ends of chunks",
            "HTML for chunks",
        ),
    ),
    Fault(
        "h11 has no limit on fields, trailers, extensions, informational responses and chunks, and "
        "takes its time with each chunk",
        (
            "10,000 fields",
            "20,000 trailers",
            "1 MiB of extensions",
            "1,000 times 100",
            "100 of 60 KiB, again and again",
            "100 without end",
            "103 without end",
            "a flood: 10*s without end",
            "a flood: large 103s without end",
            "a flood: chunk extensions without end",
            "tiny chunks with long extensions without end",
            "tiny chunks past `max_body` that do not end",
            "a flood: tiny chunks without end",
        ),
    ),
    Fault(
        "h11 reads versions of HTTP that it does not know",
        ("HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"),
    ),
    Fault(
        "h11 unfolds lines, those of the framing too, and takes line feeds for line ends",
        (
            "a length on a folded line",
            "chunked on a folded line",
            "a folded trailer",
            "a line feed in a trailer",
        ),
    ),
    Fault(
        "h11 takes control characters in chunk extensions",
        ("a carriage return in an extension", "NUL in an extension"),
    ),
    Fault(
        "h11 prefers Transfer-Encoding where there is a Content-Length too",
        ("a coding and a length", "a length and a coding", "a coding and a length that fits it"),
    ),
    Fault(
        "h11 takes at most 20 digits, and no blank before an extension",
        (
            "a length with thirty leading zeros",
            "a size with thirty leading zeros",
            "a last size of many zeros",
            "a blank before an extension",
            "blanks around an extension",
        ),
    ),
    Fault(
        "httpcore reports that it could not send, and drops the answer that came before",
        ("413 to the head of a POST*",),
    ),
    Fault(
        "anyio tells an end of TLS without its alert from one with it, and httpcore does not",
        ("TLS that ends inside a body that ends with the connection without an alert",),
    ),
)
"""What fails in the client lane over a stock httpx client."""

PLAIN: tuple[Fault, ...] = (
    Fault(
        "httpx decodes the first member of gzip only",
        (
            "gzip of two members",
            "gzip of 100 members",
            "gzip of members in chunks",
            "gzip with an empty member between",
            "gzip with its second member *",
        ),
    ),
    Fault(
        "httpx takes a cut stream for a whole one",
        (
            "gzip cut *",
            "gzip of one byte",
            "gzip without its trailer",
            "gzip until the end, cut",
            "deflate cut",
            "raw deflate cut",
            "deflate of one byte",
            "the inner one of two codings cut",
            "br cut",
        ),
    ),
    Fault(
        "httpx judges by the first piece whether deflate has its wrapper, and fails at a second "
        "frame of zstd in a later one",
        (
            "raw deflate in chunks of one byte",
            "deflate without its wrapper",
            "zstd of two frames",
            "zstd with a frame to skip",
        ),
    ),
    Fault("httpx decodes any number of codings", ("six codings", "6 codings", "20 codings")),
    Fault(
        "httpx encodes the Cookie field as ASCII, and raises where it cannot",
        ("a cookie in Latin-1", "a cookie in UTF-8"),
    ),
    Fault(
        "httpx reads the whole body of a redirect, and has no limit on all of a request",
        ("a redirect's endless body *",),
    ),
    Fault("httpx follows a redirect to ws://", ("a redirect to a WebSocket",)),
    Fault(
        "httpx keeps what described a body that a redirect has dropped",
        (
            "a POST that is redirected by a 30?",
            "* that is redirected by a 303",
            "what describes a body *",
        ),
    ),
    Fault(
        "httpx takes Proxy-Authorization to other origins",
        (
            "Proxy-Authorization and a 30? to another port",
            "secrets *",
            "a proxy's secret *",
            "a body and a 30? to another origin",
        ),
    ),
)
"""What fails in an httpx client of which the transport is ours, none of it the transport's."""


OTHER_THROUGH_A_PROXY = {
    "idle": "what comes on an idle connection comes later, by as much as the proxy takes",
    "an answer before the question": "likewise",
    "late by": "likewise",
    "in place of a handshake": "a server that speaks first in a tunnel is taken for the proxy",
    "a redirect to no host": "it is the proxy that cannot connect",
    "a redirect with a scheme alone": "likewise",
    "a redirect to a server that is not there": "likewise",
    "by a reset": "a reset overtakes the bytes that the proxy has not sent yet",
    "413 to the head": "this proxy does not know where a body ends that is not read",
}
"""Cases that are other ones through a proxy, by a part of their names, and why."""


OTHER_OVER_HTTP2 = {
    "a length in a trailer": "trailers say nothing about framing (RFC 9110 §6.5.1)",
    "100 with a length": "an informational response has none (RFC 9110 §8.6)",
    "204 with a length": "it has none (RFC 9110 §8.6); 0, which some servers send, is taken",
}
"""Cases that are failures of kind `protocol` over HTTP/2, and why nghttp2 refuses them."""


def faults_of(name: str, faults: tuple[Fault, ...]) -> list[Fault]:
    """Return the faults that a case shows."""
    return [fault for fault in faults if fault.covers(name)]
