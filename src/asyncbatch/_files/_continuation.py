"""
Continuation of a body that broke off: the fields of the request, and what the response means.

Pure: heads and sizes in, decisions out. The bytes of a part are used only if the rest is certainly
of the same version of the same file. In any doubt, the whole file is fetched from its beginning.
One table has every case.
"""

from __future__ import annotations

from enum import Enum, auto

import attrs

from asyncbatch._files._versions import (
    ContentRange,
    Kept,
    RangeHead,
    Version,
    parse_content_range,
)


class Asked(Enum):
    """The bytes that a request asks for."""

    WHOLE = auto()
    """The whole file."""
    REST = auto()
    """The rest of the file, after the part on the disk."""
    NEWER = auto()
    """The whole file, if it differs from the complete file on the disk."""
    OWN = auto()
    """The caller's own `Range` or condition. Its body is never continued."""


class Answer(Enum):
    """The meaning of the head of a response, given the bytes on the disk."""

    BODY = auto()
    """A status of success with the whole file."""
    SLICE = auto()
    """The same, but its `Content-Range` says that it is less."""
    GARBLED = auto()
    """The same, but its `Content-Range` cannot be read, or has no bytes."""
    NO_CONTENT = auto()
    NEXT_PART = auto()
    """206, and the body continues the part on the disk."""
    OTHER_PART = auto()
    NOT_MODIFIED = auto()
    OTHER_VERSION = auto()
    """304, with another entity tag than that of the file on the disk."""
    AT_END = auto()
    """416, and the part on the disk is as long as the file."""
    NOT_AT_END = auto()
    REDIRECT = auto()
    FAILURE = auto()


class Action(Enum):
    """What to do with a response."""

    WRITE = auto()
    """Write its body from the beginning of the file; the earlier bytes are discarded."""
    APPEND = auto()
    """Write its body after the bytes of the part."""
    COMPLETE = auto()
    """The part on the disk is the whole file."""
    UNCHANGED = auto()
    """The file on the disk is the newest version."""
    RESTART = auto()
    """Skip its body, and ask for the whole file. That request never leads to `RESTART` again."""
    NO_FILE = auto()
    """Its result is that of a request without a file. The part stays for the next try."""
    PROTOCOL = auto()
    """It answers another question: a failure of kind `protocol`. The next try asks for the whole
    file."""


class Ending(Enum):
    """What the file has after the end of a body."""

    COMPLETE = auto()
    SHORT = auto()
    """The announced bytes, which are not the whole file yet: the next try asks for the rest."""
    TRUNCATED = auto()
    """Fewer bytes than the head announced."""
    OVERLONG = auto()
    """More bytes than the head announced, so none of them can be trusted."""


# What to do with an answer to any request. 204 and 205 have no body, so there is no file.
_ALWAYS = {
    Answer.BODY: Action.WRITE,
    Answer.SLICE: Action.PROTOCOL,
    Answer.NO_CONTENT: Action.PROTOCOL,
    Answer.REDIRECT: Action.NO_FILE,
    Answer.FAILURE: Action.NO_FILE,
}
# What to do with an answer that only some requests lead to, after another one. Outside of 206 and
# 416 a `Content-Range` means nothing (RFC 9110 §14.4).
_UNASKED = {
    Answer.GARBLED: Action.WRITE,
    Answer.NEXT_PART: Action.PROTOCOL,
    Answer.OTHER_PART: Action.PROTOCOL,
    Answer.NOT_MODIFIED: Action.PROTOCOL,
    Answer.OTHER_VERSION: Action.PROTOCOL,
    Answer.AT_END: Action.NO_FILE,
    Answer.NOT_AT_END: Action.NO_FILE,
}
_ACTIONS = {
    Asked.WHOLE: _ALWAYS | _UNASKED,
    Asked.REST: _ALWAYS
    | _UNASKED
    | {
        Answer.GARBLED: Action.RESTART,
        Answer.NEXT_PART: Action.APPEND,
        Answer.OTHER_PART: Action.RESTART,
        Answer.AT_END: Action.COMPLETE,
        Answer.NOT_AT_END: Action.RESTART,
    },
    Asked.NEWER: _ALWAYS
    | _UNASKED
    | {
        Answer.NOT_MODIFIED: Action.UNCHANGED,
        Answer.OTHER_VERSION: Action.RESTART,
    },
    Asked.OWN: _ALWAYS
    | _UNASKED
    | {
        Answer.NEXT_PART: Action.WRITE,
        Answer.OTHER_PART: Action.WRITE,
        Answer.NOT_MODIFIED: Action.NO_FILE,
        Answer.OTHER_VERSION: Action.NO_FILE,
    },
}

OWN_FIELDS = frozenset(
    {
        "range",
        "if-range",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
    }
)
"""The request fields, in lower case, with which a caller asks for something of its own."""


@attrs.frozen
class Decision:
    """What to do with a response, and which bytes it has."""

    action: Action
    end: int | None = None
    """The position in the file after the body's last byte; `None` if the head does not say it."""
    length: int | None = None
    """The length of the whole file; `None` if it ends with the body."""


def can_continue(method: str, kept: Kept) -> bool:
    """
    Whether the rest of the file can be asked for.

    The method must be GET, a strong validator must name the version, and the bytes of the part must
    be those that were sent, and not too many.
    """
    version = kept.version
    return (
        method == "GET"
        and kept.size > 0
        and not version.is_coded
        and version.validator is not None
        and (version.length is None or kept.size <= version.length)
    )


def fields_for_rest(kept: Kept) -> dict[str, str]:
    """Return the request fields that ask for the rest, for which `can_continue` must hold."""
    validator = kept.version.validator
    assert validator is not None
    return {
        "accept-encoding": "identity",
        "range": f"bytes={kept.size}-",
        "if-range": validator,
    }


def fields_for_newer(version: Version) -> dict[str, str]:
    """Return the request fields that ask for a newer version; a weak validator is enough."""
    fields = {"accept-encoding": "identity"}
    if version.etag is not None:
        fields["if-none-match"] = version.etag
    elif version.last_modified is not None:
        fields["if-modified-since"] = version.last_modified
    return fields


def decide(asked: Asked, head: RangeHead, kept: Kept | None = None) -> Decision:
    """
    Decide what a response means for a file.

    Args:
        asked: What the request asked for.
        head: The response's head.
        kept: What is there, if the request asked for the rest of it, or for a newer version of it.
    """
    content_range = parse_content_range(head.content_range)
    action = _ACTIONS[asked][_answer(head, content_range, kept)]
    if action is Action.WRITE:
        end = None if head.is_coded else head.content_length
        return Decision(action, end, end)
    if action is Action.APPEND:
        assert content_range is not None
        assert kept is not None
        length = content_range.length
        if length is None:
            length = kept.version.length
        return Decision(action, content_range.end, length)
    if action is Action.COMPLETE:
        assert kept is not None
        return Decision(action, kept.size, kept.size)
    return Decision(action)


def ending_of(decision: Decision, size: int) -> Ending:
    """
    Decide what there is after a body has ended as its framing says.

    Args:
        decision: What its head meant, of `WRITE` or `APPEND`.
        size: The bytes of the file by now.
    """
    end, length = decision.end, decision.length
    if end is not None and size != end:
        return Ending.TRUNCATED if size < end else Ending.OVERLONG
    return Ending.COMPLETE if length is None or size == length else Ending.SHORT


def _answer(head: RangeHead, content_range: ContentRange | None, kept: Kept | None) -> Answer:
    status = head.status
    if status == 206:
        follows = kept is not None and _follows(head, content_range, kept)
        return Answer.NEXT_PART if follows else Answer.OTHER_PART
    if status == 416:
        at_end = kept is not None and _is_at_end(head, content_range, kept)
        return Answer.AT_END if at_end else Answer.NOT_AT_END
    if status == 304:
        same = kept is None or _has_equal_tag(head, kept.version)
        return Answer.NOT_MODIFIED if same else Answer.OTHER_VERSION
    if status in (204, 205):
        return Answer.NO_CONTENT
    if status >= 300:
        return Answer.REDIRECT if status < 400 else Answer.FAILURE
    if head.content_range is None:
        return Answer.BODY
    if content_range is None or content_range.start is None:
        return Answer.GARBLED
    return Answer.BODY if _is_whole(content_range, head) else Answer.SLICE


def _is_whole(content_range: ContentRange, head: RangeHead) -> bool:
    """Whether a `Content-Range` says no more than that all bytes are there."""
    start, end, length = content_range.start, content_range.end, content_range.length
    return start == 0 and end == length and head.content_length in (None, length)


def _follows(head: RangeHead, content_range: ContentRange | None, kept: Kept) -> bool:
    """Whether a 206 is the continuation of a part: every number and every validator is right."""
    if content_range is None or content_range.end is None or head.is_coded or head.is_multipart:
        return False
    version = kept.version
    known = version.length if content_range.length is None else content_range.length
    return (
        content_range.start == kept.size
        and head.content_length in (None, content_range.end - kept.size)
        and known is not None
        and content_range.end <= known
        and version.length in (None, known)
        and head.location == version.location
        and _proves(head, version)
    )


def _proves(head: RangeHead, version: Version) -> bool:
    """Whether a 206 names the version that was asked for. One that names none proves nothing."""
    if version.etag is not None or head.etag is not None:
        return head.etag == version.etag
    return head.last_modified == version.last_modified


def _is_at_end(head: RangeHead, content_range: ContentRange | None, kept: Kept) -> bool:
    """Whether a 416 says that the file has no more bytes than are there."""
    version = kept.version
    return (
        content_range is not None
        and content_range.start is None
        and content_range.length == kept.size
        and version.length in (None, kept.size)
        and head.location == version.location
        # Many servers send no tag with an error, but none sends another one's.
        and (head.etag is None or head.etag == version.etag)
    )


def _has_equal_tag(head: RangeHead, version: Version) -> bool:
    """Compare as `If-None-Match` does (RFC 9110 §13.1.2): weakly, where there are two tags."""
    if head.etag is None or version.etag is None:
        return True
    return head.etag.removeprefix("W/") == version.etag.removeprefix("W/")
