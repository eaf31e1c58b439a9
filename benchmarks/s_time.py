"""
The limit of new TLS connections: `openssl s_time -new`, which is OpenSSL's handshake in C.

It opens one connection after the other, does a full handshake with the certificate verified, sends
no request, and closes.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

from benchmarks.entrant import Setting, Unavailable, WrongAnswer

_LONGEST_CHAIN = 3
"""Certificates; with this option alone s_time verifies any."""


def measure(setting: Setting, seconds: float) -> dict[str, Any]:
    """Run `openssl s_time` for so many seconds, two at least: it takes 10 ms to start."""
    executable = shutil.which("openssl")
    if executable is None:
        raise Unavailable("openssl is missing: apt install openssl")
    duration = max(2, round(seconds))
    command = [
        *(executable, "s_time", "-new", "-connect", urlsplit(setting.first_url).netloc),
        *("-CAfile", setting.ca_file, "-verify", str(_LONGEST_CHAIN), "-time", str(duration)),
    ]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=duration + 30
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begun
    return {
        "requests": parse(done.stdout, done.stderr),
        "wall": wall,
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    }


def parse(output: str, errors: str) -> int:
    """
    Return the number of connections from what s_time prints.

    Raises:
        WrongAnswer: There was an error, or a certificate was not trusted.
    """
    if problem := re.search(r"(?m)^.*(verify error|:error:|ERROR).*$", errors):
        raise WrongAnswer(f"openssl says: {problem[0]}")
    found = re.search(r"(?m)^(\d+) connections in \d+ real seconds", output)
    if found is None or not int(found[1]):
        raise WrongAnswer(f"openssl says of no connection:{os.linesep}{output}{errors}")
    return int(found[1])
