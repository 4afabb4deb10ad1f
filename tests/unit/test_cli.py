"""The command line: help with examples everywhere, clear refusals, JSON that keeps integers exact."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from operate.cli import cli
from operate.console import LEAST_PROSE, as_text, table, to_json
from operate.log import DurableLog, last_lines

ROOT = Path(__file__).parents[2]
ROOMS = {"extract", "decide", "operate", "simulate"}


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def leaves(group: click.Group) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    return ((path, c) for path, c in commands(group) if not isinstance(c, click.Group) or c.invoke_without_command)


@pytest.mark.parametrize(
    ("path", "command"), list(leaves(cli)), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_verb_explains_itself(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help and len(command.help.splitlines()[0]) > 15
    if path not in {("demo", "down"), ("demo", "run"), ("extract", "all")}:
        assert "Examples" in command.help and f"foreshore {' '.join(path)}" in command.help


def test_a_verb_has_one_summary_in_help() -> None:
    """Help and completion show a line that is written beside the verb's place, because the verb is not imported yet."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None and command.name == name


HEAVY = {"dlt", "pyarrow", "duckdb", "dbt", "numpy", "scipy", "aiohttp", "rich", "eth_abi"}
WINGS = ("voting", "lending", "bars", "markets")


def imported(*arguments: str, **environment: str) -> set[str]:
    """Modules that a `foreshore` command imports before it ends."""
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('\\n'.join(sorted(sys.modules)), file=sys.stderr))\n"
        "from operate.cli import main\n"
        "sys.argv[0] = 'foreshore'\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stderr.split())


COMPLETION = {"_FORESHORE_COMPLETE": "bash_complete", "COMP_WORDS": "foreshore extract ", "COMP_CWORD": "2"}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(("--version",), {}), (("--help",), {}), (("extract", "--help"), {}), ((), COMPLETION)],
)
def test_version_help_and_completion_import_no_wing(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    found = imported(*arguments, **environment)
    assert not {name.split(".")[0] for name in found} & HEAVY
    assert not [name for name in found if name.startswith("operate.") and name.split(".")[1] in WINGS]


@pytest.mark.parametrize(("verb", "wing"), [("recommend", "voting"), ("pre-paper", "bars"), ("markets", "markets")])
def test_a_verb_imports_its_own_wing_only(verb: str, wing: str) -> None:
    found = imported(verb, "--help")
    wings = {name.split(".")[1] for name in found if name.split(".")[0] in ROOMS and name.count(".")}
    assert wings & set(WINGS) == {wing}


def test_recommend_starts_without_what_few_of_its_answers_need() -> None:
    """A linear program, a chain client, the raw zone, a build: each costs as much as the rest of the start."""
    rare = {"scipy", "aiohttp", "fsspec", "dlt", "dbt", "pandas"}
    assert not {name.split(".")[0] for name in imported("recommend", "--help")} & rare


def test_completion_knows_the_verbs_of_every_group() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "operate.cli"],
        cwd=ROOT,
        env={**os.environ, **COMPLETION, "_FORESHORE_COMPLETE": "bash_complete"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.split(",")[1] for line in done.stdout.split()} == {*WINGS, "all"}


def test_wrong_usage_is_64_and_never_partial() -> None:
    for wrong in (
        ["sttaus"],
        ["extract", "voting", "--epochs", "none"],
        ["recommend", "--windw", "T-5"],
        ["extract", "lending", "--weeks", "3"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "operate.cli", *wrong], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 64 and "Traceback" not in done.stderr, (wrong, done.stderr)


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


def test_json_changes_no_number_and_times_are_in_utc() -> None:
    row = [Decimal(2**120), 2**53 - 1, 2**53 + 1, Decimal("1.5"), True, datetime(2026, 2, 19, tzinfo=UTC), b"\x01"]
    told = json.loads(json.dumps(to_json([*row, float("nan"), float("-inf"), None, [Decimal(1)]]), allow_nan=False))
    assert told[:4] == [str(2**120), 2**53 - 1, str(2**53 + 1), "1.5"] and told[4] is True
    assert told[5:] == ["2026-02-19T00:00:00+00:00", "0x01", None, "-Infinity", None, [1]]


@given(st.floats(allow_nan=False))
def test_doubles_round_trip(value: float) -> None:
    assert float(as_text(value, is_exact=True)) == value
    assert float(as_text(value)) == value, "a table says what is no money exactly, too"


def test_people_read_exact_numbers_money_to_the_cent_and_plain_times() -> None:
    assert as_text(datetime(2026, 2, 19, 1, 2, 3, tzinfo=UTC)) == "2026-02-19 01:02:03"
    assert as_text(123456.789) == "123456.789" and as_text(12_345_678.9) == "12345678.9" and as_text(5000.0) == "5000"
    assert as_text(123456.789, "net_tvl_usd") == "123456.79" and as_text(Decimal("0.015"), "fee_usd") == "0.02"
    assert as_text(123456.789, "net_tvl_usd", is_exact=True) == "123456.789"
    assert as_text(502388.78776149114, "votes_now") == as_text(502388.78776149114, "final_votes") == "502389"
    assert as_text(-3.6, "votes_delta_60m") == "-4" and as_text(0.25, "votes") == "0.25"
    assert as_text(502388.78776149114, "votes_now", is_exact=True) == "502388.78776149114"
    assert as_text(0.875, "votes_share") == "0.875"
    assert as_text(2**200) == str(2**200) and as_text(Decimal("1E+30")) == "1" + "0" * 30
    assert as_text(None) == "" and as_text(True) == "true"


def test_words_of_strangers_reach_no_terminal_as_commands() -> None:
    bad = "WETH\x1b]8;;http://x\x07\x9b31m\u202e\n"
    assert as_text(bad).isprintable() and "\\x1b" in as_text(bad)


@pytest.mark.parametrize("group", ["", "markets", "demo", "extract", "pre-paper", "strategy", "overnight", "export"])
def test_no_line_of_a_groups_help_is_cut(group: str) -> None:
    for width in ("60", "80"):
        told = CliRunner().invoke(cli, [*group.split(), "--help"], env={"COLUMNS": width}, terminal_width=int(width))
        _, _, commands = told.output.partition("Commands:")
        assert told.exit_code == 0 and commands and "..." not in commands


HEADS = ["first", "second", "third", "fourth", "fifth"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@given(rows=st.lists(st.lists(st.text("abc 0123456789.", min_size=1, max_size=50), min_size=5, max_size=5), max_size=4))
def test_a_value_is_never_cut(width: int, rows: list[list[str]]) -> None:
    """At every width each value stands there whole: in a table, or in records; dropped columns are named."""
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table("What", HEADS, rows, drop=["fourth", "fifth"]))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in told and max(map(len, told.splitlines()), default=0) <= width
    shown, _, dropped = told.partition("not shown at this width")
    flat = re.sub(r"\s", "", shown)
    assert ("row 1 " in shown) == ("row by row" in shown)
    if "a column per row" in shown:  # every line begins with its column's name
        assert len(rows) > 1 and [line.split()[0] for line in shown.splitlines()[1:6]] == HEADS
    for row in rows:
        for name, value in zip(HEADS, row, strict=True):
            assert name in dropped or re.sub(r"\s", "", value) in flat


def test_a_few_wide_rows_are_turned_on_their_side() -> None:
    """Windows beside each other, not as records below each other: the figures are there to be compared."""
    heads = ["window", "promised", "forecast error", "voted otherwise", "earned", "best reply", "missed"]
    rows = [[f"T-{n}", *(f"{1000.5 * k:,.2f}" for k in range(6))] for n in range(4)]
    console = Console(width=60, file=io.StringIO(), force_terminal=False)
    console.print(table("Review", heads, rows))
    told = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert told[0].strip() == "Review" and told[1].split() == ["window", "T-0", "T-1", "T-2", "T-3"]
    assert told[3].split() == ["forecast", "error", *["1,000.50"] * 4] and "a column per row" in told[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@given(
    rows=st.lists(st.tuples(st.text("ab.7", min_size=1, max_size=14), st.text("abc de 012", max_size=200)), max_size=4)
)
def test_a_sentence_wraps_beside_values_that_do_not(width: int, rows: list[tuple[str, str]]) -> None:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table("", ["key", "meaning"], rows, prose=["meaning"]))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in told and max(map(len, told.splitlines()), default=0) <= width
    words = told.split()
    is_short = all(len(word) <= LEAST_PROSE for _, sentence in rows for word in sentence.split())
    for key, sentence in rows:
        assert key in words and (not is_short or all(word in words for word in sentence.split()))
    # 14 for the key, 2 between, 18 for the sentence: a table at every width
    assert "row by row" not in told or not is_short


def test_a_log_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    log = DurableLog(tmp_path / "log.jsonl", run_id="r")
    log.write("done", unit="a")
    log.close()
    with (tmp_path / "log.jsonl").open("a") as handle:
        handle.write('{"event": "do')
    assert [line["event"] for line in last_lines(tmp_path / "log.jsonl", 10)] == ["done"]
