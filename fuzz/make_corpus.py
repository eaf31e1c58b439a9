"""
Write the seed corpus: each message of the suite's table, with one plan each.

Run it as `python -m fuzz.make_corpus` after the table has changed; seeds that are there and not
in the table any more stay, since they may be findings.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tests.http11.messages import MALFORMED, TRUNCATED, VALID, Message

FOLDER = Path(__file__).parent / "corpus"
LONGEST = 2048


def plan_of(message: Message) -> bytes:
    """Choose a plan by the message's name, so that the seeds differ and do not change."""
    digest = hashlib.sha256(message.name.encode()).digest()
    flags = (message.method == b"HEAD") | (digest[0] & 4)
    return bytes([flags, *(byte % 32 for byte in digest[1:5])])


def main() -> None:
    """Write one file for each message."""
    FOLDER.mkdir(exist_ok=True)
    for message in VALID + MALFORMED + TRUNCATED:
        if len(message.wire) <= LONGEST:
            name = re.sub(r"[^a-z0-9]+", "-", message.name.lower()).strip("-")
            (FOLDER / name).write_bytes(plan_of(message) + message.wire)


if __name__ == "__main__":
    main()
