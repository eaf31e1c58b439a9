"""
Which behaviour a request gets: routes, and the turn of each URL.

Pure: it knows neither sockets nor clocks.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator

import attrs

from ._behaviour import Answer, Behaviour, Step
from ._pattern import wildcard
from ._reply import Reply
from ._request import RecordedRequest

WELCOME = Reply(body=b"ok")


def unscripted(request: RecordedRequest) -> Reply:
    """Answer 404, and say why."""
    return Reply(404, f"no answer is scripted for {request.method} {request.path}\n")


@attrs.frozen(eq=False)
class Route:
    """The answers to the requests that match, one after the other; the last one stays."""

    pattern: re.Pattern[str]
    answers: tuple[Answer, ...]
    host: int | None
    method: str | None

    def matches(self, request: RecordedRequest) -> bool:
        """Is this a request of the route's method, host and path?"""
        return (
            (self.method is None or self.method == request.method)
            and (self.host is None or self.host == request.host)
            and self.pattern.fullmatch(request.path) is not None
        )


class Routes:
    """The script of a server: the route added last comes first."""

    def __init__(self, default: Answer | None, seed: int) -> None:
        self._seed = seed
        self._routes: list[Route] = []
        # Of a server on which something is scripted, the rest is misspelt; but for the path that a
        # URL has where none is given.
        self._welcome = Route(wildcard("*"), (WELCOME,), None, None)
        self._rest = Route(wildcard("*"), (default or unscripted,), None, None)
        self._has_default = default is not None
        # Only what depends on the turn is counted, so that a million URLs cost no memory.
        self._turns: Counter[tuple[Route | None, str, int, str]] = Counter()

    def add(
        self, path: str, answers: tuple[Answer, ...], host: int | None, method: str | None
    ) -> None:
        """Put a route in front of the others. In `path`, `*` stands for any text."""
        if not answers:
            raise ValueError(f"no behaviour for {path!r}: give one or more")
        self._routes.insert(0, Route(wildcard(path), answers, host, method))

    def steps(self, request: RecordedRequest) -> Iterator[Step]:
        """Return what to do with `request`, and move its URL on to the next turn."""
        route = self._route_of(request)
        answer = route.answers[0]
        if len(route.answers) > 1:
            turn = self._turn(route, request)
            answer = route.answers[min(turn, len(route.answers) - 1)]
        behaviour = answer if isinstance(answer, Behaviour) else answer(request)
        return behaviour.steps(request, self._draw(request) if behaviour.jitter else 0.0)

    def _route_of(self, request: RecordedRequest) -> Route:
        for route in self._routes:
            if route.matches(request):
                return route
        if self._has_default:
            return self._rest
        return self._welcome if not self._routes or request.path == "/" else self._rest

    def _draw(self, request: RecordedRequest) -> float:
        """Return a number from 0 to 1 that depends on the URL and its turn, not on the others."""
        turn = self._turn(None, request)
        url = f"{request.method} {request.host} {request.target}"
        return random.Random(f"{self._seed} {turn} {url}").random()  # noqa: S311

    def _turn(self, route: Route | None, request: RecordedRequest) -> int:
        url = (route, request.method, request.host, request.target)
        self._turns[url] += 1
        return self._turns[url] - 1
