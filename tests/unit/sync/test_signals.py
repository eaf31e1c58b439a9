"""What signal handlers raise while plain code fetches in the main thread."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncbatch
from asyncbatch import SyncFetcher
from asyncbatch._sync._signals import handlers_here, interrupting
from asyncbatch.testing import LoopbackServer, Reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


class SoftLimit(Exception):
    """As task queues raise it in a task that takes too long."""


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run plain code on either event loop."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    options = {"use_uvloop": request.param == "uvloop"}
    monkeypatch.setattr("asyncbatch._sync._portal.loop_options", lambda: options)


@pytest.fixture
def handled() -> Iterator[Any]:
    """Return a function that installs a handler for a signal, until the end of the test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def signalling() -> Iterator[LoopbackServer]:
    """Run a server that sends a signal at the third request to `/`, and answers none of them."""
    with LoopbackServer().in_thread() as server:
        arrived = []

        def answer(request: Any) -> Reply:
            arrived.append(request)
            if len(arrived) == 3:
                os.kill(os.getpid(), signal.SIGUSR1)
            return Reply().hang()

        server.on("/", answer)
        yield server


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("error", [SoftLimit("why"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_handler_raises_ends_the_call(
    signalling: LoopbackServer, handled: Any, error: BaseException
) -> None:
    """It is no failure of some request, and not lost either; the handler stays what it was."""

    def handler(number: int, frame: Any) -> None:
        raise error

    handled(handler)
    with pytest.raises(type(error)) as raised:
        asyncbatch.fetch_many_sync([signalling.url()] * 5, trust_env=False)

    assert raised.value is error
    assert signal.getsignal(signal.SIGUSR1) is handler


@pytest.mark.usefixtures("loop")
def test_a_handler_that_raises_nothing_changes_nothing(
    signalling: LoopbackServer, handled: Any
) -> None:
    """It runs, and the batch goes on."""
    numbers: list[int] = []

    handled(lambda number, frame: numbers.append(number))
    results = asyncbatch.fetch_many_sync(
        [signalling.url()] * 3, trust_env=False, timeout=0.3, retry=None
    )

    assert numbers == [signal.SIGUSR1]
    assert [result.kind for result in results] == ["timeout"] * 3


@pytest.mark.usefixtures("loop")
def test_a_handler_that_is_replaced_meanwhile_stays(handled: Any) -> None:
    """Whoever did so wants it."""

    def first(number: int, frame: Any) -> None:
        raise AssertionError

    def second(number: int, frame: Any) -> None:
        raise AssertionError

    def urls() -> Iterator[str]:
        handled(second)
        yield "http://"

    handled(first)
    asyncbatch.fetch_many_sync(urls(), trust_env=False)

    assert signal.getsignal(signal.SIGUSR1) is second


def test_the_handlers_of_python_itself_are_left_alone(handled: Any) -> None:
    """For Ctrl-C there are other ways; what is ignored stays ignored."""
    handled(signal.SIG_IGN)

    assert signal.SIGUSR1 not in handlers_here()
    assert signal.default_int_handler not in handlers_here().values()


def test_what_an_interrupted_batch_has_locked_is_free_at_once(handled: Any, tmp_path: Path) -> None:
    """Its journal and the parts of its files: the call can be made again right after Ctrl-C."""
    held = [Reply(body=b"x" * 1000).hang(body=500)] * 5

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    def answer(request: Any) -> Reply:
        if held:
            os.kill(os.getpid(), signal.SIGUSR1)
            return held.pop()
        return Reply(body=b"whole")

    handled(interrupt)
    options: dict[str, Any] = {"journal": tmp_path / "run.db", "to": f"{tmp_path}/files/"}
    with LoopbackServer().in_thread() as server, SyncFetcher(retry=None) as fetcher:
        server.on("/", answer)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                fetcher.fetch_many([server.url()], **options)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                fetcher.fetch(server.url(), to=options["to"])
        results = fetcher.fetch_many([server.url()], **options)

    assert [result.kind for result in results] == [None]


def test_the_second_exception_is_raised_where_the_code_is(handled: Any) -> None:
    """The first has ended nothing then."""
    errors = iter([SoftLimit("first"), SoftLimit("second")])

    def handler(number: int, frame: Any) -> None:
        raise next(errors)

    handled(handler)
    raised: list[BaseException] = []
    interruptions: list[None] = []
    with interrupting(handlers_here(), lambda: interruptions.append(None), raised):
        signal.raise_signal(signal.SIGUSR1)
        assert len(interruptions) == 1
        with pytest.raises(SoftLimit, match="second"):
            signal.raise_signal(signal.SIGUSR1)

    assert list(map(str, raised)) == ["first", "second"]
    assert len(interruptions) == 1
    assert signal.getsignal(signal.SIGUSR1) is handler


def test_a_handler_that_was_replaced_before_the_call_is_not_stood_in_for(handled: Any) -> None:
    """The newer one stays, also while the call runs."""
    handled(lambda number, frame: None)
    handlers = handlers_here()

    def newer(number: int, frame: Any) -> None:
        pass

    handled(newer)
    with interrupting(handlers, lambda: None, []):
        assert signal.getsignal(signal.SIGUSR1) is newer
    assert signal.getsignal(signal.SIGUSR1) is newer
