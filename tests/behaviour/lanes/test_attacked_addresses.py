"""
`addresses`, attacked: hosts in every spelling, names that lie, and what a connect really goes to.

Nothing is resolved by the system here: numbers are read as the C library reads them, names are the
test's own, and every connect is recorded with the address that it went to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import asyncbatch
from asyncbatch import FailureKind, Fetcher, HTTPTransport, Request, Retry
from asyncbatch.testing import LoopbackServer, Reply
from tests.machines import put_where_sockets_connect

BLOCKED, INVALID, ASKED = FailureKind.blocked, FailureKind.invalid_request, FailureKind.connect

Names = dict[str, list[str]]


class Network:
    """What names are at, and which addresses were connected to."""

    def __init__(self) -> None:
        self.names: Names = {}
        self.look_ups: list[str] = []
        self.connects: list[str] = []
        self.is_real = True
        """Whether connects take place, or are refused."""

    def addresses_of(self, host: str) -> list[Any]:
        """Answer as `getaddrinfo` does, from `names` alone."""
        kind = socket.SOCK_STREAM
        try:
            return socket.getaddrinfo(host, 80, type=kind, flags=socket.AI_NUMERICHOST)
        except OSError:
            self.look_ups.append(host)
        if not self.names.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        numbers = self.names[host]
        return [
            socket.getaddrinfo(number, 80, type=kind, flags=socket.AI_NUMERICHOST)[0]
            for number in numbers
        ]

    def note(self, address: str) -> None:
        """Record a connect, and refuse it if none are to take place."""
        self.connects.append(address)
        if not self.is_real:
            raise ConnectionRefusedError("refused by the test")


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Put a network of the test's own below the engine, and below httpcore on trio."""
    network = Network()
    begin: Callable[..., bool] = asyncbatch._engine.connect._sockets.begin_connect  # type: ignore[attr-defined]

    def beginning(sock: socket.socket, sockaddr: Any) -> bool:
        network.note(sockaddr[0])
        return begin(sock, sockaddr)

    def looking_up(host: str, port: int) -> Any:
        found = network.addresses_of(host)
        return [
            asyncbatch._engine.connect._resolver.Address(family, (sockaddr[0], port, *sockaddr[2:]))  # type: ignore[attr-defined]
            for family, _, _, _, sockaddr in found
        ]

    async def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        return network.addresses_of(host)

    original = asyncbatch._engine.bridge._backend.CheckedBackend.__init__  # type: ignore[attr-defined]

    def wrap(self: Any, backend: Any, policy: Any, core: Any) -> None:
        original(self, Noting(backend, core), policy, core)

    class Noting:
        def __init__(self, backend: Any, core: Any) -> None:
            self.backend = backend
            self.core = core

        async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
            try:
                network.note(host)
            except OSError as exc:
                raise self.core.ConnectError(str(exc)) from exc
            return await self.backend.connect_tcp(host, *args, **kwargs)

    package = "asyncbatch._engine."
    put_where_sockets_connect(monkeypatch, beginning)
    monkeypatch.setattr(package + "connect._resolver.Resolver.__init__.__defaults__", (looking_up,))
    monkeypatch.setattr(package + "bridge._backend.anyio.getaddrinfo", getaddrinfo)
    monkeypatch.setattr(package + "bridge._backend.CheckedBackend.__init__", wrap)
    return network


def only(*addresses: str) -> Any:
    """Return a policy that allows these."""
    allowed = {ipaddress.ip_address(address) for address in addresses}
    return lambda address: address in allowed


SPELLINGS: dict[str, FailureKind] = {
    # Decimal, octal, hexadecimal and short, as `inet_aton` reads them.
    "127.0.0.1": BLOCKED,
    "127.1": BLOCKED,
    "127.0.1": BLOCKED,
    "127.65535": BLOCKED,
    "2130706433": BLOCKED,
    "3232235777": BLOCKED,
    "2852039166": BLOCKED,
    "4294967295": BLOCKED,
    "0": BLOCKED,
    "00": BLOCKED,
    "0x0": BLOCKED,
    "0.0": BLOCKED,
    "1": BLOCKED,
    "017700000001": BLOCKED,
    "0000000000017700000001": BLOCKED,
    "0177.1": BLOCKED,
    "0177.0.1": BLOCKED,
    "0177.0.0.0x1": BLOCKED,
    "0177.0.0.1": INVALID,
    "127.0.0.01": INVALID,
    "127.00.00.01": INVALID,
    "0x7f.1": BLOCKED,
    "0x7F.1": BLOCKED,
    "0X7F.0X1": BLOCKED,
    "0x7f000001": BLOCKED,
    "0x7f.0x0.0x0.0x1": BLOCKED,
    "0x7f.0.0.1": BLOCKED,
    "127.0.0.0x1": BLOCKED,
    "0xa9fea9fe": BLOCKED,
    "0xa9.0xfe.0xa9.0xfe": BLOCKED,
    "169.254.43518": BLOCKED,
    "169.16689662": BLOCKED,
    "10.1": BLOCKED,
    "192.168.257": BLOCKED,
    "256.0.0.1": INVALID,
    "1.2.3.256": INVALID,
    # No numbers to anybody, so names that nobody has.
    "4294967296": FailureKind.dns,
    "0x100000000": FailureKind.dns,
    "127.0.0.1.": FailureKind.dns,
    "127.0.0.1.2": FailureKind.dns,
    "0x7g.1": FailureKind.dns,
    "08.1": FailureKind.dns,
    # IPv6, with IPv4 inside and without, with zones, in upper case.
    "[::1]": BLOCKED,
    "[::]": BLOCKED,
    "[0:0:0:0:0:0:0:1]": BLOCKED,
    "[0000:0000:0000:0000:0000:0000:0000:0001]": BLOCKED,
    "[::0.0.0.1]": BLOCKED,
    "[::127.0.0.1]": BLOCKED,
    "[::ffff:127.0.0.1]": BLOCKED,
    "[::FFFF:127.0.0.1]": BLOCKED,
    "[::ffff:7f00:1]": BLOCKED,
    "[0:0:0:0:0:ffff:a9fe:a9fe]": BLOCKED,
    "[::ffff:0:127.0.0.1]": BLOCKED,
    "[64:ff9b::7f00:1]": BLOCKED,
    "[64:FF9B::169.254.169.254]": BLOCKED,
    "[64:ff9b:1::808:808]": BLOCKED,
    "[2002:7f00:1::]": BLOCKED,
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]": BLOCKED,
    "[2a00::5efe:7f00:1]": BLOCKED,
    "[fc00::1]": BLOCKED,
    "[fec0::1]": BLOCKED,
    "[fd00:ec2::254]": BLOCKED,
    "[fe80::1]": BLOCKED,
    "[fe80::1%1]": BLOCKED,
    "[FE80::1%lo]": BLOCKED,
    "[fe80::1%25lo]": BLOCKED,  # as RFC 6874 writes it
    "[::1%251]": BLOCKED,
    "[::1%1]": BLOCKED,
    "[::ffff:127.0.0.1%1]": BLOCKED,
    "[ff02::1]": BLOCKED,
    "[::ffff:0177.0.0.1]": INVALID,
    "[127.0.0.1]": INVALID,
    "[::1": INVALID,
    "[::1]a": INVALID,
    "[v1.1]": INVALID,
    # Other digits, dots and letters: read as nothing at all, or as what they stand for.
    "\uff11\uff12\uff17.0.0.1": INVALID,
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460": INVALID,
    "127\u30020\u30020\u30021": BLOCKED,
    "127\uff0e0\uff0e0\uff0e1": BLOCKED,
    "127\uff610\uff610\uff611": BLOCKED,
    "127\u00b70\u00b70\u00b71": INVALID,
    "\u0661\u0662\u0667.\u0660.\u0660.\u0661": INVALID,
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54": INVALID,
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3": INVALID,
    "127.0.0.1\u00ad": INVALID,
    "127.0.0\u200b.1": INVALID,
    # Percent-encoded, with rubbish, with user names.
    "%31%32%37.0.0.1": INVALID,
    "127%2e0%2e0%2e1": INVALID,
    "%6cocalhost": INVALID,
    "127.0.0.1%00.example": INVALID,
    "127.0.0.1%0d%0a": INVALID,
    "example.test@127.0.0.1": BLOCKED,
    "1.1.1.1:80@127.0.0.1": BLOCKED,
    "127.0.0.1:80": BLOCKED,
    # Names, whatever they look like: what they are at counts.
    "localhost": BLOCKED,
    "LOCALHOST": BLOCKED,
    "LocalHost.": BLOCKED,
    "private.test": BLOCKED,
    "mapped.test": BLOCKED,
    "six.test": BLOCKED,
    "127.0.0.1.nip.test": BLOCKED,
    "all-private.test": BLOCKED,
    # And what is public is asked.
    "1.1": ASKED,
    "1.1.1.1": ASKED,
    "16843009": ASKED,
    "0x1.0x1.0x1.0x1": ASKED,
    "1\u30021\u30021\u30021": ASKED,
    "[2606:4700:4700::1111]": ASKED,
    "[::ffff:1.1.1.1]": ASKED,
    "[64:ff9b::101:101]": ASKED,
    "public.test": ASKED,
    "PUBLIC.test": ASKED,
    "mixed.test": ASKED,
}

NAMES: Names = {
    "localhost": ["::1", "127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "private.test": ["10.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "six.test": ["64:ff9b::a00:1"],
    "127.0.0.1.nip.test": ["127.0.0.1"],
    "all-private.test": ["10.0.0.1", "fe80::1", "127.0.0.1", "::1", "192.168.0.1"],
    "public.test": ["1.1.1.1"],
    "mixed.test": ["10.0.0.1", "1.1.1.1", "127.0.0.1", "::1", "169.254.169.254"],
}


async def test_no_spelling_gets_past_public(network: Network) -> None:
    """Whatever a URL calls a host, nothing is connected to but public addresses."""
    network.is_real = False
    network.names = NAMES
    urls = [f"http://{spelling}/" for spelling in SPELLINGS]

    async with Fetcher(addresses="public", retry=None, trust_env=False) as fetcher:
        results = await fetcher.fetch_many(urls)

    kinds = {
        spelling: result.kind if not result.ok else None
        for spelling, result in zip(SPELLINGS, results, strict=True)
    }
    assert kinds == SPELLINGS
    assert {*network.connects} == {
        "1.0.0.1",
        "1.1.1.1",
        "2606:4700:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    }


REDIRECTED = [
    "http://2130706434:{port}/",
    "http://127.2:{port}/",
    "http://0x7f.2:{port}/",
    "http://[::ffff:127.0.0.2]:{port}/",
    "http://127\u30020\u30020\u30022:{port}/",
    "//127.0.0.2:{port}/",
    "http://user@127.0.0.2:{port}/",
    "http://other.test:{port}/",
    "HTTP://other.test:{port}/",
]


@pytest.mark.parametrize("location", REDIRECTED)
async def test_no_redirect_gets_past(
    network: Network, server: LoopbackServer, location: str
) -> None:
    """A host that may be asked sends us to one that may not, with every status there is."""
    network.names = {"other.test": ["127.0.0.2"]}
    where = location.format(port=httpx.URL(server.url()).port).encode().decode("latin-1")
    statuses = [301, 302, 303, 307, 308]
    for status in statuses:
        server.on(f"/{status}", Reply(status, headers={"location": where}))
    requests = [Request(server.url(f"/{each}"), "POST", content=b"body") for each in statuses]

    async with Fetcher(addresses=only("127.0.0.1"), retry=None) as fetcher:
        results = await fetcher.fetch_many(requests)

    assert [failure.kind for failure in results.failures] == [BLOCKED] * len(statuses)
    assert {*network.connects} == {"127.0.0.1"}


async def test_an_allowed_hop_behind_an_allowed_hop_is_taken(network: Network) -> None:
    """So that the test above would see a guard that refuses everything."""
    network.names = {"other.test": ["127.0.0.2"]}

    async with (
        LoopbackServer(hosts=2) as server,
        Fetcher(addresses=only("127.0.0.1", "127.0.0.2"), retry=None) as fetcher,
    ):
        port = httpx.URL(server.url()).port
        server.on("/", Reply.redirect(f"http://other.test:{port}/there"))
        server.on("/there", Reply())
        result = await fetcher.fetch(server.url())

    assert result.status_code == 200
    assert network.connects == ["127.0.0.1", "127.0.0.2"]


async def test_the_address_checked_is_the_one_connected_to(
    network: Network, server: LoopbackServer
) -> None:
    """A name that is elsewhere when asked again (DNS rebinding) is asked once for one connect."""
    answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2"]]
    asked: list[list[str]] = []

    class Rebound(dict[str, list[str]]):
        def get(self, *_: Any) -> Any:
            return True

        def __getitem__(self, _: str) -> list[str]:
            asked.append(answers.pop(0))
            return asked[-1]

    network.names = Rebound()
    port = httpx.URL(server.url()).port

    async with Fetcher(addresses=only("127.0.0.1"), retry=None) as fetcher:
        result = await fetcher.fetch(f"http://rebound.test:{port}/")

    assert result.status_code == 200
    assert network.connects == ["127.0.0.1"]
    assert len(asked) == 1


async def test_a_retry_is_checked_anew(network: Network) -> None:
    """The first address refuses the connection, and the name is somewhere else afterwards."""
    network.names = {"rebound.test": ["127.0.0.1"]}
    network.is_real = False

    def rebind(address: Any) -> bool:
        network.names = {"rebound.test": ["127.0.0.2"]}
        return str(address) == "127.0.0.1"

    async with Fetcher(addresses=rebind, retry=Retry(attempts=3, backoff=0)) as fetcher:
        result = await fetcher.fetch("http://rebound.test/")

    assert not result.ok
    assert result.kind == BLOCKED
    assert result.attempts == 2
    assert network.connects == ["127.0.0.1"]


async def test_of_several_addresses_only_the_allowed_are_tried(
    network: Network, server: LoopbackServer
) -> None:
    """In the order of the answers: the first that is allowed and answers."""
    network.names = {"mixed.test": ["127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.4"]}
    port = httpx.URL(server.url()).port

    async with Fetcher(addresses=only("127.0.0.3", "127.0.0.1"), retry=None) as fetcher:
        result = await fetcher.fetch(f"http://mixed.test:{port}/")

    assert result.status_code == 200
    assert network.connects == ["127.0.0.3", "127.0.0.1"]


async def test_connections_of_another_fetcher_are_never_used(server: LoopbackServer) -> None:
    """However warm they are."""
    async with Fetcher(trust_env=False) as free, Fetcher(addresses="public") as guarded:
        first = await free.fetch(server.url())
        second = await guarded.fetch(server.url())
        third = await free.fetch(server.url())

    assert (first.status_code, third.status_code) == (200, 200)
    assert not second.ok
    assert second.kind == BLOCKED
    assert server.statistics().connections == 1


async def test_a_prepared_request_is_checked_too(server: LoopbackServer) -> None:
    """Whatever its Host field, its SNI and its target say."""
    native = httpx.Request(
        "GET",
        server.url(),
        headers={"host": "public.test"},
        extensions={"sni_hostname": "public.test", "target": b"http://public.test/"},
    )

    async with Fetcher(addresses="public", retry=None) as fetcher:
        result = await fetcher.fetch(native)

    assert not result.ok
    assert result.kind == BLOCKED
    assert server.statistics().connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
async def test_what_httpcore_does_for_the_engine_is_checked_too(
    server: LoopbackServer, method: str
) -> None:
    """CONNECT and upgrades."""
    request = Request(server.url(), method, headers={"upgrade": "websocket"})

    async with Fetcher(addresses="public", retry=None) as fetcher:
        result = await fetcher.fetch(request)

    assert not result.ok
    assert result.kind == BLOCKED
    assert server.statistics().connections == 0


@pytest.mark.may_block  # httpcore2 is imported here
async def test_a_plain_client_on_the_transport_is_guarded(
    library: Any, server: LoopbackServer
) -> None:
    """The error is the one that httpx has for a connect that failed."""
    transport = asyncbatch._engine.transport_class(library)(addresses="public")  # type: ignore[attr-defined]

    async with library.AsyncClient(transport=transport) as client:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"):
            with pytest.raises(library.ConnectError, match="not allowed"):
                await client.get(server.url().replace("127.0.0.1", host))

    assert server.statistics().connections == 0


@pytest.mark.parametrize("option", [{"proxy": "http://127.0.0.1:1"}, {"uds": "/tmp/socket"}])
def test_a_transport_that_cannot_check_says_so(option: dict[str, Any]) -> None:
    """A proxy resolves names itself, and a path has no address."""
    with pytest.raises(ValueError, match="addresses cannot be checked behind"):
        HTTPTransport(addresses="public", **option)


async def test_an_async_callable_is_refused_at_once() -> None:
    """It would let everything through."""

    async def policy(_: Any) -> bool:
        return False

    with pytest.raises(TypeError, match="answers at once"):
        Fetcher(addresses=policy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer", [None, 1, "yes", KeyError("no such list"), PermissionError("no"), OSError(24, "")]
)
async def test_a_callable_that_fails_blocks(server: LoopbackServer, answer: Any) -> None:
    """Once, as another try would fail alike, and with what it did in the message."""

    def policy(_: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with Fetcher(addresses=policy) as fetcher:
        result = await fetcher.fetch(server.url())

    assert not result.ok
    assert result.kind == BLOCKED
    assert result.attempts == 1
    assert repr(answer) in str(result.error)
    assert server.statistics().connections == 0


async def test_an_address_keeps_its_zone_where_httpcore_connects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Link-local addresses lead nowhere without one; the policy is asked without it."""
    asked: list[str] = []
    connected: list[str] = []

    class Backend:
        async def connect_tcp(self, host: str, *_: Any) -> None:
            connected.append(host)

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 7))]

    def policy(address: Any) -> bool:
        asked.append(str(address))
        return True

    module: Any = asyncbatch._engine.bridge._backend  # type: ignore[attr-defined]
    monkeypatch.setattr(module.anyio, "getaddrinfo", getaddrinfo)
    await module.CheckedBackend(Backend(), policy, None).connect_tcp("name.test", 80)

    assert connected == ["fe80::1%7"]
    assert asked == ["fe80::1"]
