"""
The range and the version of the body of a response, and their record beside the bytes.

Pure: heads in, values out. `_continuation` decides what they mean for a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import attrs

from asyncbatch._values._sink import Head

# RFC 9110 §8.8.3, strong, and not empty: `""` would be that of every file. Only ASCII, since the
# tag is sent back as it came.
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]+"')
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} (?:[0-9]{2}[: ]){3}GMT")
# RFC 9110 §14.4, with the numbers that a signed 64-bit integer holds. Nothing else is understood:
# servers that send `bytes=0-9/10` or `bytes 0-10/10` may mean anything.
_CONTENT_RANGE = re.compile(
    r"(?i:bytes) (?:([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)|\*/([0-9]{1,18}))"
)
_TEXT = re.compile(r"[\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}")


@attrs.frozen
class ContentRange:
    """A `Content-Range` of bytes."""

    start: int | None
    """The position of the first byte; `None` with 416, where there are no bytes."""
    end: int | None
    """The position after the last byte; `None` with 416."""
    length: int | None
    """The length of the whole file; `None` if the server does not know it."""


@attrs.frozen
class RangeHead:
    """What of a response's head says which bytes of which version its body has."""

    status: int
    location: str
    """Which file it is of: `location_of` its URL, after redirects."""
    etag: str | None = None
    last_modified: str | None = None
    date: str | None = None
    content_range: str | None = None
    content_length: int | None = None
    is_coded: bool = False
    """Whether a `Content-Encoding` stands between its body and the file's bytes."""
    is_multipart: bool = False
    """Whether it is of the type `multipart/byteranges`."""


@attrs.frozen
class Version:
    """The version of a file that a response was of, as it is kept beside the file's bytes."""

    location: str
    etag: str | None = None
    last_modified: str | None = None
    date: str | None = None
    length: int | None = None
    """The length of the whole file; `None` if no response said it."""
    is_coded: bool = False

    @property
    def validator(self) -> str | None:
        """
        The value for `If-Range`: what no two versions share. `None` if there is none.

        A date is one only if there is no entity tag (RFC 9110 §13.1.5), and if the response was
        made at least a second after it (§8.8.2.2): the file may change again within its second.
        """
        if self.etag is not None:
            return self.etag if _STRONG_ETAG.fullmatch(self.etag) else None
        modified, made = _moment(self.last_modified), _moment(self.date)
        if modified is None or made is None or made - modified < timedelta(seconds=1):
            return None
        return self.last_modified


@attrs.frozen
class Kept:
    """The bytes that are there, from the beginning of a file."""

    size: int
    version: Version


def range_head(status: int, fields: Iterable[tuple[bytes, bytes]], url: str) -> RangeHead:
    """
    Return what counts of a head.

    Args:
        status: The status code.
        fields: The header fields as received. Of one that should be there once and is not, nothing
            can be understood.
        url: The URL of the request, after redirects.
    """
    joined: dict[bytes, str] = {}
    for name, value in fields:
        name, text = name.lower(), value.strip(b" \t").decode("iso-8859-1")
        joined[name] = f"{joined[name]}, {text}" if name in joined else text
    length = joined.get(b"content-length", "")
    return RangeHead(
        status,
        location_of(url),
        etag=joined.get(b"etag"),
        last_modified=joined.get(b"last-modified"),
        date=joined.get(b"date"),
        content_range=joined.get(b"content-range"),
        content_length=int(length) if _LENGTH.fullmatch(length) else None,
        is_coded=joined.get(b"content-encoding", "").lower() not in ("", "identity"),
        is_multipart=joined.get(b"content-type", "").lower().startswith("multipart/byteranges"),
    )


def plain_length(head: Head) -> int | None:
    """Return the length of the body of a plain 200; `None` if a closer look is needed."""
    length = None
    if head.status != 200:
        return None
    for name, value in head.fields:
        if len(name) >= 13:  # not shorter than these
            lowered = name.lower()
            if lowered in (b"content-range", b"content-encoding"):
                return None
            if lowered == b"content-length":
                if length is not None or not value.isdigit() or len(value) > 18:
                    return None
                length = int(value)
    return length


def version_of(head: RangeHead) -> Version:
    """Return which version of a file the response with the whole of it is of."""
    length = None if head.is_coded else head.content_length
    return Version(
        head.location, head.etag, head.last_modified, head.date, length, is_coded=head.is_coded
    )


def state_of(version: Version) -> dict[str, Any]:
    """Return what is written down of a version; `version_from` reads it."""
    return attrs.asdict(version)


def version_from(state: Mapping[str, Any]) -> Version | None:
    """
    Return the version that was written down; `None` if it is none.

    Other programs may have changed the file, and some of its values are sent in requests.
    """
    location, length, is_coded = (state.get(name) for name in ("location", "length", "is_coded"))
    texts = {name: state.get(name) for name in ("etag", "last_modified", "date")}
    if not _is_text(location) or not isinstance(is_coded, bool):
        return None
    if not all(value is None or _is_text(value) for value in texts.values()):
        return None
    if length is not None and (type(length) is not int or length < 0):
        return None
    return Version(location, **texts, length=length, is_coded=is_coded)


def location_of(url: str) -> str:
    """
    Return a digest of a URL's host and path, which identify its file without the query.

    A part that a mirror sent is continued by the same mirror only. It is a digest because paths
    hold tokens, and it is kept on the disk.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return _digest(f"{host}{parts.path or '/'}")


def identity_of(url: str) -> str:
    """Return a digest of a URL without its credentials and fragment: what a part was asked by."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    return _digest(f"{parts.scheme.lower()}://{host}{parts.path or '/'}?{parts.query}")


def parse_content_range(value: str | None) -> ContentRange | None:
    """Parse a `Content-Range` (RFC 9110 §14.4); `None` if it is none, or says what cannot be."""
    found = _CONTENT_RANGE.fullmatch(value or "")
    if found is None:
        return None
    first, last, length, unsatisfied = found.groups()
    if unsatisfied is not None:
        return ContentRange(None, None, int(unsatisfied))
    start, end = int(first), int(last) + 1
    complete = None if length == "*" else int(length)
    if end <= start or (complete is not None and end > complete):
        return None
    return ContentRange(start, end, complete)


def _moment(value: str | None) -> datetime | None:
    """Parse a date in the one form that may be sent (RFC 9110 §5.6.7); `None` if it is none."""
    if value is None or _HTTP_DATE.fullmatch(value) is None:
        return None
    try:
        return parsedate_to_datetime(value)
    except ValueError:
        return None


def _is_text(value: object) -> TypeGuard[str]:
    """Whether a value is one of a header field, without control characters."""
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
