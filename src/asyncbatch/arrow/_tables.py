"""Results of any origin as Arrow tables: the public form of `_results._arrow`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from asyncbatch import Result
from asyncbatch._results import _arrow
from asyncbatch._results._record import as_result, to_be_read


def schema() -> Any:
    """
    Return the `pyarrow.Schema` of a table of results whose tags are text.

    The documentation describes each column, under "Results as tables".

    Raises:
        ImportError: If `pyarrow` is not installed (the extra `arrow`).
    """
    return _arrow.schema()


def table(results: Iterable[Result]) -> Any:
    """
    Return a `pyarrow.Table` of any results, such as those of several batches.

        table(result for result in results if result.elapsed > 1)

    Tags that are all of one simple type have a column of that type; otherwise `tag` is text.

    Args:
        results: The results, which are read once; of a stream, those that are still to come.

    Raises:
        ImportError: If `pyarrow` is not installed (the extra `arrow`).
        TypeError: If an item is not a result.
        RuntimeError: If `results` is a stream that has ended or was left.
    """
    return _arrow.table([as_result(result) for result in to_be_read(results)])
