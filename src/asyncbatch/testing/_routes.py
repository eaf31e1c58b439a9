"""
Choice of the behaviour for a request: routes, and the number of requests for each URL.

Pure: no sockets and no clocks.
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
    """Answer 404, with the reason as the body."""
    return Reply(404, f"no answer is scripted for {request.method} {request.path}\n")


@attrs.frozen(eq=False)
class Route:
    """The answers to matching requests, one after the other; the last one is repeated."""

    pattern: re.Pattern[str]
    answers: tuple[Answer, ...]
    host: int | None
    method: str | None

    def matches(self, request: RecordedRequest) -> bool:
        """Whether the method, host and path of the request are those of the route."""
        return (
            (self.method is None or self.method == request.method)
            and (self.host is None or self.host == request.host)
            and self.pattern.fullmatch(request.path) is not None
        )


class Routes:
    """The script of a server; routes added later take precedence."""

    def __init__(self, default: Answer | None, seed: int) -> None:
        self._seed = seed
        self._routes: list[Route] = []
        # Once something is scripted, any other path is taken for a misspelling, except for "/", the
        # path of a URL without one.
        self._welcome = Route(wildcard("*"), (WELCOME,), None, None)
        self._rest = Route(wildcard("*"), (default or unscripted,), None, None)
        self._has_default = default is not None
        # Counted only for answers that depend on it, so that a million URLs take no memory.
        self._turns: Counter[tuple[Route | None, str, int, str]] = Counter()

    def add(
        self, path: str, answers: tuple[Answer, ...], host: int | None, method: str | None
    ) -> None:
        """Put a route before the others. In `path`, `*` matches any text."""
        if not answers:
            raise ValueError(f"no answer for {path!r}: give one or more, such as Reply(200)")
        self._routes.insert(0, Route(wildcard(path), answers, host, method))

    def steps(self, request: RecordedRequest) -> Iterator[Step]:
        """Return the steps that answer `request`, and count it."""
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
        """Return a number from 0 to 1 that depends only on the seed, the URL and its count."""
        turn = self._turn(None, request)
        url = f"{request.method} {request.host} {request.target}"
        return random.Random(f"{self._seed} {turn} {url}").random()  # noqa: S311

    def _turn(self, route: Route | None, request: RecordedRequest) -> int:
        url = (route, request.method, request.host, request.target)
        self._turns[url] += 1
        return self._turns[url] - 1
