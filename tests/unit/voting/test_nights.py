"""Decisions made live, landed: whole or not at all, the newest of a window counts, a damaged one stops nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from extract.errors import Busy
from extract.lake import Lake
from extract.ledger import Ledger
from extract.voting.nights import LIVE_SCHEMA, LIVE_TABLE, LiveDecision, land_decisions
from operate.repair import repair

MOMENT = datetime(2026, 2, 25, 23, 59, 57, tzinfo=UTC)
DECISION = LiveDecision(
    protocol="world", voter_id="7001", epoch=1_771_459_200, decision_window="T-0", decision_block=12,
    decision_block_hash="0x12", decision_at=MOMENT, confirmation="proven", provider="one", votes_signature="a",
    rewards_signature="b", outcome="ok", action="submit", expected_usd=1.5, standing_usd=0.5, votes="0xg:7",
    blocks_behind=0, read_seconds=0.1, decide_seconds=0.2, decided_at=MOMENT,
)  # fmt: skip


def rows(lake: Lake) -> list[dict[str, object]]:
    return lake.read_committed(LIVE_TABLE, LIVE_SCHEMA).to_pylist()


def test_a_decision_is_a_partition_of_its_own_and_the_newest_counts(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "raw"), is_simulated=True)
    other = replace(DECISION, decision_window="T-1")
    assert land_decisions(lake, [DECISION, other], "night") == 2
    land_decisions(lake, [replace(DECISION, action="keep")], "again")
    states = Ledger.read(lake).states
    assert sorted(states) == [f"nights/live/world/7001/1771459200/{window}" for window in ("T-0", "T-1")]
    newest = states["nights/live/world/7001/1771459200/T-0"].complete
    assert newest is not None
    assert [r["action"] for r in rows(lake) if r["load_id"] == newest["load_id"]] == ["keep"]


def test_while_somebody_else_lands_it_waits(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "raw"), is_simulated=True)
    with lake.lock(), pytest.raises(Busy):
        land_decisions(Lake(str(tmp_path / "raw"), is_simulated=True), [DECISION], "night")


def test_a_damaged_one_is_put_aside_and_said_to_be_gone(tmp_path: Path) -> None:
    land_decisions(Lake(str(tmp_path / "raw"), is_simulated=True), [DECISION], "night")
    (file,) = (path for path in (tmp_path / "raw" / LIVE_TABLE).glob("*.parquet") if not path.name.startswith("0."))
    file.write_bytes(file.read_bytes()[:-7])
    config = tmp_path / "foreshore.toml"
    config.write_text(f'[storage]\nroot = "{tmp_path}"\nraw_url = "{tmp_path}/raw"\nis_simulated = true\n')
    done = CliRunner().invoke(repair, ["--config", str(config)])
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(repair, ["--config", str(config)])
    assert again.exit_code == 3 and rows(Lake(str(tmp_path / "raw"))) == []
