"""What tells an input from another one, and where the two differ."""

from __future__ import annotations

import datetime
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterable
from typing import Any

import attrs
import httpx
import pytest

from asyncbatch import Request
from asyncbatch.cluster._answers import Answers
from asyncbatch.cluster._notes import MOST_MARKS, Notes

URL = "http://a.example/?b=c"
SECRET = bytes(16)


def notes_of(requests: Iterable[Any]) -> Notes:
    notes = Notes(SECRET, Answers({}).locate)
    for request in requests:
        notes.add(request)
    return notes


def difference(before: Iterable[Any], now: Iterable[Any]) -> str | None:
    return notes_of(now).difference(notes_of(before).kept())


@attrs.frozen
class Row:
    number: int
    names: Any


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ({"method": "GET"}, {"method": "DELETE"}),
        ({"params": {"page": "1"}}, {"params": {"page": "2"}}),
        ({"headers": {"x-tenant": "a"}}, {"headers": {"x-tenant": "b"}}),
        ({"cookies": {"s": "a"}}, {"cookies": {"s": "b"}}),
        ({"auth": ("a", "a")}, {"auth": ("b", "b")}),
        ({"content": b"a"}, {"content": b"b"}),
        ({"data": {"f": "1"}}, {"data": {"f": "2"}}),
        ({"json": [1]}, {"json": [2]}),
        ({"files": {"f": b"1"}}, {"files": {"f": b"2"}}),
        ({"key": "a"}, {"key": "b"}),
        ({"key": "a", "content": b"a"}, {"key": "a", "content": b"b"}),
        ({"tag": "a"}, {"tag": "b"}),
        ({"tag": 1}, {"tag": "1"}),
        ({"tag": 1}, {"tag": True}),
        ({"tag": (1, ["a", {"b": 2}])}, {"tag": (1, ["a", {"b": 3}])}),
        ({"tag": {1, 2}}, {"tag": {1, 3}}),
        ({"tag": Row(1, ("a",))}, {"tag": Row(1, ("b",))}),
        ({"tag": uuid.UUID(int=1)}, {"tag": uuid.UUID(int=2)}),
        ({"tag": datetime.date(2026, 1, 1)}, {"tag": datetime.date(2026, 1, 2)}),
        ({"tag": int}, {"tag": str}),
    ],
)
def test_one_thing_of_a_request_makes_it_another(first: Any, other: Any) -> None:
    """And the same thing again does not."""
    before, now = Request(URL, **first), Request(URL, **other)

    assert difference([before], [pickle.loads(pickle.dumps(before))]) is None
    text = "of 1, request 0 is the first that differs, counted from 0"
    assert difference([before], [now]) == text
    assert difference([URL], [now]) == text or now == Request(URL)


def test_one_request_has_many_forms() -> None:
    """A text, a URL, and a `Request`, with its parameters in the URL or beside it."""
    forms = [
        URL,
        httpx.URL(URL),
        Request(URL),
        Request(httpx.URL(URL), "get"),
        Request("http://a.example/", params={"b": "c"}),
        "HTTP://A.example/?b=c#d",
        httpx.Request("GET", URL),
    ]

    assert {difference([URL], [form]) for form in forms} == {None}


def test_what_is_no_request_is_known_by_its_text() -> None:
    """It is a failure each time."""
    wrong = ["nonsense", "/rel", "", None, 5, "http://a.example:x/", "http://\udcff/"]

    assert difference(wrong, wrong) is None
    for place in range(len(wrong)):
        other = [*wrong[:place], "other", *wrong[place + 1 :]]
        assert f"request {place} is the first" in str(difference(wrong, other))


def test_the_number_or_the_order_is_told() -> None:
    """Before which request differs."""
    requests = [f"http://a.example/{n}" for n in range(3_000)]

    assert difference(requests, requests[1:]) == "3,000 requests there, and 2,999 here"
    assert difference(requests, requests[::-1]) == "the same ones, but in another order"


@pytest.mark.parametrize(
    ("count", "changed", "text"),
    [
        (MOST_MARKS - 1, 77, "request 77 is the first that differs"),
        (MOST_MARKS, 76, "one of the requests 76 to 77"),
        (3_000, 0, "one of the requests 0 to 3"),
        (3_000, 2_001, "one of the requests 2,000 to 2,003"),
        (3_001, 3_000, "of 3,001, request 3,000 is the first that differs"),
        (3_003, 3_001, "one of the requests 3,000 to 3,002"),
    ],
)
def test_the_place_of_the_first_that_differs_is_told(count: int, changed: int, text: str) -> None:
    """Exactly if there are few, and otherwise within few."""
    requests = [f"http://a.example/{n}" for n in range(count)]
    others = [*requests]
    others[changed] = others[-1] = "http://b.example/"

    assert text in str(difference(requests, others))


def test_notes_are_bounded() -> None:
    """Whatever the length of the input."""
    notes = notes_of(f"http://a.example/{n}" for n in range(10 * MOST_MARKS))

    assert len(notes.kept()["marks"]) < MOST_MARKS


def test_tags_are_the_same_in_each_process() -> None:
    """Also sets of texts, whose order differs, and parts that are one object in one of them."""
    code = (
        "from asyncbatch import Request; from asyncbatch.cluster._notes import Notes\n"
        "notes = Notes(bytes(16), None)\n"
        "for tag in (set('abcdef'), ('a', 'a'), ('a', 'aa'[:1]), {'a': frozenset('xyz')}):\n"
        f"    notes.add(Request({URL!r}, tag=tag))\n"
        "print(notes.kept()['ordered'])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1


def test_nothing_secret_can_be_guessed_from_notes() -> None:
    """With another key, all of them differ."""
    request = Request(URL, auth=("user", "secret"))
    other = Notes(bytes(15) + b"1", Answers({}).locate)
    other.add(request)

    assert "secret" not in repr(other.kept())
    kept = notes_of([request]).kept()
    assert {name for name in kept if kept[name] == other.kept()[name]} == {"requests"}


def test_a_request_that_cannot_be_identified_is_known_by_its_text() -> None:
    """It is a failure each time, or cannot be sent to a worker, which is told elsewhere."""
    wrong = [Request(URL, json=object), Request(URL, headers={"a": 5})]  # type: ignore[dict-item]

    assert difference(wrong, wrong) is None
    assert "request 1 is the first" in str(difference(wrong, [wrong[0], Request(URL)]))


def test_a_tag_that_contains_itself_has_an_end() -> None:
    """What is that deep is not told apart."""
    tag: list[Any] = [1]
    tag.append(tag)

    assert difference([Request(URL, tag=tag)], [Request(URL, tag=tag)]) is None
    assert difference([Request(URL, tag=tag)], [Request(URL, tag=[1, [2]])]) is not None


def test_tags_that_are_kept_by_their_names_are_told_apart() -> None:
    """As the constants of a module, which are pickled so."""

    class Constant:
        def __init__(self, name: str) -> None:
            self.name = name

        def __reduce__(self) -> str:
            return self.name

    first, other = (Request(URL, tag=Constant(name)) for name in ("FIRST", "OTHER"))

    assert difference([first], [first]) is None
    assert difference([first], [other]) is not None
