"""The style sheet: what can be read, and what can be told apart."""

from __future__ import annotations

import re

import pytest

from asyncbatch._results.report._style import COLOURS, DARK, LIGHT, STYLE

TEXT = 4.5
"""The least contrast of a text to what is behind it (WCAG 2.2, 1.4.3)."""
SHAPE = 3.0
"""The least contrast of a shape to what is behind it (WCAG 2.2, 1.4.11)."""


def colours_of(sheet: str) -> dict[str, str]:
    """Return the colours of a theme by their names, as six digits."""
    found = re.findall(r"--(\w+):#([0-9a-f]+);", sheet)
    return {
        name: digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        for name, digits in found
    }


def luminance(digits: str) -> float:
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


@THEMES
@pytest.mark.parametrize("name", ["text", "muted", "bad"])
@pytest.mark.parametrize("behind", ["bg", "soft"])
def test_each_text_can_be_read(theme: str, name: str, behind: str) -> None:
    """In both themes, on the page and on its panels."""
    colours = colours_of(theme)

    assert contrast(colours[name], colours[behind]) >= TEXT


@THEMES
@pytest.mark.parametrize("name", sorted({*COLOURS, "bad"} - {"retry"}))
def test_each_shape_can_be_seen(theme: str, name: str) -> None:
    """A wait between two tries is fainter, since nothing happens in it."""
    colours = colours_of(theme)

    assert contrast(colours[name], colours["bg"]) >= SHAPE
    assert contrast(colours[name], colours["soft"]) >= SHAPE


def test_both_themes_have_all_colours() -> None:
    """What has a colour has one in each."""
    assert colours_of(LIGHT).keys() == colours_of(DARK).keys() >= {*COLOURS}
    assert set(re.findall(r"var\(--(\w+)\)", STYLE)) <= colours_of(LIGHT).keys()


def test_it_loads_nothing() -> None:
    """No font, no picture, no other sheet."""
    assert not re.search(r"url\(|@import|@font-face|expression", STYLE)
    assert STYLE.count("{") == STYLE.count("}")
