"""The command line: help with examples everywhere, clear refusals, JSON that keeps integers exact."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click
import pytest

from operate.cli import cli
from operate.console import as_text, to_json
from operate.log import DurableLog, last_lines

ROOT = Path(__file__).parents[2]


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), list(leaves(cli)), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_verb_explains_itself(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help and len(command.help.splitlines()[0]) > 15
    if path not in {("demo", "down"), ("demo", "run"), ("extract", "all")}:
        assert "Examples" in command.help and f"foreshore {' '.join(path)}" in command.help


def run(*arguments: str, config: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "operate.cli", *arguments, "--config", config]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_errors_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    missing = run("status", config=str(tmp_path / "none.toml"))
    assert missing.returncode == 1 and "no configuration at" in missing.stderr and "Traceback" not in missing.stderr
    broken = tmp_path / "broken.toml"
    broken.write_text("[chains")
    assert "is not valid TOML" in run("status", config=str(broken)).stderr
    typo = tmp_path / "typo.toml"
    typo.write_text(f'[storage]\nroot = "{tmp_path}"\n[voting.x]\nfamily = "thena"\nchain = "base"\n')
    refused = run("extract", "voting", config=str(typo))
    assert refused.returncode == 1 and "[voting.x] lacks voter, minter" in refused.stderr


def test_json_keeps_integers_exact_and_times_in_utc() -> None:
    row = [
        Decimal(2**120),
        Decimal("1.5"),
        datetime(2026, 2, 19, tzinfo=UTC),
        b"\x01",
        float("nan"),
        None,
        [Decimal(1)],
    ]
    assert json.loads(json.dumps(to_json(row))) == [2**120, "1.5", "2026-02-19T00:00:00+00:00", "0x01", None, None, [1]]


def test_people_read_short_numbers_and_plain_times() -> None:
    assert as_text(datetime(2026, 2, 19, 1, 2, 3, tzinfo=UTC)) == "2026-02-19 01:02:03"
    assert as_text(0.95081967) == "0.9508"
    assert as_text(12_345_678.9) == "12345678.90"
    assert as_text(None) == ""


def test_a_log_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = DurableLog(tmp_path / "log.jsonl", run_id="r")
    log.write("done", unit="a")
    log.close()
    with (tmp_path / "log.jsonl").open("a") as handle:
        handle.write('{"event": "do')
    assert [line["event"] for line in last_lines(tmp_path / "log.jsonl", 10)] == ["done"]
