"""
Which cases can be played over HTTP/2, and why the others cannot.
"""

from __future__ import annotations

import contextlib

from conformance import _steps as steps
from conformance._case import Case
from conformance._steps import Script, Step

from ._translation import EndedEarly, ResponseTranslator, Untranslatable

ENDLESS = 3
"""How many pieces of a flood are looked at: it says the same again and again."""


def why_not(case: Case) -> str | None:
    """Return what keeps a case from being played over HTTP/2; `None` if it can be."""
    if case.tls is not None or case.other_tls is not None or case.scheme is not None:
        return "a case of TLS, before anything else is spoken"
    if case.host != "127.0.0.1":
        return "a case of addresses"
    method = b"HEAD" if case.request.method == "HEAD" else b"GET"
    try:
        for script in (*case.scripts, case.other):
            _check(script, method)
    except Untranslatable as exc:
        return str(exc)
    return None


def _check(script: Script, method: bytes) -> None:
    translator: ResponseTranslator | None = None
    for step in script:
        if isinstance(step, steps.ReadRequest | steps.ReadHead):
            translator = ResponseTranslator(method)
        elif isinstance(step, steps.UntilOutcome):
            raise Untranslatable("what a server does to an idle connection")
        elif translator is None and _contents(step):
            raise Untranslatable("an answer before the request")
        elif translator is not None:
            _check_step(step, translator)
    if translator is not None and translator.is_inside_a_line:
        raise Untranslatable("a part of a line, or of a head")


def _check_step(step: Step, translator: ResponseTranslator) -> None:
    says = [translator.receive(content) for content in _contents(step)]
    if isinstance(step, steps.Flood) and not any(says):
        raise Untranslatable("a line, or lines, without end")
    if isinstance(step, steps.HalfClose | steps.Close | steps.Reset):
        with contextlib.suppress(EndedEarly):
            translator.end()


def _contents(step: Step) -> list[bytes]:
    match step:
        case steps.Send(content):
            return [content]
        case steps.Flood(content):
            return [content] * ENDLESS
        case steps.Drip(content, _, limit):
            return [content[n % len(content) :][:1] for n in range(limit)]
    return []
