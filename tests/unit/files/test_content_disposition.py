"""
`Content-Disposition`: what RFC 6266 and RFC 8187 say, and what servers send.

The names in brackets are those of Julian Reschke's test suite (greenbytes.de/tech/tc2231); where it
asks to ignore a broken field, the name is the one that Chromium's tests expect.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._files._content_disposition import filename_of

pytestmark = pytest.mark.any_loop


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b'inline; filename="foo.html"', "foo.html"),  # inlwithasciifilename
        (b"attachment; filename=foo.html", "foo.html"),  # attwithasciifilenamenq
        (b'attachment; FILENAME="foo.html"', "foo.html"),  # attwithasciifilenameucase
        (b'attachment; filename ="foo.html"', "foo.html"),  # attwithasciifilenamews1
        (b'attachment;filename\t= "foo.html"', "foo.html"),
        (b'foobar; filename="foo.html"', "foo.html"),  # dispextbadfn
        (b'attachment; filename="f\\oo.html"', "foo.html"),  # attwithasciifnescapedchar
        (b'attachment; filename="\\foo.html"', "foo.html"),  # attabspathwin
        (b'attachment; filename="/foo.html"', "/foo.html"),  # attabspath
        (b'attachment; filename="\\"q\\" t.html"', '"q" t.html'),  # attwithasciifnescapedquote
        (b'attachment; filename="a;b.html"', "a;b.html"),  # attwithquotedsemicolon
        (b'attachment; foo="bar"; filename="foo.html"', "foo.html"),
        (b'attachment; foo="\\"\\\\";filename="foo.html"', "foo.html"),
        (b'attachment; foo="filename=x.html"; filename=y.html', "y.html"),
        (b"attachment; filename='foo.html'", "'foo.html'"),  # attwithfntokensq
        (b'attachment; filename="foo-%41.html"', "foo-%41.html"),  # attwithfnrawpctenca
        (b'attachment; filename="50%.html"', "50%.html"),  # attwithfnusingpct
        (b'attachment; filename="foo-%\\41.html"', "foo-%41.html"),  # attwithfnrawpctencaq
        (b'attachment; filename="foo-\xe4.html"', "foo-ä.html"),  # attwithisofnplain
        (b'attachment; filename="foo-\xc3\xa4.html"', "foo-ä.html"),  # attwithutf8fnplain
        (b'attachment; filename="=?UTF-8?Q?foo?="', "=?UTF-8?Q?foo?="),  # attrfc2047quoted
        (b'form-data; name="data"; filename="x.bin"', "x.bin"),
    ],
)
def test_a_plain_filename_is_read(value: bytes, name: str) -> None:
    """RFC 6266 §4.1: a token or a string in quotes; nothing else in it is decoded."""
    assert filename_of(value) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"attachment; filename*=iso-8859-1''foo-%E4.html", "foo-ä.html"),  # attwithisofn2231iso
        (b"attachment; filename*=UTF-8''foo-%c3%a4-%e2%82%ac.html", "foo-ä-€.html"),
        (b"attachment; filename*=utf-8'en'foo.html", "foo.html"),
        (b"attachment; filename*= UTF-8''foo.html", "foo.html"),  # attwithfn2231ws2
        (b"attachment; filename* =UTF-8''foo.html", "foo.html"),  # attwithfn2231ws3
        (b"attachment; filename*=UTF-8''A-%2541.html", "A-%41.html"),  # attwithfn2231dpct
        (
            b"attachment; filename*=UTF-8''%5cfoo.html",
            "\\foo.html",
        ),  # attwithfn2231abspathdisguised
        (b"attachment; filename=\"x\"; filename*=UTF-8''y", "y"),  # attfnboth
        (b"attachment; filename*=UTF-8''y; filename=\"x\"", "y"),  # attfnboth2
        # Broken, as servers send it: in quotes, with blanks, with bytes that are not escaped.
        (b"attachment; filename*=\"UTF-8''foo-%c3%a4.html\"", "foo-ä.html"),  # attwithfn2231quot
        (b"attachment; filename*=UTF-8''a b.html; x=y", "a b.html"),
        (b"attachment; filename*=UTF-8''foo-\xc3\xa4.html", "foo-ä.html"),
        # A value that cannot be read leaves the plain one.
        (b"attachment; filename=x; filename*=''foo-%c3%a4.html", "x"),  # attwithfn2231noc
        (b"attachment; filename=x; filename*=EUC-JP''%B7%DD.png", "x"),
        (b"attachment; filename=x; filename*=UTF-16''%00x", "x"),
        (
            b"attachment; filename=x; filename*=UTF-8'foo-%c3%a4.html",
            "x",
        ),  # attwithfn2231singleqmissing
        (b"attachment; filename=x; filename*=UTF-8''foo%", "x"),  # attwithfn2231nbadpct1
        (b"attachment; filename=x; filename*=UTF-8''f%oo", "x"),  # attwithfn2231nbadpct2
        (b"attachment; filename=x; filename*=UTF-8''foo-%E4.html", "x"),  # attwithfn2231utf8-bad
        (b"attachment; filename=x; filename*=UTF-8''", "x"),
        (b"attachment; filename=x; filename*=y", "x"),
        # Continuations of RFC 2231 are not part of HTTP.
        (b"attachment; filename=x; filename*0*=UTF-8''foo; filename*1=bar", "x"),
    ],
)
def test_an_extended_filename_counts_first(value: bytes, name: str) -> None:
    """RFC 8187 in UTF-8 and ISO-8859-1; what cannot be decoded as it says does not count."""
    assert filename_of(value) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"filename=foo.html", "foo.html"),  # attmissingdisposition
        (b"; filename=foo.html", "foo.html"),  # emptydisposition
        (b'"foo; filename=bar;baz"; filename=qux', "qux"),  # attmissingdisposition3
        (b"filename=foo.html, filename=bar.html", "foo.html"),  # attmissingdisposition4
        (b"inline; attachment; filename=foo.html", "foo.html"),  # attandinline
        (b"attachment; filename=foo,bar.html", "foo,bar.html"),  # attwithtokfncommanq
        (b"attachment; filename=foo.html ;", "foo.html"),  # attwithasciifilenamenqs
        (b"attachment; ;filename=foo", "foo"),  # attemptyparam
        (b"attachment; filename=foo bar.html", "foo bar.html"),  # attwithasciifilenamenqws
        (b"attachment; filename=foo[1](2).html", "foo[1](2).html"),  # attfnbrokentoken
        (b"attachment; filename=foo-\xe4.html", "foo-ä.html"),  # attfnbrokentokeniso
        (b"attachment; filename=foo-\xc3\xa4.html", "foo-ä.html"),  # attfnbrokentokenutf
        (b'attachment; filename="foo.html".txt', "foo.html"),  # attbrokenquotedfn
        (b'attachment; filename="bar', "bar"),  # attbrokenquotedfn2
        (b'attachment; filename="bar; x=y', "bar"),
        (b'attachment; filename=foo"bar;baz"qux', 'foo"bar'),  # attbrokenquotedfn3
        (b'attachment; filename="a "b" c.txt"', 'a "b" c.txt'),
        (b'attachment; filename=""q" t.html"; x=y', '"q" t.html'),
        (b'attachment; filename="a.html"; filename="b.html"', "a.html"),  # attwith2filenames
        (b"attachment; filename=a.html, attachment; filename=b.html", "a.html"),  # attmultinstances
        (b'attachment; filename="a.html", inline; filename="b.html"', "a.html"),
        (b"attachment filename=bar", "bar"),  # attmissingdelim3
        (b'attachment; filename="C:\\dir\\new.txt"', "C:\\dir\\new.txt"),
        (b'attachment; filename="C:\\\\dir\\\\new.txt"', "C:\\dir\\new.txt"),
    ],
)
def test_a_broken_field_is_read_as_browsers_read_it(value: bytes, name: str) -> None:
    """RFC 6266 leaves it open, and servers send each of these."""
    assert filename_of(value) == name


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"attachment",
        b"inline",
        b'"attachment"',
        b"attachment; filename",
        b"attachment; filename=",
        b'attachment; filename=""',
        b"attachment; filename*=UTF-8''",
        b"attachment; filename*=foo.html",
        b"attachment; filename*0=foo; filename*1=bar",  # attfncont
        b"attachment; xfilename=foo.html",  # attconfusedparam
        b"attachment; name=foo.html",  # attwithnamepct
        b"attachment; foo=foo filename=bar",  # attmissingdelim
        b"; = ; , =;",
    ],
)
def test_a_field_may_name_no_file(value: bytes) -> None:
    """Then the URL names it."""
    assert filename_of(value) is None


@given(st.binary() | st.lists(st.sampled_from([b'"', b"\\", b";", b"=", b"filename", b"*", b"'"])))
def test_no_field_is_too_broken(value: bytes | list[bytes]) -> None:
    """Whatever the bytes, there is a name or none; an empty name is none."""
    assert filename_of(value if isinstance(value, bytes) else b"".join(value)) != ""


@pytest.mark.parametrize(
    "piece", [b'"', b" ", b", ", b'a"', b'"a", ', b";", b"\\", b"filename=", b", \t \t"]
)
@pytest.mark.parametrize("start", [b"filename=", b'filename="', b"filename=,", b""])
def test_a_long_field_is_read_in_linear_time(start: bytes, piece: bytes) -> None:
    """A field as long as a head may be does not hold the caller up: half a minute if quadratic."""
    filename_of(start + piece * (64 * 1024 // len(piece)) + b"x")
