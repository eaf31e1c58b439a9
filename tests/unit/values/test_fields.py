"""The grammar of header fields, and how what is built on it differs from place to place."""

from __future__ import annotations

import itertools
import re
import string
import subprocess
import sys
from collections.abc import Callable

import pytest

from asyncbatch._engine.http11 import InvalidRequest, are_field_lines, encode_fields
from asyncbatch._lanes.request import _encode_fast, _sendable
from asyncbatch._values import _fields
from asyncbatch._values._fields import (
    ASCII_VALUE,
    BROKEN_LINE,
    CONTROL_BYTES,
    TEXT_BYTES,
    TOKEN,
    TOKEN_BYTES,
    VALUE_BYTES,
)
from asyncbatch.telemetry._propagation import allowed_fields

# As RFC 9110 has them, in words of its own.
TCHARS = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters
VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
TEXT = frozenset(b"\t " + VISIBLE.encode() + bytes(range(0x80, 0x100)))

BYTES = [bytes([byte]) for byte in range(256)]
# Digits, letters and a line end that `\d`, `\w` and `\s` take, and a lone surrogate.
FOREIGN = "\u0663\u0660\u00df\u0101\uff21\u212a\u2028\ud800"
CHARACTERS = [*map(chr, range(256)), *FOREIGN]


def is_value(value: bytes) -> bool:
    """Return whether a value may be on a line, without any pattern."""
    return TEXT.issuperset(value)


def is_trimmed(value: bytes) -> bool:
    """Return whether a value has no blanks around it."""
    return value == value.strip(b" \t")


def is_encoded(name: bytes, value: bytes) -> bool:
    """Return whether the encoder of the core takes a field."""
    try:
        encode_fields([(name, value)])
    except InvalidRequest:
        return False
    return True


def short_values() -> list[bytes]:
    """Return all values of up to three of the bytes that make a difference."""
    letters = [b"a", b" ", b"\t", b"\r", b"\n", b"\x00", b"\x7f", b"\x80", b"~", b"\xff"]
    return [b"".join(parts) for n in range(4) for parts in itertools.product(letters, repeat=n)]


@pytest.mark.parametrize("around", ["{}", "a{}", "{}a", "a{}a"])
def test_a_token_has_the_characters_of_a_token(around: str) -> None:
    """Whatever their place is, as text and as bytes alike."""
    for character in CHARACTERS:
        is_token = character in TCHARS

        assert bool(TOKEN.fullmatch(around.format(character))) is is_token, character
    for byte in BYTES:
        is_token = byte.decode("latin-1") in TCHARS

        given = around.format(byte.decode("latin-1")).encode("latin-1")
        assert bool(TOKEN_BYTES.fullmatch(given)) is is_token, byte


def test_a_token_is_not_empty() -> None:
    """As text and as bytes."""
    assert not TOKEN.fullmatch("")
    assert not TOKEN_BYTES.fullmatch(b"")


def test_a_byte_is_text_or_control() -> None:
    """Never both."""
    for byte in BYTES:
        is_text = byte[0] in TEXT

        assert bool(re.fullmatch(TEXT_BYTES, byte)) is is_text, byte
        assert bool(re.fullmatch(CONTROL_BYTES, byte)) is not is_text, byte


def test_a_value_on_a_line_may_have_blanks_around_it() -> None:
    """And obs-text: a receiver takes both."""
    for value in short_values():
        assert bool(VALUE_BYTES.fullmatch(value)) is is_value(value), value
        assert is_encoded(b"a", value) is is_value(value), value
        assert are_field_lines(b"a:%b\r\n" % value) is is_value(value), value


def test_a_value_to_send_has_no_blanks_around_it() -> None:
    """Obs-text is sent if the caller has encoded it."""
    for value in short_values():
        is_sent = is_value(value) and is_trimmed(value)

        assert bool(_sendable._BAD_VALUE.search(value)) is not is_sent, value
        assert is_sent or _sendable._SUSPECT.search(b"\x80%b\x80" % value), value


@pytest.mark.parametrize(
    "takes",
    [
        ASCII_VALUE.fullmatch,
        lambda value: _encode_fast._lines({"a": value}) is not None,
        lambda value: allowed_fields({"a": value}, ["a"], []),
    ],
    ids=["pattern", "encoder", "propagation"],
)
def test_a_value_that_we_encode_is_ascii_without_blanks_around_it(
    takes: Callable[[str], object],
) -> None:
    """Other text is for httpx to encode, or to refuse."""
    values = [value.decode("latin-1") for value in short_values()]
    for value in [*values, *FOREIGN, *(f"a{one}a" for one in CHARACTERS)]:
        is_plain = value.isascii() and is_value(value.encode()) and is_trimmed(value.encode())

        assert bool(takes(value)) is is_plain, value


def test_broken_lines_are_found_before_they_end() -> None:
    """A carriage return at the end may be followed by its line feed; all else is found at once."""
    for lines in short_values():
        *ended, last = lines.split(b"\r\n")
        is_folded = any(line.startswith((b" ", b"\t")) for line in [*ended, last][1:])
        is_whole = all(map(is_value, [*ended, last.removesuffix(b"\r")])) and not is_folded

        assert bool(BROKEN_LINE.search(lines)) is not is_whole, lines


def test_the_grammar_needs_nothing_else() -> None:
    """The sans-IO core imports it, and must not learn of anything else by that."""
    code = f"import runpy, sys; before = {{*sys.modules}}; runpy.run_path({_fields.__file__!r})\n"
    code += "print(*{name.split('.')[0] for name in {*sys.modules} - before})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert set(done.stdout.split()) <= sys.stdlib_module_names - {"asyncio"}
