"""One hop: what is hung on a request for the way, and off it again."""

from __future__ import annotations

from typing import Any

import pytest

from asyncbatch._engine import (
    EXCHANGE_EXTENSION,
    MINIMUM_RATE_EXTENSION,
    REPLAY_EXTENSION,
    Origin,
)
from asyncbatch._lanes.client._binding import binding_of
from asyncbatch._lanes.client._hop import Hops
from asyncbatch._lanes.client._httpcore_pool import Admission
from asyncbatch._lanes.response._phases import PhaseTrace

pytestmark = pytest.mark.any_loop


class Network:
    """A transport that answers as it is told, and keeps what it was handed."""

    def __init__(self, library: Any, *responses: Any) -> None:
        self.library = library
        self.responses = list(responses) or [library.Response(200)]
        self.urls: list[str] = []
        self.extensions: list[dict[str, Any]] = []
        self.stepped = 0

    def __call__(self, request: Any) -> Any:
        self.urls.append(str(request.url))
        self.extensions.append(dict(request.extensions))
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def hops(self, client: Any = None, **options: Any) -> Hops:
        """Return hops over this transport."""
        client = client or self.client()
        defaults: dict[str, Any] = {"admission": None, "minimum_rate": None}
        return Hops(
            client,
            binding_of(client),
            PhaseTrace(lambda: 0.0),
            stepped=self._step,
            **{**defaults, **options},
        )

    def client(self, **options: Any) -> Any:
        return self.library.AsyncClient(transport=self.library.MockTransport(self), **options)

    def request(self, url: str = "http://a.test/", **options: Any) -> Any:
        return self.library.Request("GET", url, **options)

    def _step(self, awaitable: Any) -> Any:
        self.stepped += 1
        return awaitable


async def test_a_hop_counts_and_leaves_nothing_on_its_request(library: Any) -> None:
    """The transport sees the trace, nobody else does."""
    network = Network(library)
    hops, native = network.hops(), network.request(extensions={"x": 1})
    response = await hops.send(native)

    assert response.status_code == 200
    assert "trace" in network.extensions[0]
    assert of_caller(native) == {"x": 1}
    assert (hops.state.hops, hops.state.sent, hops.state.in_body) == (1, True, True)
    assert not hops.state.hooked


def of_caller(native: Any) -> dict[str, Any]:
    """Return the extensions that are not httpx's own."""
    return {name: value for name, value in native.extensions.items() if name != "timeout"}


@pytest.mark.parametrize("end", ["response", "error"])
async def test_what_was_hung_on_is_off_again_however_it_ends(library: Any, end: str) -> None:
    """The least rate, the name of the server, and the trace of the caller's is back."""

    async def trace(event: str, info: Any) -> None:
        pass

    answer = library.Response(200) if end == "response" else library.ConnectError("no")
    network = Network(library, answer)
    hops = network.hops(minimum_rate=7.0)
    native = network.request("https://a.test./", extensions={"trace": trace})
    if end == "error":
        with pytest.raises(library.ConnectError):
            await hops.send(native)
    else:
        await hops.send(native)

    sent = network.extensions[0]
    assert (sent[MINIMUM_RATE_EXTENSION], sent["sni_hostname"]) == (7.0, "a.test")
    assert of_caller(native) == {"trace": trace}
    assert hops.state.hops == (end == "response")


async def test_the_name_that_a_caller_asks_for_stays(library: Any) -> None:
    """It is his to say what the certificate is for."""
    network = Network(library)
    native = network.request("https://a.test./", extensions={"sni_hostname": "b.test"})
    await network.hops().send(native)

    assert network.extensions[0]["sni_hostname"] == "b.test"
    assert of_caller(native) == {"sni_hostname": "b.test"}


async def test_userinfo_is_not_shown_to_the_library(library: Any) -> None:
    """It logs URLs. The request has it again afterwards, and so has what follows on its host."""
    moved = library.Response(302, headers={"location": "/on"})
    network = Network(library, moved, library.Response(200))
    hops, native = network.hops(), network.request("http://u:p@a.test/")
    response = await hops.send(native)
    await hops.send(response.next_request)

    assert network.urls == ["http://a.test/", "http://a.test/on"]
    assert str(native.url) == "http://u:p@a.test/"
    assert response.next_request.url.userinfo == b"u:p"


async def test_the_next_request_inherits_nothing_of_ours(library: Any) -> None:
    """Httpx copies the extensions to it."""
    moved = library.Response(302, headers={"location": "https://b.test/"})
    network = Network(library, moved)
    response = await network.hops(minimum_rate=7.0).send(
        network.request("https://a.test./", extensions={"x": 1})
    )

    assert of_caller(response.next_request) == {"x": 1}


async def test_a_location_is_followed_by_its_bytes(library: Any) -> None:
    """Httpx would read them as text, and ask for another path."""
    moved = library.Response(302, headers=[(b"location", b"/caf\xe9")])
    network = Network(library, moved)
    response = await network.hops().send(network.request())

    assert response.next_request.url.raw_path == b"/caf%E9"


async def test_an_exchange_that_took_place_answers_the_first_hop_only(library: Any) -> None:
    """What follows is sent."""
    network = Network(library, library.Response(200), library.Response(200))
    exchange = object()
    hops = network.hops(first=exchange)
    await hops.send(network.request())
    await hops.send(network.request())

    assert [sent.get(REPLAY_EXTENSION) for sent in network.extensions] == [exchange, None]


async def test_the_exchange_below_tells_how_long_the_name_took(library: Any) -> None:
    """And is no part of the response."""

    class Exchange:
        dns = 0.25
        origin = Origin(is_tls=False, host="a.test", port=80)

    network = Network(library, library.Response(200, extensions={EXCHANGE_EXTENSION: Exchange}))
    hops = network.hops()
    response = await hops.send(network.request())

    assert hops.state.trace.timing().dns == 0.25
    assert EXCHANGE_EXTENSION not in response.extensions


@pytest.mark.parametrize("kind", ["request", "response"])
async def test_hooks_are_kept_out_of_all_accounts(library: Any, kind: str) -> None:
    """They may hold up the event loop."""

    async def hook(_: Any) -> None:
        pass

    network = Network(library)
    hops = network.hops(network.client(event_hooks={kind: [hook]}))
    await hops.send(network.request())

    assert hops.state.hooked
    assert network.stepped == 1


async def test_hops_are_let_into_a_pool_one_at_a_time(library: Any) -> None:
    """Whoever has got in lets the next one in, however it ends."""
    network = Network(library, library.ConnectError("no"), library.Response(200))
    hops = network.hops(admission=Admission())
    with pytest.raises(library.ConnectError):
        await hops.send(network.request())
    await hops.send(network.request())

    assert not hops.state.queued
    assert hops.state.hops == 1


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://a.test/"},
        {"url": "http:///"},
        {"headers": [(b"x", b"a\nb")]},
        {"headers": {"content-length": "5", "transfer-encoding": "chunked"}},
    ],
    ids=["scheme", "host", "field", "framing"],
)
async def test_what_must_not_be_sent_is_not(library: Any, options: Any) -> None:
    """The attempt is known to be no server's affair."""
    network = Network(library)
    hops = network.hops()
    with pytest.raises(Exception):  # noqa: B017, PT011  # each check has its own
        await hops.send(network.request(**options))

    assert network.urls == []
    assert not hops.state.sent


async def test_a_cookie_that_cannot_be_sent_is_not_kept(library: Any) -> None:
    """One in another alphabet would fail each later request to its host."""
    fields = [
        (b"set-cookie", "a=\u4f60".encode()),
        (b"set-cookie", b"b=c"),
    ]
    network = Network(library, library.Response(200, headers=fields))
    client = network.client()
    await network.hops(client).send(network.request())

    assert [cookie.name for cookie in client.cookies.jar] == ["b"]
