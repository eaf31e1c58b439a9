"""
Count what is lost with real HTTP/2 servers, which is to be nothing.

    python -m tests.http2_servers [--servers nginx,h2o] [--backend uvloop]

Servers that are not installed are left out, and named. It exits 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import trustme

import asyncbatch
from asyncbatch import Fetcher, Request
from tests.http2_servers._servers import REPLACED, SERVERS, Setting, program_of

MANY = 5_000
SOME = 300


class Server:
    """A server that runs."""

    def __init__(self, name: str, to: Setting) -> None:
        self._recipe = SERVERS[name]
        self.drops = self._recipe.drops
        self._to = to
        self._given = to.folder / ("given.toml" if name == "hypercorn" else "given")
        self._given.write_text(self._recipe.configuration(to))
        self._output = to.folder / "output"
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"https://127.0.0.1:{to.port}/"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        program = program_of(self._recipe.program)
        assert program is not None
        with self._output.open("wb") as output:
            process = subprocess.Popen(
                [program, *self._recipe.command(self._to, self._given)],
                stdout=output,
                stderr=output,
                pass_fds=[self._to.listener],
            )
        self._processes.append(process)
        for _ in range(200):
            with contextlib.suppress(OSError), self._shaking_hands():
                return
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"it does not start: {self._output.read_text()[-2000:]}")

    def _shaking_hands(self) -> ssl.SSLSocket:
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        sock = socket.create_connection(("127.0.0.1", self._to.port), 1)
        return blind.wrap_socket(sock)

    def reload(self) -> None:
        """Make it finish its connections, and take new ones."""
        process = self._processes[-1]
        if self._recipe.reload is not REPLACED:
            self._recipe.reload(process.pid, self._to)
            return
        self.start()
        time.sleep(0.5)  # until the new one listens too
        process.terminate()

    def stop(self) -> None:
        """End all its processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def running(name: str, folder: Path, backend: int) -> Iterator[tuple[Server, ssl.SSLContext]]:
    """Run a server with a certificate of its own, and yield it with a context that trusts it."""
    authority, certificate = trustme.CA(), folder / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1] if SERVERS[name].reload is REPLACED else free_port()
        to = Setting(folder, port, backend, certificate, listener.fileno())
        server = Server(name, to)
        try:
            server.start()
            yield server, trusting
        finally:
            server.stop()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# What is played. Each returns the results that all have to be good.

Play = Callable[[Fetcher, Server], Awaitable[asyncbatch.Results]]


async def leaves_again_and_again(fetcher: Fetcher, server: Server) -> asyncbatch.Results:
    """5,000 requests, POSTs among them, while the server leaves or reloads."""

    async def reload() -> None:
        for _ in range(3):
            await anyio.sleep(0.3)
            await anyio.to_thread.run_sync(server.reload)

    requests: list[Request | str] = [f"{server.url}{n}" for n in range(MANY)]
    if not server.drops:
        requests[::5] = [
            Request(f"{server.url}{n}", "POST", content=b"x" * (n % 500)) for n in range(0, MANY, 5)
        ]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reload)
        results = await fetcher.fetch_many(requests)
        tasks.cancel_scope.cancel()
    return results


async def times_out(fetcher: Fetcher, server: Server) -> asyncbatch.Results:
    """300 requests behind 50 that have timed out."""
    await fetcher.fetch_many([f"{server.url}{n}" for n in range(20)])
    hung = await fetcher.fetch_many(
        [Request(f"{server.url}hang/{n}", timeout=0.3) for n in range(50)]
    )
    assert {*kinds_of(hung)} == {"timeout"}, kinds_of(hung)
    return await fetcher.fetch_many([f"{server.url}{n}" for n in range(SOME)])


async def is_cancelled(fetcher: Fetcher, server: Server) -> asyncbatch.Results:
    """300 requests behind 30 batches that were cancelled in their middle."""
    for number in range(30):
        with anyio.move_on_after(0.004 * (number % 7 + 1)):
            await fetcher.fetch_many(
                [f"{server.url}{n}" for n in range(50)] + [f"{server.url}hang"] * 5
            )
    return await fetcher.fetch_many([f"{server.url}{n}" for n in range(SOME)])


async def is_cut(fetcher: Fetcher, server: Server) -> asyncbatch.Results:
    """300 requests behind 20 bodies that were too large."""
    cut = await fetcher.fetch_many(
        [Request(f"{server.url}big/{n}", max_body=100_000) for n in range(20)]
    )
    assert {*kinds_of(cut)} == {"too_large"}, kinds_of(cut)
    return await fetcher.fetch_many([f"{server.url}{n}" for n in range(SOME)])


def kinds_of(results: asyncbatch.Results) -> Counter[str]:
    """Count what results are."""
    return Counter(str(result.kind) for result in results)


PLAYS: dict[str, Play] = {
    "leaves": leaves_again_and_again,
    "timeouts": times_out,
    "cancelled": is_cancelled,
    "max_body": is_cut,
}


async def play(
    name: str, play: Play, server: Server, trusting: ssl.SSLContext
) -> tuple[int, int, str]:
    """Play one of them, and return how many were good, of how many, and what the others were."""
    options: dict[str, Any] = {"http2": True, "verify": trusting, "trust_env": False}
    if not server.drops:
        options["retry"] = None
    async with Fetcher(**options, give_up_host_after=None) as fetcher:
        results = await play(fetcher, server)
    versions = {result.response.http_version for result in results.successes}
    assert versions <= {"HTTP/2"}, versions
    good = sum(result.ok and bool(result.content) for result in results)
    bad = Counter(f"{one.kind}: {one.error}" for one in results.failures)
    return good, len(results), ", ".join(f"{count} of {text}" for text, count in bad.items())


def main() -> int:
    """Play everything with every server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--backend", choices=["asyncio", "uvloop", "trio"], default="asyncio")
    parser.add_argument("--plays", default=",".join(PLAYS))
    given = parser.parse_args()
    lost = 0
    backend = subprocess.Popen(
        [sys.executable, "-m", "tests.http2_servers._app"], stdout=subprocess.PIPE
    )
    assert backend.stdout is not None
    try:
        port = int(backend.stdout.readline())
        for name in given.servers.split(","):
            if program_of(SERVERS[name].program) is None:
                print(f"{name:10} is not installed", flush=True)
                continue
            with (
                tempfile.TemporaryDirectory() as folder,
                running(name, Path(folder), port) as (server, trusting),
            ):
                for each in given.plays.split(","):
                    lost += report(name, each, server, trusting, given.backend)
    finally:
        backend.terminate()
        backend.wait()
    return lost > 0


def report(name: str, each: str, server: Server, trusting: ssl.SSLContext, backend: str) -> int:
    """Play one thing, print its count, and return how many were lost."""
    is_trio = backend == "trio"
    options = {} if is_trio else {"use_uvloop": backend == "uvloop"}
    begun, cpu = time.perf_counter(), time.process_time()
    good, count, bad = anyio.run(
        play,
        name,
        PLAYS[each],
        server,
        trusting,
        backend="trio" if is_trio else "asyncio",
        backend_options=options,
    )
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"{name:10} {each:10} {good:5,} of {count:5,}  {seconds:5.1f} s, {cpu:4.1f} of CPU  {bad}",
        flush=True,
    )
    return count - good


if __name__ == "__main__":
    sys.exit(main())
