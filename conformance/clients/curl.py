"""
libcurl, as pycurl brings it.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
from collections.abc import AsyncIterator
from typing import Any

from conformance._case import Request
from conformance._outcome import Outcome
from conformance._play import Blocking
from conformance._trust import Trust

# https://curl.se/libcurl/c/libcurl-errors.html, where a number says one thing only.
KINDS = {
    6: "dns",
    18: "truncated",
    28: "timeout",
    35: "tls",
    47: "redirect",
    60: "tls",
    61: "decode",
    63: "too_large",
}


class CurlClient:
    """A handle for each origin, kept as its users keep theirs: so connections are used again."""

    def __init__(self, pycurl: Any, authority: str) -> None:
        self._pycurl = pycurl
        self._authority = authority
        self._handles: dict[str, Any] = {}
        self._lock = threading.Lock()

    def fetch(self, url: str, request: Request) -> Outcome:
        """Send the request; whatever comes of it is returned."""
        pycurl = self._pycurl
        origin = url[: url.index("/", 8)]
        with self._lock:
            handle = self._handles.setdefault(origin, pycurl.Curl())
        handle.reset()
        body = io.BytesIO()
        heads: list[list[bytes]] = []
        self._set(handle, url, request)
        handle.setopt(pycurl.WRITEFUNCTION, body.write)
        handle.setopt(pycurl.HEADERFUNCTION, lambda line: _note(line, heads))
        try:
            handle.perform()
        except pycurl.error as error:
            return Outcome.failed(KINDS.get(error.args[0]), f"({error.args[0]}) {error.args[1]}")
        status = handle.getinfo(pycurl.RESPONSE_CODE)
        fields = [line.split(b":", 1) for line in heads[-1] if b":" in line] if heads else []
        return Outcome.answered(
            status,
            body.getvalue(),
            [(name.decode("latin-1"), value.strip().decode("latin-1")) for name, value in fields],
        )

    def close(self) -> None:
        """Close every connection."""
        for handle in self._handles.values():
            handle.close()

    def _set(self, handle: Any, url: str, request: Request) -> None:
        pycurl = self._pycurl
        options = {
            pycurl.URL: url.encode(),
            pycurl.NOSIGNAL: 1,
            pycurl.PROXY: "",
            pycurl.CAINFO: self._authority,
            pycurl.ACCEPT_ENCODING: "",
            pycurl.TIMEOUT_MS: int(request.timeout * 1000),
            pycurl.FOLLOWLOCATION: int(request.follow_redirects),
            pycurl.HTTPHEADER: [f"{name}: {value}".encode() for name, value in request.headers],
        }
        if request.max_redirects is not None:
            options[pycurl.MAXREDIRS] = request.max_redirects
        if request.max_body is not None:
            options[pycurl.MAXFILESIZE_LARGE] = request.max_body
        for option, value in {**options, **self._body(request)}.items():
            handle.setopt(option, value)

    def _body(self, request: Request) -> dict[int, Any]:
        pycurl = self._pycurl
        method = request.method
        if method == "HEAD":
            return {pycurl.NOBODY: 1}
        if request.streamed or (method == "PUT" and request.body is not None):
            content = io.BytesIO(request.body or b"")
            options: dict[int, Any] = {pycurl.READFUNCTION: content.read}
            if not request.streamed:
                # For a redirect that keeps the body.
                options[pycurl.SEEKFUNCTION] = lambda start, origin: (
                    content.seek(start, origin) and 0
                )
            if method == "POST":
                return {pycurl.POST: 1, **options}
            size = {} if request.streamed else {pycurl.INFILESIZE: len(request.body or b"")}
            return {pycurl.UPLOAD: 1, **size, **options}
        if request.body is not None:
            named = {} if method == "POST" else {pycurl.CUSTOMREQUEST: method}
            return {pycurl.POSTFIELDS: request.body, **named}
        if method == "POST":
            return {pycurl.POSTFIELDS: b""}
        return {} if method == "GET" else {pycurl.CUSTOMREQUEST: method}


def _note(line: bytes, heads: list[list[bytes]]) -> None:
    if line.startswith(b"HTTP/"):
        heads.append([])
    elif heads:
        heads[-1].append(line)


@contextlib.asynccontextmanager
async def curl_client(trust: Trust) -> AsyncIterator[Blocking]:
    """Open libcurl."""
    import pycurl

    with tempfile.NamedTemporaryFile(suffix=".pem") as authority:
        trust.authority.cert_pem.write_to_path(authority.name)
        client = CurlClient(pycurl, authority.name)
        version = pycurl.version_info()[1]
        blocking = Blocking(f"libcurl {version}", client.fetch)
        if "zstd" not in pycurl.version:
            blocking.lacks = frozenset({"zstd"})
        yield blocking
        client.close()
