"""
A request that is ready for the engine.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._http11 import RequestFields
from asyncbatch._lanes._template import Builder, Template, origin_of
from asyncbatch._timeouts import TimeLimits
from asyncbatch._transport import Origin


class Prepared:
    """
    A request as the engine takes it, and how to build it for who wants to see it.

    One object for all of it, since each that a kept result holds is one more for the garbage
    collector to look at.
    """

    __slots__ = (
        "_builder",
        "_native",
        "_url",
        "body",
        "closes",
        "follow_redirects",
        "limits",
        "method",
        "origin",
        "payload",
    )

    def __init__(
        self, origin: Origin, method: bytes, payload: bytes, limits: TimeLimits, *, closes: bool
    ) -> None:
        self.origin = origin
        self.method = method
        self.payload = payload
        self.limits = limits
        self.closes = closes
        self.body: bytes | None = None
        # What the request itself says about following redirects; None: nothing.
        self.follow_redirects: bool | None = None
        # A plain GET is built of these when somebody asks; anything else has been built already.
        self._url = ""
        self._builder: Builder | None = None
        self._native: Any = None

    @classmethod
    def plain(cls, url: str, payload: bytes, template: Template, limits: TimeLimits) -> Prepared:
        """Make one of a GET of which only the target differs from others."""
        prepared = cls(template.origin, b"GET", payload, limits, closes=template.closes)
        prepared._url = url
        prepared._builder = template.builder
        return prepared

    @classmethod
    def built(
        cls, native: Any, payload: bytes, fields: RequestFields, limits: TimeLimits
    ) -> Prepared:
        """Make one of a request that has been built."""
        method = native.method.encode("ascii")
        prepared = cls(origin_of(native.url), method, payload, limits, closes=fields.closes)
        prepared._native = native
        return prepared

    def native(self) -> Any:
        """Return the native request, built the first time that somebody asks for it."""
        if self._native is None:
            assert self._builder is not None
            self._native = self._builder.build(self._url, self.limits)
        return self._native
