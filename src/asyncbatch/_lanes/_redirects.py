"""
The hops of a redirected request on the engine, for `Relay` and `DirectLane`.

The next request is composed without httpx; `None` is returned where the client must follow the
redirect. Nothing is sent here.
"""

from __future__ import annotations

from typing import Any

from asyncbatch._engine import Exchange
from asyncbatch._engine.http11 import ResponseTooLarge
from asyncbatch._lanes._make_outcome import OutcomeMaker
from asyncbatch._lanes.client._attempt import Rules
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.request._origin_head import OriginHeads
from asyncbatch._lanes.request._redirect import redirection_of
from asyncbatch._lanes.response._phases import course_of
from asyncbatch._lanes.response._response_builder import Hop, ResponseBuilder
from asyncbatch._values._errors import FailureKind
from asyncbatch._values._outcome import Outcome
from asyncbatch._values._timing import course_of_all

_SILENT = (FailureKind.connect, FailureKind.dns, FailureKind.tls, FailureKind.timeout)


class Redirects:
    """
    Composes the requests that redirects lead to.

    Args:
        client: The client, which has the cookies.
        origin_heads: Those of the client.
        outcomes: Reads the redirects.
        rules: Those of the lane: whether redirects are followed, and how many.
    """

    def __init__(
        self, client: Any, origin_heads: OriginHeads, outcomes: OutcomeMaker, rules: Rules
    ) -> None:
        self._client = client
        self._origin_heads = origin_heads
        self._outcomes = outcomes
        self._follows = rules.follow_redirects
        self._most = rules.max_redirects

    def next_hop(
        self, exchange: Exchange, prepared: PreparedRequest, followed: int
    ) -> tuple[PreparedRequest, Hop] | None:
        """
        Return the request that a redirect leads to, and the redirect.

        Args:
            exchange: That of the redirect, for which `leads_on` is true.
            prepared: The request that was redirected.
            followed: How many redirects were followed before.

        Returns:
            `None` if the client must follow it, or if it is not followed.
        """
        wanted, head = prepared.follow_redirects, exchange.head
        assert head is not None
        follows = self._follows if wanted is None else wanted
        if not follows or followed >= self._most or exchange.error is not None:
            return None
        redirection = redirection_of(prepared, head, self._origin_heads)
        if redirection is None:
            return None
        response_builder = self._outcomes.response_builder(exchange, prepared)
        content = self._outcomes.redirect_body(exchange, response_builder, prepared.limits)
        if content is None:
            return None
        # If the client continues from here it takes the cookies again, which does no harm.
        if response_builder.sets_cookies and not self._outcomes.take_cookies(prepared, head):
            return None
        following = redirection.compose(self._client._cookies.jar)
        if following is None:
            return None
        return following, Hop(response_builder, content, course_of(exchange))


def leads_on(exchange: Exchange) -> bool:
    """
    Whether httpx would follow this redirect, or set its `next_request`.

    This is also so if its body is too long.
    """
    head = exchange.head
    if head is None or head.status < 300 or not head.is_redirect:
        return False
    return exchange.error is None or isinstance(exchange.error, ResponseTooLarge)


def add_hops(outcome: Outcome, hops: list[Hop], exchange: Exchange) -> None:
    """Turn the outcome of the last exchange into that of the whole chain of redirects."""
    outcome.timing = course_of_all([*(hop.course for hop in hops), course_of(exchange)])
    if isinstance(outcome.response, ResponseBuilder) and outcome.response.status_code >= 400:
        # The batch reads the history: a server may have acted before it redirected.
        outcome.response = outcome.response.build(None, outcome.content, outcome.timing)
    if outcome.response is not None:
        return
    if outcome.of_proxy:
        outcome.undone = False  # the hosts before have received a request
        return
    # As for a chain that the client lane follows: see `AttemptState`.
    if outcome.kind in _SILENT and not (outcome.local or outcome.permanent):
        outcome.target_silent = not exchange.first_byte_at
    outcome.connect_failed, outcome.heard = False, True
    if outcome.kind is FailureKind.invalid_request:
        outcome.kind = FailureKind.redirect
