"""The hosts of the chaos run, and what they remember of each request."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import attrs

from asyncbatch.testing import Behaviour, LoopbackServer, RecordedRequest
from tests.behaviour.faults.answers import REFUSALS, ScriptedAnswer, choose
from tests.behaviour.faults.proxy import FaultProxy, Flow, Link, Opening, Stop
from tests.unit.lanes.conftest import AUTHORITY

STEADY, RESTARTING = range(1, 13), range(13, 16)
TICK = 0.01
"""Seconds between two looks at whether the event loop is stalled."""
ANY_WAY_OUT = frozenset({"connect", "tls", "timeout", "protocol", "truncated", "host_down"})


@attrs.frozen
class Place:
    """Hosts of one sort: how requests to them may end that no answer explains."""

    name: str
    weight: int
    urls: Callable[[str], list[str]]
    """Takes a path."""
    unexplained: frozenset[str] = frozenset()
    answers: bool = True
    """Whether a request may arrive at all."""


@attrs.define
class Memory:
    """What servers have done to each request, by its name."""

    served: defaultdict[str, list[ScriptedAnswer]] = attrs.field(factory=lambda: defaultdict(list))
    posts: Counter[str] = attrs.field(factory=Counter)
    """How often each request arrived as a POST: a redirect makes a GET of it."""
    refused: Counter[str] = attrs.field(factory=Counter)
    """How often such a one was answered that nothing had been done: it may come again."""
    bodies: list[str] = attrs.field(factory=list)
    """What was wrong with bodies that arrived."""
    counts: Counter[str] = attrs.field(factory=Counter)

    def forget(self) -> None:
        """Forget the requests, but not what went wrong or how much there was."""
        self.served.clear()
        self.posts.clear()
        self.refused.clear()

    def note(self, request: RecordedRequest, name: str, scripted: ScriptedAnswer) -> int:
        """Remember an arrival, and return which one of the request it is."""
        served = self.served[name]
        served.append(scripted)
        self.counts[scripted.name] += 1
        self.posts[name] += request.method == "POST"
        self.refused[name] += request.method == "POST" and scripted.name in REFUSALS
        if request.body != (name.encode() if request.method == "POST" else b""):
            self.bodies.append(f"{request.method} {request.target}: {request.body!r}")
        return len(served)


class World:
    """Servers, proxies and names that fail in every way at once, driven by one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.memory = Memory()
        self.dice = random.Random(seed)
        self.places: list[Place] = []
        self.worst_stall = 0.0
        """The longest time for which the event loop did not run: the machine has others too."""
        self._plain = LoopbackServer(hosts=15, default=self._answer, record=1)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
        self._tls = LoopbackServer(hosts=3, default=self._answer, ssl_context=context, record=1)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[World]:
        """Run the servers, and what goes wrong with them by itself."""
        async with (
            self._plain,
            self._tls,
            FaultProxy(self._plain.port, seed=self.seed) as dying,
            FaultProxy(self._tls.port, seed=self.seed) as shaky,
            anyio.create_task_group() as tasks,
        ):
            self.places = self._places(dying, shaky)
            tasks.start_soon(self._watch)
            tasks.start_soon(self._restart)
            tasks.start_soon(self._die, dying)
            tasks.start_soon(self._shake, shaky)
            try:
                yield self
            finally:
                tasks.cancel_scope.cancel()

    def _answer(self, request: RecordedRequest) -> Behaviour:
        name = request.path.rpartition("/")[2]
        arrival = len(self.memory.served[name]) + 1
        scripted = choose(self.seed, request.path, name, arrival)
        return scripted.make(name, self.memory.note(request, name, scripted))

    def _places(self, dying: FaultProxy, shaky: FaultProxy) -> list[Place]:
        plain, tls = self._plain, self._tls

        def named(*names: str) -> Callable[[str], list[str]]:
            return lambda path: [f"http://{name}:{plain.port}{path}" for name in names]

        def only(*kinds: str) -> frozenset[str]:
            return frozenset({*kinds, "host_down"})

        return [
            Place("steady", 60, lambda path: [plain.url(path, host=n) for n in STEADY]),
            Place(
                "restarting",
                8,
                lambda path: [plain.url(path, host=n) for n in RESTARTING],
                frozenset({"protocol", "truncated", "connect"}),
            ),
            Place("dying", 5, lambda path: [dying.url(path)], ANY_WAY_OUT - {"tls"}),
            Place("tls", 8, lambda path: [tls.url(path, host=n) for n in (1, 2)]),
            Place("shaky", 4, lambda path: [shaky.url(path, scheme="https")], ANY_WAY_OUT),
            Place("another's", 1, lambda path: [tls.url(path, host=3)], only("tls"), False),
            Place("dead", 2, lambda path: [plain.dead_url(path)], only("connect"), False),
            Place("silent", 1, lambda path: [plain.silent_url(path)], only("timeout"), False),
            Place("unknown", 2, named("nowhere.test", "never.test"), only("dns"), False),
            Place("unsure", 2, named("again.test"), only("dns"), False),
            Place("unhurried", 1, named("slow.test"), only("timeout")),
            Place("known", 3, named("one.test", "many.test")),
            Place(
                "invalid",
                2,
                lambda path: [f"ftp://127.0.0.1{path}", f"http://[::1{path}", f"http://{path}"],
                frozenset({"invalid_request"}),
                False,
            ),
        ]

    async def _watch(self) -> None:
        while True:
            begun = anyio.current_time()
            await anyio.sleep(TICK)
            self.worst_stall = max(self.worst_stall, anyio.current_time() - begun - TICK)

    async def _restart(self) -> None:
        while True:
            await anyio.sleep(self.dice.uniform(0.02, 0.1))
            host = self.dice.choice(RESTARTING)
            self._plain.drop_connections(host, reset=self.dice.random() < 0.5)

    async def _die(self, proxy: FaultProxy) -> None:
        while True:
            await anyio.sleep(self.dice.uniform(0.05, 0.2))
            if self.dice.random() < 0.5:
                await proxy.refuse()
                proxy.drop()
                await anyio.sleep(self.dice.uniform(0.05, 0.2))
                proxy.listen()
            else:
                proxy.freeze()

    async def _shake(self, proxy: FaultProxy) -> None:
        while True:
            await anyio.sleep(self.dice.uniform(0.01, 0.05))
            stop, after = self.dice.choice([*Stop]), self.dice.randrange(3000)
            proxy.link = self.dice.choice(
                [
                    Link(),
                    Link(opening=self.dice.choice([*Opening])),
                    Link(request=Flow.stopping(stop, after)),
                    Link(response=Flow.stopping(stop, after)),
                    Link(response=Flow(latency=0.01, jitter=0.02)),
                ]
            )


def resolving(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `getaddrinfo` that knows the names of the world, and answers the rest as before."""

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return original(host, port, *args, **kwargs)
        flags = args[3] if len(args) > 3 else kwargs.get("flags", 0)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        match name:
            case "one.test":
                addresses = ["127.0.0.1"]
            case "many.test":
                # Nobody listens on the port at the first ones.
                addresses = [f"127.0.99.{n}" for n in range(1, 4)] + ["127.0.0.2"]
            case "slow.test":
                time.sleep(0.4)
                addresses = ["127.0.0.1"]
            case "again.test":
                raise socket.gaierror(socket.EAI_AGAIN, "try again")
            case _:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, int(port)))
            for each in addresses
        ]

    return getaddrinfo
