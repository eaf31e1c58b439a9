"""
What responses mean for a file, case by case.

The names in brackets are those of the reports that a case comes from.
"""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._files._continuation import (
    OWN_FIELDS,
    Action,
    Asked,
    Decision,
    Ending,
    can_continue,
    decide,
    ending_of,
    fields_for_newer,
    fields_for_rest,
)
from asyncbatch._files._versions import Kept, RangeHead, Version, range_head

URL = "https://example.org/file.bin"
MIRROR = "https://mirror.example.org/file.bin"
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Mon, 07 Nov 1994 00:00:00 GMT"


pytestmark = pytest.mark.any_loop


def head(status: int, url: str = URL, /, **fields: str | int) -> RangeHead:
    """Return the head with some fields, whose names have underscores here."""
    lines = [
        (name.replace("_", "-").encode(), str(value).encode()) for name, value in fields.items()
    ]
    return range_head(status, lines, url)


def version(**changes: object) -> Version:
    """Return the version that 4 of 10 bytes are of, or a changed one."""
    known = {"location": head(200).location, "etag": '"v1"', "length": 10}
    return Version(**{**known, **changes})


KEPT = Kept(4, version())
KEPT_DATED = Kept(4, version(etag=None, last_modified=MODIFIED, date=LATER))
KEPT_OPEN = Kept(4, version(length=None))
ALL_KEPT = Kept(10, version())
ALL_KEPT_OPEN = Kept(10, version(length=None))

RANGE = "bytes 4-9/10"


@pytest.mark.parametrize(
    ("kept", "answer", "decision"),
    [
        # The continuation.
        (KEPT, head(206, content_range=RANGE, etag='"v1"'), Decision(Action.APPEND, 10, 10)),
        (
            KEPT,
            head(206, content_range=RANGE, etag='"v1"', content_length=6, content_encoding=""),
            Decision(Action.APPEND, 10, 10),
        ),
        (
            KEPT,
            head(206, content_range="bytes 4-6/10", etag='"v1"', content_length=3),
            Decision(Action.APPEND, 7, 10),
        ),
        # undici #5119: the length may be unknown, if we know it.
        (
            KEPT,
            head(206, content_range="bytes 4-9/*", etag='"v1"'),
            Decision(Action.APPEND, 10, 10),
        ),
        (KEPT, head(206, content_range="bytes 4-5/*", etag='"v1"'), Decision(Action.APPEND, 6, 10)),
        (KEPT_OPEN, head(206, content_range=RANGE, etag='"v1"'), Decision(Action.APPEND, 10, 10)),
        (
            KEPT_DATED,
            head(206, content_range=RANGE, last_modified=MODIFIED),
            Decision(Action.APPEND, 10, 10),
        ),
        # The same file through another signature.
        (
            KEPT,
            head(206, URL + "?signature=2", content_range=RANGE, etag='"v1"'),
            Decision(Action.APPEND, 10, 10),
        ),
        # Another start: httrack #428, pip #14131, rustup #4710.
        (KEPT, head(206, content_range="bytes 3-9/10", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes 5-9/10", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes 0-9/10", etag='"v1"'), Decision(Action.RESTART)),
        # Another length, of the file or of the body.
        (KEPT, head(206, content_range="bytes 4-10/11", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes 4-8/9", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes 4-10/*", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT_OPEN, head(206, content_range="bytes 4-9/*", etag='"v1"'), Decision(Action.RESTART)),
        (
            KEPT,
            head(206, content_range=RANGE, etag='"v1"', content_length=5),
            Decision(Action.RESTART),
        ),
        (
            KEPT,
            head(206, content_range=RANGE, etag='"v1"', content_length=10),
            Decision(Action.RESTART),
        ),
        # No range that can be read: aria2 #509, #926.
        (KEPT, head(206, etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes=4-9/10", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes 4-10/10", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="bytes */10", etag='"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range="items 4-9/10", etag='"v1"'), Decision(Action.RESTART)),
        # Another version, or none that is named: If-Range was ignored.
        (KEPT, head(206, content_range=RANGE, etag='"v2"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range=RANGE), Decision(Action.RESTART)),
        (KEPT, head(206, content_range=RANGE, etag='W/"v1"'), Decision(Action.RESTART)),
        (KEPT, head(206, content_range=RANGE, etag="v1"), Decision(Action.RESTART)),
        (KEPT, head(206, content_range=RANGE, last_modified=MODIFIED), Decision(Action.RESTART)),
        (KEPT_DATED, head(206, content_range=RANGE), Decision(Action.RESTART)),
        (
            KEPT_DATED,
            head(206, content_range=RANGE, last_modified=LATER),
            Decision(Action.RESTART),
        ),
        (
            KEPT_DATED,
            head(206, content_range=RANGE, last_modified=MODIFIED, etag='"v2"'),
            Decision(Action.RESTART),
        ),
        (KEPT, head(206, MIRROR, content_range=RANGE, etag='"v1"'), Decision(Action.RESTART)),
        # Parts in another form: undici #5610.
        (
            KEPT,
            head(206, etag='"v1"', content_type="multipart/byteranges; boundary=x"),
            Decision(Action.RESTART),
        ),
        (
            KEPT,
            head(206, content_range=RANGE, etag='"v1"', content_type="multipart/byteranges"),
            Decision(Action.RESTART),
        ),
        (
            KEPT,
            head(206, content_range=RANGE, etag='"v1"', content_encoding="gzip"),
            Decision(Action.RESTART),
        ),
        # The whole file: it changed, or the server has no ranges.
        (KEPT, head(200), Decision(Action.WRITE)),
        (KEPT, head(200, content_length=10, etag='"v1"'), Decision(Action.WRITE, 10, 10)),
        (KEPT, head(200, content_length=20, etag='"v2"'), Decision(Action.WRITE, 20, 20)),
        (KEPT, head(200, MIRROR, content_length=10), Decision(Action.WRITE, 10, 10)),
        (KEPT, head(200, content_length=7, content_encoding="gzip"), Decision(Action.WRITE)),
        (KEPT, head(203, content_length=10), Decision(Action.WRITE, 10, 10)),
        (
            KEPT,
            head(200, content_length=10, content_range="bytes 0-9/10"),
            Decision(Action.WRITE, 10, 10),
        ),
        # A slice that says it is the whole: modelscope_hub #50.
        (KEPT, head(200, content_range=RANGE, content_length=6), Decision(Action.PROTOCOL)),
        (KEPT, head(200, content_range=RANGE, etag='"v1"'), Decision(Action.PROTOCOL)),
        (KEPT, head(200, content_range="bytes 0-4/10"), Decision(Action.PROTOCOL)),
        (KEPT, head(200, content_range="bytes 0-9/*"), Decision(Action.PROTOCOL)),
        (
            KEPT,
            head(200, content_range="bytes 0-9/10", content_length=6),
            Decision(Action.PROTOCOL),
        ),
        # Perhaps a slice: the whole is asked for.
        (KEPT, head(200, content_range="bytes=4-9/10"), Decision(Action.RESTART)),
        (KEPT, head(200, content_range="bytes */10"), Decision(Action.RESTART)),
        # All there: curl #10521; a 416 without a length is Apache's.
        (ALL_KEPT, head(416, content_range="bytes */10"), Decision(Action.COMPLETE, 10, 10)),
        (ALL_KEPT_OPEN, head(416, content_range="bytes */10"), Decision(Action.COMPLETE, 10, 10)),
        (
            ALL_KEPT,
            head(416, content_range="bytes */10", etag='"v1"'),
            Decision(Action.COMPLETE, 10, 10),
        ),
        (ALL_KEPT, head(416), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes */11"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes */9"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes */0"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes */*"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="*/10"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes 0-9/10"), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, content_range="bytes */10", etag='"v2"'), Decision(Action.RESTART)),
        (ALL_KEPT, head(416, MIRROR, content_range="bytes */10"), Decision(Action.RESTART)),
        # Shrunk to what we have: not all of what was said to be there.
        (KEPT, head(416, content_range="bytes */4"), Decision(Action.RESTART)),
        (ALL_KEPT, head(206, etag='"v1"', content_length=0), Decision(Action.RESTART)),
        # Nobody asked.
        (KEPT, head(204), Decision(Action.PROTOCOL)),
        (KEPT, head(205), Decision(Action.PROTOCOL)),
        (KEPT, head(304, etag='"v1"'), Decision(Action.PROTOCOL)),
        (KEPT, head(304, etag='"v2"'), Decision(Action.PROTOCOL)),
        # What makes no file leaves what is there.
        (KEPT, head(301), Decision(Action.NO_FILE)),
        (KEPT, head(404), Decision(Action.NO_FILE)),
        (KEPT, head(412), Decision(Action.NO_FILE)),
        (KEPT, head(429, content_range=RANGE, etag='"v1"'), Decision(Action.NO_FILE)),
        (KEPT, head(503), Decision(Action.NO_FILE)),
    ],
)
def test_what_a_response_to_a_request_for_the_rest_means(
    kept: Kept, answer: RangeHead, decision: Decision
) -> None:
    """Only what is right in every number, validator and form is the continuation."""
    assert decide(Asked.REST, answer, kept) == decision


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (head(200), Decision(Action.WRITE)),
        (head(200, content_length=10), Decision(Action.WRITE, 10, 10)),
        (head(200, content_length=10, content_encoding="gzip"), Decision(Action.WRITE)),
        (head(201, content_length=10), Decision(Action.WRITE, 10, 10)),
        (head(200, content_length=0), Decision(Action.WRITE, 0, 0)),
        (
            head(200, content_length=10, content_range="bytes 0-9/10"),
            Decision(Action.WRITE, 10, 10),
        ),
        # aria2 #509: with every whole file.
        (
            head(200, content_length=10, content_range="bytes=0-9/10"),
            Decision(Action.WRITE, 10, 10),
        ),
        (head(200, content_range=RANGE), Decision(Action.PROTOCOL)),
        (head(206, content_range="bytes 0-9/10", etag='"v1"'), Decision(Action.PROTOCOL)),
        (head(206, content_range=RANGE, etag='"v1"'), Decision(Action.PROTOCOL)),
        (head(206), Decision(Action.PROTOCOL)),
        (head(204), Decision(Action.PROTOCOL)),
        (head(205), Decision(Action.PROTOCOL)),
        (head(304, etag='"v1"'), Decision(Action.PROTOCOL)),
        (head(302), Decision(Action.NO_FILE)),
        (head(416, content_range="bytes */10"), Decision(Action.NO_FILE)),
        (head(404), Decision(Action.NO_FILE)),
        (head(500), Decision(Action.NO_FILE)),
        (head(999), Decision(Action.NO_FILE)),
    ],
)
def test_what_a_response_to_a_request_for_the_whole_means(
    answer: RangeHead, decision: Decision
) -> None:
    """Nothing that was not asked for becomes a file."""
    assert decide(Asked.WHOLE, answer) == decision


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        (head(304), Action.UNCHANGED),
        (head(304, etag='"v1"'), Action.UNCHANGED),
        (head(304, etag='W/"v1"'), Action.UNCHANGED),
        (head(304, etag='"v2"'), Action.RESTART),
        (head(200, etag='"v2"'), Action.WRITE),
        (head(200, etag='"v1"'), Action.WRITE),
        (head(206, content_range=RANGE, etag='"v1"'), Action.PROTOCOL),
        (head(204), Action.PROTOCOL),
        (head(416, content_range="bytes */4"), Action.NO_FILE),
        (head(412), Action.NO_FILE),
    ],
)
def test_what_a_response_to_a_request_for_a_newer_version_means(
    answer: RangeHead, action: Action
) -> None:
    """304 keeps the file, unless it is about another version than that of the file."""
    assert decide(Asked.NEWER, answer, KEPT).action is action


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        (head(206, content_range=RANGE), Action.WRITE),
        (head(206, content_type="multipart/byteranges; boundary=x"), Action.WRITE),
        (head(200), Action.WRITE),
        (head(200, content_range=RANGE), Action.PROTOCOL),
        (head(304), Action.NO_FILE),
        (head(412), Action.NO_FILE),
        (head(416, content_range="bytes */10"), Action.NO_FILE),
        (head(204), Action.PROTOCOL),
    ],
)
def test_what_a_response_to_the_caller_s_own_range_means(answer: RangeHead, action: Action) -> None:
    """Who asks for a part has it in the file."""
    assert decide(Asked.OWN, answer).action is action


HEADS = st.builds(
    head,
    st.sampled_from([200, 201, 203, 204, 205, 206, 226, 300, 302, 304, 400, 404, 416, 429, 503]),
    st.sampled_from([URL, MIRROR]),
    **{
        name: st.sampled_from(values)
        for name, values in {
            "etag": ["", '"v1"', '"v2"', 'W/"v1"'],
            "content_range": ["", RANGE, "bytes 0-9/10", "bytes */10", "bytes */4", "bytes 4-5/*"],
            "content_length": ["", "6", "10", "0"],
            "content_encoding": ["", "identity", "gzip"],
            "content_type": ["", "multipart/byteranges"],
            "last_modified": ["", MODIFIED, LATER],
        }.items()
    },
)
KEPTS = st.sampled_from([None, KEPT, KEPT_DATED, KEPT_OPEN, ALL_KEPT, ALL_KEPT_OPEN])


@given(st.sampled_from(Asked), HEADS, KEPTS)
def test_every_response_has_a_meaning(asked: Asked, answer: RangeHead, kept: Kept | None) -> None:
    """And what was there is only added to if it was asked for with what is there."""
    decision = decide(asked, answer, kept)

    added = decision.action in (Action.APPEND, Action.COMPLETE)
    assert not added or (asked is Asked.REST and kept is not None)
    assert not added or answer.location == kept.version.location
    assert decision.action is not Action.APPEND or kept.size < decision.end <= decision.length
    assert decision.action is not Action.WRITE or 200 <= answer.status < 300


@given(HEADS, KEPTS)
def test_the_whole_file_is_asked_for_once(answer: RangeHead, kept: Kept | None) -> None:
    """No answer to a request for the whole, or to the caller's own, leads to another request."""
    for asked in (Asked.WHOLE, Asked.OWN):
        assert decide(asked, answer, kept).action is not Action.RESTART


def test_the_table_has_all_statuses() -> None:
    """There is none for which the table has no line."""
    for asked, status in product(Asked, range(200, 1000)):
        decide(asked, head(status), KEPT)


@pytest.mark.parametrize(
    ("decision", "size", "ending"),
    [
        (Decision(Action.WRITE), 7, Ending.COMPLETE),
        (Decision(Action.WRITE, 10, 10), 10, Ending.COMPLETE),
        (Decision(Action.WRITE, 0, 0), 0, Ending.COMPLETE),
        (Decision(Action.WRITE, 10, 10), 9, Ending.TRUNCATED),
        (Decision(Action.WRITE, 10, 10), 11, Ending.OVERLONG),
        (Decision(Action.APPEND, 10, 10), 10, Ending.COMPLETE),
        (Decision(Action.APPEND, 7, 10), 7, Ending.SHORT),
        # circlefin/arc-node #325: fewer bytes than the range has.
        (Decision(Action.APPEND, 7, 10), 6, Ending.TRUNCATED),
        (Decision(Action.APPEND, 10, 10), 6, Ending.TRUNCATED),
        (Decision(Action.APPEND, 7, 10), 8, Ending.OVERLONG),
        (Decision(Action.APPEND, 7, 10), 10, Ending.OVERLONG),
    ],
)
def test_what_there_is_when_a_body_has_ended(decision: Decision, size: int, ending: Ending) -> None:
    """A file is complete if it has the bytes that were said, neither more nor fewer."""
    assert ending_of(decision, size) is ending


@pytest.mark.parametrize(
    ("method", "kept", "can"),
    [
        ("GET", KEPT, True),
        ("GET", KEPT_DATED, True),
        ("GET", KEPT_OPEN, True),
        ("GET", ALL_KEPT, True),
        ("POST", KEPT, False),
        ("PUT", KEPT, False),
        ("HEAD", KEPT, False),
        ("get", KEPT, False),
        ("GET", Kept(0, version()), False),
        ("GET", Kept(11, version()), False),
        ("GET", Kept(11, version(length=None)), True),
        ("GET", Kept(4, version(etag='W/"v1"')), False),
        ("GET", Kept(4, version(etag=None)), False),
        ("GET", Kept(4, version(is_coded=True)), False),
    ],
)
def test_when_the_rest_can_be_asked_for(method: str, kept: Kept, can: bool) -> None:
    """With GET, of bytes that are those of one version, which the server can tell from others."""
    assert can_continue(method, kept) is can


@pytest.mark.parametrize(("kept", "validator"), [(KEPT, '"v1"'), (KEPT_DATED, MODIFIED)])
def test_the_rest_is_asked_for(kept: Kept, validator: str) -> None:
    """Of the version that is there alone, and as it is."""
    assert fields_for_rest(kept) == {
        "accept-encoding": "identity",
        "range": "bytes=4-",
        "if-range": validator,
    }


@pytest.mark.parametrize(
    ("known", "condition"),
    [
        (version(), {"if-none-match": '"v1"'}),
        (version(etag='W/"v1"'), {"if-none-match": 'W/"v1"'}),
        (version(last_modified=MODIFIED), {"if-none-match": '"v1"'}),
        (version(etag=None, last_modified=MODIFIED), {"if-modified-since": MODIFIED}),
        (version(etag=None), {}),
    ],
)
def test_a_newer_version_is_asked_for(known: Version, condition: dict[str, str]) -> None:
    """By the tag, if there is one, since it is exact (RFC 9110 §13.1.3)."""
    assert fields_for_newer(known) == {"accept-encoding": "identity", **condition}


def test_the_fields_that_are_asked_with_are_the_caller_s_own_too() -> None:
    """A caller who sets one of them is not asked for the rest of anything."""
    own = {*fields_for_rest(KEPT), *fields_for_newer(version()), "if-modified-since"}

    assert own - {"accept-encoding"} <= OWN_FIELDS
