"""The line on the real, compiled Aave V3: every number of its panel is the one that the contracts themselves give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aave_v3_fixture import DAYS, RealAave
from tests.lending_line_fixtures import LendingLine

pytestmark = [pytest.mark.node, pytest.mark.slow]


@pytest.fixture(scope="module")
def panel(real_aave: RealAave, tmp_path_factory: pytest.TempPathFactory) -> LendingLine:
    made = LendingLine(None, tmp_path_factory.mktemp("real_aave"))  # type: ignore[arg-type]  # another chain
    text = f"""
[chains.real]
chain_id = {real_aave.chain_id}
finality_depth = 0
[[chains.real.providers]]
name = "real"
url = "{real_aave.rpc_url}"
[lending]
since = "{DAYS[0]}"
until = "{DAYS[-1]}"
[[lending.csus]]
csu_id = "real_aave"
family = "aave_v3"
chain = "real"
chain_id = {real_aave.chain_id}
registry_address = "{real_aave.registry}"
start_block = {real_aave.start_block}
"""
    (Path(made.folder) / "foreshore.toml").write_text(text)
    assert made.extract(super(LendingLine, made).configure(text)) == 0
    made.build()
    return made


def test_every_reserve_to_the_last_unit(panel: LendingLine, real_aave: RealAave) -> None:
    rows = panel.query(
        "select day::varchar, asset_address, supplied_raw, borrowed_variable_raw, borrowed_stable_raw, available_raw, "
        "price_usd, net_usd, observed_block, price_source from csu_reserve_daily"
    )
    assert len(rows) == 3 * len(DAYS)
    for day, asset, *amounts, price, net, block, source in rows:
        told = real_aave.snapshots[day]
        reserve = told["reserves"][asset]
        names = ("supplied_raw", "borrowed_variable_raw", "borrowed_stable_raw", "available_raw")
        assert [int(a) for a in amounts] == [reserve[n] for n in names], (day, asset)
        assert block == told["block"] and source == "oracle"
        assert price == reserve["oracle_price_raw"] / 10**8 and net == pytest.approx(
            float(reserve["net_usd"]), rel=1e-12
        )


def test_the_liquidation_in_the_25th_hour(panel: LendingLine, real_aave: RealAave) -> None:
    told = real_aave.liquidation
    [row] = panel.query(
        "select transaction_hash, log_index, day::varchar, debt_raw, collateral_raw, debt_usd, collateral_usd, "
        "borrower, debt_asset, collateral_asset, decode_status from csu_liquidations"
    )
    assert row[:3] == (told["tx_hash"], told["log_index"], DAYS[1]) and row[-1] == "ok"
    assert (int(row[3]), int(row[4])) == (told["debt_raw"], told["collateral_raw"])
    assert row[5:7] == (pytest.approx(float(told["debt_usd"])), pytest.approx(float(told["collateral_usd"])))
    assert row[7:10] == (told["borrower"], told["debt_asset"], told["collateral_asset"])


def test_both_days_are_complete(panel: LendingLine, real_aave: RealAave) -> None:
    rows = panel.query("select panel_status, net_tvl_usd, liquidation_count from csu_daily_panel order by day")
    totals = [float(sum(r["net_usd"] for r in real_aave.snapshots[day]["reserves"].values())) for day in DAYS]
    assert rows == [("complete", pytest.approx(totals[0]), 0), ("complete", pytest.approx(totals[1]), 1)]
