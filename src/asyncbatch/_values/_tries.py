"""
A request over its tries: the sources of its body, and the copy that one try sends.

Whether the outcome of a try allows another one is up to `Retry`, and to the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import httpx

from asyncbatch._values._body_source import BodySource
from asyncbatch._values._request import Request, is_prepared, native_of

_SLOTS = tuple(field.name for field in attrs.fields(Request))

# The body sources of requests given as an httpx or httpx2 request.
_sources: WeakKeyDictionary[Any, Sequence[BodySource]] = WeakKeyDictionary()

_sources_of: Callable[[Request], Sequence[BodySource]] = attrgetter("_sources")


def hold(request: Request, sources: Sequence[BodySource]) -> None:
    """Keep the sources of the body of `request` alive for as long as it may be sent again."""
    object.__setattr__(request, "_sources", sources)
    native = native_of(request)
    if native is not None and sources:
        _sources[native] = sources


def is_repeatable(item: object) -> bool:
    """Whether the body of `item`, a request that has been tried, can be sent again."""
    if isinstance(item, Request):
        return all(source.is_readable for source in _sources_of(item))
    if is_prepared(item):
        return all(source.is_readable for source in _sources.get(item, ()))
    return True


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """
    Return the same request with more headers, which replace headers of the same name.

    It is for one try; `take_sources` tells the given request what the try has read of its body.
    """
    made = object.__new__(Request)
    for name in _SLOTS:
        # Without `attrs.evolve`, which validates all of them again and leaves the native one out.
        object.__setattr__(made, name, getattr(request, name))
    given = native_of(request)
    if given is None:
        object.__setattr__(made, "headers", _added(request.headers, headers))
        return made
    native: Any = type(given)(given.method, given.url, headers=given.headers, stream=given.stream)
    native.extensions = dict(given.extensions)
    native.headers.update(headers)
    object.__setattr__(made, "headers", native.headers)
    object.__setattr__(made, "_native", native)
    return made


def take_sources(request: Request, tried: Request) -> None:
    """Let `request` know what a try with `tried`, made by `with_headers`, has read of its body."""
    sources = _sources_of(tried)
    if sources:
        hold(request, sources)


def _added(given: Any, headers: Mapping[str, str]) -> Any:
    if given is None:
        return dict(headers)
    if type(given) is dict and all(type(name) is str for name in given):
        replaced = {name.lower() for name in headers}
        kept = {name: value for name, value in given.items() if name.lower() not in replaced}
        return {**kept, **headers}
    # Of httpx, for clients of both libraries: both take its pairs.
    own = httpx.Headers(given)
    own.update(headers)
    return own.raw
