"""A result as a line: for people and grep, or as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest

from asyncbatch import FailureKind, Timing
from asyncbatch._cli._lines import json_line, plain_line
from tests.samples import failure, success


def test_a_success_has_status_seconds_bytes_and_url():
    """Four columns, which awk tells apart."""
    line = plain_line(success(7, body=b"12345", elapsed=1.23456))

    assert line == "200                 1.235          5 http://host.test/7\n"
    assert line.split() == ["200", "1.235", "5", "http://host.test/7"]


def test_a_failure_with_a_response_is_told_by_its_status():
    """A 404 is searched for as such."""
    assert plain_line(failure(7, status=404)).split() == ["404", "0.000", "0", "http://host.test/7"]


def test_a_failure_without_one_is_told_by_its_kind_and_error():
    """The columns are the same; what went wrong comes behind them."""
    line = plain_line(failure(7, kind=FailureKind.invalid_request))

    assert line.startswith("invalid_request     0.000          0 http://host.test/7  ")
    assert line.endswith("ConnectError: refused\n")


def test_an_error_that_says_nothing_of_itself_has_its_line_all_the_same():
    """`__str__` of somebody else's exception may fail."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("says nothing")

    assert plain_line(failure(7, error=Mute())).endswith("  Mute\n")
    assert json.loads(json_line(failure(7, error=Mute())))["error"] == "Mute"


def test_what_would_steer_a_terminal_is_written_out():
    """URLs come from strangers; so may error messages."""
    error = httpx.ConnectError("\x1b]0;owned\x07\n200 fake")
    hostile = failure(item="http://host.test/\x1b[2J\udc80\r\n", url=None, error=error)

    line = plain_line(hostile)

    assert line[:-1].isprintable()
    assert line.count("\n") == 1
    assert r"\x1b[2J\udc80\r\n" in line


def test_json_has_everything_but_headers_and_bodies():
    """One object, one line, the same keys whatever happened."""
    timing = Timing(queued=0.1, wait=0.2000001)
    began = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
    ended = success(7, body=b"secret", elapsed=0.5, attempts=2, timing=timing, started=began)

    line = json_line(ended)

    assert line.count("\n") == 1
    assert json.loads(line) == {
        "index": 7,
        "url": "http://host.test/7",
        "final_url": "http://host.test/7",
        "method": "GET",
        "ok": True,
        "status": 200,
        "kind": None,
        "error": None,
        "started": "2026-11-29T12:00:00+00:00",
        "elapsed": 0.5,
        "timing": {
            "queued": 0.1,
            "throttled": 0.0,
            "dns": None,
            "connect": None,
            "tls": None,
            "send": None,
            "wait": 0.2,
            "receive": None,
        },
        "attempts": 2,
        "bytes": 6,
        "path": None,
        "from_journal": False,
    }


def test_json_of_a_failure_has_its_kind_and_error():
    """With no response there is no status, and with no valid URL no final one."""
    record = json.loads(json_line(failure(1, kind=FailureKind.dns)))
    invalid = json.loads(json_line(failure(1, item="nonsense", url=None)))

    assert (record["ok"], record["status"], record["kind"]) == (False, None, "dns")
    assert record["error"] == "ConnectError: refused"
    assert record.keys() == json.loads(json_line(success())).keys()
    assert (invalid["url"], invalid["final_url"]) == ("nonsense", None)


def test_json_is_ascii_whatever_the_url():
    """Also for a line of the input that was no UTF-8."""
    line = json_line(failure(item="http://host.test/\udcff\u2028é", url=None))

    assert line.isascii()
    assert json.loads(line)["url"] == "http://host.test/\\udcff\u2028é"
    assert "\\\\udcff" in line  # a lone surrogate is refused by most readers


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@host.test/",
        "http://secret@host.test/",
        "http://user:p w secret@host.test/",
        "http://a@b:secret@host.test/",
        "user:secret@host.test/",
        "http:\\\\user:secret@host.test/",
        " http://user:secret@host.test/",
        "ftp://user:secret@host.test/",
    ],
)
def test_who_asks_is_never_shown(url: str):
    """Neither in the URL nor in the error, in whatever shape."""
    error = httpx.ConnectError(f"cannot fetch {url} or 'http://x:secret@y/' today")
    result = failure(item=url, url=None, error=error)

    assert "secret" not in plain_line(result).replace("[secure]", "")
    assert "secret" not in json_line(result)
    assert "host.test/" in plain_line(result)


@pytest.mark.parametrize(
    "url", ["http://host.test/@user", "http://host.test/?mail=a@b", "http://host.test/#a@b", "/a@b"]
)
def test_an_at_sign_behind_the_host_stays(url: str):
    """It is part of what is asked for."""
    result = failure(item=url, url=None)

    assert json.loads(json_line(result))["url"] == url
    assert url in plain_line(result)


def test_a_message_that_says_the_password_otherwise_is_masked():
    """An error may quote a part of the URL that was taken for something else."""
    error = httpx.UnsupportedProtocol("no scheme in '/p%20w@host.test/'")

    line = plain_line(failure(item="user:p w@host.test/", url=None, error=error))

    assert "p%20w" not in line
    assert line.endswith("  UnsupportedProtocol: no scheme in '/[secure]%20[secure]@host.test/'\n")
