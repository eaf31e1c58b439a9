"""`fetch_many`: one batch, on a fetcher of its own."""

from __future__ import annotations

from typing import Unpack

from asyncbatch._api._fetcher import Fetcher
from asyncbatch._api._options import ClientTypes, FetcherOptions, shows_options
from asyncbatch._batch._input import Requests
from asyncbatch._journal._journal import JournalTypes
from asyncbatch._results._results import Results


@shows_options
async def fetch_many(
    requests: Requests,
    *,
    client: ClientTypes | None = None,
    batch_timeout: float | None = None,
    journal: JournalTypes | None = None,
    **options: Unpack[FetcherOptions],
) -> Results:
    """
    Fetch all `requests` concurrently and return one result each, in the order of the input.

    A failed request raises nothing; its result is a `Failure`. The options are those of `Fetcher`.

    Args:
        requests: An iterable or async iterable of `str`, `httpx.URL`, `httpx.Request` or `Request`,
            read lazily.
        client: An `httpx.AsyncClient` or `httpx2.AsyncClient` to use; it is left open.
        batch_timeout: Seconds for the whole call; see `Fetcher.fetch_many`.
        journal: A file in which the results are kept; see `Fetcher.fetch_many`.
        options: Every option of `Fetcher`.

    Returns:
        The `Results`, one for each request.

    Raises:
        TypeError: If an option is unknown or of a wrong type, or `requests` is not an iterable.
        ValueError: If an option has an impossible value.
        OSError: If the journal cannot be used; see `JournalError`.
        Exception: As raised by the iterable, after every request that was read before it has
            ended. Its attribute `results` holds their results.
    """
    async with Fetcher(client, **options) as fetcher:
        return await fetcher.fetch_many(requests, batch_timeout=batch_timeout, journal=journal)
