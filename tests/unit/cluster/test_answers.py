"""The options that change answers."""

from __future__ import annotations

import json

import httpx
import pytest

from asyncbatch.cluster._answers import Answers


def test_only_what_changes_answers_is_compared() -> None:
    """Each with its default, and as JSON has it."""
    options = Answers({"concurrency": 3, "headers": {"a": "b"}, "max_body": 7}).options()

    assert set(options) == {
        "follow_redirects",
        "max_redirects",
        "max_body",
        "addresses",
        "check",
    }
    assert options["max_body"] == 7
    assert json.loads(json.dumps(options)) == options


def test_relative_urls_lead_to_the_base() -> None:
    """As the client joins them; without one, they lead nowhere."""
    answers = Answers({"base_url": "http://a.example/x"})

    assert str(answers.locate("b?c=d")) == "http://a.example/x/b?c=d"
    assert str(answers.locate("http://b.example/")) == "http://b.example/"
    with pytest.raises(httpx.InvalidURL):
        Answers({}).locate("http://b.example:x/")
