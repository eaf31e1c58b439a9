"""
A relay: plain GETs one after the other, each begun in the callback that ends the one before.

A task costs more than anything else a small request needs: its future, the turn of the
event loop until it runs, the coroutines down to the engine. A relay leaves its task asleep
for as long as requests and responses are like any other, and wakes it for everything else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from asyncbatch._lanes._blueprint import Blueprint, PlainBlueprint
from asyncbatch._lanes._conditions import standing_reason_against
from asyncbatch._lanes._prepared import Prepared
from asyncbatch._lanes._template import Template
from asyncbatch._origin import Origin as HostKey
from asyncbatch._request import plain_url
from asyncbatch._timing import Course
from asyncbatch._transport import NEVER, EngineClosed, Exchange
from asyncbatch._urls import MAX_PLAIN_LENGTH, SIMPLE_TARGET, text_of

if TYPE_CHECKING:
    from asyncbatch._lanes._direct import DirectLane
    from asyncbatch._outcome import Outcome
    from asyncbatch._timeouts import TimeLimits

OnAnswer: TypeAlias = Callable[[Blueprint, bytes, Course, float], Any]
"""
Takes what a response is built from, its decoded body, its course and the time of its end; returns
the request to be sent next, or `None` to let the relay stop. It runs in a callback and must not
wait; it reads the caller's input, which may take any time.
"""

_INFO = logging.INFO
_log = logging.getLogger("httpx")


class Relay:
    """
    The plain GETs of one worker, one at a time.

    Args:
        lane: whose requests they are.
        limits: for each of them.
        on_answer: takes each response that needs no second look.
    """

    __slots__ = (
        "_client",
        "_decoder",
        "_error",
        "_exchange",
        "_lane",
        "_limits",
        "_max_body",
        "_on_answer",
        "_ready",
        "_ready_url",
        "_seconds",
        "_template",
        "_templates",
        "payload",
        "url",
    )

    def __init__(self, lane: DirectLane, limits: TimeLimits, on_answer: OnAnswer) -> None:
        self._lane = lane
        self._client: Any = lane.client
        self._limits = limits
        self._on_answer = on_answer
        self._seconds = NEVER if limits.total is None else limits.total
        self._decoder = lane.decoder
        self._max_body = NEVER if lane.max_body is None else lane.max_body
        # The request under way, or the one that `conclude` is to look at.
        self._exchange: Exchange | None = None
        self.url = ""
        """What that request asks for."""
        # Of that URL, or of the one that was looked at last and is ready to go.
        self._template: Template | None = None
        self.payload = b""
        """What is sent for it, or for the one that was looked at last."""
        # What was looked at last, and its URL.
        self._ready: Any = None
        self._ready_url = ""
        # Of the origins that have been asked, by anybody.
        self._templates = lane.preparer.templates
        # What `on_answer` raised.
        self._error: BaseException | None = None

    @property
    def has_exchange(self) -> bool:
        """Whether a request is under way, or has ended and is left for `conclude`."""
        return self._exchange is not None

    @property
    def begun_at(self) -> float:
        """When that request was begun, on the monotonic clock."""
        assert self._exchange is not None
        return self._exchange.begun_at

    def begin(self, item: Any) -> bool:
        """Ask for `item` and whatever `on_answer` names, unless that takes more than a relay."""
        if self._lane.reason_against or standing_reason_against(self._client):
            return False
        if self.look_at(item) is None or (template := self._template) is None:
            return False
        self.url = self._ready_url
        try:
            self._exchange = self._lane.engine.begin(
                template.origin,
                b"GET",
                self.payload,
                None,
                self._lane.terms.of(self._limits),
                monotonic() + self._seconds,
                template.closes,
                follow=self._follow,
            )
        except (EngineClosed, RuntimeError):
            return False  # closed, or used from another event loop: the lane will say it
        return True

    async def wait(self) -> None:
        """
        Wait until the relay stops; then there is a request left for `conclude`, or none.

        Raises:
            BaseException: What `on_answer` raised.
        """
        exchange = self._exchange
        assert exchange is not None
        try:
            await exchange.future
        except BaseException:
            self._lane.engine.abandon(exchange)
            self._exchange = None
            raise
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def conclude(self) -> Outcome:
        """Return the outcome of the request that the relay has stopped at."""
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        assert self._template is not None
        prepared = Prepared.plain(self.url, b"", self._template, self._limits)
        return await self._lane.conclude(
            self.url, self._limits, self._limits.total, exchange, prepared
        )

    def look_at(self, item: Any) -> HostKey | None:
        """Return the host of a request that this relay can take, with all that it takes ready."""
        url = item if type(item) is str else plain_url(item)
        if url is None:
            return None
        client, template = self._client, self._template
        jar = client._cookies.jar
        if template is None or not url.startswith(template.prefix):
            template = self._templates.get(url[: url.find("/", len("https://"))])
        # A known origin, and the same headers as then: only the target is to be read.
        if (
            template is not None
            and template.is_ours
            and SIMPLE_TARGET.fullmatch(url, template.prefix_length)
            and "/." not in url
            and client._headers._list == template.client_headers
            and client._auth is template.auth
            and not (jar._cookies and template.may_match(jar))
            and len(url) <= MAX_PLAIN_LENGTH
        ):
            target = url[template.prefix_length :].encode("ascii")
            self.payload = b"GET " + target + template.head
            self._template = template
            self._ready = item
            self._ready_url = url
            return template.key
        return self._look_closer(item, url)

    def _look_closer(self, item: Any, url: str) -> HostKey | None:
        url = text_of(url)  # the lines of a list, say, have an end each
        try:
            plain = self._lane.preparer.plain(url)
        except Exception:
            return None  # it cannot be sent; the lane will meet the same mistake, and report it
        if plain is None:
            return None
        self._template, self.payload = plain
        self._ready = item
        self._ready_url = url
        return plain[0].key

    def _follow(self, exchange: Exchange) -> Exchange | None:
        """Take a response and go on with the next request, or wake the task."""
        # Cancelled already, but not gone yet: what has come is nobody's any more.
        if exchange.future.done():
            return None
        try:
            template, connection = self._template, exchange.connection
            assert template is not None
            assert connection is not None
            # What the last response on this connection was built from mostly serves again.
            blueprint: PlainBlueprint | None = connection.blueprint
            if (
                blueprint is None
                or blueprint.head is not exchange.head
                or blueprint.builder is not template.builder
                or blueprint.limits is not self._limits
            ):
                blueprint = self._blueprint_for(exchange)
                if not connection.is_closed:
                    connection.blueprint = blueprint
            content: bytes | None = None
            if blueprint is not None and not _log.isEnabledFor(_INFO):
                content = exchange.content
                if blueprint.coding is not None:
                    content = self._decoder.decode_nowait(content, blueprint.coding)
            if content is not None and len(content) <= self._max_body:
                assert blueprint is not None
                now = exchange.ended_at
                course = (
                    exchange.begun_at,
                    exchange.send_at,
                    exchange.sent_at,
                    exchange.first_byte_at,
                    now,
                    exchange.dns,
                    exchange.connect,
                    exchange.tls,
                    len(exchange.content),
                )
                self._exchange = None
                item = self._on_answer(blueprint, content, course, now)
                if (
                    item is not None
                    and (item is self._ready or self.look_at(item) is not None)
                    and (template := self._template) is not None
                    and template.closes is exchange.closes
                    # What the lane's conditions look at, a user may change at any time.
                    and not self._lane.reason_against
                    and not standing_reason_against(self._client)
                ):
                    self._ready = None
                    self.url = self._ready_url
                    # Not the end of the last: what came between was the caller's input.
                    now = monotonic()
                    exchange.renew(template.origin, self.payload, now + self._seconds, now)
                    self._exchange = exchange
                    return exchange
        except BaseException as error:
            self._error = error
        exchange.future.set_result(None)
        return None

    def _blueprint_for(self, exchange: Exchange) -> PlainBlueprint | None:
        """Return what a response is built from, if it needs nothing but to be decoded and kept."""
        head = exchange.head
        assert head is not None
        assert self._template is not None
        if not self._lane.is_plain(head):
            return None
        return PlainBlueprint(exchange, self._template.builder, self._limits)
