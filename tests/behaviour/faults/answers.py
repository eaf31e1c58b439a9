"""What a server of the chaos run may answer with, and how a request then has to end."""

from __future__ import annotations

import functools
import gzip
import random
from collections.abc import Callable

import attrs

from asyncbatch.testing import Behaviour, End, Raw, Reply

MAX_BODY = 64 * 1024
FILLER = random.Random(0).randbytes(3_000)
BOMB = gzip.compress(bytes(1_000_000))

OK = "ok"
"""How a request ends that succeeds; the other ends are kinds of failure."""


@attrs.frozen
class ScriptedAnswer:
    """An answer, and how a request ends whose last answer it was."""

    name: str
    weight: int
    ends: frozenset[str]
    make: Callable[[str, int], Behaviour]
    """Takes the request's name and which of its arrivals this is."""
    status: int = 200


def content(name: str, arrival: int) -> bytes:
    """Return the body by which an answer is known."""
    return b"%b %d " % (name.encode(), arrival) + FILLER


def _reply(change: Callable[[Reply], Behaviour], status: int = 200) -> Callable[..., Behaviour]:
    return lambda name, arrival: change(Reply(status, content(name, arrival)))


def _raw(behind: bytes, end: End) -> Callable[..., Behaviour]:
    def make(name: str, arrival: int) -> Behaviour:
        body = content(name, arrival)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        return Raw(head + body + behind, end)

    return make


def _answer(
    name: str, weight: int, ends: str, make: Callable[..., Behaviour], status: int = 200
) -> ScriptedAnswer:
    return ScriptedAnswer(name, weight, frozenset(ends.split()), make, status)


POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

ANSWERS = [
    # What succeeds
    _answer("plain", 30, OK, _reply(lambda r: r)),
    _answer("chunked", 8, OK, _reply(lambda r: attrs.evolve(r, framing="chunked", chunk=700))),
    _answer("until closed", 4, OK, _reply(lambda r: attrs.evolve(r, framing="close"))),
    _answer("closing", 4, OK, _reply(lambda r: attrs.evolve(r, close=True))),
    _answer("gzip", 6, OK, _reply(lambda r: r.gzipped())),
    _answer("gzip in members", 3, OK, _reply(lambda r: r.gzipped(members=3))),
    _answer("late", 3, OK, _reply(lambda r: r.delayed(0.02))),
    _answer("in pieces", 3, OK, _reply(lambda r: r.paced(1000, every=0.005, head=True))),
    _answer("another answer behind", 4, OK, _raw(POISON, End.KEEP)),
    _answer("an end untold", 4, OK, _raw(b"", End.CUT)),
    _answer("a reset behind", 3, OK, _raw(b"", End.RESET)),
    # What breaks
    _answer("reset", 3, "protocol", _reply(lambda r: r.reset())),
    _answer("reset in the head", 2, "protocol", _reply(lambda r: r.reset(head=20))),
    _answer("reset in the body", 2, "truncated", _reply(lambda r: r.reset(body=100))),
    _answer("cut", 3, "protocol", _reply(lambda r: r.cut())),
    _answer("cut head", 2, "protocol", _reply(lambda r: r.cut(head=20))),
    _answer("cut body", 2, "truncated", _reply(lambda r: r.cut(body=100))),
    _answer(
        "cut chunk",
        2,
        "truncated",
        _reply(lambda r: attrs.evolve(r, framing="chunked", chunk=700).cut(body=1000)),
    ),
    _answer("silence", 2, "timeout", _reply(lambda r: r.hang())),
    _answer("silence in the head", 1, "timeout", _reply(lambda r: r.hang(head=20))),
    _answer("silence in the body", 1, "timeout", _reply(lambda r: r.hang(body=100))),
    _answer("garbage", 2, "protocol", lambda *_: Raw(b"\x16\x03\x01what is this?\r\n\r\n")),
    # What does not decode
    _answer("corrupt gzip", 2, "decode truncated", _reply(lambda r: r.gzipped().corrupted())),
    _answer("cut gzip", 2, "truncated", _reply(lambda r: r.gzipped().without_tail(4))),
    _answer("too large", 1, "too_large", lambda *_: Reply(body=MAX_BODY + 1)),
    _answer("a bomb", 1, "too_large", lambda *_: Reply(200, BOMB, {"content-encoding": "gzip"})),
    # What is refused
    _answer("not found", 2, "status", _reply(lambda r: r, 404), 404),
    _answer("a fault of its own", 2, "status", _reply(lambda r: r, 500), 500),
    _answer("too many", 2, "status", _reply(lambda r: r, 429), 429),
    _answer("busy", 3, "status", _reply(lambda r: r.retry_after(0), 503), 503),
    _answer(
        "busy for hours", 1, "retry_after status", _reply(lambda r: r.retry_after(9999), 503), 503
    ),
    # What leads elsewhere
    _answer("elsewhere", 6, "", lambda name, _: Reply.redirect(f"/there/{name}")),
    _answer("a circle", 1, "redirect", lambda name, _: Reply.redirect(f"/circle/{name}")),
    _answer("nowhere", 1, "redirect", lambda *_: Reply.redirect("http://[/")),
]
"""How a request ends that was sent elsewhere is said by the answer that it gets there."""

BY_NAME = {scripted.name: scripted for scripted in ANSWERS}
REFUSALS = {"too many", "busy"}
LEADING = {"elsewhere", "a circle", "nowhere"}


@functools.cache
def _choice(leads: bool) -> tuple[list[ScriptedAnswer], list[int]]:
    scripted = [scripted for scripted in ANSWERS if leads or scripted.name not in LEADING]
    return scripted, [scripted.weight for scripted in scripted]


def choose(seed: int, path: str, name: str, arrival: int) -> ScriptedAnswer:
    """Choose the answer to an arrival, whatever else is going on."""
    if path.startswith("/circle/"):
        return BY_NAME["a circle"]
    if path.startswith("/well/"):
        return BY_NAME["plain"]
    dice = random.Random(f"{seed} {name} {arrival}")
    scripted, weights = _choice(not path.startswith("/there/"))
    return dice.choices(scripted, weights)[0]
