"""`Set-Cookie` as user agents read it (RFC 6265 §5.2)."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncbatch._lanes.client._cookies import AskedUrl, UserAgentJar, adopt
from asyncbatch._lanes.client._set_cookie import as_netscape, cookie_date

HOST = "www.example.org"


def _kept(*lines: str, url: str = f"https://{HOST}/a/b") -> dict[str, tuple[str, str]]:
    """Return what a jar of ours keeps of these fields: domain and path by name."""
    cookies = httpx.Cookies()
    adopt(cookies)
    request = httpx.Request("GET", url)
    headers = [("set-cookie", line) for line in lines]
    cookies.extract_cookies(httpx.Response(200, headers=headers, request=request))
    return {cookie.name: (cookie.domain, cookie.path) for cookie in cookies.jar}


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=soon",
        "Max-Age",
        "Max-Age=",
        "Max-Age=1.5",
        "Max-Age=+5",
        "Max-Age=" + "9" * 5000,
        "Expires",
        "Expires=soon",
        "Domain",
        "Domain=",
        "Path",
        "Path=",
        "Path=no/slash",
        "Version=9",
        "Version=x",
        'Port="99"',
        "Comment",
        "Discard=x",
        ";",
        "=x",
        "Nonsense; SameSite=Maybe; Partitioned",
    ],
)
def test_an_attribute_that_cannot_be_read_is_ignored(attributes: str) -> None:
    """The cookie is kept as if it were not there, and so are its neighbours."""
    kept = _kept("before=1", f"a=1; {attributes}", "after=1")

    assert kept == dict.fromkeys(["before", "a", "after"], (HOST, "/a"))


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=0",
        "Max-Age=-1",
        "Max-Age=-" + "9" * 5000,
        "Max-Age=0; Expires=Wed, 09 Jun 2100 10:18:14 GMT",
        "Expires=Wed, 09 Jun 2100 10:18:14 GMT; Max-Age=0",
        "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Expires=Mon, 01-Jan-1601 00:00:00 GMT",
        "Expires=Fri, 31-Dec-1969 23:59:59 GMT",
        "expires=thu jan 1 1970 0:0:0",
        "Max-Age=60; Max-Age=0",
    ],
)
def test_a_cookie_that_is_over_is_removed(attributes: str) -> None:
    """Servers log out by such a field; which form of a date they take is theirs."""
    assert _kept("a=1; Path=/", f"a=; Path=/; {attributes}") == {}


def test_the_last_of_several_attributes_counts() -> None:
    """RFC 6265 §5.3, step 4 and following."""
    assert _kept("a=1; Path=/x; Path=/y; Domain=other.test; Domain=example.org") == {
        "a": (".example.org", "/y")
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "build-server"])
def test_a_host_may_name_itself(host: str) -> None:
    """A name without dots, or an address, as Domain is the host alone (RFC 6265 §5.3, step 5)."""
    assert list(_kept(f"a=1; Domain={host}", url=f"http://{host}:8080/")) == ["a"]


@pytest.mark.parametrize("domain", ["other.test", "org", "xample.org", "sub.www.example.org"])
def test_no_host_sets_cookies_for_another(domain: str) -> None:
    """What `http.cookiejar` refuses for good reason stays refused."""
    assert _kept(f"a=1; Domain={domain}") == {}


@pytest.mark.parametrize("pair", ['a="b c"', "a=b=c", "a=", "a=1,b=2", "a"])
def test_name_and_value_stay_as_they_are(pair: str) -> None:
    """Quotes and commas have no meaning there."""
    assert as_netscape(f" {pair} ; Secure", HOST) == f"{pair}; secure"


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 09 Jun 2100 10:18:14 GMT",
        "Wednesday, 09-Jun-2100 10:18:14 GMT",
        "Wed Jun  9 10:18:14 2100",
        "9 June 2100 10:18:14",
        "2100 10:18:14 jun 9",
        "10:18:14, 09/Jun/2100 (UTC)",
        "Wed, 09 Jun 2100 10:18:14x GMT",
    ],
)
def test_a_date_is_read_in_any_order(text: str) -> None:
    """RFC 6265 §5.1.1 looks for its parts, whatever is between them."""
    assert cookie_date(text) == datetime.datetime(2100, 6, 9, 10, 18, 14, tzinfo=datetime.UTC)


@pytest.mark.parametrize(("digits", "year"), [("69", 2069), ("70", 1970), ("99", 1999)])
def test_two_digits_are_a_year_of_this_or_the_last_century(digits: str, year: int) -> None:
    """RFC 6265 §5.1.1, steps 3 and 4."""
    date = cookie_date(f"Sun, 01-Feb-{digits} 00:00:00 GMT")

    assert date is not None
    assert date.year == year


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Wed, 09 Jun 2100",
        "10:18:14 Jun 2100",
        "09 10:18:14 2100",
        "09 Jun 10:18:14",
        "32 Jun 2100 10:18:14",
        "31 Jun 2100 10:18:14",
        "09 Jun 1600 10:18:14",
        "09 Jun 2100 24:00:00",
        "09 Jun 2100 10:60:00",
        "Fri, 31-Dec-99999 23:59:59 GMT",
    ],
)
def test_what_lacks_a_part_is_no_date(text: str) -> None:
    """Then the attribute is ignored."""
    assert cookie_date(text) is None


@given(st.text(st.characters(max_codepoint=255), max_size=60), st.sampled_from([HOST, "localhost"]))
def test_anything_is_read_once_and_for_all(line: str, host: str) -> None:
    """Nothing raises, and what has been read once is read the same again."""
    once = as_netscape(line, host)

    assert as_netscape(once, host) == once


@given(
    st.integers(0, 253_402_300_799).map(
        lambda seconds: datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    )
)
def test_a_date_is_written_as_it_was_read(date: datetime.datetime) -> None:
    """`http.cookiejar` reads the form that is written."""
    line = as_netscape(f"a=1; Expires={date:%d %b} {date.year:04} {date:%H:%M:%S}", HOST)

    assert cookie_date(line.partition("expires=")[2]) == date


_ATTRIBUTES = st.one_of(
    st.sampled_from(
        [
            *("Path=/", "path=/a/b", "Path=no", "PATH=/a b%2f", "Path", "Secure", "HttpOnly"),
            *("SameSite=Lax", "samesite", "Max-Age=60", "max-age=0", "Max-Age=-1", "Max-Age=x"),
            *("Expires=Wed, 09 Jun 2100 10:18:14 GMT", "Expires=Thu, 01-Jan-1970 00:00:00 GMT"),
            *("expires=1 Jan 2030 1:2:3", "Expires=soon", "Domain=example.org", "Domain=."),
            *("Domain=.example.org", "Domain=..example.org", "Domain=org", "Domain=other.test"),
            *("domain=www.EXAMPLE.org", "Domain=localhost", "Domain=127.0.0.1", "Version=1"),
            *("Port=80", "Discard", "Comment=c", "x", "=", "X=1", "x=2", ""),
        ]
    ),
    st.text('aD=/., "-;', max_size=8),
)
_LINES = st.builds(
    lambda pair, attributes: ";".join([pair, *attributes]),
    st.one_of(
        st.sampled_from(["a=1", "b = 2 ", "a", "=x", "", 'a="q;r"', "a==", "$v=1", "a=\t1"]),
        st.text('ab=" ,~', max_size=6),
    ),
    st.lists(_ATTRIBUTES, max_size=4),
)
_URLS = st.sampled_from(
    [
        *("http://www.example.org/a/b?c=/d/", "https://www.example.org:8443/", "http://localhost"),
        *("http://127.0.0.1:80/x", "http://[::1]:8080/a/", "http://example.org/%7e/x#/y/z"),
        *("http://www.example.org?q", "http://org/a//b", "http://a.b.example.org/a;b/c"),
    ]
)


@given(st.lists(st.lists(_LINES, min_size=1, max_size=3), max_size=3), _URLS)
@settings(deadline=None)
@example([["a=1; Expires=Wed, 09 Jun 2100 10:18:14 GMT"]], "http://localhost")
@example([["a=1", "a=2; Expires=Thu, 01-Jan-1970 00:00:00 GMT"]], "http://localhost")
@example([["a=1; Domain=..example.org"], ["b=1; Domain=example.org"]], "http://www.example.org?q")
def test_a_jar_takes_what_it_would_extract(responses: list[list[str]], url: str) -> None:
    """Without a response and a request of httpx's: the same cookies, in the same order."""
    extracting, taking = UserAgentJar(), UserAgentJar()
    request = httpx.Request("GET", url)
    with held_clock():
        for lines in responses:
            fields = [("set-cookie", line) for line in lines]
            response = httpx.Response(200, headers=fields, request=request)
            cookies = httpx.Cookies(extracting)
            cookies.extract_cookies(response)
            taking.extract([line.strip(" \t") for line in lines], AskedUrl.of(url))

    assert [vars(cookie) for cookie in taking] == [vars(cookie) for cookie in extracting]
    assert list(taking.joined_at) == list(extracting.joined_at)


@contextmanager
def held_clock() -> Iterator[None]:
    """Hold the clock that lifetimes count from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: 1_700_000_000.5)
        yield
