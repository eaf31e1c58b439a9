"""The command itself: fetch, write, sum up, and say by the exit code how it went."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TextIO, TypeAlias

import anyio

from asyncbatch import Request, Result
from asyncbatch._cli._arguments import Arguments, parse
from asyncbatch._cli._demo import run_demo
from asyncbatch._cli._lines import json_line, plain_line
from asyncbatch._cli._urls import opened
from asyncbatch._cli._writer import writing_to
from asyncbatch._summary import SummaryBuilder

OK, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141

Requests: TypeAlias = Iterable[Request] | AsyncIterable[Request]
Output: TypeAlias = tuple[Callable[[Result], str], TextIO]


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.

    Args:
        argv: The arguments; those of the program if `None`.

    Raises:
        SystemExit: If the arguments make no sense, or ask for help.
    """
    arguments = parse(argv)
    try:
        if arguments.wants_demo:
            return OK if anyio.run(run_demo) else FAILED
        return _run(arguments)
    except BrokenPipeError:
        _discard_stdout()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Arguments) -> int:
    with ExitStack() as files:
        try:
            requests = _requests(arguments, files)
            outputs = _outputs(arguments, files)
        except (OSError, ValueError) as error:
            _say(f"python -m asyncbatch: {error}")
            return USAGE
        return _fetch(arguments, requests, outputs)


def _fetch(arguments: Arguments, requests: Requests, outputs: list[Output]) -> int:
    """Fetch everything, and sum up what was fetched even if it ends early."""
    builder, begun, code = SummaryBuilder(), time.monotonic(), OK
    try:
        anyio.run(_stream, arguments, requests, outputs, builder)
    except BrokenPipeError:
        raise
    except OSError as error:
        _say(f"python -m asyncbatch: {error}")
        code = FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        code = INTERRUPTED
    summary = builder.build(duration=time.monotonic() - begun)
    if not arguments.quiet:
        _say(str(summary))
    return code or (FAILED if summary.failed else OK)


async def _stream(
    arguments: Arguments, requests: Requests, outputs: list[Output], builder: SummaryBuilder
) -> None:
    async with AsyncExitStack() as stack:
        writers = [
            (line_of, await stack.enter_async_context(writing_to(stream)))
            for line_of, stream in outputs
        ]
        fetcher = await stack.enter_async_context(arguments.fetcher)
        results = await stack.enter_async_context(
            fetcher.stream(
                requests, ordered=arguments.ordered, batch_timeout=arguments.batch_timeout
            )
        )
        async for result in results:
            builder.add(result)
            for line_of, put_line in writers:
                await put_line(line_of(result))


def _requests(arguments: Arguments, files: ExitStack) -> Requests:
    if arguments.file is None:
        return [arguments.request(url) for url in arguments.urls]
    read = files.enter_context(opened(arguments.file))
    if isinstance(read, AsyncIterator):
        return _requests_in(arguments, read)
    return map(arguments.request, chain(arguments.urls, read))


async def _requests_in(arguments: Arguments, read: AsyncIterator[str]) -> AsyncIterator[Request]:
    for url in arguments.urls:
        yield arguments.request(url)
    async for url in read:
        yield arguments.request(url)


def _outputs(arguments: Arguments, files: ExitStack) -> list[Output]:
    """
    Return the forms in which results are written, each with its stream.

    Raises:
        OSError: If the file of `--jsonl` cannot be opened.
        ValueError: If it is the one that the URLs are read from.
    """
    outputs: list[Output] = []
    if arguments.jsonl not in (None, "-"):
        outputs.append((json_line, files.enter_context(_created(arguments))))
    stdout: TextIO | None = sys.stdout  # None in a program started without one
    if stdout is not None and (arguments.jsonl == "-" or not arguments.quiet):
        outputs.append((json_line if arguments.jsonl == "-" else plain_line, stdout))
    return outputs


@contextmanager
def _created(arguments: Arguments) -> Generator[TextIO]:
    path = Path(arguments.jsonl or "")
    if arguments.file not in (None, "-") and path.exists() and path.samefile(arguments.file or ""):
        raise ValueError(f"--jsonl {path} would overwrite the URLs that are read from it")
    stream = path.open("w", encoding="ascii")
    try:
        yield stream
    finally:
        # Each line was flushed when it was written: what fails now has failed before.
        with suppress(OSError):
            stream.close()


def _say(text: str) -> None:
    # A closed stderr, or none at all, is no reason to fail.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _discard_stdout() -> None:
    # The interpreter flushes stdout on its way out, and would complain once more.
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
