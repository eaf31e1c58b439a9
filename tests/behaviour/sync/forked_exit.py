"""Fork while a connection is open, and leave the child by way of the interpreter's own exit."""

from __future__ import annotations

import os
import sys

from asyncbatch import SyncFetcher

with SyncFetcher() as fetcher:
    assert fetcher.fetch(sys.argv[1]).ok
    if (child := os.fork()) == 0:
        sys.exit(3)
    _, status = os.waitpid(child, 0)
    assert fetcher.fetch(sys.argv[1]).ok
print("child exited with", os.waitstatus_to_exitcode(status))
