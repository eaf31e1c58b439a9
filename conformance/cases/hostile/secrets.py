"""
What goes with a redirect, and what must not: credentials, cookies, bodies.
"""

from __future__ import annotations

from conformance._case import Case, Hop, Request
from conformance._expected import ok
from conformance._steps import ReadRequest, Script, Send

from .redirects import THERE, moved

SECRETS = (
    ("Authorization", "Bearer s3cret-token"),
    ("Cookie", "session=s3cret-cookie"),
)
# By itself, so that whoever lets it pass is told so in the rows that are about it.
FOR_PROXY = (("Proxy-Authorization", "Basic s3cret-proxy"),)
NAMES = (b"authorization", b"cookie", b"s3cret")
WITH_SECRETS = Request(headers=SECRETS)

TO_OTHER = Send(moved(b"http://127.0.0.1:%OTHER%/there"))
TO_FIRST = Send(moved(b"http://127.0.0.1:%PORT%/back"))

STRIPPED = "CVE-2018-20060, CVE-2023-43804, CVE-2024-37891 (urllib3); CVE-2025-4673 (Go)"
PORT = "CVE-2022-27774 (curl): the port is part of the origin"
RESTORED = "CVE-2024-45336 (Go): what was stripped stays stripped"


def _case(
    name: str,
    source: str,
    script: Script,
    hops: tuple[Hop, ...],
    **options: object,
) -> Case:
    return Case(
        name=name,
        source=source,
        script=script,
        expected=ok(b"there"),
        hops=hops,
        decided_by="redirect",
        by_request=True,
        exact=True,
        **{"request": WITH_SECRETS, **options},  # type: ignore[arg-type]
    )


FIRST = Hop(b"get / ", has=(b"bearer s3cret-token", b"s3cret-cookie"))


def _to_another() -> list[Case]:
    rows = []
    for status in (301, 302, 303, 307, 308):
        answer = Send(moved(b"http://127.0.0.1:%OTHER%/there", status))
        for name, value in (*SECRETS, *FOR_PROXY):
            rows.append(
                _case(
                    f"{name} and a {status} to another port",
                    f"{STRIPPED}; {PORT}",
                    (ReadRequest(), answer),
                    (Hop(b"get / "), Hop(b"get /there ", lacks=NAMES, is_other=True)),
                    other=THERE,
                    request=Request(headers=((name, value),)),
                )
            )
    rows.append(
        _case(
            "secrets and a redirect to another name",
            STRIPPED,
            (ReadRequest(), Send(moved(b"http://localhost:%PORT%/there")), *THERE),
            (FIRST, Hop(b"get /there ", lacks=NAMES)),
        )
    )
    rows += [
        _case(
            "secrets and a redirect from https to http",
            "reqwest PR 3034: from https to http on one host",
            (ReadRequest(), TO_OTHER),
            (FIRST, Hop(b"get /there ", lacks=NAMES, is_other=True)),
            other=THERE,
            tls="valid",
        ),
        _case(
            "secrets and a redirect from http to https",
            PORT,
            (ReadRequest(), Send(moved(b"https://127.0.0.1:%OTHER%/there"))),
            (FIRST, Hop(b"get /there ", lacks=NAMES, is_other=True)),
            other=THERE,
            other_tls="valid",
        ),
        _case(
            "secrets given twice",
            "aiohttp #13180: only the first was dropped",
            (ReadRequest(), TO_OTHER),
            (Hop(b"get / "), Hop(b"get /there ", lacks=NAMES, is_other=True)),
            other=THERE,
            request=Request(headers=(*SECRETS, ("authorization", "Basic s3cret-too"))),
        ),
        _case(
            "secrets in odd capitals",
            "GHSA-qccp-gfcp-xxvc (urllib3)",
            (ReadRequest(), TO_OTHER),
            (Hop(b"get / "), Hop(b"get /there ", lacks=NAMES, is_other=True)),
            other=THERE,
            request=Request(headers=tuple((name.swapcase(), value) for name, value in SECRETS)),
        ),
        _case(
            "a user in the Location",
            "CVE-2021-22876 (curl): no credentials in a Referer, nor of a stranger's choice",
            (ReadRequest(), Send(moved(b"http://s3cret:s3cret@127.0.0.1:%OTHER%/there"))),
            (Hop(b"get / "), Hop(b"get /there ", lacks=(b"s3cret", b"@"), is_other=True)),
            other=THERE,
            request=Request(),
        ),
    ]
    return rows


def _there_and_back() -> list[Case]:
    return [
        _case(
            "secrets on the way from A to B, and on to B",
            f"{RESTORED}; seen in pyreqwest 0.15",
            (ReadRequest(), Send(moved(b"http://127.0.0.1:%OTHER%/1"))),
            (
                FIRST,
                Hop(b"get /1 ", lacks=NAMES, is_other=True),
                Hop(b"get /2 ", lacks=NAMES, is_other=True),
            ),
            other=(ReadRequest(), Send(moved(b"/2")), *THERE),
        ),
        _case(
            "secrets on the way from A to B, and back to A",
            RESTORED,
            (ReadRequest(), TO_OTHER, *THERE),
            (
                FIRST,
                Hop(b"get /back ", lacks=NAMES),
                Hop(b"get /there ", lacks=NAMES, is_other=True),
            ),
            other=(ReadRequest(), TO_FIRST),
        ),
        _case(
            "secrets on the way from A to B, to B, and back to A",
            RESTORED,
            (ReadRequest(), TO_OTHER, *THERE),
            (
                FIRST,
                Hop(b"get /back ", lacks=NAMES),
                Hop(b"get /there ", lacks=NAMES, is_other=True),
                Hop(b"get /again ", lacks=NAMES, is_other=True),
            ),
            other=(ReadRequest(), Send(moved(b"/again")), ReadRequest(), TO_FIRST),
        ),
        _case(
            "secrets within one origin",
            "RFC 9110 §15.4",
            (ReadRequest(), Send(moved(b"/there")), *THERE),
            (FIRST, Hop(b"get /there ", has=(b"bearer s3cret-token",))),
        ),
        _case(
            "a proxy's secret on the way from A to B, and back to A",
            f"{RESTORED}; CVE-2025-4673 (Go)",
            (ReadRequest(), TO_OTHER, *THERE),
            (
                Hop(b"get / "),
                Hop(b"get /back ", lacks=NAMES),
                Hop(b"get /there ", lacks=NAMES, is_other=True),
            ),
            other=(ReadRequest(), TO_FIRST),
            request=Request(headers=FOR_PROXY),
        ),
    ]


def _bodies() -> list[Case]:
    typed = (("Content-Type", "text/x-test"),)
    post = Request("POST", headers=(*SECRETS, *typed), body=b"the-body")
    rows = [
        _case(
            f"a body and a {status} to another origin",
            "RFC 9110 §15.4; CVE-2023-45803 (urllib3)",
            (ReadRequest(), Send(moved(b"http://127.0.0.1:%OTHER%/there", status))),
            (Hop(b"post / "), Hop(start, has, (*NAMES, *lacks), is_other=True)),
            other=THERE,
            request=post,
        )
        for status, start, has, lacks in (
            (303, b"get /there ", (), (b"the-body", b"content-length")),
            (302, b"get /there ", (), (b"the-body", b"content-length")),
            (307, b"post /there ", (b"the-body", b"content-type: text/x-test"), ()),
            (308, b"post /there ", (b"the-body",), ()),
        )
    ]
    rows.append(
        _case(
            "a GET that a 303 made, redirected by a 307",
            "CVE-2023-45803 (urllib3): the body is gone for good",
            (
                ReadRequest(),
                Send(moved(b"/next", 303)),
                ReadRequest(),
                Send(moved(b"/there", 307)),
                *THERE,
            ),
            (
                Hop(b"post / ", has=(b"the-body",)),
                Hop(b"get /next ", lacks=(b"the-body",)),
                Hop(b"get /there ", lacks=(b"the-body",)),
            ),
            request=post,
        )
    )
    rows.append(
        _case(
            "the Host of a redirect's target",
            "RFC 9112 §3.2",
            (ReadRequest(), TO_OTHER),
            (
                Hop(b"get / ", has=(b"\r\nhost: 127.0.0.1:%PORT%\r\n",)),
                Hop(b"get /there ", has=(b"\r\nhost: 127.0.0.1:%OTHER%\r\n",), is_other=True),
            ),
            other=THERE,
        )
    )
    return rows


CASES = (*_to_another(), *_there_and_back(), *_bodies())
