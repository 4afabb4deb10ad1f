"""A list of failures says each cause once, with how many it cost; an interrupt is one line, whoever says it."""

from __future__ import annotations

import pytest

from operate import cli
from operate.causes import SHOWN, by_cause


def test_one_cause_is_one_line_and_its_first_failure_stands_for_all() -> None:
    refused = [(f"voting/hydrex/{n}/T-1", f"provider base refused block {1000 + n} (0x{n:x}f)") for n in range(40)]
    other = ("bars/AAPL/2026-01", "the key is not valid")
    assert by_cause([other, *refused]) == [
        "40 for one cause, first voting/hydrex/0/T-1: provider base refused block 1000 (0x0f)",
        "bars/AAPL/2026-01: the key is not valid",
    ]
    many = [(f"p{n}", "cause " + "x" * n) for n in range(SHOWN + 3)]
    lines = by_cause(many)
    assert len(lines) == SHOWN + 1 and lines[-1].startswith("3 more, of 3 other causes")
    assert by_cause([]) == []


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_interrupt_that_duckdb_says_in_its_own_words_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrapped: bool
) -> None:
    def interrupted(**_: object) -> None:
        if not wrapped:
            raise RuntimeError("Query interrupted")
        try:
            raise RuntimeError("Query interrupted")
        except RuntimeError as error:
            raise ValueError("a page could not be read") from error

    monkeypatch.setattr(cli.cli, "main", interrupted)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "interrupted: what was committed stays; run the same command again to go on\n"


def test_another_fault_is_not_taken_for_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("Query interrupted by a bug")

    monkeypatch.setattr(cli.cli, "main", broken)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1 and "unexpected RuntimeError" in capsys.readouterr().err
