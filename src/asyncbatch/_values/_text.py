"""
How a body is read as text and as JSON, whatever its server says of it.

What a server names is not to be trusted: Python's codecs decompress, unescape or fail by names that
a server may give. Here only what encodes text counts, and only what is documented is raised.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

FALLBACK = "utf-8"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+ -]{0,39}")

# Text encodings to Python, but not of a body: escapes, host names, and one that always fails.
_NO_CHARSETS = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"}


def is_charset(name: str) -> bool:
    """Whether `name` is a codec of Python's by which bytes are text."""
    if not _NAME.fullmatch(name):
        return False
    try:
        codec = codecs.lookup(name)
        # Of the other codecs (rot13, zip, base64, ...), this refuses to look one up.
        b" ".decode(codec.name, "replace")
    except Exception:  # a codec may be anybody's
        return False
    return codec.name.replace("-", "_") not in _NO_CHARSETS


def encoding_of(response: Any) -> str:
    """
    Return the encoding by which the body of a response is text.

    As httpx finds it, but for what is no charset: then it is the client's `default_encoding`.
    """
    try:
        found: str = response.encoding
    except Exception:
        # Python's parser of `Content-Type` fails at some values, and so does the look-up of a name.
        found = ""
    if is_charset(found):
        return found
    default = response.default_encoding
    named: Any = default(response.content) if callable(default) else default
    return named if isinstance(named, str) and is_charset(named) else FALLBACK


def text_of(response: Any) -> str:
    """Return the body of a response as text; what does not decode becomes U+FFFD."""
    encoding = encoding_of(response)
    try:
        if response.encoding == encoding:
            text: str = response.text
            return text
    except Exception:  # noqa: S110  # as UTF-16 without a byte order mark
        pass
    content: bytes = response.content
    return content.decode(encoding, "replace")


def parse_json(content: bytes, url: str, options: dict[str, Any]) -> Any:
    """
    Parse a body as JSON.

    Args:
        content: The body.
        url: Where it is from, for the message.
        options: As for `json.loads`.

    Raises:
        json.JSONDecodeError: If it is no JSON.
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
        # A number of too many digits; or what a function among the options raises.
        message, document, position = str(error), content.decode(errors="replace"), 0
    where = f"in the body of {url}" if content else f"as there is no body from {url}"
    raise json.JSONDecodeError(f"{message}, {where}", document, position)
