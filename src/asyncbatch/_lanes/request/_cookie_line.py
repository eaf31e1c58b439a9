"""
Cache the `Cookie` field of the requests to one origin while the jar does not change.

`http.cookiejar` makes the field, as it does for httpx, which asks it for each request.
"""

from __future__ import annotations

import math
import operator
import re
from http.cookiejar import CookieJar
from time import time
from typing import Any

from asyncbatch._lanes.client._cookies import (
    AskedUrl,
    UserAgentJar,
    cookie_domains,
    has_usual_rules,
    may_match,
)

_SENDABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_MOST = 100
"""Lines kept for one origin: one for each set of cookie paths that a request path is below."""

# The attributes that decide whether and how a cookie is sent. A cookie may be changed in its jar.
_state_of = operator.attrgetter(
    "value", "expires", "secure", "path", "domain", "version", "port", "domain_specified"
)


class CookieLines:
    """
    The `Cookie` fields for one origin.

    Args:
        base: The origin, as in `http://example.org:8080`.
        host: Its host, without brackets.
    """

    __slots__ = (
        "_base",
        "_cookies",
        "_domains",
        "_expires_at",
        "_jar",
        "_lines",
        "_paths",
        "_states",
        "_version",
    )

    def __init__(self, base: str, host: str) -> None:
        self._base = base
        self._domains = cookie_domains(host)
        # The jar that the lines were made from, and its state; compared at each request.
        self._jar: CookieJar | None = None
        self._version = 0
        self._cookies: list[Any] = []
        self._states: list[Any] = []
        # When the first of the cookies expires.
        self._expires_at = math.inf
        # The paths of the cookies that are not for the whole host.
        self._paths: list[str] = []
        # The lines, by the cookie paths that the request path is below.
        self._lines: dict[tuple[str, ...], str] = {}

    def of(self, jar: CookieJar, target: str) -> str | None:
        """
        Return the `Cookie` field of a request, "" for none; `None` if httpx must make it.

        Args:
            jar: The client's current jar.
            target: The request target, in plain characters.
        """
        if type(jar) is not UserAgentJar:
            return None if may_match(jar, self._domains) else ""
        if not self._is_current(jar):
            if not has_usual_rules(jar):
                return None
            self._look(jar)
        if not self._cookies:
            return ""
        path = target.partition("?")[0]
        if not self._paths:
            below: tuple[str, ...] = ()
        elif "%" in path:  # `http.cookiejar` has its own way to compare escapes
            return self._line(jar, path)
        else:
            below = tuple([each for each in self._paths if _is_below(path, each)])
        line = self._lines.get(below)
        if line is None:
            if len(self._lines) >= _MOST:
                self._lines.clear()
            line = self._line(jar, path)
            if line is None or jar.version != self._version:
                return line
            self._lines[below] = line
        return line

    def _is_current(self, jar: UserAgentJar) -> bool:
        return (
            jar is self._jar
            and jar.version == self._version
            and (self._expires_at == math.inf or time() < self._expires_at)
            and list(map(_state_of, self._cookies)) == self._states
        )

    def _look(self, jar: UserAgentJar) -> None:
        self._jar, self._version = jar, jar.version
        self._cookies = jar.under(self._domains)
        self._states = list(map(_state_of, self._cookies))
        self._paths = list({each.path: None for each in self._cookies if each.path != "/"})
        ends = [each.expires for each in self._cookies if each.expires is not None]
        self._expires_at = min(ends, default=math.inf)
        self._lines.clear()

    def _line(self, jar: UserAgentJar, path: str) -> str | None:
        line = jar.line_for(self._domains, AskedUrl(self._base, path))
        return line if not line or _SENDABLE.fullmatch(line) else None


def _is_below(path: str, parent: str) -> bool:
    """Whether `http.cookiejar` sends cookies of one path with a request for another."""
    if not path.startswith(parent):
        return False
    return len(path) == len(parent) or parent.endswith("/") or path[len(parent)] == "/"
