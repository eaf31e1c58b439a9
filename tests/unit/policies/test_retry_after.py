from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch._policies._retry_after import parse_retry_after

# Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
RFC_MOMENT = 784_111_777.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5\t", 5.0),
        ("007", 7.0),
        ("+5", 5.0),
        ("1.5", 2.0),
        ("2.", 2.0),
        (".25", 1.0),
        ("0.0", 0.0),
        ("0.000001", 1.0),
        ("1e-05", 1.0),
        ("1.2e3", 1200.0),
        ("1e400", 2.0**31),
        ("120, 120", 120.0),
        ("5, 6.5 ,2", 7.0),
        ("3, Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT, 90", 90.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT, 2", 2.0),
        ("9999999999", 2.0**31),
        ("9" * 400, 2.0**31),
        ("9" * 5000, 2.0**31),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),
        ("Sun Nov  6 08:50:37 1994", 60.0),
        ("Sun Nov 16 08:49:37 1994", 864_000.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sat, 31 Dec 1994 23:59:60 GMT", 4_806_622.0),
        ("Sunday, 06-Nov-44 08:49:37 GMT", 1_577_923_200.0),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str, seconds: float) -> None:
    """RFC 9110 has digits and three forms of a date."""
    assert parse_retry_after(value, wall_now=RFC_MOMENT) == seconds


def test_a_year_of_two_digits_may_be_of_the_century_before() -> None:
    """It is at most 50 years ahead (RFC 9110 §5.6.7): in 2010, 61 is 1961 and 60 is 2060."""
    in_2010 = 1_262_304_000.0

    assert parse_retry_after("Sunday, 06-Nov-61 08:50:37 GMT", wall_now=in_2010) == 0.0
    assert parse_retry_after("Sunday, 06-Nov-60 08:50:37 GMT", wall_now=in_2010) == 1_604_652_637.0


@pytest.mark.parametrize(
    "value", ["Sun, 06 Nov 1994 08:49:36 GMT", "Sunday, 06-Nov-45 08:49:37 GMT"]
)
def test_a_date_that_is_past_asks_for_no_wait(value: str) -> None:
    """As `Retry-After: 0` does: the server says that the request may come again."""
    assert parse_retry_after(value, wall_now=RFC_MOMENT) == 0.0
    assert parse_retry_after(f"{value}, 2", wall_now=RFC_MOMENT) == 2.0


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        ".",
        "1.5.5",
        "1,5,",
        "5,",
        ", 5",
        "e5",
        "++5",
        "+-5",
        "1e",
        "5, soon",
        "5 6",
        "0x10",
        "1_000",
        "\uff11\uff12",
        "\u00b2",
        "5 s",
        "soon",
        "nan",
        "inf",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Wed, 31 Feb 2001 00:00:00 GMT",
        "Sun, 06 Nov 2094 25:49:37 GMT",
        "Sun, 06 Nov 2094 08:60:37 GMT",
        "Sun, 06 Nov 2094 08:49:61 GMT",
        "Sun, 06 Nov 2094 08:49:37",
        "Sun, 06 Nov 2094 08:49:37 +0100",
        "Sun, 6 Nov 2094 08:49:37 GMT",
        "Sun, 06 nov 2094 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 06 Nov 2094 08:49:37 GMT\n",
        "\u0661\u0662",
    ],
)
def test_retry_after_that_is_nonsense_is_none(value: str) -> None:
    """What is not a wait is as good as not there."""
    assert parse_retry_after(value, wall_now=RFC_MOMENT) is None


@pytest.mark.parametrize(
    ("value", "date", "age", "seconds"),
    [
        # The server's clock is a year ahead, and an hour behind.
        ("Mon, 06 Nov 1995 08:49:39 GMT", "Mon, 06 Nov 1995 08:49:37 GMT", None, 2.0),
        ("Sun, 06 Nov 1994 07:49:39 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", None, 2.0),
        ("Sun Nov  6 07:49:39 1994", "Sunday, 06-Nov-94 07:49:37 GMT", None, 2.0),
        ("Sun, 06 Nov 1994 07:49:39 GMT", " Sun, 06 Nov 1994 07:49:37 GMT\t", None, 2.0),
        # Past by its own clock: nothing is left to wait for.
        ("Sun, 06 Nov 1994 07:49:36 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", None, 0.0),
        # From a cache, in which it has spent a minute.
        ("Sun, 06 Nov 1994 07:51:37 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", "60", 60.0),
        ("Sun, 06 Nov 1994 07:51:37 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", "9" * 400, 0.0),
        ("Sun, 06 Nov 1994 07:51:37 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", "-60", 120.0),
        # Seconds are from the response on, whatever time it is.
        ("5", "Sun, 06 Nov 1994 07:49:37 GMT", "60", 5.0),
        # A Date that is none leaves our own clock.
        ("Sun, 06 Nov 1994 08:50:37 GMT", "today", None, 60.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", "Wed, 31 Feb 2001 00:00:00 GMT", None, 60.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 07:49:37 GMT, x", None, 60.0),
    ],
)
def test_a_date_counts_from_the_servers_own_date(
    value: str, date: str, age: str | None, seconds: float
) -> None:
    """The difference of two fields of one clock needs no agreement about the time."""
    assert parse_retry_after(value, wall_now=RFC_MOMENT, date=date, age=age) == seconds


@given(st.text())
def test_no_retry_after_raises(value: str) -> None:
    """A stranger writes the field."""
    seconds = parse_retry_after(value, wall_now=RFC_MOMENT, date=value, age=value)

    assert seconds is None or 0 <= seconds <= 2**31


@pytest.mark.parametrize("wall_now", [1e12, -1e12, float("inf")])
def test_a_year_of_two_digits_says_nothing_on_a_clock_that_was_never_set(wall_now: float) -> None:
    """The century is that of the clock."""
    assert parse_retry_after("Sunday, 06-Nov-94 08:49:37 GMT", wall_now=wall_now) is None
