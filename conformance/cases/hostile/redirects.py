"""
Redirects: where they lead, how often, and with which method and body.
"""

from __future__ import annotations

import attrs

from conformance._case import Case, Hop, Request
from conformance._expected import Expected, either, fails, ok
from conformance._steps import Close, ReadRequest, Script, Send, Step

OK_THERE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthere"
THERE: Script = (ReadRequest(), Send(OK_THERE))
OTHER = "http://127.0.0.1:%OTHER%"

UNFOLLOWED = "who hands the redirect out unfollowed is safe as well"
BY_HAND = "WHATWG URL; curl tests 1563, 3032; httpx and reqwest differ"


def moved(location: bytes, status: int = 302, fields: bytes = b"") -> bytes:
    """Return a redirect without a body."""
    return b"HTTP/1.1 %d Moved\r\nLocation: %b\r\n%bContent-Length: 0\r\n\r\n" % (
        status,
        location,
        fields,
    )


def _case(
    name: str,
    source: str,
    script: Script,
    expected: Expected,
    **options: object,
) -> Case:
    return Case(
        name=name,
        source=source,
        script=script,
        expected=expected,
        decided_by="redirect",
        by_request=True,
        exact=True,
        **options,  # type: ignore[arg-type]
    )


def _endless() -> list[Case]:
    capped = Request(max_redirects=5)
    too_many = fails("redirect")

    def rounds(location: bytes, count: int = 40, status: int = 302) -> Script:
        steps: list[Step] = [ReadRequest(), Send(moved(location, status))]
        return tuple(steps * count)

    to_other = moved(b"http://127.0.0.1:%OTHER%/")
    back = moved(b"http://127.0.0.1:%PORT%/")
    rows = [
        _case(f"a {status} to itself", "curl test 274; Go: 10", rounds(b"/", 40, status), too_many)
        for status in (301, 302, 303, 307, 308)
    ]
    rows += [
        _case("a path that grows with each redirect", "curl --max-redirs", rounds(b"x/"), too_many),
        _case("a query that changes nothing", "curl --max-redirs", rounds(b"?again"), too_many),
        _case("a fragment that changes nothing", "RFC 9110 §10.2.2", rounds(b"#x"), too_many),
        _case(
            "two origins that send one to the other",
            "urllib3 2.5.0: one counter for the whole chain",
            (ReadRequest(), Send(to_other)) * 20,
            too_many,
            other=(ReadRequest(), Send(back)) * 20,
        ),
    ]
    looped = [attrs.evolve(row, request=capped) for row in rows]
    # 6 of 10 redirects where 5 are allowed, and 5 of 5.
    steps: Script = (ReadRequest(), Send(moved(b"/next")))
    return [
        *looped,
        _case(
            "one redirect too many",
            "httpx max_redirects",
            steps * 6 + THERE,
            too_many,
            request=capped,
        ),
        _case(
            "as many redirects as allowed",
            "httpx max_redirects",
            steps * 5 + THERE,
            ok(b"there"),
            request=capped,
        ),
        _case(
            "a redirect where none is allowed",
            "httpx max_redirects",
            steps + THERE,
            too_many,
            request=Request(max_redirects=0),
        ),
        _case(
            "endless redirects without a limit of the caller's",
            "every client has one: Go 10, httpx 20, curl 50",
            steps * 60,
            too_many,
        ),
    ]


LEADS_NOWHERE = {
    "a file": b"file:///etc/passwd",
    "data": b"data:text/html,EVIL",
    "a script": b"javascript:alert(1)",
    "FTP": b"ftp://127.0.0.1:%OTHER%/x",
    "gopher": b"gopher://127.0.0.1:%OTHER%/x",
    "a WebSocket": b"ws://127.0.0.1:%OTHER%/x",
    "a view of the source": b"view-source:http://127.0.0.1:%OTHER%/x",
    "a blank page": b"about:blank",
    "mail": b"mailto:root@127.0.0.1",
    "no host": b"http:///there",
    "no host but a port": b"http://:80/there",
    "no host but a user": b"http://user@/there",
    "a port beyond the range": b"http://127.0.0.1:99999/there",
    "a negative port": b"http://127.0.0.1:-80/there",
    "a port that is a word": b"http://127.0.0.1:http/there",
    "a port of other digits": "http://127.0.0.1:\uff18\uff10/there".encode(),
    "a blank in the host": b"http://127.0.0.1 .evil.test/there",
    "a NUL in the host, escaped": b"http://127.0.0.1%00.evil.test/there",
    "a slash in the host, escaped": b"http://127.0.0.1%2f.evil.test/there",
    "an address that is none": b"http://[::1/there",
    "an address in brackets that is none": b"http://[127.0.0.1]/there",
    "a label that is too long": b"http://" + b"a" * 64 + b".test/there",
    "an empty label": b"http://a..test/there",
}


def _invalid() -> list[Case]:
    nowhere = either(
        ok(None, 302),
        "redirect",
        "invalid_request",
        "protocol",
        "dns",
        # Some take the first host for a missing one, and a port that has nobody.
        "connect",
        reason=UNFOLLOWED,
    )
    rows = [
        _case(
            f"a redirect to {title}",
            "curl tests 25, 318, 1142; Go TestClientRedirectInvalid; CVE-2022-27780",
            (ReadRequest(), Send(moved(location)), ReadRequest(), Send(OK_THERE)),
            nowhere,
            other=THERE,
            max_requests=1,
            hops=(Hop(b"get / "),),
        )
        for title, location in LEADS_NOWHERE.items()
    ]
    controls = {
        "a NUL": b"/th\x00ere",
        "a carriage return": b"/th\rere",
        "a bell": b"/th\x07ere",
        "an escape": b"/th\x1bere",
        "a delete": b"/th\x7fere",
    }
    rows += [
        _case(
            f"a Location with {title}",
            "RFC 9110 §5.5; CVE-2026-34520 (aiohttp)",
            (ReadRequest(), Send(moved(location)), *THERE),
            either(ok(None, 302), "protocol", "redirect", "invalid_request", reason=UNFOLLOWED),
            max_requests=1,
        )
        for title, location in controls.items()
    ]
    return rows


def _ambiguous() -> list[Case]:
    """What readers of URLs disagree about: it may be refused, but must not lead to the other."""
    locations = {
        "backslashes for the path": b"\\\\127.0.0.1:%OTHER%\\there",
        "a slash and a backslash": b"/\\127.0.0.1:%OTHER%/there",
        "backslashes behind the scheme": b"http:\\\\127.0.0.1:%OTHER%\\there",
        "a backslash before the user's sign": b"http://127.0.0.1:%PORT%\\@127.0.0.1:%OTHER%/there",
        "an escaped line end": b"/there%0d%0aX-Evil:%201",
        "two slashes and no host": b"//",
        "a scheme alone": b"http:",
        "a space": b"/the re",
        "a tab": b"/the\tre",
        "bytes beyond ASCII": "/thère".encode(),
        "bytes that are no UTF-8": b"/th\xe9re",
        "a Location of 20,000 bytes": b"/" + b"x" * 20_000,
        "a Location of 60,000 bytes": b"/" + b"x" * 60_000,
    }
    return [
        _case(
            f"a redirect with {title}",
            BY_HAND,
            (ReadRequest(), Send(moved(location)), *THERE, *THERE),
            either(
                Expected((*ok(b"there").answers, *ok(None, 302).answers), frozenset()),
                "redirect",
                "invalid_request",
                "protocol",
                "connect",
                reason=UNFOLLOWED,
            ),
            other=(),
            never_sent=(b"get ",) if "backslash" not in title else (b"authorization", b"\nx-evil"),
            request=Request(headers=(("Authorization", "Basic c2VjcmV0"),)),
        )
        for title, location in locations.items()
    ]


def _relative() -> list[Case]:
    locations = {
        "an absolute path": (b"/there", b"get /there "),
        "a relative path": (b"there", b"get /a/there "),
        "a path with dots": (b"../there", b"get /there "),
        "too many dots": (b"../../../there", b"get /there "),
        "a query": (b"?there", b"get /a/b?there "),
        "no scheme": (b"//127.0.0.1:%PORT%/there", b"get /there "),
        "a scheme in capitals": (b"HTTP://127.0.0.1:%PORT%/there", b"get /there "),
        "a fragment, which is not sent": (b"/there#frag", b"get /there "),
        "blanks around it": (b"  /there \t", b"get /there "),
        "a path that looks like an authority": (b"/x//evil.test", b"get /x//evil.test "),
        "a URL in the query": (b"/there?u=http://evil.test/", b"get /there?u=http://evil.test/ "),
        "an escape that stays": (b"/there%2fhere", b"get /there%2fhere "),
        "no path": (b"http://127.0.0.1:%PORT%", b"get / "),
        "a query and no path": (b"http://127.0.0.1:%PORT%?there", b"get /?there "),
    }
    return [
        _case(
            f"a redirect to {title}",
            "RFC 9110 §10.2.2, RFC 3986 §5.4; Go TestRedirects",
            (ReadRequest(), Send(moved(location)), *THERE),
            ok(b"there"),
            request=Request(path="/a/b"),
            hops=(Hop(b"get /a/b "), Hop(start)),
        )
        for title, (location, start) in locations.items()
    ]


def _no_redirects() -> list[Case]:
    body = b"Content-Length: 2\r\n\r\nhi"
    heads = {
        "a 302 without a Location": (302, b""),
        "a 307 without a Location": (307, b""),
        "a 300 with a Location": (300, b"Location: /there\r\n"),
        "a 305, which is not followed any more": (305, b"Location: /there\r\n"),
        "a 306": (306, b"Location: /there\r\n"),
        "a 200 with a Location": (200, b"Location: /there\r\n"),
        "a 201 with a Location": (201, b"Location: /there\r\n"),
        "a 404 with a Location": (404, b"Location: /there\r\n"),
        "a Refresh": (200, b"Refresh: 0; url=/there\r\n"),
        "a Content-Location": (200, b"Content-Location: /there\r\n"),
    }
    return [
        _case(
            title,
            "RFC 9110 §15.4",
            (ReadRequest(), Send(b"HTTP/1.1 %d X\r\n%b%b" % (status, fields, body)), *THERE),
            ok(b"hi", status)
            if status not in (300, 305, 306)
            # RFC 9110 §15.4: a client may follow what it does not understand.
            else Expected((*ok(b"hi", status).answers, *ok(b"there").answers), frozenset()),
        )
        for title, (status, fields) in heads.items()
    ] + [
        _case(
            "a redirect that nobody asked to follow",
            "RFC 9110 §15.4",
            (ReadRequest(), Send(moved(b"/there")), *THERE),
            ok(b"", 302, {"location": "/there"}),
            request=Request(follow_redirects=False),
            hops=(Hop(b"get / "),),
        ),
        _case(
            "two Locations that differ",
            "RFC 9110 §5.3: a field that may stand once",
            (ReadRequest(), Send(moved(b"/there", fields=b"Location: /elsewhere\r\n")), *THERE),
            Expected(
                (*ok(b"there").answers, *ok(None, 302).answers),
                frozenset({"redirect", "protocol"}),
                "which one is meant cannot be told",
            ),
        ),
        _case(
            "an empty Location",
            "RFC 3986 §4.4: the same document",
            (ReadRequest(), Send(moved(b"")), *THERE),
            Expected(
                (*ok(b"there").answers, *ok(b"", 302).answers),
                frozenset({"redirect"}),
                "taken for none by some, and for the same document by others",
            ),
        ),
    ]


def _methods() -> list[Case]:
    body = b"the-body"
    lost = (b"the-body", b"content-length: 8", b"transfer-encoding")
    kept = (b"the-body", b"content-type: text/x-test")
    rows = [
        *[("POST", status, b"get", (), lost) for status in (301, 302, 303)],
        ("PUT", 303, b"get", (), lost),
        ("DELETE", 303, b"get", (), lost),
        *[
            (method, s, method.lower().encode(), kept, ())
            for method in ("POST", "PUT", "PATCH")
            for s in (307, 308)
        ],
    ]
    cases = [
        _case(
            f"a {method} that is redirected by a {status}",
            "RFC 9110 §15.4; CVE-2023-45803 (urllib3): the body must not go with a GET",
            (ReadRequest(), Send(moved(b"/there", status)), *THERE),
            ok(b"there"),
            request=Request(method, headers=(("Content-Type", "text/x-test"),), body=body),
            hops=(Hop(method.lower().encode() + b" / "), Hop(start + b" /there ", has, lacks)),
        )
        for method, status, start, has, lacks in rows
    ]
    described = (
        *(("Content-Type", "text/x-test"), ("Content-Language", "de")),
        *(("Content-Location", "/x"), ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT")),
    )
    cases += [
        _case(
            "what describes a body that is not sent again",
            "RFC 9110 §15.4: Content-Type and its like are to be removed; urllib3 2.0.7",
            (ReadRequest(), Send(moved(b"/there", 303)), *THERE),
            ok(b"there"),
            request=Request("POST", headers=described, body=body),
            hops=(
                Hop(b"post / "),
                Hop(b"get /there ", lacks=(b"content-type", b"content-l", b"last-modified")),
            ),
        ),
    ]
    cases += [
        _case(
            f"a HEAD that is redirected by a {status}",
            "RFC 9110 §15.4: HEAD stays HEAD",
            (
                ReadRequest(),
                Send(moved(b"/there", status)),
                ReadRequest(),
                Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            ),
            ok(b""),
            request=Request("HEAD"),
            hops=(Hop(b"head / "), Hop(b"head /there ")),
        )
        for status in (301, 302, 303, 307, 308)
    ]
    cases += [
        _case(
            f"a streamed body that is redirected by a {status}",
            "Go Request.GetBody; what was sent once cannot be sent again",
            (ReadRequest(), Send(moved(b"/there", status)), *THERE),
            either(
                ok(None, status),
                "redirect",
                "invalid_request",
                "protocol",
                reason="who refuses, or hands the redirect out, sends no empty body",
            ),
            request=Request("POST", body=body, streamed=True),
            max_requests=1,
        )
        for status in (307, 308)
    ]
    return cases


def _connections() -> list[Case]:
    closing = moved(b"/there", fields=b"Connection: close\r\n")
    return [
        _case(
            "a redirect that closes the connection",
            "RFC 9112 §9.6",
            (ReadRequest(), Send(closing), Close(), *THERE),
            ok(b"there"),
        ),
        _case(
            "a redirect to a server that is not there",
            "RFC 9110 §15.4",
            (ReadRequest(), Send(moved(b"http://127.0.0.1:1/there"))),
            fails("connect"),
            max_requests=1,
        ),
        _case(
            "a redirect to a server that breaks",
            "RFC 9110 §15.4",
            (ReadRequest(), Send(moved(b"http://127.0.0.1:%OTHER%/there"))),
            fails("protocol"),
            other=(ReadRequest(), Send(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ),
    ]


CASES = (
    *_endless(),
    *_invalid(),
    *_ambiguous(),
    *_relative(),
    *_no_redirects(),
    *_methods(),
    *_connections(),
)
