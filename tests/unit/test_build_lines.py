"""What a build says: a line for each unit when its last node ended, and each cause of failures once."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress

from operate import build_lines


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(build_lines, "err", Console(file=text, width=300, highlight=False))
    return text


def test_a_unit_is_told_when_its_last_node_ended_and_says_what_failed(said: io.StringIO) -> None:
    lines = build_lines.Lines(Progress(disable=True))
    lines.expect({"model.a": "voting", "test.a": "voting", "model.b": "bars", "test.b": "bars"})
    lines.ended("model.a", "model", "success")
    lines.ended("model.a", "model", "success")  # told twice, ended once
    lines.ended("model.b", "model", "error")
    assert not said.getvalue()
    lines.ended("test.a", "test", "pass")
    assert said.getvalue().startswith("voting   passed  1 tables, 1 tests; after ")
    lines.ended("test.b", "test", "skipped")
    assert "bars     not passed  0 tables, 0 tests, 1 failed, 1 skipped; after" in said.getvalue()


def test_one_cause_is_told_once_and_strangers_words_are_spelled_out(said: io.StringIO) -> None:
    def failed(name: str, message: str) -> SimpleNamespace:
        return SimpleNamespace(status="error", message=message, node=SimpleNamespace(name=name))

    frame = "Runtime Error in model {} (models/x.sql)\n  Catalog Error: no table \x1b[31m[bold]\n  LINE 3: ..."
    fine = SimpleNamespace(status="success", message="OK", node=SimpleNamespace(name="fine"))
    build_lines.say_failures([failed(name, frame.format(name)) for name in "abcde"] + [fine])
    shown = said.getvalue().splitlines()
    assert shown[0] == "failed a, b, c and 2 more: Catalog Error: no table \\x1b[31m[bold]"
    assert "--verbose" in shown[1] and len(shown) == 2


def test_nothing_failed_says_nothing(said: io.StringIO) -> None:
    exposure = SimpleNamespace(status="no-op", message="NO-OP", node=SimpleNamespace(name="trader"))
    build_lines.say_failures([exposure])
    assert not said.getvalue()


@pytest.mark.parametrize(
    ("fqn", "unit"), [(["foreshore", "marts", "voting", "x"], "voting"), (["foreshore", "thresholds"], "door")]
)
def test_a_node_belongs_to_the_wing_of_its_folder(fqn: list[str], unit: str) -> None:
    assert build_lines.unit_of(fqn) == unit
