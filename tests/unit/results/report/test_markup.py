"""HTML as text: nothing that others wrote is anything but text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._results.report._markup import escaped, foreign, shortened, table
from tests.markup import errors_in, text_of


@given(st.text() | st.text(st.characters(categories=["Cc", "Cs", "Cf", "Cn", "Co"])))
def test_any_text_is_valid(text: str) -> None:
    """In an element and in an attribute; what HTML does not allow becomes U+FFFD."""
    found = escaped(text)

    assert errors_in(f'<p title="{found}">{found}</p>') == []
    assert len(text_of(f"<p>{found}</p>")) == len(text)
    assert not any(ord(letter) & 0xFFFE == 0xFFFE for letter in found)


@pytest.mark.parametrize("letter", "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u200f\u061c")
def test_no_text_changes_the_direction_of_others(letter: str) -> None:
    """It would be read in another order than it stands there."""
    assert unicodedata.category(letter) == "Cf"
    assert escaped(f"a{letter}b") == "a\ufffdb"


def test_what_is_not_a_text_is_escaped_too() -> None:
    """Such as a number, or an object of the caller's."""
    assert escaped(3) == "3"
    assert escaped(["<"]) == "[&#x27;&lt;&#x27;]"


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [("abc", 3, "abc"), ("abcdefghij", 6, "abc…ij"), ("", 5, "")],
)
def test_a_long_text_is_cut_in_its_middle(text: str, most: int, short: str) -> None:
    """Both the host and the end of a URL say something."""
    assert shortened(text, most) == short
    assert foreign(text, most) == f"<bdi>{short}</bdi>"


def test_the_cells_of_a_table_know_their_columns() -> None:
    """On a phone there is no head above them."""
    found = table("caption", ["a", "b", "c"], [["1", "2", "3"]], texts=2)

    assert errors_in(found) == []
    assert '<td data-l="b">2</td>' in found
    assert '<td class="n" data-l="c">3</td>' in found
    assert '<th scope="row">1</th>' in found
