"""The real Aave V3 on the local node: it lives, and the embedded one speaks its language."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from simulate.chain.contracts import ARTIFACTS, compile_all, signature
from simulate.lending import CONTRACTS
from tests.aave_v3_fixture import COMPILED, CRASH, DAYS, MIDNIGHTS, RealAave

pytestmark = [pytest.mark.node, pytest.mark.slow]

SPOKEN = {  # contract of the embedded Aave -> its original, and what it must have of it
    "aave_provider": ("PoolAddressesProvider", ("getPool", "getPoolDataProvider", "getPriceOracle", "getAddress")),
    "aave_pool": (
        "Pool",
        ("getReservesList", "supply", "withdraw", "borrow", "liquidationCall", "LiquidationCall",
         "getReserveNormalizedIncome", "getReserveNormalizedVariableDebt"),
    ),
    "aave_data_provider": (
        "AaveProtocolDataProvider",
        ("getReserveTokensAddresses", "getReserveConfigurationData", "getPaused", "getATokenTotalSupply"),
    ),
    "aave_oracle": (
        "AaveOracle",
        ("getAssetPrice", "getAssetsPrices", "getSourceOfAsset", "BASE_CURRENCY", "BASE_CURRENCY_UNIT",
         "getFallbackOracle", "setAssetSources"),
    ),
    "aave_token": ("AToken", ("totalSupply", "balanceOf", "scaledTotalSupply", "UNDERLYING_ASSET_ADDRESS", "POOL")),
}  # fmt: skip


def _shape(entry: dict[str, Any]) -> tuple[Any, ...]:
    if entry["type"] == "event":
        return signature(entry), tuple(i["indexed"] for i in entry["inputs"])
    return signature(entry), tuple(o["type"] for o in entry["outputs"])


def test_the_embedded_aave_speaks_the_real_ones_language(real_aave: RealAave) -> None:
    """Signatures, indexed fields and returned types, as its authors compiled them."""
    own = compile_all(ARTIFACTS, CONTRACTS)
    for name, (original, wanted) in SPOKEN.items():
        abi = json.loads(next(COMPILED.rglob(f"{original}.sol/{original}.json")).read_text())["abi"]
        real = {_shape(e) for e in abi if e.get("name") in wanted}
        ours = {_shape(e) for e in own[name].abi if e.get("name") in wanted}
        assert ours <= real and {s[0].split("(")[0] for s in ours} == set(wanted), (name, ours - real)


def test_both_days_hold_what_the_users_did(real_aave: RealAave) -> None:
    first, second = (real_aave.snapshots[day] for day in DAYS)
    assert [s["timestamp"] for s in (first, second)] == [m - 7 for m in MIDNIGHTS[1:]]
    usdx, wetx, wbtx = (real_aave.assets[symbol] for symbol in ("USDX", "WETX", "WBTX"))
    before, after = first["reserves"], second["reserves"]
    assert before[usdx]["supplied_raw"] > 1_000_000 * 10**6 and before[usdx]["borrowed_stable_raw"] > 20_000 * 10**6
    assert before[wbtx]["supplied_raw"] == before[wbtx]["available_raw"] == 5 * 10**8
    assert before[wetx]["oracle_price_raw"] == 4_000 * 10**8 and after[wetx]["oracle_price_raw"] == CRASH
    assert after[usdx]["borrowed_variable_raw"] < before[usdx]["borrowed_variable_raw"] - 59_000 * 10**6
    for reserve in (*before.values(), *after.values()):
        net = reserve["supplied_usd"] - reserve["borrowed_usd"]
        assert reserve["net_usd"] == net > 0


def test_the_liquidation_lies_in_the_25th_hour(real_aave: RealAave) -> None:
    told = real_aave.liquidation
    assert MIDNIGHTS[2] - 3_600 <= told["timestamp"] < MIDNIGHTS[2]
    assert told["debt_usd"] == Decimal(60_000)
    assert told["collateral_usd"] / told["debt_usd"] == pytest.approx(Decimal("1.05"), rel=Decimal("1e-9"))
