"""
A coverage-guided fuzz target for the HTTP/2 session; `README.md` says how to run it.

An input is four bytes that say how the rest is handed over (two sizes of pieces, whether SETTINGS
come first, how many requests wait) and the bytes that the server sends. What the property test
`tests/properties/test_http2_session.py` asserts of its own frames has to hold for any bytes.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["asyncbatch._engine.http2"]):
    # First, and by its name: the session is imported where the extra is asked for, not by its room.
    import asyncbatch._engine.http2._session  # noqa: F401
    from tests import http2_peer as wire
    from tests.properties.test_http2_session import check

CONTROL = 4


def check_input(data: bytes) -> None:
    """Check one input."""
    if len(data) < CONTROL:
        return
    first, second, flags, _ = data[:CONTROL]
    content = data[CONTROL:]
    if flags & 1:
        content = wire.settings() + content
    check(content, [first + 1, second + 1])


def main() -> None:
    """Run libFuzzer."""
    atheris.Setup(sys.argv, check_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
