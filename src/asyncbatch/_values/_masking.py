"""
Masking of what is written to files: secrets in URLs, in header fields and in the texts of errors.

Pure. User names and passwords are those that `_redaction` finds; values of a query or of a fragment
are taken for secrets by the names of their parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from asyncbatch._values._redaction import MASK, redacted, redacted_url, secrets_in, without

# Parameters that hold secrets in the APIs of clouds, of OAuth, and of signed URLs.
_NAME = (
    r"(?:[\w.~%-]*(?:token|secret|passw(?:or)?d|passwd|pwd|api[._-]?key|signature|credential|session"
    r"|authori[sz]ation|jwt|bearer|private)[\w.~%-]*"
    r"|(?:[\w.~%-]*[._-])?(?:auth|key|sig|sid|code|pass|hmac|otp|pin)(?:[._-][\w.~%-]*)?)"
)
_SECRET_VALUE = re.compile(rf"(?<=[?&#;])({_NAME})(?:=)([^&#;\s'\"<>]+)", re.IGNORECASE)

# Fields that hold secrets, and are left out.
_SECRET_FIELDS = re.compile(
    rb"(?:set-cookie2?|cookie|(?:proxy-)?authori[sz]ation|(?:proxy-)?authenticat(?:e|ion-info)"
    rb"|authentication-info|www-authenticate|x-.*(?:token|secret|api-?key|session|auth).*)",
    re.IGNORECASE,
)

# Fields that hold URLs, in which secrets are masked.
_FIELDS_OF_URLS = {b"location", b"content-location", b"link", b"refresh"}


def masked_url(url: object, *, most: int | None = None) -> str:
    """
    Return a URL with its user name, its password and the secrets of its query masked.

    Args:
        url: The URL, well-formed or not.
        most: How many of its characters are looked at; `None`: all of them.
    """
    if isinstance(url, str) and not _may_hide(url):
        return url[:most]
    # Cut afterwards: half of a user name and password would not be recognised.
    return _SECRET_VALUE.sub(rf"\1={MASK}", redacted_url(url)[:most])


def masked_text(text: str, url: object) -> str:
    """Return the text of an error about a URL without the secrets of that URL or of others."""
    whole = str(url)
    text = redacted(text.replace(whole, masked_url(whole)))
    text = _SECRET_VALUE.sub(rf"\1={MASK}", text)
    values = {match[2] for match in _SECRET_VALUE.finditer(whole)}
    return without(secrets_in(whole) | values, text)


def has_secrets(url: object) -> bool:
    """Whether anything of a URL is masked."""
    text = str(url)
    return _may_hide(text) and masked_url(text) != text


def _may_hide(text: str) -> bool:
    """Whether there may be something to mask; false for most URLs, in a twentieth of the time."""
    # Every value follows a "=", and every form of the "@" after a password has one of the others.
    return "=" in text or "@" in text or "%" in text or not text.isascii()


def kept_fields(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields without those that hold secrets, and with the secrets of URLs masked."""
    kept = []
    for name, value in fields:
        if _SECRET_FIELDS.fullmatch(name):
            continue
        if name.lower() in _FIELDS_OF_URLS:
            kept.append((name, _masked_value(value)))
        else:
            kept.append((name, value))
    return kept


def masked_fields(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return all fields, with the values that are secrets and the secrets of URLs masked."""
    hidden = MASK.encode()
    return [
        (name, hidden) if _SECRET_FIELDS.fullmatch(name) else kept_fields([(name, value)])[0]
        for name, value in fields
    ]


def _masked_value(value: bytes) -> bytes:
    text = value.decode("latin-1")
    if "@" in text or "=" in text:
        text = _SECRET_VALUE.sub(rf"\1={MASK}", redacted_url(text))
    return text.encode("latin-1", "replace")
