"""Results made by hand, for tests of what is done with results."""

from __future__ import annotations

from typing import Any

import httpx

from asyncbatch._progress import Progress
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._result import Failure, Success
from asyncbatch._values._timing import Timing


def success(index: int = 0, *, body: bytes = b"", status: int = 200, **fields: Any) -> Success:
    """Return a success of that index, its URL included."""
    url = f"http://host.test/{index}"
    response = httpx.Response(status, content=body, request=httpx.Request("GET", url))
    return Success(content=response.content, response=response, **_common(index, url, fields))


def failure(
    index: int = 0, *, kind: FailureKind = FailureKind.connect, status: int = 0, **fields: Any
) -> Failure:
    """Return a failure of that kind, or of that status if there is one."""
    url = f"http://host.test/{index}"
    request = httpx.Request("GET", url)
    if not status:
        error = fields.pop("error", None) or httpx.ConnectError("refused", request=request)
        return Failure(error=error, kind=kind, **_common(index, url, fields))
    response = httpx.Response(status, request=request)
    status_error = httpx.HTTPStatusError("failed", request=request, response=response)
    return Failure(
        error=status_error,
        kind=FailureKind.status,
        response=response,
        **_common(index, url, fields),
    )


def _common(index: int, url: str, fields: dict[str, Any]) -> dict[str, Any]:
    timing = fields.pop("timing", Timing())
    common: dict[str, Any] = {
        "index": index,
        "item": url,
        "url": httpx.URL(url),
        "elapsed": 0.0,
        "network": timing,
        "queued": timing.queued,
        "throttled": timing.throttled,
        "attempts": 1,
        "history": (),
    }
    return common | fields


def progress(*, total: int | None = 100, elapsed: float = 1.0, **counts: int) -> Progress:
    """Return a progress with these counts, and zeros elsewhere."""
    names = ("succeeded", "failed", "retries", "in_flight", "bytes")
    return Progress(total=total, elapsed=elapsed, **(dict.fromkeys(names, 0) | counts))
