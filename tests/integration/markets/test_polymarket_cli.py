"""`foreshore extract markets`: what it says and its exit codes."""

from __future__ import annotations

import json
from datetime import date

from click.testing import CliRunner

from operate.cli import cli
from tests.polymarket_fixtures import MarketLine


def run(line: MarketLine, *arguments: str) -> tuple[int, dict[str, object]]:
    section = f'gamma_url = "{line.server.url}"\nclob_url = "{line.server.url}"\ntries = 1\n'
    config = line.folder / "foreshore.toml"
    config.write_text(f'[storage]\nroot = "{line.folder}"\n\n[polymarket]\n{section}')
    done = CliRunner().invoke(cli, ["extract", "markets", *arguments, "--json", "--config", str(config)])
    said = json.loads(done.stdout) if done.stdout.startswith("{") else {"error": repr(done.exception)}
    return done.exit_code, said


def test_exit_codes_tell_done_partial_and_nothing_to_do(market_line: MarketLine) -> None:
    market_line.server.control("stuck_cursor", path="/markets/keyset")
    code, said = run(market_line, "--run-date", "2026-01-05")
    assert code == 2 and "does not advance" in str(said["problems"])
    market_line.server.heal()
    code, said = run(market_line, "--run-date", "2026-01-05")
    assert code == 0 and said["markets"] == len(market_line.wanted()) and said["target_date"] == "2026-01-12"
    assert said["left_out"]["recurring_series"] == 12  # type: ignore[index]
    assert run(market_line, "--run-date", "2026-01-05")[0] == 3
    market_line.at(date(2026, 1, 19))
    code, said = run(market_line, "--resolutions")
    assert code == 0 and said["asked"] == len(market_line.wanted()) and said["counts"]["resolved"] > 30  # type: ignore[index]
    market_line.server.control("status", 500)
    assert run(market_line, "--resolutions")[0] == 1
    code, said = run(market_line, "--run-date", "2026-01-06")
    assert code == 1 and "HTTP 500" in str(said["error"])


def test_people_read_the_counts(market_line: MarketLine) -> None:
    run(market_line, "--run-date", "2026-01-05")
    config = str(market_line.folder / "foreshore.toml")
    done = CliRunner().invoke(cli, ["extract", "markets", "--run-date", "2026-01-05", "--config", config])
    assert done.exit_code == 3 and "recurring_series 12" in done.stdout
