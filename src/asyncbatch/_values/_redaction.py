"""
Redaction of URLs in messages: everything may be shown but the user name and the password.

If the scheme, slashes, host and port of a URL are well-formed, user name and password end at the
last "@" of the authority; an "@" in the path or query marks no secret. In a malformed URL, the end
of the password is unknown, so everything is hidden up to the last "@", in any form of that
character.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[secure]"
HIDDEN = f"{MASK}@"

_SHORT = 2
"""Characters of a secret up to which it is found as a word only: each `p` would say too much."""

# The at sign itself, its full-width and small forms, and all three percent-encoded.
_AT_FORMS = ("@", "\uff20", "\ufe6b", "%40", "%EF%BC%A0", "%EF%B9%AB")
_AT = "|".join(_AT_FORMS)

_PORT = r"(?::(?:0*[1-9][0-9]{0,3}|0*[1-5][0-9]{4}|0*6[0-5][0-9]{3})?)?"

# A character before the "@" of a relative URL: none that delimits the parts of an authority, in any
# form.
_PART = rf"(?!{_AT}|%(?:3A|2F|5C))[^:\\\s'\"<>\[\]\uff0f\uff1a\uff3c"
_BEFORE_AT = rf"(?:{_PART}])*(?:(?:{_AT}).*)?"


class _Expressions:
    """
    The expressions for texts with an "@" in any form.

    Made when the first such text is shown: compiling them takes 5 ms, a twentieth of what importing
    httpx takes, and most programs show none.
    """

    def __init__(self) -> None:
        self.last_at = re.compile(f".*(?:{_AT})", re.DOTALL)
        self.well_formed = re.compile(
            r"(?P<start>[\0-\x20]*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)"
            r"(?P<userinfo>[^/?#\\\s\0-\x20\uff20\ufe6b]*@)?"
            # "http:" in the place of the host is a scheme written twice, not a host.
            r"(?P<host>(?!https?:[/?#]|https?//)"
            r"(?:[^/?#\\\s\0-\x20@:\[\]%\uff20\ufe6b\uff0f\uff1a\uff3c]+|\[[0-9A-Fa-f:.]*\])"
            rf"{_PORT})(?=[/?#]|\Z)"
        )
        # A URL within another, as in a query.
        self.nested = re.compile(r"(?<=://)[^/?#@:\s]*:[^/?#@\s]*@")
        # What is shown of a malformed URL before the hidden part: its scheme, if it is a known one.
        self.start = re.compile(
            r"[\s\0-\x20]*"
            r"(?:(?:https?|ftps?|wss?|socks[45][ah]?):[/\\\s\0-\x20]*|[/\\\s\0-\x20]+)?",
            re.IGNORECASE,
        )
        # A path relative to a `base_url`, perhaps with a query, whose "@" belongs to the path.
        self.relative = re.compile(
            r"/?(?!/|h?t{1,3}p?s?[;.,/])"  # not a misspelt scheme
            rf"(?:(?<=/){_BEFORE_AT}|(?<!/)(?:{_PART}/?#])*(?:[/?#]{_BEFORE_AT})?)",
            re.DOTALL | re.IGNORECASE,
        )
        # In a text: a quoted string, and a word between blanks.
        self.quoted = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")
        self.word = re.compile(r"[^\s'\"<>]+")


_expressions = functools.cache(_Expressions)

_SHOWN = 200
_READ = 100_000


def has_at(text: str) -> bool:
    """Whether `text` contains an "@" in any form."""
    # Plain searches, which take a tenth of the time of an expression. In ASCII, all forms of the
    # sign have one of two characters.
    if "@" not in text and "%" not in text and text.isascii():
        return False
    return any(form in text for form in _AT_FORMS)


def redacted_url(url: object) -> str:
    """Return a URL, well-formed or not, without its user name and password."""
    text = str.__str__(url) if isinstance(url, str) else str(url)
    if not has_at(text):
        return text
    start, secret, rest = _parts(text)
    return f"{start}{HIDDEN if secret else ''}{_expressions().nested.sub(HIDDEN, rest)}"


def redacted_urls(urls: list[str]) -> list[str]:
    """Return each URL as `redacted_url` does; fast if no secret is in any of them."""
    return [redacted_url(url) for url in urls] if has_at("\n".join(urls)) else urls


def secrets_in(url: str) -> set[str]:
    """Return the words of a URL that must not be shown, each as it is and percent-encoded."""
    words = re.split(rf"[:\s/\\]|{_AT}", _parts(url)[1])
    return {form for word in words if word for form in (word, quote(word, errors="ignore"))}


def without(secrets: Iterable[str], text: str) -> str:
    """Return a text with `[secure]` in the place of each of some secrets."""
    # The longest first, and all at once, since a secret may be a part of another, or of the mask.
    found = sorted((each for each in secrets if each in text), key=len, reverse=True)
    if not found:
        return text
    forms = [
        rf"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{{2}})){re.escape(each)}(?!\w)"
        if len(each) <= _SHORT
        else re.escape(each)
        for each in found
    ]
    # What is masked already stays.
    return re.sub(rf"{re.escape(MASK)}|{'|'.join(forms)}", MASK, text)


def _parts(text: str) -> tuple[str, str, str]:
    """Split a URL into the part before the user name, user name to "@", and the rest."""
    if not has_at(text) or (expressions := _expressions()).relative.fullmatch(text):
        return "", "", text
    match = expressions.well_formed.match(text)
    if match is not None:
        start, secret = match["start"], match["userinfo"] or ""
        return start, secret, text[len(start) + len(secret) :]
    last, start = expressions.last_at.match(text), expressions.start.match(text)
    assert last is not None
    assert start is not None
    begin = start.end() if start.end() < last.end() else 0
    return text[:begin], text[begin : last.end()], text[last.end() :]


def redacted(text: str) -> str:
    """Return `text` without the user names and passwords of the URLs in it."""
    if not has_at(text):
        return text
    return _expressions().word.sub(_redacted_word, text)


def shown(value: object) -> str:
    """Return a short text for `value` in a message, without user names and passwords."""
    if isinstance(value, str):
        return repr(redacted_url(value))[:_SHOWN]
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__name__} object>"
    text = text[:_READ]
    if not has_at(text):
        return text[:_SHOWN]
    text = _expressions().quoted.sub(lambda match: _redacted_quoted(match[0]), text)
    return redacted(text)[:_SHOWN]


def _redacted_word(match: re.Match[str]) -> str:
    word = match[0]
    colon = word.find(":")
    looks_like_url = "//" in word or "\\\\" in word or (colon >= 0 and has_at(word[colon:]))
    return redacted_url(word) if looks_like_url else word


def _redacted_quoted(text: str) -> str:
    return text[0] + redacted_url(text[1:-1]) + text[-1]
