"""
Send requests with event hooks by the engine, with httpx's request and response for the hooks.

A response is passed to its hooks after its head has come, as in httpx; the body is read after them.
The client lane continues all other cases: a redirect, a body that has not arrived yet or that a
hook has read, a request of which a hook has changed more than its fields.
"""

from __future__ import annotations

import datetime
from time import monotonic
from typing import Any, Literal

from asyncbatch._engine import NEVER, EngineClosed, Exchange, ExchangeLimits, TimedOut
from asyncbatch._engine.http11 import InvalidRequest, encode_fields
from asyncbatch._lanes._make_outcome import OutcomeMaker
from asyncbatch._lanes._sender import Sender
from asyncbatch._lanes.client._attempt import Resumed
from asyncbatch._lanes.client._binding import Binding
from asyncbatch._lanes.client._hooks import PromptHooks, call_hooks, hooked_stream, seen_by_hooks
from asyncbatch._lanes.client._routes import forwarded_by
from asyncbatch._lanes.failures._attempt_state import AttemptState
from asyncbatch._lanes.failures._callers import is_callers, is_hooks, stray_cancellation
from asyncbatch._lanes.failures._of_client import callback_outcome, outcome_of
from asyncbatch._lanes.request._encoded_request import PreparedRequest
from asyncbatch._lanes.request._native import are_of, no_stream
from asyncbatch._lanes.request._origin_head import is_special
from asyncbatch._lanes.response._body import close
from asyncbatch._lanes.response._head_fields import coding_in, coding_of, fields_of_body
from asyncbatch._lanes.response._phases import PhaseTrace, course_of
from asyncbatch._lanes.response._response_builder import response_to
from asyncbatch._lanes.response._whole_body import WholeBodyDecoder
from asyncbatch._runtime._stalls import Stalls, TimedSteps, TimeLimit
from asyncbatch._values._errors import AttemptTimeout, FailureKind
from asyncbatch._values._outcome import Outcome


class HookedRequests:
    """
    Sends requests whose client has event hooks.

    Args:
        client: The client that has the hooks.
        binding: That of the client's library.
        pool: That of the client's transport.
        sender: Sends the requests, and leaves to the client lane what is not done here.
        outcomes: Makes the outcomes of exchanges that have failed.
    """

    def __init__(
        self,
        client: Any,
        binding: Binding,
        pool: Any,
        sender: Sender,
        outcomes: OutcomeMaker,
    ) -> None:
        self._client = client
        self._binding = binding
        self._pool = pool
        self._sender = sender
        self._outcomes = outcomes
        self._stalls = Stalls()
        self._under_way: set[_HookedAttempt] = set()
        self._prompt_hooks = {"request": PromptHooks(), "response": PromptHooks()}

    def take_part_in(self, stalls: Stalls) -> None:
        """Register with `stalls`, to subtract blocked time of the event loop from measurements."""
        self._stalls = stalls
        stalls.join(self._take_out)

    def _take_out(self, seconds: float, before: float) -> None:
        for attempt in self._under_way:
            attempt.take_out(seconds)

    async def exchange(
        self,
        prepared: PreparedRequest,
        limits: ExchangeLimits,
        seconds: float | None,
        decoder: WholeBodyDecoder,
        max_body: int | None,
    ) -> Outcome:
        """
        Send a request and return the outcome, within `seconds`; only cancellation is raised.

        Args:
            prepared: The request.
            limits: Those of its exchange, from `ExchangeLimitsCache.streamed`.
            seconds: The limit on the attempt.
            decoder: Decodes the body.
            max_body: Most bytes of the decoded body.
        """
        attempt = _HookedAttempt(prepared, seconds)
        self._under_way.add(attempt)
        try:
            outcome = await self._send(attempt, limits, seconds)
            self._under_way.discard(attempt)
            outcome = outcome or self._read(attempt, decoder, max_body)
            return outcome or await self._go_on(attempt, seconds)
        finally:
            self._under_way.discard(attempt)
            if attempt.exchange is not None and not attempt.exchange.is_over:
                self._sender.engine.abandon(attempt.exchange)

    async def _send(
        self, attempt: _HookedAttempt, limits: ExchangeLimits, seconds: float | None
    ) -> Outcome | None:
        """Call the hooks and send the request; return the outcome if the attempt has ended."""
        prepared, native = attempt.prepared, attempt.native
        try:
            if self._client.event_hooks["request"]:
                before = seen_by_hooks(native)
                await self._call("request", native, attempt)
                after = seen_by_hooks(native)
                if after != before and not _encode_again(prepared, native, before, after):
                    return None
            try:
                exchange = attempt.exchange = self._sender.begin(prepared, limits, attempt.ends_at)
            except (EngineClosed, RuntimeError):
                return None  # closed by its user: the client lane will report it
            await exchange.future
            if exchange.head is None:
                return self._outcomes.failed(exchange, prepared, seconds)
            self._sender.lift_deadline(exchange)
            attempt.response = self._response_of(exchange, native)
            self._outcomes.note_head(exchange, prepared)
            await self._call("response", attempt.response, attempt)
        except BaseException as error:
            if attempt.response is not None:
                await close(attempt.response)
            if isinstance(error, _HooksTimedOut):
                return self._timed_out(attempt, seconds)
            return self._outcome_of(error, attempt)
        return None

    async def _call(
        self,
        kind: Literal["request", "response"],
        argument: Any,
        attempt: _HookedAttempt,
    ) -> None:
        """
        Call hooks within the limit of the attempt.

        Raises:
            _HooksTimedOut: They have not ended within it.
        """
        hooks = self._client.event_hooks[kind]
        prompt = self._prompt_hooks[kind].found_in(hooks)
        if prompt is not None:
            # Without a scope, which costs more than all else here: 5.0 µs instead of 0.6.
            begun = monotonic()
            try:
                await call_hooks(prompt, argument)
            finally:
                self._stalls.note_step(begun, monotonic())
            if hooks == prompt:
                return
            hooks = hooks[len(prompt) :]  # one of them has added others
        # The scope must be entered before the hooks enter scopes of their own. Its timer is only
        # set if a hook waits, which most never do.
        limit = attempt.limit = TimeLimit(None)
        has_ended = False
        with limit:
            called = call_hooks(hooks, argument)
            await TimedSteps(called, self._stalls, monotonic, attempt.start_limit)
            has_ended = True
        attempt.limit = None
        if not has_ended:
            raise _HooksTimedOut

    def _response_of(self, exchange: Exchange, native: Any) -> Any:
        """Return a response with its body unread."""
        library = self._binding.library
        stream = hooked_stream(library)(self._pool, exchange)
        response = stream.response = response_to(
            native,
            exchange.head,
            exchange.connection,
            library,
            stream,
            self._client._default_encoding,
        )
        return response

    def _outcome_of(self, error: BaseException, attempt: _HookedAttempt) -> Outcome:
        """
        Return the outcome that an error of a hook makes of the attempt.

        Raises:
            BaseException: `error`, if it ends the task and not only the request.
        """
        state = AttemptState(PhaseTrace(monotonic))
        state.note_request(attempt.native)
        state.sent = state.hooked = True
        state.in_body = attempt.response is not None
        if isinstance(error, Exception):
            outcome = outcome_of(error, state, self._binding)
        else:
            stand_in = stray_cancellation(error)
            if stand_in is None or not (is_hooks(error) or is_callers(error)):
                raise error
            outcome = callback_outcome(stand_in)
        if attempt.exchange is not None:
            outcome.timing = course_of(attempt.exchange)
        outcome.url = attempt.native.url
        return outcome

    def _timed_out(self, attempt: _HookedAttempt, seconds: float | None) -> Outcome:
        exchange, native = attempt.exchange, attempt.native
        if exchange is not None:
            self._sender.engine.abandon(exchange)
            exchange.error = TimedOut("total")
            return self._outcomes.failed(exchange, attempt.prepared, seconds)
        # A hook has taken all the time, which says nothing about the server.
        error = self._binding.error(AttemptTimeout)(seconds or 0.0, request=native)
        return Outcome(kind=FailureKind.timeout, error=error, cut=True, url=native.url)

    def _read(
        self, attempt: _HookedAttempt, decoder: WholeBodyDecoder, max_body: int | None
    ) -> Outcome | None:
        """Return the outcome if the body has arrived and the client is not needed; else `None`."""
        response, exchange = attempt.response, attempt.exchange
        if response is None or response.is_stream_consumed:
            return None
        assert exchange is not None
        if response.is_closed or not exchange.is_over or exchange.error is not None:
            return None
        head = exchange.head
        assert head is not None
        # The status first: httpx's search for the field takes longer than all other checks.
        is_usual = head.status < 300 and response.status_code == head.status
        if not is_usual and response.has_redirect_location:
            return None
        raw = content = bytes(exchange.content)
        headers = response.headers
        if are_of(headers, head):
            named = coding_in(head.block)
        elif isinstance(headers, self._binding.library.Headers):
            named, _ = fields_of_body(headers.raw)
        else:
            return None
        coding = coding_of(response.status_code, named)
        if coding is not None and raw:
            decoded = decoder.decode_nowait(raw, coding)
            if decoded is None:
                return None
            content = decoded
        if max_body is not None and len(content) > max_body:
            return None
        # As `ResponseBuilder` does.
        response._content = content
        response._num_bytes_downloaded = len(raw)
        response.is_closed = response.is_stream_consumed = True
        response.stream = no_stream(self._binding.library)
        response.elapsed = datetime.timedelta(seconds=exchange.ended_at - exchange.begun_at)
        return Outcome(
            response=response,
            content=content,
            timing=course_of(exchange),
            status_code=response.status_code,
            forwarded_by=forwarded_by(exchange),
        )

    async def _go_on(self, attempt: _HookedAttempt, seconds: float | None) -> Outcome:
        """Continue the attempt on the client lane."""
        prepared, response = attempt.prepared, attempt.response
        earlier = None
        if response is not None and attempt.exchange is not None:
            earlier = course_of(attempt.exchange)
        resumed = Resumed(attempt.native, [], response, is_hooked=True)
        spent = monotonic() - attempt.began
        return await self._sender.leave_to_client(
            prepared, attempt.exchange, resumed, earlier, seconds, spent
        )


def _encode_again(
    prepared: PreparedRequest, native: Any, before: tuple[Any, ...], after: tuple[Any, ...]
) -> bool:
    """Encode the fields that hooks have changed; return `False` if the client must send it."""
    fields_at = 2  # as `seen_by_hooks` has them
    if any(a != b for at, (a, b) in enumerate(zip(before, after, strict=True)) if at != fields_at):
        return False
    try:
        fields = encode_fields(native.headers.raw)
    except InvalidRequest:
        return False  # the client will find the same mistake and report it
    if is_special(prepared.method, fields, prepared.body or b""):
        return False
    line, end, _ = prepared.payload.partition(b"\r\n")
    prepared.payload = line + end + fields.block
    prepared.closes = fields.closes
    return True


class _HooksTimedOut(Exception):
    """Hooks have taken all the time of their attempt."""


class _HookedAttempt:
    """One attempt, before the client lane continues it."""

    def __init__(self, prepared: PreparedRequest, seconds: float | None) -> None:
        self.prepared = prepared
        self.native = prepared.native()
        self.began = monotonic()
        self.ends_at = NEVER if seconds is None else self.began + seconds
        # The time limit of the hooks that are being called; None between them.
        self.limit: TimeLimit | None = None
        # The exchange is None until the request is sent, the response until its head has come.
        self.exchange: Exchange | None = None
        self.response: Any = None

    def start_limit(self) -> None:
        """Let the hooks have the time that is left."""
        if self.limit is not None and self.ends_at < NEVER:
            self.limit.start(max(0.0, self.ends_at - monotonic()))

    def take_out(self, seconds: float) -> None:
        """Take the time of a blocked loop out."""
        self.began += seconds
        self.ends_at += seconds
        if self.limit is not None:
            self.limit.extend(seconds)
