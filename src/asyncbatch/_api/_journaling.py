"""
A batch with a journal: opens the file, and puts it between the batch and its input and output.

`OpenJournal` is that journal for one batch. It compares the options of the fetcher that change
answers with those of earlier runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from asyncbatch._api._options import DEFAULT_MAX_BODY, Options, warn_caller
from asyncbatch._api._setup import value_of
from asyncbatch._batch import Batch, Shared
from asyncbatch._batch._input import Input
from asyncbatch._batch._output import Output
from asyncbatch._files import Files
from asyncbatch._journal._input import JournaledInput
from asyncbatch._journal._journal import Journal
from asyncbatch._journal._open_journal import OpenJournal


async def journaled_batch(
    journal: Journal,
    check_open: Callable[[], Shared],
    source: Input,
    output: Output,
    options: Mapping[str, Any],
    *,
    batch_timeout: float | None,
    files: Files,
) -> Batch:
    """
    Return a new batch with its journal open.

    Args:
        journal: The journal.
        check_open: Returns the state of the fetcher, or raises if it is closed.
        source: The input.
        output: Where the results go, once they are written.
        options: As `answer_options` returns them.
        batch_timeout: Seconds for all of it.
        files: Where the bodies go.

    Raises:
        FetcherClosed: If the fetcher is closed, also while the journal is opened.
        OSError: If the journal cannot be used; see `JournalError`.
    """
    open_journal = OpenJournal(journal, check_open(), output, files)
    key = "a function" if callable(journal.key) else journal.key
    await open_journal.open({**options, "key": key}, warn_caller)
    try:
        batch = Batch(
            check_open(),
            JournaledInput(source, open_journal),
            open_journal.output,
            batch_timeout=batch_timeout,
            files=files,
            announce=open_journal.announce,
        )
    except BaseException:
        await open_journal.close()
        raise
    open_journal.fail = batch.end_with
    return batch


def answer_options(options: Options, client: httpx.AsyncClient) -> dict[str, Any]:
    """Return the options that change answers, to be compared with those of other runs."""
    addresses = options.addresses
    return {
        "follow_redirects": value_of(options.follow_redirects, client.follow_redirects),
        "max_redirects": value_of(options.max_redirects, client.max_redirects),
        "max_body": value_of(options.max_body, DEFAULT_MAX_BODY),
        "addresses": "a function" if callable(addresses) else addresses,
        "check": None if options.check is None else "a function",
    }
