"""A text of brackets is refused before a parser sees it, whatever the interpreter's recursion limit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from extract.json_text import DEEPEST, parse_json


@pytest.fixture
def high_limit() -> Iterator[None]:
    """What py_ecc leaves behind, and what ended the process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)])
def test_too_deep_is_an_error_not_a_crash(text: str, high_limit: None) -> None:
    with pytest.raises(RecursionError, match="nested deeper than 100 levels"):
        parse_json(text)


def test_brackets_in_strings_and_beside_each_other_do_not_count() -> None:
    document = {"text": "[" * 500 + '\\"{', "list": [[i] for i in range(500)]}
    assert parse_json(json.dumps(document)) == document
    assert parse_json("[" * DEEPEST + "]" * DEEPEST) == json.loads("[" * DEEPEST + "]" * DEEPEST)


def test_what_is_no_json_says_so() -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json('{"a": "unended')
