"""The line on the newest Aave V3 from its own sources: every number is the one that the contracts themselves give."""

from __future__ import annotations

import pytest

from tests.aave_origin_fixture import CRASHES, RealOrigin
from tests.aave_v3_fixture import DAYS
from tests.lending_line_fixtures import LendingLine, real_line
from tests.price_fixtures import Api

pytestmark = [pytest.mark.node, pytest.mark.slow]


def csu(real: RealOrigin) -> str:
    return f'family = "aave_v3"\nregistry_address = "{real.registry}"\nstart_block = {real.start_block}\n'


@pytest.fixture(scope="module")
def panel(real_origin: RealOrigin, tmp_path_factory: pytest.TempPathFactory) -> LendingLine:
    made = real_line(
        tmp_path_factory.mktemp("real_origin"), real_origin.rpc_url, real_origin.chain_id, DAYS, csu(real_origin)
    )
    assert made.extract(made.real_config()) == 0
    made.build()
    return made


def test_every_reserve_to_the_last_unit(panel: LendingLine, real_origin: RealOrigin) -> None:
    names = ("supplied_raw", "borrowed_variable_raw", "available_raw", "held_raw", "deficit_raw")
    rows = panel.query(
        "select day::varchar, asset_address, price_usd, raw.observed_block, raw.supplied_raw, "
        "raw.borrowed_variable_raw, raw.available_raw, raw.held_raw, raw.deficit_raw from csu_reserve_daily "
        f"inner join read_parquet('{panel.folder}/raw/lending_reserves/*.parquet') as raw "
        "using (csu_id, day, asset_address)"
    )
    assert len(rows) == 3 * len(DAYS)
    for day, asset, price, block, *amounts in rows:
        told = real_origin.snapshots[day]["reserves"][asset]
        assert [int(a) for a in amounts] == [told[n] for n in names], (day, asset)
        assert price == (None if told["price_raw"] is None else told["price_raw"] / 10**8)
        assert block == real_origin.snapshots[day]["block"]
    usdx = real_origin.snapshots[DAYS[1]]["reserves"][real_origin.assets["USDX"].lower()]
    assert usdx["held_raw"] == usdx["available_raw"] + 123, "the gift is held, and in no book"
    assert usdx["deficit_raw"] > 0


def test_each_liquidation_is_priced_by_the_oracle_of_its_own_block(panel: LendingLine, real_origin: RealOrigin) -> None:
    rows = panel.query(
        "select transaction_hash, debt_raw, collateral_raw, debt_usd, collateral_usd, collateral_price_usd "
        "from csu_liquidations where event_kind = 'liquidation' order by block_number"
    )
    assert [row[0] for row in rows] == [told["tx_hash"] for told in real_origin.liquidations]
    for row, told, price in zip(rows, real_origin.liquidations, CRASHES, strict=False):
        assert (int(row[1]), int(row[2])) == (told["debt_raw"], told["collateral_raw"])
        assert row[3] == pytest.approx(float(told["debt_usd"]), rel=1e-12)
        assert row[4] == pytest.approx(float(told["collateral_usd"]), rel=1e-12)
        assert row[5] == price / 10**8
    [(closing,)] = panel.query(
        f"select price_usd from csu_reserve_daily where asset_symbol = 'WETX' and day = date '{DAYS[1]}'"
    )
    assert closing == CRASHES[2] / 10**8, "the day ends under the third oracle"


def test_the_fee_of_a_seizure_is_what_the_treasury_gained(panel: LendingLine, real_origin: RealOrigin) -> None:
    rows = panel.query(
        "select protocol_fee_status, seized_token_raw, received_token_raw, protocol_fee_token_raw, seized_usd, "
        "received_usd, collateral_usd from csu_liquidations where event_kind = 'liquidation' order by block_number"
    )
    for (status, seized, received, fee, seized_usd, received_usd, usd), told in zip(
        rows, real_origin.liquidations, strict=True
    ):
        assert status == "read" and told["treasury_raw"] > 10**15
        assert abs(int(fee) - told["treasury_raw"]) <= 2, "shares and their index round"
        assert int(received) == told["collateral_raw"] and int(seized) == int(received) + int(fee)
        assert received_usd == pytest.approx(usd) and seized_usd == pytest.approx(usd * int(seized) / int(received))
        bonus = int(seized) - int(seized) * 10_000 // 10_500
        assert int(fee) == pytest.approx(bonus / 10, rel=1e-9), "a tenth of the bonus, as configured"


def test_deficits_are_no_liquidations_and_no_net_tvl(panel: LendingLine, real_origin: RealOrigin) -> None:
    [(count, events, deficits, deficit, net, gross, debt)] = panel.query(
        "select liquidation_count, liquidation_event_count, deficit_event_count, deficit_usd, net_tvl_usd, "
        f"gross_tvl_usd, debt_usd from csu_daily_panel where day = date '{DAYS[1]}'"
    )
    written_off = sum(told["deficit_raw"] for told in real_origin.liquidations)
    assert (count, events, deficits) == (2, 2, 1) and written_off > 0
    assert deficit == pytest.approx(written_off / 10**6, rel=1e-9)
    assert net == pytest.approx(gross - debt - deficit, rel=1e-12)


def test_events_account_for_every_unit_of_cash(panel: LendingLine, real_origin: RealOrigin) -> None:
    rows = panel.query("select flow_verdict, is_book, difference_raw, event_count from csu_flow_checks")
    assert len(rows) == 3 * len(DAYS) and sum(row[3] for row in rows) >= 11
    assert {row[:3] for row in rows} == {("agree", True, "0")}


def test_what_a_source_prices_later_equals_a_fresh_run(
    panel: LendingLine, real_origin: RealOrigin, api: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert panel.query("select distinct panel_status, missing_price_count from csu_daily_panel") == [("incomplete", 1)]
    Api.failures = 10**6
    source = {"name": "llama", "url": api}
    assert panel.extract(panel.real_config(source)) == 2, "a source that is down leaves the run partial"
    Api.failures = 0
    assert panel.extract(panel.real_config(source)) == 0, "and the next run completes what it left"
    fresh = real_line(
        tmp_path_factory.mktemp("fresh"), real_origin.rpc_url, real_origin.chain_id, DAYS, csu(real_origin)
    )
    assert fresh.extract(fresh.real_config(source)) == 0
    assert panel.everything() == fresh.everything()
    panel.build()
    rows = panel.query("select panel_status, confirmed_by, missing_price_count from csu_daily_panel order by day")
    assert rows == [("complete", "flow_and_state", 0)] * 2
