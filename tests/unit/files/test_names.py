"""
Names of files.

The sources of the cases: Chromium's `base/i18n/file_util_icu` for characters, Microsoft's "Naming
Files, Paths, and Namespaces" for what Windows reserves, Unicode's UAX #15 and #44 for forms and
categories, and the CVE that a case is about where there is one.
"""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncbatch._files._names import (
    MAX_BYTES,
    MAX_SAFE_BYTES,
    name_from_disposition,
    name_from_url,
    numbered,
    part_name,
    refresh_name,
    resume_name,
    safe_name,
    target_key,
)

HOST = "https://example.org"
LONG = MAX_SAFE_BYTES

pytestmark = pytest.mark.any_loop


@pytest.mark.parametrize(
    ("url", "name"),
    [
        # The last part of the path, decoded once.
        (f"{HOST}/dir/name.bin", "name.bin"),
        (f"{HOST}/dir/name.bin?v=2/x.exe#top/y.exe", "name.bin"),
        (f"{HOST}/a%20b.txt", "a b.txt"),
        (f"{HOST}/a+b.txt", "a+b.txt"),
        (f"{HOST}/%E2%82%AC.txt", "€.txt"),
        (f"{HOST}/caf%E9.txt", "café.txt"),
        (f"{HOST}/cafe%CC%81.txt", "café.txt"),
        (f"{HOST}/name%252Fx.txt", "name%2Fx.txt"),
        (f"{HOST}/50%.txt", "50%.txt"),
        (f"{HOST}/%zz.txt", "%zz.txt"),
        (f"{HOST}/name;v=1.txt", "name;v=1.txt"),
        ("//example.org/x.txt", "x.txt"),
        ("dir/x.txt", "x.txt"),
        ("x.txt", "x.txt"),
        ("/x.txt", "x.txt"),
        ("http:/x.txt", "x.txt"),
        (f"{HOST}//x.txt", "x.txt"),
        ("http:///x.txt", "x.txt"),
        (f"{HOST}/x.txt?a", "x.txt"),
        (f"{HOST}/x.txt#/a", "x.txt"),
        (f"{HOST}/a?/x.txt", "a"),
        # No name: a host is none.
        (HOST, "download"),
        ("//example.org", "download"),
        (f"{HOST}/", "download"),
        (f"{HOST}/dir/", "download"),
        (f"{HOST}?q=name.txt", "download"),
        ("", "download"),
        # CVE-2007-4559 and its kind: parts of a path in one part.
        (f"{HOST}/..", "download"),
        (f"{HOST}/%2e%2e", "download"),
        (f"{HOST}/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "passwd"),
        (f"{HOST}/..%5c..%5cwindows%5cwin.ini", "win.ini"),
        (f"{HOST}/%2Fetc%2Fcron.d%2F", "download"),
        (f"{HOST}/C%3A%5Cx.txt", "x.txt"),
        (f"{HOST}/x.txt%00.jpg", "x.txt_.jpg"),
        (f"{HOST}/%C0%AE%C0%AE%C0%AFx", "À®À®À¯x"),
    ],
)
def test_a_url_names_a_file(url: str, name: str) -> None:
    """By the last part of its path alone, whatever it holds."""
    assert name_from_url(url) == name


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        # Separators of every system, and what looks like one (best fit of code pages).
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/passwd", "passwd"),
        ("C:\\windows\\system.ini", "system.ini"),
        ("\\\\server\\share\\x.txt", "x.txt"),
        ("\\\\?\\C:\\x.txt", "x.txt"),
        ("C:x.txt", "C_x.txt"),
        ("a/b\\c", "c"),
        ("..\uff0f..\uff0fx", "_.._x"),
        ("..\u2215x\u2044y\uff3cz\u29f8", "_x_y_z_"),
        # Alternate data streams (CVE-1999-0278, Windows).
        ("x.txt:evil.exe", "x.txt_evil.exe"),
        ("x.php::$DATA", "x.php__$DATA"),
        ("x\ua789y", "x\ua789y"),
        ("x\uff1ay", "x_y"),
        # Controls, line ends, and what is none (Chromium).
        ("a\x00b", "a_b"),
        ("a\r\nb\tc\x1b[2Jd\x7fe\x9b", "a__b_c_[2Jd_e_"),
        ("a\u2028b\u2029c", "a_b_c"),
        ("a\ud800b\udcffc", "a_b_c"),
        ("a\ufdd0b\ufffec\U0010ffffd", "a_b_c_d"),
        ("a\uf022b", "a_b"),
        ('wh?t<is>"th|s*.txt', "wh_t_is__th_s_.txt"),
        # Bidirectional controls (CVE-2021-42574) and zero widths (CVE-2014-9390, `.g\u200cit`).
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("\u2066a\u2069\u200eb\u061c", "ab"),
        (".g\u200cit", "git"),
        ("\ufeffx\u200b.txt\u00ad", "x.txt"),
        ("x\u3164\ufe0f\U000e0061.txt", "x.txt"),
        ("\u200b", "download"),
        # Reserved names of Windows, with any extension.
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("Aux.tar.gz", "_Aux.tar.gz"),
        ("NUL .txt", "_NUL .txt"),
        ("prn", "_prn"),
        ("COM1.log", "_COM1.log"),
        ("lpt9", "_lpt9"),
        ("COM¹", "_COM¹"),
        ("com².txt", "_com².txt"),
        ("LPT³.x", "_LPT³.x"),
        ("CONIN$", "_CONIN$"),
        ("conout$.txt", "_conout$.txt"),
        ("C\u200bON", "_CON"),
        ("COM10", "COM10"),
        ("CONSOLE", "CONSOLE"),
        ("x.CON", "x.CON"),
        # Ends: a leading dot hides, Windows drops trailing dots and blanks (CVE-2022-3500 and kin).
        (".htaccess", "htaccess"),
        ("...", "download"),
        (".", "download"),
        ("", "download"),
        (" . ", "download"),
        ("x.txt. . ", "x.txt"),
        (" \u00a0x.txt\u3000", "x.txt"),
        ("a . b", "a . b"),
        # One normal form; a mark is not left where its base was.
        ("e\u0301.txt", "é.txt"),
        ("\u212bngstr\u00f6m", "Ångström"),
        ("a\u200d\u0308", "ä"),
        ("≠.txt", "≠.txt"),
        # What is incomplete is named `.part`, so nothing else is.
        ("x.part", "x_part"),
        ("X.PART", "X_PART"),
        ("x.part. ", "x_part"),
        ("x.pa\u200brt", "x_part"),
        (".part", "part"),
        ("x.part.zip", "x.part.zip"),
    ],
)
def test_a_name_is_made_safe(given_name: str, name: str) -> None:
    """It is one visible part of a path on every system, and is no name that means something."""
    assert safe_name(given_name) == name


@pytest.mark.parametrize(
    ("long", "name"),
    [
        ("a" * 300, "a" * LONG),
        ("a" * 300 + ".txt", "a" * (LONG - 4) + ".txt"),
        ("a" * 300 + ".tar.gz", "a" * (LONG - 7) + ".tar.gz"),
        ("a" * 300 + "-1.5.gz", "a" * (LONG - 3) + ".gz"),
        ("x." + "y" * 300, ("x." + "y" * 300)[:LONG]),
        ("€" * 100, "€" * (LONG // 3)),
        ("€" * 100 + ".txt", "€" * ((LONG - 4) // 3) + ".txt"),
        ("😀" * 100 + ".jpeg", "😀" * ((LONG - 5) // 4) + ".jpeg"),
        ("a" * (LONG - 1) + "q\u0308", "a" * (LONG - 1)),
        ("a" * (LONG - 1) + " .b.c d", "a" * (LONG - 1)),
        ("CON" + " " * 300 + "x.txt", "_CON.txt"),
        ("CON." + "x" * 300, "_CON." + "x" * (LONG - 5)),
        ("a" * (LONG - 5) + ".part" + "b" * 300, "a" * (LONG - 5) + "_part"),
        ("a" * LONG, "a" * LONG),
    ],
)
def test_a_long_name_is_cut_before_its_extension(long: str, name: str) -> None:
    """No character is cut, no mark is parted from its base, and the rest is safe as well."""
    assert safe_name(long) == name


def test_names_beside_a_safe_name_fit() -> None:
    """The longest safe name leaves room for each suffix, so that none must be shortened."""
    name = safe_name("a" * 300)

    assert part_name(name) == f"{name}.part"
    assert resume_name(name) == f".{name}.resume"
    assert refresh_name(name) == f".{name}.refresh"
    assert len(refresh_name(name)) == MAX_BYTES


@pytest.mark.parametrize("beside", [part_name, resume_name, refresh_name])
@pytest.mark.parametrize("name", ["a" * 255, "€" * 85, "a" * 250 + "\udcff", "a" * 246 + "b.bin"])
def test_names_beside_a_caller_s_long_name_fit(beside, name: str) -> None:
    """A digest stands for what would be too long, and two long names do not meet in it."""
    made, other = beside(name), beside(f"b{name[1:]}")

    assert len(made.encode("utf-8", "surrogateescape")) <= MAX_BYTES
    assert made.endswith(beside("x")[-5:])
    assert made.startswith(".") == beside("x").startswith(".")
    assert beside(f"{name[:-1]}c") != made != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Name.TXT", "name.txt"),
        ("é", "e\u0301"),
        ("É.txt", "e\u0301.TXT"),
        ("straße", "STRASSE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﬀ", "FF"),
        ("\u212a", "k"),
        ("a\u200db", "ab"),
        ("❤\ufe0f", "❤"),
        ("\u0345\u0300", "\u0300\u0399"),
    ],
)
def test_twins_are_one_target(one: str, other: str) -> None:
    """Names that one file system or another takes for one file have one key."""
    assert target_key(one) == target_key(other)


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("a.txt", "a_txt"), ("COM1", "COM¹")])
def test_other_names_are_other_targets(one: str, other: str) -> None:
    """Compatible characters are not equal: file systems compare by canonical forms."""
    assert target_key(one) != target_key(other)


@pytest.mark.parametrize(
    ("name", "number", "renamed"),
    [
        ("name.ext", 1, "name (1).ext"),
        ("name", 2, "name (2)"),
        ("a.tar.gz", 3, "a (3).tar.gz"),
        ("v1.5.gz", 1, "v1.5 (1).gz"),
        ("a.b.c", 1, "a.b (1).c"),
        ("gz", 1, "gz (1)"),
        ("a" * (LONG - 4) + ".txt", 10, "a" * (LONG - 9) + " (10).txt"),
    ],
)
def test_a_number_stands_before_the_extension(name: str, number: int, renamed: str) -> None:
    """The name is cut if there is no room for the number."""
    assert numbered(name, number) == renamed


# Parts that break rules at each other's edges, more often than random characters would.
PIECES = st.sampled_from(
    [
        *("CON", "com¹", ".part", ".PART", ".txt", ".tar.gz", "(1)", "_", "e", "ß", "≯", "€" * 90),
        *(".", "..", " ", "/", "\\", ":", "\x00", "a" * 120),
        *("\u200b", "\u202e", "\u0301", "\ud800", "\ufe0f", "\u3000", "\u0345", "\u1f80"),
    ]
)
NAMES = st.one_of(st.text(), st.lists(PIECES, max_size=8).map("".join))


def assert_safe(name: str) -> None:
    """Check each promise of a safe name by other means than those that make it."""
    assert name
    assert len(name.encode()) <= MAX_SAFE_BYTES
    assert unicodedata.is_normalized("NFC", name)
    assert not re.search(r'[\x00-\x1f\x7f-\x9f"*/:<>?\\|]', name)
    assert not {unicodedata.category(one) for one in name} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert name[0] != "."
    assert name == name.strip().rstrip(". ")
    assert not re.match(
        r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\.|\Z)", name, re.IGNORECASE
    )
    assert not name.casefold().endswith(".part")


@given(NAMES)
@example("a" * 241 + ".part.x" + "b" * 20)
@example("CON" + "\u200b" * 300 + " " * 300 + ".x")
def test_every_name_becomes_safe(name: str) -> None:
    """Whatever a server, a URL or a function of the caller's says."""
    safe = safe_name(name)

    assert_safe(safe)
    assert safe_name(safe) == safe


@given(NAMES, st.integers(min_value=1, max_value=10**9))
def test_a_numbered_name_is_safe(name: str, number: int) -> None:
    """The number breaks no promise, and two numbers never make one target."""
    renamed = numbered(safe_name(name), number)

    assert_safe(renamed)
    assert target_key(renamed) != target_key(numbered(safe_name(name), number + 1))


@given(NAMES)
def test_a_key_is_its_own_key(name: str) -> None:
    """The key is a normal form: of a name, of its upper case, and of both normalisations."""
    key = target_key(name)

    assert target_key(key) == key
    assert target_key(unicodedata.normalize("NFD", name)) == key
    assert target_key(unicodedata.normalize("NFC", name)) == key


@given(NAMES, NAMES)
def test_files_beside_never_meet_a_target(name: str, other: str) -> None:
    """No name that is made here is that of another one's part, or of a hidden file."""
    target, beside = safe_name(name), safe_name(other)
    helpers = {target_key(make(beside)) for make in (part_name, resume_name, refresh_name)}

    assert target_key(target) not in helpers
    assert len(helpers) == 3


@given(st.text())
def test_every_url_names_a_file(url: str) -> None:
    """Whatever is given for a URL."""
    assert_safe(name_from_url(url))


@given(st.binary())
@example(b"attachment; filename*=UTF-8''%2e%2e%2fx")
def test_every_disposition_is_safe(value: bytes) -> None:
    """A field of any bytes names a safe file, or none."""
    name = name_from_disposition(value)

    assert name is None or safe_name(name) == name


@given(NAMES)
@example('C:"x')
@example("C:\\x")
def test_a_disposition_is_read_as_it_was_written(name: str) -> None:
    """A name in quotes, escaped as RFC 9110 §5.6.4 says, is made safe as the name itself is."""
    name = name.encode("utf-8", "replace").decode()
    escaped = re.sub(r'(["\\])', r"\\\1", name)

    found = name_from_disposition(f'attachment; filename="{escaped}"'.encode())

    assert (found or "download") == safe_name(name)
