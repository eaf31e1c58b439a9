"""The command: fetches the URLs, writes the lines and the summary, and returns the exit code."""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from asyncbatch import Result, ResultStream
from asyncbatch._cli._arguments import Arguments, parse
from asyncbatch._cli._demo import run_demo
from asyncbatch._cli._input import Source
from asyncbatch._cli._journal import journal_main
from asyncbatch._cli._outputs import Output, check_files, check_report, open_lines, open_table
from asyncbatch._cli._parser import prog_name
from asyncbatch._cli._writer import LineWriter, TextOutput, writing_to
from asyncbatch._results._summary import SummaryBuilder
from asyncbatch._results._table_file import ParquetFile

OK, FAILED, USAGE, BROKEN_PIPE = 0, 1, 2, 141
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM

_END = object()


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command and return its exit code.

    Args:
        argv: The arguments; those of the program if `None`.

    Raises:
        SystemExit: If the arguments are invalid, or ask for help.
    """
    try:
        given = sys.argv[1:] if argv is None else argv
        if given[:1] == ["journal"]:
            return journal_main(given[1:], prog_name())
        arguments = parse(argv)
        if arguments.wants_demo:
            _say_that_stdin_is_left_alone(arguments)
            return OK if anyio.run(run_demo) else FAILED
        return _run(arguments)
    except BrokenPipeError:
        _discard_stdout()
        return BROKEN_PIPE
    except OSError as error:  # the help, the version or the demo could not be written
        _say(f"{Path(sys.argv[0]).name}: {error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Arguments) -> int:
    with ExitStack() as files:
        try:
            source = Source(arguments, files)
            check_files(arguments, source)
            outputs = open_lines(arguments, files)
            check_report(arguments)
            table = open_table(arguments, files)
        except (OSError, ValueError, ImportError) as error:
            _say(f"{arguments.prog}: {error}")
            return USAGE
        return Run(arguments, source, outputs, table).run()


class Run:
    """One run of the command."""

    def __init__(
        self,
        arguments: Arguments,
        source: Source,
        outputs: list[Output],
        table: ParquetFile | None = None,
    ) -> None:
        self._arguments = arguments
        self._source = source
        self._outputs = outputs
        self._table = table
        self._builder = SummaryBuilder()
        self._results = 0
        # The results, which write the report; None before the fetcher is open.
        self._stream: ResultStream | None = None
        # Number of results that some output has taken and not written.
        self._unwritten = 0
        # Whether the journal, if there is one, could be opened.
        self._has_begun = False
        # The signal that has ended the run, if any.
        self._signal: int | None = None
        # The names of the files written at the end, and the fetched files that have one of them.
        late = (arguments.report, arguments.parquet)
        self._late_names = {Path(path).name for path in late if path is not None}
        self._namesakes: set[Path] = set()
        # The scope of the wait for the next result; None before the first.
        self._waiting: anyio.CancelScope | None = None

    def run(self) -> int:
        """Fetch all URLs, and print the summary, also after an early end."""
        begun, code = time.monotonic(), OK
        try:
            anyio.run(self._fetch)
            self._source.refuse_nothing()
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:
            _say(f"{self._arguments.prog}: {error}")
            code = FAILED if self._has_begun and self._source.read else USAGE
        except KeyboardInterrupt:
            self._signal = signal.SIGINT
        if code == USAGE:
            self._close_table(is_whole=False)
            return code
        if self._signal is not None:
            _say("interrupted" if self._signal == signal.SIGINT else "terminated")
            code = 128 + self._signal
        missing = self._missing()
        if not self._close_table(is_whole=not (code or missing)):
            code = code or FAILED
        summary = self._builder.build(duration=time.monotonic() - begun)
        if not self._arguments.quiet:
            _say(str(summary))
        if missing:
            _say("\n".join(missing))
        is_reported = self._write_report()
        return code or (FAILED if summary.failed or missing or not is_reported else OK)

    def _write_report(self) -> bool:
        """Write the report, if one was asked for; return whether that was possible."""
        path = self._arguments.report
        if path is None or self._stream is None:
            return True
        try:
            self._refuse_to_replace("--report", path)
            self._stream.report(path)
        except (OSError, ValueError) as error:
            _say(f"{self._arguments.prog}: {error}")
            return False
        if not self._arguments.quiet:
            _say(f"report: {path}")
        return True

    def _close_table(self, *, is_whole: bool) -> bool:
        """End the table, if one was asked for; return whether that was possible."""
        table = self._table
        if table is None or table.is_closed:
            return True
        if not (is_whole or self._results):
            table.discard()
            return True
        try:
            if is_whole:
                self._refuse_to_replace("--parquet", self._arguments.parquet)
            table.close(is_whole=is_whole)
        except (OSError, ValueError) as error:
            _say(f"{self._arguments.prog}: {error}")
            return False
        if not is_whole:
            _say(f"the results so far are in {table.part}")
        return True

    def _refuse_to_replace(self, option: str, path: str | None) -> None:
        """
        Refuse to write a file over one that was fetched.

        Raises:
            ValueError: If a URL has left a file with its name.
        """
        if path is None or not Path(path).exists():
            return
        if any(Path(path).samefile(each) for each in self._namesakes):
            raise ValueError(f"{option} {path} would overwrite a file that was fetched")

    def _missing(self) -> list[str]:
        """Return texts about the URLs that have no line."""
        found = []
        try:
            unread = self._source.unread()
        except (OSError, ValueError) as error:
            unread = f"the rest of the input was ({error})"
        except KeyboardInterrupt:
            unread = "the rest of the input was"
        begun = self._source.read - self._results
        if begun:
            were = "1 URL was" if begun == 1 else f"{begun:,} URLs were"
            found.append(f"{were} begun but not finished, and so without a line")
        if unread:
            found.append(f"{unread} not read, and so not fetched")
        if self._unwritten:
            were = "1 result" if self._unwritten == 1 else f"{self._unwritten:,} results"
            found.append(f"{were} could not be written")
        return found

    async def _fetch(self) -> None:
        error: Exception | None = None
        async with anyio.create_task_group() as tasks:
            if signals := _signals():
                await tasks.start(self._watch_signals, signals, tasks.cancel_scope)
            try:
                await self._write_results()
            except Exception as caught:
                error = caught  # raised after the task group, which would wrap it
            tasks.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _watch_signals(
        self,
        signals: Sequence[signal.Signals],
        everything: anyio.CancelScope,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        """End the run at the first signal, writing all results so far; at the second, at once."""
        with anyio.open_signal_receiver(*signals) as received:
            task_status.started()
            async for number in received:
                if self._signal is not None:
                    everything.cancel()
                self._signal = number
                if self._waiting is not None:
                    self._waiting.cancel()

    async def _write_results(self) -> None:
        writers: list[LineWriter] = []
        try:
            async with AsyncExitStack() as stack:
                lines = []
                for line_of, stream in self._outputs:
                    writer = await stack.enter_async_context(writing_to(stream))
                    writers.append(writer)
                    lines.append((line_of, writer))
                fetcher = await stack.enter_async_context(self._arguments.fetcher)
                results = await stack.enter_async_context(
                    fetcher.stream(
                        self._source.requests(),
                        ordered=self._arguments.ordered,
                        batch_timeout=self._arguments.batch_timeout,
                        journal=self._arguments.journal,
                        report=self._arguments.report is not None,
                    )
                )
                self._stream = results
                self._has_begun = True
                while (result := await self._next(results)) is not None:
                    self._results += 1
                    self._builder.add(result)
                    if result.path is not None and result.path.name in self._late_names:
                        self._namesakes.add(result.path)
                    if self._table is not None and self._table.add(result):
                        await anyio.to_thread.run_sync(self._table.write)
                    for line_of, writer in lines:
                        await writer.put_line(line_of(result))
        finally:
            self._unwritten = max((writer.put - writer.written for writer in writers), default=0)

    async def _next(self, results: Any) -> Result | None:
        """Wait for the next result; after a signal, take only results that are ready."""
        if self._signal is None:
            with anyio.CancelScope() as waiting:
                self._waiting = waiting
                result: Any = await anext(results, _END)
                return None if result is _END else result
        results.give_up_order()
        # Without a wait, in which others would become ready that nothing takes.
        ready: Result | None = results.take_ready()
        return ready


def _signals() -> list[signal.Signals]:
    """Return the signals that end a run, without those that have other handlers."""
    if os.name != "posix" or threading.current_thread() is not threading.main_thread():
        return []  # signals cannot be waited for; Ctrl-C raises a KeyboardInterrupt
    theirs = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    return [number for number, usual in theirs.items() if _is_usual(number, usual)]


def _is_usual(number: int, usual: Any) -> bool:
    found = signal.getsignal(number)
    # The runner of the event loop replaces Python's handler by its own.
    return found is usual or (number == signal.SIGINT and found is not signal.SIG_IGN)


def _say_that_stdin_is_left_alone(arguments: Arguments) -> None:
    with suppress(OSError, ValueError, AttributeError):
        found = os.fstat(sys.stdin.fileno())
        if stat.S_ISFIFO(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_size):
            _say(f"{arguments.prog}: stdin is not read; use -f - to fetch the URLs in it")


def _say(text: str) -> None:
    # A closed or missing stderr is ignored.
    with suppress(OSError, ValueError, AttributeError):
        TextOutput(sys.stderr).write(f"{text}\n")


def _discard_stdout() -> None:
    # The interpreter flushes stdout on its way out, and would complain once more.
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
