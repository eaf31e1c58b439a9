"""
The demo: a batch on a server inside this process, with many planned failures.

It fails if any result is not as planned, so that it also tests an installation.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import anyio
import attrs

from asyncbatch import Failure, FailureKind, Fetcher, Results, Retry
from asyncbatch._cli._parser import prog_name
from asyncbatch._cli._writer import TextOutput
from asyncbatch.testing import Behaviour, LoopbackServer, RecordedRequest, Reply

LIVE_HOSTS = 19
URLS_PER_HOST = 100
PER_HOST = 10
CONCURRENCY = 60

REPORT_NAMES = ("report.html", *(f"report-{number}.html" for number in range(2, 10)))
"""Names for the report. The first free one is taken: no file is overwritten."""

INTRODUCTION = f"""\
asyncbatch demo: {(LIVE_HOSTS + 1) * URLS_PER_HOST:,} URLs on {LIVE_HOSTS + 1} hosts of a server \
in this process.
{CONCURRENCY} requests at once, at most {PER_HOST} of them on one host. Some hosts are slow, busy \
or broken, one is dead.
No host may hold up the others, retries repair what they can, and each URL gets one result.
"""


@attrs.frozen
class DemoUrls:
    """URLs of the batch with the same expected outcome."""

    what: str
    """Description of their hosts."""
    urls: Sequence[str]
    outcomes: frozenset[FailureKind] = frozenset()
    """The expected kinds of failure; none if they succeed."""
    retries: int = 0
    """Least number of tries beyond the first that they need together."""

    @property
    def expected(self) -> str:
        """The expected outcome, as text."""
        return f"{len(self.urls):,} {' or '.join(sorted(self.outcomes)) or 'ok'}"


async def run_demo(folder: Path | None = None) -> bool:
    """
    Run the demo, print its outcome, and return whether all of it was as planned.

    Args:
        folder: Where the report is written; the current folder by default.
    """
    _say(INTRODUCTION)
    async with LoopbackServer(hosts=LIVE_HOSTS) as server:
        plan = _plan(server)
        # Taken in turns, to get a mixed batch.
        turns = zip_longest(*(part.urls for part in plan))
        urls = [url for turn in turns for url in turn if url is not None]
        async with _fetcher() as fetcher:
            results = await fetcher.fetch_many(urls)
    _say(str(results.summary()))
    deviations = [*_compared(plan, results), *_mixed_up(urls, results)]
    _say("\n".join(["", *(deviations or ["Everything was as planned."])]))
    _say(await anyio.to_thread.run_sync(_reported, results, folder or Path.cwd()))
    return not deviations


def _reported(results: Results, folder: Path) -> str:
    """Write the report, over no other file, and return what to do next."""
    command = f"  {prog_name()} -f urls.txt --report report.html"
    next_step = f"Next, with URLs of your own, one on each line:\n{command}"
    for name in REPORT_NAMES:
        path = folder / name
        try:
            path.touch(exist_ok=False)
            results.report(path)
        except FileExistsError:
            continue
        except OSError as error:
            return f"The report could not be written: {error}\n{next_step}"
        return f"Wrote {name}: why it took this long. Open it in a browser.\n{next_step}"
    return f"Wrote no report: {REPORT_NAMES[0]} to {REPORT_NAMES[-1]} are there.\n{next_step}"


def _fetcher() -> Fetcher:
    return Fetcher(
        concurrency=CONCURRENCY,
        per_host=PER_HOST,
        # So many failures in a few seconds would use up a retry budget.
        retry=Retry(attempts=4, budget=None),
        progress=True,
    )


def _plan(server: LoopbackServer) -> list[DemoUrls]:
    """Script the server, and return the expected outcome."""

    def urls(path: str, *hosts: int, count: int = URLS_PER_HOST) -> list[str]:
        return [server.url(f"/{path}/{n}", host=host) for host in hosts for n in range(count)]

    server.on("/steady/*", lambda request: _numbered(request).delayed(0.02, jitter=0.06))
    server.on("/gzip/*", lambda request: _numbered(request).gzipped())
    server.on("/slow/*", lambda request: _numbered(request).delayed(0.4))
    server.on("/busy/*", _refusing(20, 0.5, Reply(429).retry_after(1)))
    server.on("/failing/*", _refusing(30, 0.2, Reply(503)))
    server.on("/reset/*", Reply().reset(head=20), _numbered)
    server.on("/cut/*", Reply(body=1000).cut(body=500), _numbered)
    server.on("/moved/*", lambda request: Reply.redirect(server.url(f"/steady/{_number(request)}")))
    server.on("/gone/*", Reply(404))
    server.on("/broken/*", Reply(body=1000).cut(body=500))
    dead = [server.dead_url(f"/{n}") for n in range(URLS_PER_HOST)]
    return [
        DemoUrls("11 hosts that answer in 20 to 80 ms", urls("steady", *range(1, 12))),
        DemoUrls("compressed bodies", urls("gzip", 12)),
        DemoUrls("every answer takes 400 ms", urls("slow", 13)),
        DemoUrls("redirects to another host", urls("moved", 14)),
        DemoUrls("429, Retry-After: 1, for 0.5 s", urls("busy", 15), retries=1),
        DemoUrls("503 for 0.2 s", urls("failing", 16), retries=1),
        DemoUrls("20 first tries reset", urls("reset", 17, count=20), retries=20),
        DemoUrls("the other URLs of that host", urls("steady", 17, count=80)),
        DemoUrls("20 first bodies cut", urls("cut", 18, count=20), retries=20),
        DemoUrls("the other URLs of that host", urls("steady", 18, count=80)),
        DemoUrls("404", urls("gone", 19, count=90), frozenset({FailureKind.status})),
        DemoUrls(
            "every body cut", urls("broken", 19, count=10), frozenset({FailureKind.truncated})
        ),
        DemoUrls("a dead host", dead, frozenset({FailureKind.connect, FailureKind.host_down})),
    ]


def _number(request: RecordedRequest) -> str:
    return request.path.rpartition("/")[2]


def _numbered(request: RecordedRequest) -> Reply:
    """Answer with the last part of the URL, which identifies the request."""
    return Reply(body=_number(request), framing="chunked")


def _refusing(
    first: int, seconds: float, refusal: Behaviour
) -> Callable[[RecordedRequest], Behaviour]:
    """Refuse request number `first` and all requests in the seconds after it."""
    seen = 0
    ends_at = math.inf

    def answer(request: RecordedRequest) -> Behaviour:
        nonlocal seen, ends_at
        seen += 1
        if seen == first:
            ends_at = time.monotonic() + seconds
        if seen >= first and time.monotonic() < ends_at:
            return refusal
        return _numbered(request)

    return answer


def _compared(plan: list[DemoUrls], results: Results) -> Iterator[str]:
    """Print the outcome of each part, and yield the differences from the plan."""
    by_url = {str(result.request.url): result for result in results}
    _say(f"\n  {'hosts':<38}{'plan':<28}outcome")
    for part in plan:
        own = [by_url[url] for url in part.urls if url in by_url]
        kinds = Counter(result.kind if isinstance(result, Failure) else "ok" for result in own)
        retries = sum(max(result.attempts - 1, 0) for result in own)
        outcome = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        _say(f"  {part.what:<38}{part.expected:<28}{outcome}" + _retried(retries))
        if len(own) != len(part.urls) or not kinds.keys() <= (part.outcomes or {"ok"}):
            yield f"NOT as planned: {part.what}: {part.expected}, but {outcome}"
        if retries < part.retries:
            yield f"NOT as planned: {part.what}: {retries} retries, fewer than {part.retries}"


def _retried(retries: int) -> str:
    return f" ({retries} retries)" if retries else ""


def _mixed_up(urls: list[str], results: Results) -> Iterator[str]:
    """Yield errors in the order of the results, and in their bodies."""
    if [str(result.request.url) for result in results] != urls:
        yield "NOT as planned: the results are not those of the URLs, in their order"
    for result in results.successes:
        if result.text != str(result.request.url).rpartition("/")[2]:
            yield f"NOT as planned: the body of {result.url} is that of another request"


def _say(text: str) -> None:
    TextOutput(sys.stdout).write(f"{text}\n")
