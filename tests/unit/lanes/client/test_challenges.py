"""Digest: of all challenges of a 401, the first that can be answered is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import FailureKind, Fetcher
from asyncbatch._lanes.client._challenges import with_one_challenge

pytestmark = pytest.mark.any_loop

MD5 = 'Digest realm="r", nonce="n", qop="auth"'
SHA = 'Digest realm="r", nonce="s", qop="auth", algorithm=SHA-256'
UNKNOWN = 'Digest realm="r", nonce="u", qop="auth", algorithm=SHA-512-256'
BASIC = 'Basic realm="a, b"'


@pytest.mark.parametrize(
    ("fields", "nonce"),
    [
        ([MD5], "n"),
        ([SHA, MD5], "s"),
        ([MD5, SHA], "n"),
        ([UNKNOWN, MD5], "n"),
        ([UNKNOWN, SHA, MD5], "s"),
        ([BASIC, SHA], "s"),
        ([f"{BASIC}, {SHA}"], "s"),
        ([f"{UNKNOWN}, {BASIC}, {MD5}"], "n"),
        ([f"Negotiate, {MD5}"], "n"),
        ([f"Negotiate abc==, {MD5}"], "n"),
        ([f"NTLM TlRMTVNTUA==,{BASIC} ,, {MD5}"], "n"),
        (['dIGEST\trealm="r",nonce="n"'], "n"),
        (['Digest Realm="r", NONCE = "n" , Qop="auth-int,auth"'], "n"),
        (['Digest realm="r", nonce="n", qop=auth'], "n"),
        (['Digest realm="r", nonce="n", algorithm="md5-sess", opaque="\\"o\\""'], "n"),
        (['Digest realm="r", nonce="i", qop="auth-int"', MD5], "n"),
        (['Digest realm="r"', MD5], "n"),
        (['Digest realm="Digest nonce", nonce="n"'], "n"),
        ([UNKNOWN], None),
        (['Digest realm="r", nonce="i", qop="auth-int"'], None),
        ([BASIC], None),
    ],
)
async def test_the_first_that_can_be_answered_is(fields: list[str], nonce: str | None) -> None:
    """Wherever it stands; where none can be, the 401 is the answer."""
    asked: list[str | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        if asked[-1] is not None:
            return httpx.Response(200)
        return httpx.Response(401, headers=[("www-authenticate", field) for field in fields])

    transport = httpx.MockTransport(handle)
    auth = httpx.DigestAuth("me", "secret")
    async with Fetcher(transport=transport, auth=auth, retry=None) as fetcher:
        result = await fetcher.fetch("http://a.test/")

    if nonce is None:
        assert asked == [None]
        assert result.kind == FailureKind.status
        assert result.headers.get_list("www-authenticate") == fields
        return
    assert result.ok, result
    assert len(asked) == 2
    assert f'nonce="{nonce}"' in str(asked[1])
    refused = result.response.history[0]
    assert refused.headers.get_list("www-authenticate") == fields


@given(st.lists(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")), max_size=3))
def test_no_field_raises(fields: list[str]) -> None:
    """A stranger writes them."""
    raw: Any = [("www-authenticate", field.encode("latin-1")) for field in fields]
    response = httpx.Response(401, headers=raw)

    with_one_challenge(response, httpx)
