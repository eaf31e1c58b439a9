"""`Retry`: the part of the policy that takes a result."""

from __future__ import annotations

import pickle
from typing import get_type_hints

import attrs
import pytest

import asyncbatch


def test_when_is_annotated_with_what_it_is_called_with() -> None:
    """The annotation of `when` resolves at run time, and names the public class."""
    assert "asyncbatch.Failure" in str(get_type_hints(asyncbatch.Retry)["when"])


def test_what_cannot_be_called_is_no_function() -> None:
    """The error names the field, what it takes, and what it was given."""
    with pytest.raises(TypeError, match=r"when must be a function that takes an asyncbatch\.Fail"):
        asyncbatch.Retry(when=True)  # type: ignore[arg-type]


def test_a_changed_policy_keeps_the_rest() -> None:
    """`attrs.evolve` and pickling keep the fields of the base class too."""
    policy = asyncbatch.Retry(attempts=5, statuses={503}, pause_hosts=False)

    assert attrs.evolve(policy, when=None) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_a_request_takes_a_policy_and_nothing_else() -> None:
    """The error says what to write."""
    with pytest.raises(TypeError, match="for 4 tries in all, give"):
        asyncbatch.Request("http://a/", retry=4)  # type: ignore[arg-type]
