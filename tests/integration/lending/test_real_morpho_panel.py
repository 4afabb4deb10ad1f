"""The line on the real Morpho Blue from its own sources: interest, collateral from logs, prices in the loan asset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aave_v3_fixture import DAYS
from tests.lending_line_fixtures import LendingLine, real_line
from tests.morpho_fixture import CRASH, RealMorpho
from tests.price_fixtures import Api

pytestmark = [pytest.mark.node, pytest.mark.slow]


def line(real: RealMorpho, folder: Path, address: str | None = None, start_block: int | None = None) -> LendingLine:
    rest = f'family = "morpho_blue"\nregistry_address = "{address or real.singleton}"\n'
    return real_line(
        folder, real.rpc_url, real.chain_id, DAYS, f"{rest}start_block = {start_block or real.start_block}\n"
    )


@pytest.fixture(scope="module")
def panel(real_morpho: RealMorpho, tmp_path_factory: pytest.TempPathFactory) -> LendingLine:
    made = line(real_morpho, tmp_path_factory.mktemp("real_morpho"))
    assert made.extract(made.real_config()) == 0
    made.build()
    return made


def test_every_market_to_the_last_unit(panel: LendingLine, real_morpho: RealMorpho) -> None:
    rows = panel.query("select day::varchar, reserve_id, supplied_raw, borrowed_variable_raw from csu_reserve_daily")
    found: dict[str, dict[str, tuple[int, int]]] = {day: {} for day in DAYS}
    for day, reserve, supplied, borrowed in rows:
        found[day][reserve] = int(supplied), int(borrowed)
    assert found == real_morpho.snapshots
    assert [len(of) for of in found.values()] == [3, 5], "a market made within the day is of that day"


def test_the_liquidation_and_its_bad_debt(panel: LendingLine, real_morpho: RealMorpho) -> None:
    [row] = panel.query(
        "select debt_raw, collateral_raw, bad_debt_raw, day::varchar, decode_status from csu_liquidations"
    )
    told = real_morpho.liquidation
    assert [int(n) for n in row[:3]] == [told["repaidAssets"], told["seizedAssets"], told["badDebtAssets"]]
    assert row[3:] == (DAYS[1], "ok") and told["badDebtAssets"] > 0


def test_events_account_for_what_can_be_withdrawn_and_tokens_for_the_books(panel: LendingLine) -> None:
    rows = panel.query(
        "select measure, flow_verdict, count(*), max(abs(difference_raw::double)) from csu_flow_checks group by all"
    )
    by_measure = {row[0]: row[1:] for row in rows}
    assert by_measure["flow"][:2] == ("agree", 5) and by_measure["flow"][2] <= 1
    assert by_measure["held"] == ("agree", 4, 0.0), "also of a market that is older than the day"


def test_without_the_lent_assets_price_nothing_is_priced_and_nothing_is_zero(panel: LendingLine) -> None:
    rows = panel.query(
        "select panel_status, gross_tvl_usd, net_tvl_usd, repaid_debt_usd from csu_daily_panel order by day"
    )
    assert rows == [("incomplete", None, None, 0.0), ("incomplete", None, None, None)]


def test_a_price_that_comes_later_goes_through_the_markets_own_unit(
    panel: LendingLine, real_morpho: RealMorpho, api: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The source prices every token at 2.5 USD: collateral is then worth 2.5 times what its market says, not 2.5."""
    source = {"name": "llama", "url": api}
    assert panel.extract(panel.real_config(source)) == 0 and Api.asked
    fresh = line(real_morpho, tmp_path_factory.mktemp("fresh_morpho"))
    assert fresh.extract(fresh.real_config(source)) == 0
    assert panel.everything() == fresh.everything()
    panel.build()
    rows = panel.query(
        "select asset_symbol, price_usd, price_control, check_usd, price_verdict from csu_reserve_daily "
        f"where day = date '{DAYS[1]}' group by all order by asset_symbol"
    )
    crash = CRASH / 10**24 * 2.5
    assert rows == [("USDX", 2.5, "source", None, "verified"), ("WETX", crash, "market", 2.5, "unverified")]
    [(status, gross, unverified)] = panel.query(
        f"select panel_status, gross_tvl_usd, unverified_usd from csu_daily_panel where day = date '{DAYS[1]}'"
    )
    told = real_morpho.snapshots[DAYS[1]]
    lent = sum(of[0] for name, of in told.items() if name.endswith(":loan"))
    pledged = sum(of[0] for name, of in told.items() if name.endswith(":collateral"))
    assert status == "complete" and gross == pytest.approx(lent / 10**6 * 2.5)
    assert unverified == pytest.approx(pledged / 10**18 * crash), "what only its maker prices stands beside"


def test_a_plain_token_or_a_wrong_start_is_unreadable(real_morpho: RealMorpho, tmp_path: Path) -> None:
    for name, odd, said in (
        (
            "token",
            line(real_morpho, tmp_path / "token", address=real_morpho.stray),
            "(reverted): check the registry row",
        ),
        ("late", line(real_morpho, tmp_path / "late", start_block=real_morpho.start_block + 5), "correct start_block"),
        (
            "nobody",
            line(real_morpho, tmp_path / "nobody", address="0x" + "ab" * 20),
            "check its address and start_block",
        ),
    ):
        assert odd.extract(odd.real_config()) in (1, 2), name
        odd.build()
        rows = odd.query("select panel_status, gross_tvl_usd, reason from csu_daily_panel order by day")
        assert rows[-1][:2] == ("failed", None) and said in rows[-1][2], (name, rows)
