"""
Reports of results from any source, as HTML pages and as HTTP archives.

`Results` and streams have methods for this: `results.report("report.html")` and
`results.to_har("run.har")`. This module is for other results: from a journal, from `fetch`, or from
several batches.
"""

from asyncbatch._results.report._har import to_har
from asyncbatch._results.report._report import Report
from asyncbatch._values._pickling import publish

__all__ = ["Report", "to_har"]

publish(globals())
del publish
