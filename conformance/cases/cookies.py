"""
Cookies that mean no good: the answer is whole all the same.
"""

from __future__ import annotations

from conformance._case import Case

from ._make import HI, OK, valid

_COOKIE = "RFC 6265 §5.2"

# Jars keep cookies by name, whatever the port: the other cases shall not see these.
_HOST = "127.0.0.2"

_COOKIES = {
    "that is plain": b"a=b",
    "without a value": b"a=",
    "without a name": b"=b",
    "without an equals sign": b"a",
    "that is empty": b"",
    "of semicolons": b";;;;",
    "with a quote that does not end": b'a="b',
    "with a comma": b"a=b, c=d",
    "in Latin-1": b"a=\xe9",
    "in UTF-8": "a=日本".encode(),
    "with a date that is none": b"a=b; Expires=Thu, 99-Foo-2099 99:99:99 GMT",
    "with a date far away": b"a=b; Expires=Fri, 31-Dec-99999 23:59:59 GMT",
    "with an age that is none": b"a=b; Max-Age=soon",
    "with a huge age": b"a=b; Max-Age=" + b"9" * 5000,
    "with a negative age": b"a=b; Max-Age=-1",
    "for another domain": b"a=b; Domain=elsewhere.test",
    "for every domain": b"a=b; Domain=.",
    "with a path that is none": b"a=b; Path=nowhere",
    "with a port that is none": b'a=b; Port="x"; Version=1',
    "with a version that is none": b"a=b; Version=x",
    "with an unknown attribute": b"a=b; Nonsense; SameSite=Maybe; Partitioned",
    "of 8 KiB": b"a=" + b"b" * 8192,
}

CASES: tuple[Case, ...] = (
    *(
        valid(
            f"a cookie {what}",
            _COOKIE,
            OK + b"Set-Cookie: " + cookie + b"\r\n" + HI,
            b"hi",
            host=_HOST,
            decided_by="cookie",
        )
        for what, cookie in _COOKIES.items()
    ),
    valid(
        "100 cookies",
        _COOKIE,
        OK + b"".join(b"Set-Cookie: c%d=v\r\n" % number for number in range(100)) + HI,
        b"hi",
        host=_HOST,
        decided_by="cookie",
    ),
)
