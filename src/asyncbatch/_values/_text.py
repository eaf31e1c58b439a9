"""
Reads a body as text and as JSON, safely with any charset that a server names.

The charset named by a server cannot be trusted: some of Python's codecs decompress, unescape or
always fail. Only codecs that encode text are used here, and only documented errors are raised.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

FALLBACK = "utf-8"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+ -]{0,39}")

# Text encodings of Python that are no charset of a body: escapes, host names, and one that always
# fails.
_NO_CHARSETS = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}


def is_charset(name: str) -> bool:
    """Whether `name` is a codec of Python that decodes bytes to text."""
    if not _NAME.fullmatch(name):
        return False
    try:
        codec = codecs.lookup(name)
        # `decode` refuses codecs that do not decode to text (rot13, zip, base64, ...).
        b" ".decode(codec.name, "replace")
    except Exception:  # a registered codec may raise anything
        return False
    return codec.name.replace("-", "_") not in _NO_CHARSETS


def encoding_of(response: Any) -> str:
    """
    Return the encoding for the text of a response.

    It is the one that httpx finds, if it is a charset; else the client's `default_encoding`.
    """
    try:
        found: str = response.encoding
    except Exception:
        # Python's parser of `Content-Type` raises for some values, and so does the codec look-up.
        found = ""
    if is_charset(found):
        return found
    default = response.default_encoding
    named: Any = default(response.content) if callable(default) else default
    return named if isinstance(named, str) and is_charset(named) else FALLBACK


def body_text(response: Any) -> str:
    """Return the body of a response as text; bytes that do not decode become U+FFFD."""
    encoding = encoding_of(response)
    try:
        if response.encoding == encoding:
            text: str = response.text
            return text
    except Exception:  # noqa: S110  # raised for UTF-16 without a byte order mark
        pass
    content: bytes = response.content
    return content.decode(encoding, "replace")


def parse_json(content: bytes, url: str, options: dict[str, Any]) -> Any:
    """
    Parse a body as JSON.

    Args:
        content: The body.
        url: The URL of the response, for the message.
        options: Arguments for `json.loads`.

    Raises:
        json.JSONDecodeError: If it is not JSON.
    """
    try:
        return json.loads(content, **options)
    except json.JSONDecodeError as error:
        message, document, position = error.msg, error.doc, error.pos
    except UnicodeDecodeError as error:
        message = f"Not {error.encoding} at byte {error.start}"
        document, position = content.decode(errors="replace"), 0
    except RecursionError:
        message, document, position = "Nested too deeply", content.decode(errors="replace"), 0
    except ValueError as error:
        # Raised for a number of too many digits, or by a function among the options.
        message, document, position = str(error), content.decode(errors="replace"), 0
    where = f"in the body of {url}" if content else f"as there is no body from {url}"
    raise json.JSONDecodeError(f"{message}, {where}", document, position)
