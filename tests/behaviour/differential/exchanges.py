"""
The table of exchanges: what is asked, of which client.

Deliberate differences are named here, with their reason; everything else must be the same.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from tests.behaviour.differential.observation import extensions_of
from tests.behaviour.differential.server import ANSWERS

# The statuses that redirect, and three that do not although they have a Location.
STATUSES = (300, 301, 302, 303, 304, 307, 308, 201)
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS")
TARGETS = {
    "same-origin": "{base}/echo?q=1",
    "other-origin": "{other}/echo",
    "https": "{tls}/echo",
    "no-scheme": "//{other_authority}/echo",
    "relative": "../echo?a=b",
    "fragment": "/echo#there",
}


@attrs.frozen(kw_only=True)
class Exchange:
    """One call of a client, and what it must agree with."""

    name: str = attrs.field(kw_only=False)
    path: str = attrs.field(kw_only=False)
    """Path, or URL with the places of `Places` in braces."""
    method: str = "GET"
    request: dict[str, Any] = attrs.field(factory=dict)
    """Further arguments of the request; `LATE` values are called with the library."""
    client: dict[str, Any] = attrs.field(factory=dict)
    """Arguments of the client, likewise."""
    follow: bool = True
    times: int = 1
    """How often it is sent, one after the other, on the same client."""
    differs: str | None = None
    """Why ours ends otherwise, on purpose."""
    ours: str | None = None
    """How ours ends then: a status, or the kind of failure."""
    ignore: tuple[str, ...] = ()
    """Places where the observations may differ, by `differs`."""
    engine: str | None = None
    """How it ends on the engine, which refuses what h11 lets pass or fails at in another way."""
    only_http11: bool = False
    """Whether what the server says has no counterpart in HTTP/2."""
    httpx_http2: str | None = None
    """What plain httpx makes of it over HTTP/2, other than over HTTP/1.1."""


@attrs.frozen
class LATE:
    """An argument that depends on the library under test, or must be made anew for each call."""

    make: Callable[[Any], Any]


def go(status: int, to: str, **query: str) -> str:
    """Return the path that redirects to `to`."""
    rest = "".join(f"&{name}={quote(value, safe='')}" for name, value in query.items())
    return f"{{base}}/go/{status}?to={to}{rest}"


def redirects() -> Iterator[Exchange]:
    """Each status with each method to each kind of target, followed or not."""
    for status, method, target, follow in itertools.product(
        STATUSES, METHODS, TARGETS, (True, False)
    ):
        has_body = method in ("POST", "PUT")
        yield Exchange(
            f"{status} {method} {target} {'followed' if follow else 'not followed'}",
            go(status, TARGETS[target]),
            method=method,
            follow=follow,
            request={
                "headers": {"authorization": "Bearer secret", "cookie": "own=1", "x-other": "y"},
                **({"content": b"the body"} if has_body else {}),
            },
        )


def plain_redirects() -> Iterator[Exchange]:
    """The same of nothing but a URL, which a fetcher takes as text."""
    for status, target in itertools.product(STATUSES, TARGETS):
        yield Exchange(f"{status} {target}", go(status, TARGETS[target]))


def chains() -> Iterator[Exchange]:
    """Loops, limits, and redirects that lead nowhere."""
    yield Exchange("loop", "{base}/loop")
    for limit in (0, 1, 2, 5):
        yield Exchange(f"loop, at most {limit}", "{base}/loop", client={"max_redirects": limit})
    nested = quote("/go/302?to=/echo", safe="")
    yield Exchange("two hops", go(301, nested))
    yield Exchange("two hops, one allowed", go(301, nested), client={"max_redirects": 1})
    yield Exchange("no location", "{base}/go/302")
    yield Exchange("empty location", go(302, ""))
    yield Exchange("location with fragment kept", go(302, "/echo") + "#mine")
    yield Exchange("location with a space", go(302, quote("/echo?a=b c")))
    yield Exchange(
        "location with umlaut",
        go(302, quote("/echo?ü", safe="/?")),
        differs="its bytes go on as they are, whatever httpx takes them for",
        ours="200",
        ignore=(
            ".response.url",
            ".response.request.url",
            ".response.headers",
            ".response.content",
            ".response.text",
            ".response.downloaded",
            ".arrivals[1].line",
        ),
    )
    yield Exchange("redirect with a gzip body", go(302, "/echo", gzip="1"))
    yield Exchange(
        "redirect with a large body",
        go(302, "/echo", size="70000"),
        differs="its connection is worth less than its body, which is not read",
        ours="200",
        ignore=(
            ".response.history[0].content",
            ".response.history[0].text",
            ".response.history[0].downloaded",
            ".response.history[0].flags",
        ),
    )
    for secure in ("https://name.test/b", "https://name.test:444/b", "https://other.test/b"):
        yield Exchange(
            f"upgrade to {secure}",
            "http://name.test/a",
            request={"headers": {"authorization": "Bearer secret"}},
            client={"transport": LATE(_redirecting_to(secure))},
        )
    yield Exchange("redirect to an error", go(302, "/status/500"))
    yield Exchange("redirect to a refusing host", go(302, "{dead}/"))
    credentials = "{scheme}" + quote("://u:p@", safe="")
    yield Exchange("redirect with credentials", go(302, f"{credentials}{{authority}}/basic"))
    for name, location in {
        "bad port": "http://127.0.0.1:x/",
        "bad address": "http://[::1",
        "control character": "/a\x01b",
    }.items():
        for follow in (True, False):
            yield Exchange(
                f"location with {name}, {'followed' if follow else 'not followed'}",
                go(302, quote(location)),
                follow=follow,
                ours="redirect" if follow else None,
                # No field value may hold one (RFC 9110, section 5.5).
                engine="protocol" if name == "control character" else None,
            )
    for name, location in {
        "ftp": "ftp://127.0.0.1/",
        "data": "data:,x",
        "javascript": "js:x",
    }.items():
        yield Exchange(
            f"redirect to {name}",
            go(302, quote(location, safe="")),
            differs="refused before the transport sees it, in words of our own",
            ours="redirect",
            ignore=(".error.text",),
        )
    yield Exchange(
        "redirect to port 99999",
        go(302, quote("http://127.0.0.1:99999/", safe="")),
        differs="no such port: asyncio raises an OverflowError out of the client",
        ours="redirect",
        ignore=(".error", ".type"),
    )
    yield Exchange(
        "redirect to a port of other digits",
        go(302, quote("http://127.0.0.1:\uff18\uff10/", safe="")),
        differs="`int` reads digits of every script",
        ours="redirect",
        ignore=(".error", ".type"),
    )
    yield Exchange(
        "Proxy-Authorization across origins",
        go(302, "{other}/echo"),
        request={"headers": {"proxy-authorization": "Basic c2VjcmV0"}},
        differs="httpx hands it to the other origin",
        ours="200",
        ignore=(
            ".response.request.headers",
            ".response.content",
            ".response.text",
            ".response.headers",
            ".response.downloaded",
            ".arrivals[1].headers",
        ),
    )
    yield Exchange(
        "Proxy-Authorization within the origin",
        go(302, "/echo"),
        request={"headers": {"proxy-authorization": "Basic c2VjcmV0"}},
    )
    for method, target in itertools.product(("GET", "POST"), ("/echo", "{other}/echo")):
        yield Exchange(
            f"{method} with a Host of its own, redirected to {target}",
            go(307, target),
            method=method,
            request={"headers": {"host": "own.test"}},
        )


def cookies() -> Iterator[Exchange]:
    """Cookies of the client, of the request, of the server, and of redirects."""
    yield Exchange("set one", "{base}/cookie?set=a%3D1", times=2)
    yield Exchange("set with path", "{base}/cookie?set=a%3D1;path%3D/echo&set=b%3D2", times=2)
    yield Exchange(
        "delete", "{base}/cookie?set=own%3D;max-age%3D0", client={"cookies": {"own": "1"}}
    )
    yield Exchange("foreign domain", "{base}/cookie?set=a%3D1;domain%3Dexample.org", times=2)
    yield Exchange("client's", "{base}/echo", client={"cookies": {"a": "1"}})
    yield Exchange("request's", "{base}/echo", request={"cookies": {"a": "1"}})
    yield Exchange(
        "both", "{base}/echo", client={"cookies": {"a": "1"}}, request={"cookies": {"b": "2"}}
    )
    yield Exchange(
        "header",
        "{base}/echo",
        client={"cookies": {"a": "1"}},
        request={"headers": {"cookie": "h=1"}},
    )
    for follow in (True, False):
        yield Exchange(
            f"on the redirect, {follow}", go(302, "/echo", cookie="a=1"), follow=follow, times=2
        )
    yield Exchange("on the redirect to another origin", go(302, "{other}/echo", cookie="a=1"))
    yield Exchange("request's across a redirect", go(302, "/echo"), request={"cookies": {"a": "1"}})
    yield Exchange(
        "on the redirect of a request with a Host of its own",
        go(302, "/echo", cookie="a=1"),
        request={"headers": {"host": "own.test"}},
    )
    yield Exchange("on a failure", go(500, "/echo", cookie="a=1"), times=2)


def auth() -> Iterator[Exchange]:
    """Basic, digest, callables and userinfo."""
    pair = ("user", "pass")
    digest = LATE(lambda library: library.DigestAuth(*pair))
    yield Exchange("basic of the client", "{base}/basic", client={"auth": pair})
    yield Exchange("basic of the request", "{base}/basic", request={"auth": pair})
    yield Exchange("switched off", "{base}/basic", client={"auth": pair}, request={"auth": None})
    yield Exchange(
        "request's over the client's",
        "{base}/echo",
        client={"auth": pair},
        request={"auth": ("x", "y")},
    )
    yield Exchange("callable", "{base}/echo", request={"auth": LATE(lambda _: _with_token)})
    yield Exchange("userinfo", "{scheme}://user:pass@{authority}/basic")
    yield Exchange(
        "userinfo against the client's", "{scheme}://a:b@{authority}/echo", client={"auth": pair}
    )
    yield Exchange(
        "userinfo with auth None",
        "{scheme}://a:b@{authority}/echo",
        client={"auth": pair},
        request={"auth": None},
    )
    yield Exchange("userinfo, redirected", "{scheme}://user:pass@{authority}/go/302?to=/basic")
    yield Exchange(
        "basic, redirected to another origin", go(302, "{other}/basic"), client={"auth": pair}
    )
    yield Exchange("digest", "{base}/digest", client={"auth": digest}, times=2)
    yield Exchange("digest of the request", "{base}/digest", request={"auth": digest})
    yield Exchange(
        "digest with a cookie", "{base}/digest?cookie=1", client={"auth": digest}, times=2
    )
    yield Exchange(
        "digest of a post",
        "{base}/digest",
        method="POST",
        request={"content": b"x"},
        client={"auth": digest},
    )
    yield Exchange("digest after a redirect", go(302, "/digest"), client={"auth": digest})
    yield Exchange(
        "digest after a redirect, not followed",
        go(302, "/digest"),
        client={"auth": digest},
        follow=False,
    )
    yield Exchange(
        "digest, one redirect allowed",
        go(302, "/digest"),
        client={"auth": digest, "max_redirects": 1},
    )
    yield Exchange(
        "digest, no redirect allowed", "{base}/digest", client={"auth": digest, "max_redirects": 0}
    )
    yield Exchange(
        "digest with wrong name",
        "{base}/digest",
        client={"auth": LATE(lambda m: m.DigestAuth("x", "y"))},
    )
    yield Exchange("flow of several steps", "{base}/echo", client={"auth": LATE(_stepwise)})
    yield Exchange(
        "flow that reads bodies",
        "{base}/echo",
        method="POST",
        client={"auth": LATE(_reading)},
        request={"content": LATE(lambda _: _chunks())},
    )


def settings() -> Iterator[Exchange]:
    """What client and request settings merge to."""
    yield Exchange("base_url", "/echo", client={"base_url": "{base}/go/../"})
    yield Exchange("base_url with path", "echo", client={"base_url": "{base}/"})
    yield Exchange("base_url, absolute", "{other}/echo", client={"base_url": "{base}/a/"})
    yield Exchange(
        "params of both",
        "{base}/echo",
        client={"params": {"a": "1"}},
        request={"params": {"b": ["2", "3"]}},
    )
    # The query of a URL, which httpx drops for them, stays: tests/behaviour/lanes/test_urls.py.
    yield Exchange(
        "params without values",
        "{base}/echo",
        client={"params": {"a": "1", "b": "2"}},
        request={"params": {"a": []}},
    )
    yield Exchange("params", "{base}/echo", request={"params": {"b": "ü &"}})
    yield Exchange("empty params", "{base}/echo", request={"params": {}})
    yield Exchange(
        "headers of both",
        "{base}/echo",
        client={"headers": {"x-a": "1", "user-agent": "me"}},
        request={"headers": {"X-A": "2"}},
    )
    yield Exchange(
        "headers as pairs",
        "{base}/echo",
        request={"headers": [("x-a", "1"), ("x-a", "2"), ("X-b", "ü")]},
    )
    yield Exchange(
        "no accept", "{base}/echo", request={"headers": {"accept": "", "host": "example.org"}}
    )
    yield Exchange(
        "extensions", "{base}/echo", request={"extensions": {"sni_hostname": "x", "mine": 1}}
    )
    yield Exchange(
        "target extension", "{base}/echo", request={"extensions": {"target": b"/echo?raw=1"}}
    )
    yield Exchange(
        "default encoding", "{base}/answer/no-charset", client={"default_encoding": "latin-1"}
    )
    for url in (
        "{base}",
        "{base}/echo?",
        "{base}/echo?a=b&a=c#f",
        "{base}/%7Euser/ü?ü=1",
        "{base}/a b",
    ):
        yield Exchange(f"URL {url}", url)


def hooks() -> Iterator[Exchange]:
    """What event hooks see, and what becomes of what they do."""
    yield Exchange("hooks", go(302, "/echo"), client={"event_hooks": LATE(_hooks)})
    for name, path in {
        "plain": "{base}/echo",
        "gzip": "{base}/answer/gzip",
        "chunked": "{base}/answer/chunked",
        "empty": "{base}/answer/no-content",
        "redirect": go(302, "/echo", cookie="a=1"),
        "odd redirect": go(302, quote("http://127.0.0.1:x/", safe="")),
        "cookie": "{base}/cookie?set=a%3D1",
        "error": "{base}/status/404",
    }.items():
        for hook, client in {"seeing": _seeing_hooks, "reading": _reading_and_seeing}.items():
            for follow in (True, False):
                yield Exchange(
                    f"{hook} hooks, {name}, {'followed' if follow else 'not followed'}",
                    path,
                    follow=follow,
                    client={"event_hooks": LATE(client)},
                    times=2 if name == "cookie" else 1,
                )
    for change in ("url", "method", "field", "host", "close", "extension", "nothing"):
        yield Exchange(
            f"hook that changes the {change}",
            "{base}/echo?a=b",
            client={"event_hooks": LATE(_changing(change))},
        )
    yield Exchange(
        "hook that changes a redirected request",
        go(307, "/echo"),
        method="POST",
        request={"json": {"a": 1}},
        client={"event_hooks": LATE(_changing("field"))},
    )
    yield Exchange(
        "hook that changes the status",
        go(302, "/echo"),
        client={"event_hooks": LATE(_hiding_hook)},
        httpx_http2="has no phrase but that of the status of the moment",
    )
    for moment in ("request", "response"):
        yield Exchange(
            f"hook that raises at the {moment}",
            "{base}/echo",
            client={"event_hooks": LATE(_failing_at(moment))},
            ignore=(".error.text",),
        )
    yield Exchange(
        "hook that closes",
        "{base}/answer/chunked",
        client={"event_hooks": LATE(_closing_hook)},
    )
    yield Exchange(
        "hook that reads", "{base}/answer/gzip", client={"event_hooks": LATE(_reading_hook)}
    )
    for name, kind in {
        "cut-body": "truncated",
        "cut-chunk": "truncated",
        "gzip-corrupt": "decode",
    }.items():
        yield Exchange(
            f"hook that reads {name}",
            f"{{base}}/answer/{name}",
            client={"event_hooks": LATE(_reading_hook)},
            ours=kind,
            httpx_http2="says no more than that the server has disconnected"
            if kind == "truncated"
            else None,
        )
    for name, path in {"body": "{base}/answer/chunked", "redirect": go(302, "/echo")}.items():
        yield Exchange(
            f"hook that takes the pieces of a {name}",
            path,
            client={"event_hooks": LATE(_iterating_hook)},
            ours="callback",
        )
    yield Exchange(
        "hook that refuses", "{base}/status/503", client={"event_hooks": LATE(_raising_hook)}
    )


_TAKEN: dict[str, Any] = {
    "differs": "httpx takes iterables that are not async for its sync clients only",
    "ignore": (".response", ".error", ".type", ".arrivals"),
}
_CONSUMED: dict[str, Any] = {
    "differs": "the redirect that asked for the body again comes with the failure",
    "ignore": (".response", ".error", ".type"),
}

_WITHOUT_TYPE: dict[str, Any] = {
    "differs": "httpx keeps the type of a body that it does not send again",
    "ours": "200",
    "ignore": (
        ".response.request.headers",
        ".response.content",
        ".response.text",
        ".response.headers",
        ".response.downloaded",
        ".arrivals[1].headers",
    ),
}


def bodies() -> Iterator[Exchange]:
    """Each kind of body with each method."""
    kinds: dict[str, dict[str, Any]] = {
        "none": {},
        "bytes": {"content": b"\x00\xff"},
        "text": {"content": "ü"},
        "empty": {"content": b""},
        "form": {"data": {"a": "1", "b": ["2", "3"], "c": "ü &"}},
        "json": {"json": {"a": [1, None, "ü"]}},
        "null": {"json": 0},
        "files": {
            "files": {"f": ("name.txt", b"content", "text/plain")},
            "data": {"a": "1"},
            "headers": {"content-type": "multipart/form-data; boundary=b0"},
        },
        "stream": {"content": LATE(lambda _: _chunks())},
        "stream with length": {
            "content": LATE(lambda _: _chunks()),
            "headers": {"content-length": "6"},
        },
        "sync stream": {"content": LATE(lambda _: iter([b"a"]))},
    }
    for method, kind in itertools.product(
        ("GET", "POST", "PUT", "PATCH", "DELETE", "QUERY"), kinds
    ):
        yield Exchange(
            f"{method} {kind}",
            "{base}/echo",
            method=method,
            request=kinds[kind],
            **(_TAKEN if kind == "sync stream" else {}),
        )
    for status in (301, 303, 307, 308):
        for kind in ("form", "files", "stream"):
            is_kept = status in (307, 308)
            is_typed = kind != "stream" and not is_kept
            deliberate = _WITHOUT_TYPE if is_typed else {}
            if kind == "stream" and is_kept:
                deliberate = _CONSUMED
            yield Exchange(
                f"{kind} over {status}",
                go(status, "/echo"),
                method="POST",
                request=kinds[kind],
                **deliberate,
            )


def encodings() -> Iterator[Exchange]:
    """Every answer of the server's list, by GET and by HEAD."""
    for name in ANSWERS:
        yield Exchange(
            f"GET {name}",
            f"{{base}}/answer/{name}",
            only_http11=name in _ONLY_HTTP11,
            **_DELIBERATE.get(name, {}),
        )
        yield Exchange(
            f"HEAD {name}",
            f"{{base}}/answer/{name}",
            method="HEAD",
            engine=_DELIBERATE.get(name, {}).get("engine"),
            only_http11=name in _ONLY_HTTP11 | _WITH_BODY,
        )
    for status in (400, 404, 418, 429, 500, 503, 599, 600, 999):
        phrase = "has a phrase of its own" if status == 418 else None
        yield Exchange(f"status {status}", f"{{base}}/status/{status}", httpx_http2=phrase)


def errors() -> Iterator[Exchange]:
    """What cannot be sent, or gets no answer."""
    yield Exchange("refused", "{dead}/")
    yield Exchange("no TLS there", "https://{without_tls}/")
    yield Exchange("untrusted certificate", "{tls}/echo", client={"verify": True})
    for url in (
        "",
        "/echo",
        "example.org",
        "ftp://127.0.0.1/",
        "http://",
        "http:///x",
        "mailto:a@b",
    ):
        yield Exchange(
            f"URL {url!r}",
            url,
            differs="refused before anything is sent, in words of our own",
            ours="invalid_request",
            ignore=(".error", ".type"),
        )
    yield Exchange(
        "URL with a blank in the host",
        "http://a b/",
        differs="no host has such a name, and no resolver is asked for it",
        ours="invalid_request",
        ignore=(".error", ".type"),
    )
    for url in ("http://[::1/", "http://127.0.0.1:x/", "http://x/\x00y", "http://" + "a" * 70_000):
        yield Exchange(f"URL {url[:20]!r}", url)
    for name, value in {"x-a": "b\r\nc: d", "bad name": "v", "x-b": "v\x00", "x-c": " v"}.items():
        yield Exchange(
            f"header {name!r}",
            "{base}/echo",
            request={"headers": {name: value}},
            differs="refused before a connection is made, and without the value",
            ours="invalid_request",
            ignore=(".error.text",),
            httpx_http2="strips blanks, and drops the connection after the rest",
        )
    yield Exchange(
        "method with a blank",
        "{base}/echo",
        method="GE T",
        differs="in words of our own",
        ours="invalid_request",
        ignore=(".error.text",),
        httpx_http2="sends it",
    )
    yield Exchange(
        "content-length too small",
        "{base}/echo",
        method="POST",
        request={"content": b"abc", "headers": {"content-length": "1"}},
        # h11's own error gets past the client's exceptions; the engine's does not.
        engine="invalid_request",
    )


# What is wrong with them is about lines or chunks, which HTTP/2 has not.
_ONLY_HTTP11 = {"garbage", "bad-chunk", "bad-version", "two-lengths", "bad-header", "cut-head"}
# They have a body, whatever the method is.
_WITH_BODY = {"http-1.0", "early-hints", "trailers"}
_SAME_TYPE = {"ignore": (".error.text",), "ours": "decode"}
_DELIBERATE: dict[str, dict[str, Any]] = {
    "gzip-members": {
        "differs": "httpx gives the first member for the whole body",
        "ours": "200",
        "ignore": (".response.content", ".response.text"),
    },
    "x-gzip": {
        "differs": "the old name of gzip (RFC 9110, section 8.4.1.3), which httpx does not know",
        "ours": "200",
        "ignore": (".response.content", ".response.text"),
    },
    "reset-body": {
        "differs": "a body that breaks off is a TruncatedBody, however it breaks off",
        "ours": "truncated",
        "ignore": (".error.text", ".type"),
    },
    "gzip-cut": {
        "differs": "httpx takes a cut stream for a whole one",
        "ours": "truncated",
        "ignore": (".response", ".error", ".type"),
    },
    "gzip-trailing": {
        "differs": "httpx drops what follows the first member",
        "ours": "decode",
        "ignore": (".response", ".error", ".type"),
    },
    # RFC 9112, section 2.3: the major version says what the message means.
    "bad-version": {"engine": "protocol"},
    "gzip-corrupt": {"differs": "the decoder's own words", **_SAME_TYPE},
    "gzip-not": {"differs": "the decoder's own words", **_SAME_TYPE},
}


def _redirecting_to(url: str) -> Callable[[Any], Any]:
    """Return what makes a transport for the default ports, which a test may not listen on."""

    def make(library: Any) -> Any:
        def answer(request: Any) -> Any:
            if request.url.path == "/a":
                return library.Response(302, headers={"location": url})
            return library.Response(200, json=request.headers.multi_items())

        return library.MockTransport(answer)

    return make


async def _chunks() -> AsyncIterator[bytes]:
    yield b"abc"
    yield b"def"


def _with_token(request: Any) -> Any:
    request.headers["x-token"] = "t"
    return request


def _stepwise(library: Any) -> Any:
    class Stepwise(library.Auth):  # type: ignore[misc]
        requires_response_body = True

        def auth_flow(self, request: Any) -> Any:
            response = yield request
            request.headers["x-seen"] = str(len(response.content))
            response = yield request
            request.headers["x-seen"] += f" {len(response.content)}"
            yield request

    return Stepwise()


def _reading(library: Any) -> Any:
    class Reading(library.Auth):  # type: ignore[misc]
        requires_request_body = True

        def auth_flow(self, request: Any) -> Any:
            request.headers["x-signed"] = request.content.decode()
            yield request

    return Reading()


def _hooks(_: Any) -> Any:
    async def sign(request: Any) -> None:
        request.headers["x-signature"] = request.url.path

    async def mark(response: Any) -> None:
        response.headers["x-hook"] = str(response.status_code)

    return {"request": [sign], "response": [mark]}


def _seeing(response: Any) -> Any:
    """Return all that a hook can see of a response."""
    with contextlib.suppress(RuntimeError):
        return response.elapsed.days  # none, before it has been read
    return (
        response.status_code,
        response.is_closed,
        response.is_stream_consumed,
        response.num_bytes_downloaded,
        response.has_redirect_location,
        response.next_request is None,
        response.history,
        response.headers.get("content-encoding"),
        dict(response.cookies),
        response.request.method,
        response.request.headers.multi_items(),
        extensions_of(response),
        response.default_encoding,
    )


def _seeing_hooks(_: Any) -> Any:
    async def sign(request: Any) -> None:
        request.headers["x-seen"] = f"{request.method} {request.headers.multi_items()}"

    async def see(response: Any) -> None:
        response.headers["x-seen"] = str(_seeing(response))

    async def see_again(response: Any) -> None:
        response.headers["x-seen"] += str(_seeing(response))

    return {"request": [sign], "response": [see, see_again]}


def _reading_and_seeing(_: Any) -> Any:
    async def read(response: Any) -> None:
        response.headers["x-seen"] = str(_seeing(response))
        content = await response.aread()
        response.headers["x-seen"] += f"{_seeing(response)} {len(content)}"

    return {"response": [read]}


def _changing(what: str) -> Callable[[Any], Any]:
    def make(_: Any) -> Any:
        async def change(request: Any) -> None:
            if what == "url":
                request.url = request.url.copy_with(query=b"other=1")
            elif what == "method":
                request.method = "OPTIONS"
            elif what == "field":
                request.headers["x-changed"] = "1"
            elif what == "host":
                request.headers["host"] = "other.test"
                del request.headers["user-agent"]
            elif what == "close":
                request.headers["connection"] = "close"
            elif what == "extension":
                request.extensions["mine"] = 1

        return {"request": [change]}

    return make


def _hiding_hook(_: Any) -> Any:
    async def hide(response: Any) -> None:
        response.status_code = 299

    return {"response": [hide]}


def _failing_at(moment: str) -> Callable[[Any], Any]:
    def make(_: Any) -> Any:
        async def fail(_: Any) -> None:
            raise ZeroDivisionError(moment)

        return {moment: [fail]}

    return make


def _closing_hook(_: Any) -> Any:
    async def close(response: Any) -> None:
        await response.aclose()

    return {"response": [close]}


def _reading_hook(_: Any) -> Any:
    async def read(response: Any) -> None:
        await response.aread()

    return {"response": [read]}


def _iterating_hook(_: Any) -> Any:
    async def iterate(response: Any) -> None:
        async for _ in response.aiter_bytes():
            pass

    return {"response": [iterate]}


def _raising_hook(_: Any) -> Any:
    async def refuse(response: Any) -> None:
        response.raise_for_status()

    return {"response": [refuse]}


TABLE = {
    # Every pair of a status, a method, a target and a way to follow is in some of these.
    "redirects": tuple(redirects())[::7],
    "all redirects": tuple(redirects()),
    "plain redirects": tuple(plain_redirects()),
    "chains": tuple(chains()),
    "cookies": tuple(cookies()),
    "auth": tuple(auth()),
    "settings": tuple(settings()),
    "hooks": tuple(hooks()),
    "bodies": tuple(bodies()),
    "encodings": tuple(encodings()),
    "errors": tuple(errors()),
}
"""The exchanges by group, each a test of its own."""

GROUPS = [
    pytest.param(group, marks=[pytest.mark.slow] if group == "all redirects" else [])
    for group in TABLE
]
"""The groups as parameters of a test."""
