"""
The grammar of header fields: of their names, of their values, and of the lines that carry them.

What one field means is written where that field is read, and so is what a place refuses beyond this
grammar. Patterns only, and no import of the project: the sans-IO core reads heads with them.

RFC 9110 §5.6.2 (token) and §5.5 (field-value). Digits and letters are those of ASCII, spelt out:
the classes of `re` take those of other scripts.
"""

from __future__ import annotations

import re

TCHAR = r"[!#$%&'*+.^_`|~0-9A-Za-z-]"
"""One character of a token: of a method, a field name, a scheme of authentication."""

TCHAR_BYTES = TCHAR.encode("ascii")

TOKEN = re.compile(TCHAR + "++")
TOKEN_BYTES = re.compile(TCHAR_BYTES + b"++")

_TEXT = rb"\t\x20-\x7e\x80-\xff"

TEXT_BYTES = b"[" + _TEXT + b"]"
"""One byte of a value as it is on a line: with the blanks around it, and obs-text."""

CONTROL_BYTES = b"[^" + _TEXT + b"]"
"""Any other byte: a control character, those of line ends included, but not the tab."""

VALUE_BYTES = re.compile(TEXT_BYTES + b"*+")

ASCII_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
"""
A value that is sent as it is given.

Stricter than `VALUE_BYTES`: no obs-text, since text beyond ASCII may be encoded in several ways,
and no blanks at the ends, which are not a part of the value (§5.5).
"""

BROKEN_LINE = re.compile(
    b"[^" + _TEXT + rb"\r\n]"  # control characters but those that end a line
    rb"|(?<!\r)\n|\r(?!\n|\Z)"  # a line feed and a carriage return, each without the other
    rb"|\n[ \t]"  # a folded line
)
"""What no field lines contain, incomplete ones included: a carriage return may end them."""
