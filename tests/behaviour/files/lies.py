"""
Servers that lie about ranges: a table, and the bytes that each of them sends.

A case is one file and the answers to the requests for it, in order; the last answer stands for all
that follow. An answer may depend on what was asked, so that a case makes sense from wherever the
client continues.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from hashlib import sha256

import attrs

from tests.raw_server import Peer

# Three versions of one file. No two have the same byte at any position, so that a file which is put
# together from two of them is none of them.
V1 = bytes(range(100))
V2 = bytes(range(100, 200))
SHORTER = bytes(range(200, 250))

CUT = 40
"""How many bytes the first answer of most cases has."""

MODIFIED = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Date: Mon, 07 Nov 1994 08:49:37 GMT"
SAME_SECOND = "Date: Sun, 06 Nov 1994 08:49:37 GMT"

GZIP = "Content-Encoding: gzip"
PACKED = gzip.compress(V1, mtime=0)

TAG = 'ETag: "v1"'
TAG2 = 'ETag: "v2"'

_RANGE = re.compile(rb"\r\nrange: bytes=([0-9]+)-\r\n", re.IGNORECASE)
_OTHER_THAN = re.compile(rb"\r\nif-none-match: ([^\r]*)\r\n", re.IGNORECASE)


@attrs.frozen
class Ask:
    """A request, as far as an answer depends on it."""

    start: int | None
    """Where the range begins; `None`: the whole is asked for."""
    tag: str | None = None
    """The tag in its `If-None-Match`."""

    @property
    def first(self) -> int:
        """The position of the first byte that is asked for."""
        return self.start or 0


@attrs.frozen
class Answer:
    """A response, and how much of it is sent before the connection ends."""

    status: int
    fields: tuple[str, ...] = ()
    body: bytes = b""
    framing: str = "length"
    """`length`, `chunked`, or `close`: how the end of the body is told."""
    says: int | None = None
    """The `Content-Length`, if it is not that of the body."""
    is_cut: bool = False
    """Whether the connection ends before the end of the body is told."""

    @property
    def ends_connection(self) -> bool:
        """Whether nothing can follow on the connection."""
        is_other = self.says is not None and self.says != len(self.body)
        return self.is_cut or is_other or self.framing == "close" or self.status == 0

    def pieces(self) -> list[bytes]:
        """Return the segments: the head, and the body in three; of the status 0, there are none."""
        if self.status == 0:
            return []
        lines = [f"HTTP/1.1 {self.status} X", *self.fields]
        if self.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif self.framing == "length":
            lines.append(f"Content-Length: {len(self.body) if self.says is None else self.says}")
        head = "\r\n".join([*lines, "", ""]).encode()
        third = len(self.body) // 3 + 1
        pieces = [self.body[at : at + third] for at in range(0, len(self.body), third)]
        if self.framing == "chunked":
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
            if not self.is_cut:
                pieces.append(b"0\r\n\r\n")
        return [head, *pieces]


Answers = Callable[[Ask], Answer]


def whole(body: bytes, *fields: str, cut: int | None = None, framing: str = "length") -> Answers:
    """Answer with 200 and all of `body`, or with its first `cut` bytes, and end the connection."""
    sent = body if cut is None else body[:cut]
    says = len(body) if framing == "length" else None
    answer = Answer(200, fields, sent, framing, says, is_cut=cut is not None)
    return lambda _: answer


def part(
    body: bytes,
    *fields: str,
    shift: int = 0,
    stop: int = 0,
    total: str | None = None,
    cut: int | None = None,
    framing: str = "length",
    more: bytes = b"",
    says: int | None = None,
    status: int = 206,
) -> Answers:
    """
    Answer with the rest of `body`, as its head says, or with something else.

    Args:
        body: The whole.
        fields: Header fields.
        shift: By how many bytes it begins elsewhere than was asked for.
        stop: How many bytes at the end are left out, or at most how many are sent, if negative.
        total: The length in its `Content-Range`, if it is another one.
        cut: After how many bytes of it the connection ends.
        framing: How its end is told.
        more: What is sent besides.
        says: Its `Content-Length`, if it is another one.
        status: Its status.
    """

    def answer(ask: Ask) -> Answer:
        start = max(0, ask.first + shift)
        end = min(len(body), start - stop) if stop < 0 else len(body) - stop
        if end <= start:
            return Answer(416, (f"Content-Range: bytes */{len(body)}", *fields))
        known = str(len(body)) if total is None else total
        field = f"Content-Range: bytes {start}-{end - 1}/{known}"
        sent = body[start:end] + more
        length = len(sent) if says is None else says
        sent = sent if cut is None else sent[:cut]
        return Answer(status, (field, *fields), sent, framing, length, is_cut=cut is not None)

    return answer


def ranged(body: bytes, *fields: str) -> Answers:
    """Answer as an honest server of `body` does: with the rest, or with all of it."""
    return lambda ask: (whole if ask.start is None else part)(body, *fields)(ask)


def conditional(body: bytes, tag: str) -> Answers:
    """Answer as `ranged` does, or with 304 to who has the version with this tag."""

    def answer(ask: Ask) -> Answer:
        has_it = ask.tag is not None and f"ETag: {ask.tag}" == tag
        return (bare(304, tag) if has_it else ranged(body, tag))(ask)

    return answer


def bare(status: int, *fields: str, body: bytes = b"") -> Answers:
    """Answer with a status and fields that are no file's."""
    answer = Answer(status, fields, body)
    return lambda _: answer


def of_range(text: str, *fields: str, body: bytes = V1, status: int = 206) -> Answers:
    """Answer with the right bytes under a `Content-Range` of any text."""

    def answer(ask: Ask) -> Answer:
        places = {"start": ask.first, "last": len(body) - 1, "length": len(body)}
        field = f"Content-Range: {text.format(**places)}"
        return Answer(status, (field, *fields), body[ask.first :])

    return answer


@attrs.frozen
class Case:
    """One file: what is answered to the requests for it, and what comes of it."""

    name: str
    answers: tuple[Answers, ...]
    file: bytes | None = V1
    """The file; `None`: there is none."""
    kind: str | None = None
    """The kind of the failure."""
    asked: tuple[int | None, ...] = (None, CUT)
    """The start of the range of each request; `None`: the whole was asked for."""
    left: bytes | None = None
    """The bytes in the `.part` that is left; `None`: there is none."""
    attempts: int = 2
    """How many tries the client has. What it asks for within a try does not count."""
    method: str = "GET"
    checksum: str | None = None
    mirrors: tuple[str, ...] = ()
    """Where each request is redirected to, in order; the last one stands for all that follow."""

    @property
    def path(self) -> str:
        """The path of the URL."""
        return "/redirect" if self.mirrors else "/file"


class Script:
    """Plays a case, over as many connections and runs of the client as there are."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.asked: list[int | None] = []
        self.heads: list[bytes] = []
        self._redirected = 0

    async def __call__(self, peer: Peer) -> None:
        """Answer the requests of one connection."""
        while True:
            head = await peer.read_request()
            if head.split()[1] == b"/redirect":
                await peer.send(*self._redirect().pieces())
                continue
            found = _RANGE.search(head)
            other = _OTHER_THAN.search(head)
            ask = Ask(
                None if found is None else int(found[1]),
                None if other is None else other[1].decode(),
            )
            self.asked.append(ask.start)
            self.heads.append(head)
            answers = self.case.answers
            answer = answers[min(len(self.asked), len(answers)) - 1](ask)
            await peer.send(*answer.pieces())
            if answer.ends_connection:
                return

    def _redirect(self) -> Answer:
        mirrors = self.case.mirrors
        self._redirected += 1
        to = mirrors[min(self._redirected, len(mirrors)) - 1]
        return Answer(302, (f"Location: {to}",))


def _continued() -> Iterator[Case]:
    """Yield what is the continuation."""
    start = whole(V1, TAG, cut=CUT)
    rest = part(V1, TAG)
    dated = whole(V1, MODIFIED, LATER, cut=CUT)
    yield Case("the rest", (start, rest))
    yield Case("the rest of what has a date", (dated, part(V1, MODIFIED)))
    yield Case("the rest, with a tag and a date", (start, part(V1, TAG, MODIFIED, LATER)))
    yield Case("the rest, in chunks", (start, part(V1, TAG, framing="chunked")))
    yield Case("the rest, until the connection ends", (start, part(V1, TAG, framing="close")))
    yield Case(
        "the rest of what came in chunks", (whole(V1, TAG, cut=CUT, framing="chunked"), rest)
    )
    yield Case("the rest of an unknown length", (start, part(V1, TAG, total="*")))
    yield Case("the unit in upper case", (start, of_range("BYTES {start}-{last}/{length}", TAG)))
    yield Case("identity as a coding", (start, part(V1, TAG, "Content-Encoding: identity")))
    yield Case("less than the rest", (start, part(V1, TAG, stop=30), rest), asked=(None, CUT, 70))
    yield Case("20 bytes at a time", (start, part(V1, TAG, stop=-20)), asked=(None, CUT, 60, 80))
    yield Case("a byte at a time", (start, part(V1, TAG, stop=-1)), asked=(None, *range(CUT, 100)))
    yield Case(
        "a rest that is cut",
        (start, part(V1, TAG, cut=20), rest),
        asked=(None, CUT, 60),
        attempts=3,
    )
    yield Case(
        "nothing but heads",
        (start, part(V1, TAG, cut=0), part(V1, TAG, cut=0), rest),
        asked=(None, CUT, CUT, CUT),
        attempts=4,
    )
    yield Case(
        "all bytes, without their end",
        (whole(V1, TAG, cut=100, framing="chunked"), ranged(V1, TAG)),
        asked=(None, 100),
    )
    yield Case(
        "the same place, signed anew",
        (start, rest),
        mirrors=("/a/file?signature=1", "/a/file?signature=2"),
    )


def _other_parts() -> Iterator[Case]:
    """Yield what says that it is the continuation, and is not; then the whole of a new version."""
    start = whole(V1, TAG, cut=CUT)
    dated = whole(V1, MODIFIED, LATER, cut=CUT)
    then = whole(V2, TAG2)
    lies = {
        "begins a byte earlier": part(V1, TAG, shift=-1),
        "begins a byte later": part(V1, TAG, shift=1),
        "begins at 0": part(V1, TAG, shift=-1000),
        "of a longer file": part(V1 + b"x", TAG),
        "of a shorter file": part(V1[:-1], TAG),
        "of a longer file, by its total": part(V1, TAG, total="101"),
        "of a file that ends before it": part(V1, TAG, total="99"),
        "beyond the end": part(V1 + b"x", TAG, total="*"),
        "longer than its range": part(V1, TAG, more=b"more"),
        "shorter than its range": part(V1, TAG, says=10, cut=10),
        "of another version": part(V2, TAG2),
        "of another version, unnamed": part(V2),
        "unnamed": part(V1),
        "with a weak tag": part(V1, 'ETag: W/"v1"'),
        "with a tag without quotes": part(V1, "ETag: v1"),
        "with two tags": part(V1, TAG, TAG2),
        "with a date alone": part(V1, MODIFIED, LATER),
        "without its range": bare(206, TAG, body=V1[CUT:]),
        "with a range as requests have it": of_range("bytes={start}-{last}/{length}", TAG),
        "with a range that ends a byte too late": of_range("bytes {start}-{length}/{length}", TAG),
        "with a range without a length": of_range("bytes {start}-{last}", TAG),
        "with a range in other units": of_range("items {start}-{last}/{length}", TAG),
        "with a range that has no bytes": of_range("bytes */{length}", TAG),
        "with a range backwards": of_range("bytes {last}-{start}/{length}", TAG),
        "with a range of nonsense": of_range("bytes -0.99999998516848", TAG),
        "with two ranges": part(V1, TAG, "Content-Range: bytes 40-99/100"),
        "in several parts": bare(
            206,
            TAG,
            "Content-Type: multipart/byteranges; boundary=x",
            body=b"--x\r\nContent-Range: bytes 40-99/100\r\n\r\n" + V1[CUT:] + b"\r\n--x--\r\n",
        ),
        "of a multipart type": part(V1, TAG, "Content-Type: multipart/byteranges; boundary=x"),
        "coded": part(V1, TAG, "Content-Encoding: gzip"),
    }
    for name, lie in lies.items():
        yield Case(f"a part {name}", (start, lie, then), V2, asked=(None, CUT, None))
    dates = {
        "without the date": part(V1),
        "with another date": part(V1, LATER.replace("Date", "Last-Modified"), LATER),
        "with a tag besides the date": part(V1, MODIFIED, TAG),
    }
    for name, lie in dates.items():
        yield Case(f"a part {name}", (dated, lie, then), V2, asked=(None, CUT, None))
    yield Case(
        "a part of a length that nothing says",
        (whole(V1, TAG, cut=CUT, framing="chunked"), part(V1, TAG, total="*"), then),
        V2,
        asked=(None, CUT, None),
    )
    yield Case(
        "a part of another mirror",
        (start, part(V1, TAG), then),
        V2,
        asked=(None, CUT, None),
        mirrors=("/a/file", "/b/file"),
    )


def _wholes() -> Iterator[Case]:
    """Yield what is answered with 200."""
    start = whole(V1, TAG, cut=CUT)
    yield Case("the whole, as it was", (start, whole(V1, TAG)))
    yield Case("the whole, changed", (start, whole(V2, TAG2)), V2)
    yield Case("the whole, under the same tag", (start, whole(V2, TAG)), V2)
    yield Case("the whole, changed and shorter", (start, whole(SHORTER, TAG2)), SHORTER)
    yield Case("the whole, and empty", (start, whole(b"", TAG2)), b"")
    yield Case("the whole, by a proxy that changed it", (start, _with(203, V2)), V2)
    yield Case("the whole of another mirror", (start, whole(V2)), V2, mirrors=("/a/f", "/b/f"))
    yield Case("the whole, coded", (start, whole(PACKED, TAG2, GZIP)), V1)
    yield Case(
        "the whole, with its range", (start, whole(V2, TAG2, "Content-Range: bytes 0-99/100")), V2
    )
    yield Case(
        "a new version that is cut",
        (start, whole(V2, TAG2, cut=30), part(V2, TAG2)),
        V2,
        asked=(None, CUT, 30),
        attempts=3,
    )
    yield Case(
        "a version that is back",
        (start, whole(V2, TAG2, cut=30), part(V1, TAG), whole(V1, TAG)),
        asked=(None, CUT, 30, None),
        attempts=3,
    )
    yield Case(
        "a new version without a validator, and the old one again",
        (start, whole(V2, cut=30), ranged(V1, TAG)),
        asked=(None, CUT, None),
        attempts=3,
    )
    slices = {
        "the rest": part(V1, TAG, status=200),
        "the beginning": bare(200, TAG, "Content-Range: bytes 0-49/100", body=V1[:50]),
        "something of an unknown length": part(V1, TAG, total="*", status=200),
        "the whole, but shorter": bare(200, TAG, "Content-Range: bytes 0-99/100", body=V1[:50]),
    }
    for name, lie in slices.items():
        yield Case(
            f"200 with {name}", (start, lie), None, kind="protocol", left=V1[:CUT], attempts=2
        )
        yield Case(
            f"200 with {name}, then the whole",
            (start, lie, whole(V2, TAG2)),
            V2,
            asked=(None, CUT, None),
            attempts=3,
        )
    yield Case(
        "200 with a range that cannot be read",
        (start, of_range("bytes={start}-{last}/{length}", TAG, status=200), whole(V2, TAG2)),
        V2,
        asked=(None, CUT, None),
    )


def _ends() -> Iterator[Case]:
    """Yield the forms of 416."""
    everything = whole(V1, TAG, cut=100, framing="chunked")
    but_one = whole(V1, TAG, cut=99)
    then = whole(V2, TAG2)
    for name, answer in {
        "without a length": bare(416),
        "of a longer file": bare(416, TAG, "Content-Range: bytes */101"),
        "of a shorter file": bare(416, TAG, "Content-Range: bytes */99"),
        "of an empty file": bare(416, TAG, "Content-Range: bytes */0"),
        "of an unknown length": bare(416, TAG, "Content-Range: bytes */*"),
        "without its unit": bare(416, TAG, "Content-Range: */100"),
        "with a range": bare(416, TAG, "Content-Range: bytes 0-99/100"),
        "of another version": bare(416, TAG2, "Content-Range: bytes */100"),
        "with two lengths": bare(416, *["Content-Range: bytes */100"] * 2),
    }.items():
        yield Case(f"416 {name}", (everything, answer, then), V2, asked=(None, 100, None))
    yield Case(
        "416 of all that is there, without a tag",
        (everything, bare(416, "Content-Range: bytes */100")),
        asked=(None, 100),
    )
    yield Case(
        "416 of what is there, and is not all",
        (but_one, bare(416, TAG, "Content-Range: bytes */99"), then),
        V2,
        asked=(None, 99, None),
    )
    yield Case(
        "416 in the middle",
        (whole(V1, TAG, cut=CUT), bare(416, TAG, "Content-Range: bytes */100"), then),
        V2,
        asked=(None, CUT, None),
    )
    yield Case(
        "416 of another mirror",
        (everything, bare(416, TAG, "Content-Range: bytes */100"), then),
        V2,
        asked=(None, 100, None),
        mirrors=("/a/file", "/b/file"),
    )
    yield Case("416 to the first request", (bare(416),), None, kind="status", asked=(None,))


def _unasked() -> Iterator[Case]:
    """Yield what nobody asked for."""
    start = whole(V1, TAG, cut=CUT)
    for name, answer in {
        "206 with all": of_range("bytes 0-{last}/{length}", TAG),
        "206 with some": bare(206, TAG, "Content-Range: bytes 0-9/100", body=V1[:10]),
        "206 without a range": bare(206, TAG, body=V1),
        "204": bare(204, TAG),
        "205": bare(205, TAG),
        "304": bare(304, TAG),
        "200 with a slice": of_range("bytes 50-99/100", TAG, status=200),
    }.items():
        yield Case(f"{name}, unasked", (answer,), None, kind="protocol", asked=(None, None))
        yield Case(f"{name}, and then the whole", (answer, whole(V1)), asked=(None, None))
    for status in (204, 205, 304):
        yield Case(
            f"{status} for the rest", (start, bare(status, TAG)), None, "protocol", left=V1[:CUT]
        )
    yield Case(
        "a range that cannot be read, unasked",
        (whole(V1, TAG, "Content-Range: bytes=0-99/100"),),
        asked=(None,),
    )


def _between() -> Iterator[Case]:
    """Yield failures between two parts."""
    start = whole(V1, TAG, cut=CUT)
    rest = ranged(V1, TAG)
    for status in (408, 425, 429, 500, 502, 503, 504):
        yield Case(
            f"{status} in the middle",
            (start, bare(status, "Retry-After: 0", body=b"later"), rest),
            asked=(None, CUT, CUT),
            attempts=3,
        )
    for status in (403, 404, 410, 412, 501):
        yield Case(
            f"{status} in the middle",
            (start, bare(status, TAG, body=b"gone")),
            None,
            kind="status",
            left=V1[:CUT],
        )
    yield Case(
        "a connection that ends before the head",
        (start, bare(0), rest),
        asked=(None, CUT, CUT),
        attempts=3,
    )


def _unvalidated() -> Iterator[Case]:
    """Yield versions that nothing tells from others, so that nothing of them is continued."""
    for name, fields in {
        "nothing": (),
        "a weak tag": ('ETag: W/"v1"',),
        "a weak tag and a date": ('ETag: W/"v1"', MODIFIED, LATER),
        "an empty tag": ('ETag: ""',),
        "a tag without quotes": ("ETag: v1",),
        "two tags": (TAG, TAG2),
        "a date of the same second": (MODIFIED, SAME_SECOND),
        "a date without another": (MODIFIED,),
        "a date in an old form": ("Last-Modified: Sunday, 06-Nov-94 08:49:37 GMT", LATER),
        "a coding": (TAG, GZIP),
    }.items():
        start = whole(PACKED if GZIP in fields else V1, *fields, cut=CUT)
        yield Case(f"validated by {name}", (start, ranged(V2, *fields[:1])), V2, asked=(None, None))
    yield Case(
        "a POST", (whole(V1, TAG, cut=CUT), ranged(V2, TAG)), V2, asked=(None, None), method="POST"
    )


def _bodies() -> Iterator[Case]:
    """Yield bodies that are not as long as their heads say, or are others."""
    start = whole(V1, TAG, cut=CUT)
    rest = ranged(V1, TAG)
    chunked = {"framing": "chunked"}
    yield Case(
        "a rest in chunks that ends early",
        (start, _early(80), rest),
        asked=(None, CUT, 80),
        attempts=3,
    )
    for name, answer in {
        "longer than said": part(V1, TAG, more=b"garbage", **chunked),
        "with all, although some was said": _more_than_said(V1[60:]),
        "with garbage after what was said": _more_than_said(b"garbage"),
    }.items():
        yield Case(f"a rest in chunks {name}", (start, answer), None, kind="protocol")
        yield Case(
            f"a rest in chunks {name}, then the whole",
            (start, answer, rest),
            asked=(None, CUT, None),
            attempts=3,
        )
    for name, answer in {
        "longer than said": part(V1, TAG, more=b"garbage", cut=64, **chunked),
        "with garbage after what was said": _more_than_said(b"garbage", is_cut=True),
    }.items():
        yield Case(f"a rest in chunks {name}, and cut", (start, answer), None, kind="truncated")
        yield Case(
            f"a rest in chunks {name}, and cut, then the whole",
            (start, answer, rest),
            asked=(None, CUT, None),
            attempts=3,
        )
    yield Case("an empty file", (whole(b"", TAG),), b"", asked=(None,))
    yield Case("a file in chunks", (whole(V1, TAG, **chunked),), asked=(None,))
    yield Case("a file until the connection ends", (whole(V1, framing="close"),), asked=(None,))
    yield Case("a coded file", (whole(PACKED, TAG, GZIP),), asked=(None,))
    yield Case("bytes after the file", (_and_more(V1),), asked=(None,))
    checksum = f"sha256:{sha256(V1).hexdigest()}"
    yield Case(
        "other bytes under the right head",
        (start, part(V2, TAG), rest),
        asked=(None, CUT, None),
        checksum=checksum,
    )
    yield Case(
        "other bytes under the right head, always",
        (start, part(V2, TAG), whole(V2, TAG)),
        None,
        kind="checksum",
        asked=(None, CUT, None),
        checksum=checksum,
    )


def _with(status: int, body: bytes) -> Answers:
    return bare(status, TAG2, body=body)


def _early(end: int) -> Answers:
    """Say that the rest follows, and end the chunks after `end` bytes of the file."""
    field = f"Content-Range: bytes {CUT}-99/100"
    return lambda _: Answer(206, (field, TAG), V1[CUT:end], "chunked")


def _more_than_said(more: bytes, *, is_cut: bool = False) -> Answers:
    """Say that 20 bytes follow, and send more in chunks."""
    field = f"Content-Range: bytes {CUT}-59/100"
    return lambda _: Answer(206, (field, TAG), V1[CUT:60] + more, "chunked", is_cut=is_cut)


def _and_more(body: bytes) -> Answers:
    """Send the file, and bytes that nothing asked for."""
    return lambda _: Answer(200, (TAG,), body + b"HTTP/1.1 200 OK\r\n\r\n", says=len(body))


CASES = [
    *_continued(),
    *_other_parts(),
    *_wholes(),
    *_ends(),
    *_unasked(),
    *_between(),
    *_unvalidated(),
    *_bodies(),
]
