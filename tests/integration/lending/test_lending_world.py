"""The lending world: its truth agrees with its chain, contract by contract, and its moments are in place."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak

import simulate
from simulate import lending
from simulate.lending.world import CHAIN_ID
from tests.lending_fixtures import Reader, Row, csu, snapshot
from tests.world_fixtures import ask, ask_all, post

pytestmark = pytest.mark.node

TOPICS = {
    name.split("(")[0]: "0x" + keccak(text=name).hex()
    for name in (
        "CreateMarket(bytes32,(address,address,address,address,uint256))",
        "SupplyCollateral(bytes32,address,address,uint256)",
        "WithdrawCollateral(bytes32,address,address,address,uint256)",
        "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)",
    )
}
Found = dict[str, tuple[int, int, int, int | None]]  # reserve -> supplied, variable, stable, available


# --- each family, read as a reader reads it: one function each


def _aave(read: Reader, one: Row) -> Found:
    """Addresses behind the provider, then totals of the tokens."""
    is_v2 = one["family"] == "aave_v2"
    pool = read.one(one["registry"], "getLendingPool()" if is_v2 else "getPool()", "address")
    if is_v2:
        key = bytes.fromhex("01" + "00" * 31)
        provider = read.one(one["registry"], "getAddress(bytes32)", "address", key)
    else:
        provider = read.one(one["registry"], "getPoolDataProvider()", "address")
    found: Found = {}
    for asset in read.one(pool, "getReservesList()", "address[]"):
        tokens = read.one(provider, "getReserveTokensAddresses(address)", "address address address", asset)
        there = [token for token in tokens if int(token, 16)]  # stable debt is gone from V3.2 on
        totals = dict(zip(there, read.many([(token, "totalSupply()", "uint256") for token in there]), strict=True))
        supplied, stable, variable = (totals.get(token, 0) for token in tokens)
        found[asset] = supplied, variable, stable, read.one(asset, "balanceOf(address)", "uint256", tokens[0])
    return found


def _compound(read: Reader, one: Row) -> Found:
    found: Found = {}
    views = (
        "getCash", "totalBorrows", "totalReserves", "borrowRatePerBlock", "accrualBlockNumber", "reserveFactorMantissa"
    )  # fmt: skip
    for market in read.one(one["registry"], "getAllMarkets()", "address[]"):
        cash, borrows, reserves, rate, since, factor = read.many([(market, f"{v}()", "uint256") for v in views])
        interest = rate * (int(read.block, 16) - since) * borrows // 10**18
        borrows, reserves = borrows + interest, reserves + factor * interest // 10**18
        found[market] = cash + borrows - reserves, borrows, 0, cash
    return found


def _comet(read: Reader, one: Row) -> Found:
    comet = one["registry"]
    base = read.one(comet, "baseToken()", "address")
    supplied, borrowed = read.many([(comet, f"{view}()", "uint256") for view in ("totalSupply", "totalBorrow")])
    found: Found = {base: (supplied, borrowed, 0, read.one(base, "balanceOf(address)", "uint256", comet))}
    for index in range(read.one(comet, "numAssets()", "uint8")):
        info = read.one(
            comet, "getAssetInfo(uint8)", "(uint8,address,address,uint64,uint64,uint64,uint64,uint128)", index
        )
        assert info[0] == index
        total, _ = read.one(comet, "totalsCollateral(address)", "uint128 uint128", info[1])
        found[info[1]] = total, 0, 0, None
    return found


def _morpho(read: Reader, one: Row) -> Found:
    """Markets from logs; interest accrued up to the block's second; collateral from logs too."""
    head = int(ask(read.url, "eth_getBlockByNumber", read.block, False)["timestamp"], 16)
    logs = ask(read.url, "eth_getLogs", {"address": one["registry"], "fromBlock": "0x0", "toBlock": read.block})
    pledged: Counter[str] = Counter()
    ids = []
    for log in logs:
        kind, data = log["topics"][0], bytes.fromhex(log["data"][2:])
        if kind == TOPICS["CreateMarket"]:
            ids.append(log["topics"][1])
        elif kind == TOPICS["SupplyCollateral"]:
            pledged[log["topics"][1]] += decode(["uint256"], data)[0]
        elif kind == TOPICS["WithdrawCollateral"]:
            pledged[log["topics"][1]] -= decode(["address", "uint256"], data)[1]
        elif kind == TOPICS["Liquidate"]:
            pledged[log["topics"][1]] -= decode(["uint256"] * 5, data)[2]
    found: Found = {}
    for market_id in ids:
        key = bytes.fromhex(market_id[2:])
        market = read.one(one["registry"], "market(bytes32)", "uint128 " * 6, key)
        params = read.one(one["registry"], "idToMarketParams(bytes32)", "address address address address uint256", key)
        pair = "(address,address,address,address,uint256)", "(uint128,uint128,uint128,uint128,uint128,uint128)"
        rate = read.one(params[3], f"borrowRateView({pair[0]},{pair[1]})", "uint256", params, market)
        x = rate * (head - market[4])
        growth = x + x * x // (2 * 10**18) + (x * x // (2 * 10**18)) * x // (3 * 10**18)
        interest = market[2] * growth // 10**18
        supplied, borrowed = market[0] + interest, market[2] + interest
        found[f"{market_id}:loan"] = supplied, borrowed, 0, supplied - borrowed
        found[f"{market_id}:collateral"] = pledged[market_id], 0, 0, None
    return found


def _fluid(read: Reader, one: Row) -> Found:
    """Through the resolver of the block; its struct grew by a word on the way."""
    resolver = [r for r in one["addresses"]["resolvers"] if r["from_block"] <= int(read.block, 16)][-1]
    listed = read.one(resolver["address"], "listedTokens()", "address[]")
    words = ",".join(["uint256"] * (resolver["words"] - 13))
    rates = "(uint256,(address,uint256,uint256,uint256,uint256)"
    rates += ",(address,uint256,uint256,uint256,uint256,uint256,uint256))"
    data = read.one(resolver["address"], "getOverallTokensData(address[])", f"({words},{rates})[]", listed)
    found: Found = {}
    for token, told in zip(listed, data, strict=True):
        if int(token, 16) == int("ee" * 20, 16):
            held = int(ask(read.url, "eth_getBalance", one["registry"], read.block), 16)
        else:
            held = read.one(token, "balanceOf(address)", "uint256", one["registry"])
        found[token] = told[12], told[13], 0, held
        assert told[-1][1][0] == token, "the words after maxUtilization are where they should be"
    return found


def _euler(read: Reader, one: Row) -> Found:
    size = read.one(one["registry"], "getProxyListLength()", "uint256")
    found: Found = {}
    for vault in read.one(one["registry"], "getProxyListSlice(uint256,uint256)", "address[]", 0, size):
        views = ("totalAssets", "totalBorrows", "cash")
        assets, borrows, cash = read.many([(vault, f"{view}()", "uint256") for view in views])
        found[vault] = assets, borrows, 0, cash
    return found


def _silo(read: Reader, one: Row) -> Found:
    """Interest included, where stored totals would lag; deposits that cannot be lent are supplied too."""
    factory, found = one["registry"], {}
    for number in range(1, read.one(factory, "getNextSiloId()", "uint256")):
        config = read.one(factory, "idToSiloConfig(uint256)", "address", number)
        for silo in read.one(config, "getSilos()", "address address"):
            views = ("getCollateralAssets", "getDebtAssets", "getLiquidity")
            collateral, debt, free = read.many([(silo, f"{view}()", "uint256") for view in views])
            stored = [read.one(silo, "getTotalAssetsStorage(uint8)", "uint256", kind) for kind in range(3)]
            assert stored[1] <= collateral and stored[2] <= debt
            found[silo] = collateral + stored[0], debt, 0, free
    return found


def _gearbox(read: Reader, one: Row) -> Found:
    key = b"CONTRACTS_REGISTER".ljust(32, b"\0")
    register = read.one(one["registry"], "getAddressOrRevert(bytes32,uint256)", "address", key, 0)
    found: Found = {}
    for pool in read.one(register, "getPools()", "address[]"):
        views = ("expectedLiquidity", "totalBorrowed", "availableLiquidity")
        expected, borrowed, available = read.many([(pool, f"{view}()", "uint256") for view in views])
        found[pool] = expected, borrowed, 0, available
    return found


READ: dict[str, Callable[[Reader, Row], Found]] = {
    "aave_v2": _aave,
    "aave_v3": _aave,
    "compound_v2": _compound,
    "compound_v3": _comet,
    "morpho_blue": _morpho,
    "fluid": _fluid,
    "euler_v2": _euler,
    "silo_v2": _silo,
    "gearbox": _gearbox,
}


def _told(reserves: list[Row]) -> Found:
    """The same of the truth."""
    return {
        r["reserve_id"]: (
            int(r["supplied_raw"]),
            int(r["borrowed_variable_raw"]),
            int(r["borrowed_stable_raw"]),
            None if r["available_raw"] is None else int(r["available_raw"]),
        )
        for r in reserves
    }


def test_every_snapshot_says_what_the_chain_says(lending_world: simulate.RunningWorld) -> None:
    """Each reserve of each deployment and day, read at the snapshot's block."""
    compared = 0
    for told in lending_world.info["truth"]["snapshots"]:
        one = csu(lending_world, told["csu_id"])
        if told["status"] == "ok":
            found = READ[one["family"]](Reader(lending_world.rpc_url, told["block"]), one)
            assert found == _told(told["reserves"]), (told["csu_id"], told["date"])
            compared += len(found)
    assert compared > 250


# --- prices, as each protocol's own oracle says them


def _aave_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    oracle = read.one(one["registry"], "getPriceOracle()", "address")
    return read.many([(oracle, "getAssetPrice(address)", "uint256", r["reserve_id"]) for r in reserves])


def _compound_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    oracle = read.one(one["registry"], "oracle()", "address")
    return read.many([(oracle, "getUnderlyingPrice(address)", "uint256", r["reserve_id"]) for r in reserves])


def _comet_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    comet = one["registry"]
    feeds = {read.one(comet, "baseToken()", "address"): read.one(comet, "baseTokenPriceFeed()", "address")}
    info = "(uint8,address,address,uint64,uint64,uint64,uint64,uint128)"
    for index in range(read.one(comet, "numAssets()", "uint8")):
        _, asset, feed, *_ = read.one(comet, "getAssetInfo(uint8)", info, index)
        feeds[asset] = feed
    return read.many([(comet, "getPrice(address)", "uint256", feeds[r["reserve_id"]]) for r in reserves])


def _morpho_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    found: list[Any] = []
    for r in reserves:
        key = bytes.fromhex(r["market_id"][2:])
        params = read.one(one["registry"], "idToMarketParams(bytes32)", "address address address address uint256", key)
        found.append(None if r["role"] == "loan" else read.one(params[2], "price()", "uint256"))
    return found


def _euler_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    found: list[Any] = []
    for r in reserves:
        vault = r["reserve_id"]
        oracle, unit, asset = read.many([(vault, f"{v}()", "address") for v in ("oracle", "unitOfAccount", "asset")])
        assert (unit, asset) == (r["unit_of_account"], r["token_address"])
        amount = 10 ** read.one(vault, "decimals()", "uint8")
        args = (oracle, "getQuote(uint256,address,address)", "uint256", amount, asset, unit)
        found.append(read.one(*args) if int(oracle, 16) else None)
    return found


def _silo_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    """The solvency oracle, where a silo has one; the other token of the pair is the unit."""
    found: list[Any] = []
    data = f"({'uint256,' * 2}{'address,' * 8}{'uint256,' * 5}address,bool)"
    for r in reserves:
        config = read.one(r["reserve_id"], "config()", "address")
        told = read.one(config, "getConfig(address)", data, r["reserve_id"])
        assert told[2:4] == (r["reserve_id"], r["token_address"]) and told[15] in one["addresses"]["hooks"]
        amount = 10 ** r["decimals"]
        args = (told[7], "quote(uint256,address)", "uint256", amount, r["token_address"])
        found.append(read.one(*args) if int(told[7], 16) else None)
    return found


def _gearbox_quotes(read: Reader, one: Row, reserves: list[Row]) -> list[Any]:
    key = b"PRICE_ORACLE".ljust(32, b"\0")
    oracle = read.one(one["registry"], "getAddressOrRevert(bytes32,uint256)", "address", key, 300)
    return read.many([(oracle, "getPrice(address)", "uint256", r["token_address"]) for r in reserves])


QUOTES: dict[str, Callable[[Reader, Row, list[Row]], list[Any]]] = {
    "aave_v2": _aave_quotes,
    "aave_v3": _aave_quotes,
    "compound_v2": _compound_quotes,
    "compound_v3": _comet_quotes,
    "morpho_blue": _morpho_quotes,
    "euler_v2": _euler_quotes,
    "silo_v2": _silo_quotes,
    "gearbox": _gearbox_quotes,
}


def test_every_price_is_what_the_protocols_oracle_says(lending_world: simulate.RunningWorld) -> None:
    statuses: Counter[str] = Counter()
    for told in lending_world.info["truth"]["snapshots"]:
        one = csu(lending_world, told["csu_id"])
        if told["status"] != "ok" or one["family"] not in QUOTES:
            continue
        read = Reader(lending_world.rpc_url, told["block"])
        for r, raw in zip(told["reserves"], QUOTES[one["family"]](read, one, told["reserves"]), strict=True):
            expected = None if r["oracle_price_raw"] is None else int(r["oracle_price_raw"])
            assert raw == expected, (told["csu_id"], told["date"], r["symbol"], r["oracle_status"])
            assert (r["oracle_status"] in ("reverted", "none")) == (raw is None)
            statuses[r["oracle_status"]] += 1
    assert all(statuses[status] >= 3 for status in ("ok", "zero", "reverted", "none")), statuses


def test_one_reverting_feed_takes_the_whole_list_of_prices_with_it(lending_world: simulate.RunningWorld) -> None:
    one = csu(lending_world, "aave_v3_world")
    for date_, works in (("2025-10-31", True), ("2025-11-01", False)):
        read = Reader(lending_world.rpc_url, snapshot(lending_world, "aave_v3_world", date_)["block"])
        oracle = read.one(one["registry"], "getPriceOracle()", "address")
        pool = read.one(one["registry"], "getPool()", "address")
        assets = read.one(pool, "getReservesList()", "address[]")
        prices = read.one(oracle, "getAssetsPrices(address[])", "uint256[]", assets)
        assert (prices is not None) == works
        unit = read.one(oracle, "BASE_CURRENCY_UNIT()", "uint256")
        assert unit == 10**8 and int(read.one(oracle, "BASE_CURRENCY()", "address"), 16) == 0


def test_v2_and_v3_lack_what_the_other_has(lending_world: simulate.RunningWorld) -> None:
    read = Reader(lending_world.rpc_url, lending_world.info["head"]["number"])
    v3, v2 = (csu(lending_world, name)["registry"] for name in ("aave_v3_world", "aave_v2_world"))
    old_oracle = read.one(v2, "getPriceOracle()", "address")
    weth = next(t["address"] for t in lending_world.info["tokens"] if t["symbol"] == "WETX")
    assert [read.one(p, "getPool()", "address") is None for p in (v3, v2)] == [False, True]
    assert [read.one(p, "getLendingPool()", "address") is None for p in (v3, v2)] == [True, False]
    assert read.one(old_oracle, "BASE_CURRENCY_UNIT()", "uint256") is None
    assert read.one(old_oracle, "getAssetPrice(address)", "uint256", weth) == 10**18


def test_usd_is_raw_amount_times_price(lending_world: simulate.RunningWorld) -> None:
    """Exact, by decimals of the token; nothing where there is no price."""
    decimals = {t["address"]: t["true_decimals"] for t in lending_world.info["tokens"]}
    decimals["0x" + "ee" * 20] = 18
    sources: Counter[str | None] = Counter()
    for told in lending_world.info["truth"]["snapshots"]:
        for r in told["reserves"]:
            sources[r["price_source"]] += 1
            borrowed = int(r["borrowed_variable_raw"]) + int(r["borrowed_stable_raw"])
            for key, raw in (("supplied_usd", int(r["supplied_raw"])), ("borrowed_usd", borrowed)):
                if r["price_usd"] is None:
                    assert r[key] is None
                else:
                    exact = raw * Fraction(r["price_usd"]) / 10 ** decimals[r["token_address"]]
                    assert abs(Fraction(r[key]) - exact) <= exact / 10**40
    assert sources["oracle"] > 200 and sources["chainlink"] > 20 and sources[None] > 15, sources


# --- liquidations

EVENTS = {  # topic -> (name, types of data, where raw amounts stand in it)
    "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286": "LiquidationCall",
    "0x2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699": "DeficitCreated",
    "0x298637f684da70674f26509b10f07ec2fbc77a335ab1e7d6215a4b2484d8bb52": "LiquidateBorrow",
    "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f": "AbsorbDebt",
    "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e": "AbsorbCollateral",
    "0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41": "Liquidate",
    "0x80fd9cc6b1821f4a510e45ffce6852ea3404807b5d3d833ffa85664408afcb66": "LogLiquidate",
    "0x8246cc71ab01533b5bebc672a636df812f10637ad720797319d5741d5ebb3962": "Liquidate",
    "0x3a84f64446e8eada995aa9da2ddbfcd9b5d5d650503b19f024096d04c05ef2a9": "LiquidationCall",
    "0x7dfecd8419723a9d3954585a30c2a270165d70aafa146c11c1e1b88ae1439064": "LiquidateCreditAccount",
    "0x" + keccak(text="DebtSocialized(address,uint256)").hex(): "DebtSocialized",
}
AMOUNTS = {  # event and words of data -> what stands where: (field, word)
    ("LiquidationCall", 4): (("debt_raw", 0), ("collateral_raw", 1), ("liquidator", 2)),
    ("LiquidationCall", 3): (("debt_raw", 0), ("collateral_raw", 1)),  # of Silo
    ("DeficitCreated", 1): (("bad_debt_raw", 0),),
    ("LiquidateBorrow", 5): (
        ("liquidator", 0),
        ("borrower", 1),
        ("debt_raw", 2),
        ("collateral_share_token", 3),
        ("seized_shares_raw", 4),
    ),
    ("AbsorbDebt", 2): (("debt_raw", 0), ("event_usd_raw", 1)),
    ("AbsorbCollateral", 2): (("collateral_raw", 0), ("event_usd_raw", 1)),
    ("Liquidate", 5): (("debt_raw", 0), ("collateral_raw", 2), ("bad_debt_raw", 3)),
    ("LogLiquidate", 4): (("liquidator", 0), ("collateral_raw", 1), ("debt_raw", 2)),
    ("Liquidate", 3): (("collateral_share_token", 0), ("debt_raw", 1), ("seized_shares_raw", 2)),
    ("LiquidateCreditAccount", 2): (("liquidator", 0), ("remaining_funds_raw", 1)),
    ("DebtSocialized", 1): (("bad_debt_raw", 0),),
}


def _logs(world: simulate.RunningWorld, **wanted: Any) -> list[Row]:
    found = ask(world.rpc_url, "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", **wanted})
    return [dict(log) for log in found]


def _known(world: simulate.RunningWorld) -> set[str]:
    return {row["emitter"] for row in world.info["truth"]["liquidations"]}


def test_every_liquidation_is_on_the_chain_and_the_other_way_round(lending_world: simulate.RunningWorld) -> None:
    told = {(row["tx_hash"], row["log_index"]): row for row in lending_world.info["truth"]["liquidations"]}
    logs = [log for log in _logs(lending_world, topics=[list(EVENTS)]) if log["address"] in _known(lending_world)]
    garbled = [log for log in logs if len(log["data"]) == 2 + 64 * 2 and EVENTS[log["topics"][0]] == "LiquidateBorrow"]
    undecodable = lending_world.info["truth"]["undecodable"]
    assert [log["transactionHash"] for log in garbled] == [row["tx_hash"] for row in undecodable]
    assert len(garbled) == 1 and undecodable[0]["csu_id"] == "moon_world"
    found = {(log["transactionHash"], int(log["logIndex"], 16)): log for log in logs if log not in garbled}
    assert found.keys() == told.keys() and len(told) > 50
    for key, row in told.items():
        log = found[key]
        assert (log["address"], int(log["blockNumber"], 16)) == (row["emitter"], row["block"])
        assert EVENTS[log["topics"][0]] == row["event"]
        words = [log["data"][at : at + 64] for at in range(2, len(log["data"]), 64)]
        for name, place in AMOUNTS[row["event"], len(words)]:
            value: str = row[name]
            expected = int(value, 16) if value.startswith("0x") else int(value)
            assert int(words[place], 16) == expected, (row["csu_id"], row["event"], name)


def test_liquidations_are_where_they_are_awkward(lending_world: simulate.RunningWorld) -> None:
    rows, days = lending_world.info["truth"]["liquidations"], lending_world.info["days"]
    assert {r["date"] for r in rows} == {d["date"] for d in days} - {"2025-11-01"}
    by_csu = {name: [r for r in rows if r["csu_id"] == name] for name in {r["csu_id"] for r in rows}}
    assert by_csu.keys() == {c["csu_id"] for c in lending_world.info["csus"]} - {"ghost_world"}
    last, first = ({d[key]: d["date"] for d in days} for key in ("snapshot_block", "first_block"))
    assert sum(r["block"] in last for r in rows) >= 8 and sum(r["block"] in first for r in rows) >= 6
    long_day = next(d for d in days if d["hours"] == 25)
    late = [r for r in rows if long_day["end"] - 3_600 <= r["timestamp"] < long_day["end"]]
    assert {r["date"] for r in late} == {"2025-11-02"} and len({r["csu_id"] for r in late}) >= 5
    twice = Counter((r["tx_hash"], r["borrower"]) for r in by_csu["aave_v3_world"] if r["event"] == "LiquidationCall")
    assert Counter(twice.values())[2] == 2
    parts = Counter(r["tx_hash"] for r in by_csu["comet_usdx_world"] if r["event"] == "AbsorbCollateral")
    assert max(parts.values()) == 4 and 3 in parts.values()  # two accounts with two each; one with three
    assert any(r["bad_debt_raw"] not in (None, "0") for r in by_csu["morpho_world"])
    assert any(r["event"] == "DeficitCreated" for r in by_csu["spark_world"])


def test_a_liquidation_is_worth_what_the_oracle_says_at_its_block(lending_world: simulate.RunningWorld) -> None:
    decimals = {t["address"]: t["true_decimals"] for t in lending_world.info["tokens"]}
    oracle = csu(lending_world, "aave_v3_world")["addresses"]["oracle"]
    compared = 0
    for row in lending_world.info["truth"]["liquidations"]:
        if row["csu_id"] != "aave_v3_world":
            continue
        read = Reader(lending_world.rpc_url, row["block"])
        for side in ("collateral", "debt"):
            asset, raw = row[f"{side}_asset"], row[f"{side}_raw"]
            if raw is None:
                continue
            price = read.one(oracle, "getAssetPrice(address)", "uint256", asset)
            assert Fraction(row[f"{side}_usd"]) == Fraction(int(raw) * price, 10 ** (8 + decimals[asset]))
            compared += 1
    assert compared >= 16


def test_what_a_gearbox_liquidation_repaid_is_said_by_its_pool(lending_world: simulate.RunningWorld) -> None:
    """The facade's event has no amounts but what was left; `Repay` of the pool, in the same transaction, has them."""
    rows = [r for r in lending_world.info["truth"]["liquidations"] if r["csu_id"] == "gearbox_world"]
    topic = "0x" + keccak(text="Repay(address,uint256,uint256,uint256)").hex()
    assert {r["bad_debt_raw"] == "0" for r in rows} == {True, False}
    for row in rows:
        found = [log for log in _logs(lending_world, address=row["pool"], topics=[topic])
                 if log["transactionHash"] == row["tx_hash"]]  # fmt: skip
        repaid, _, loss = decode(["uint256"] * 3, bytes.fromhex(found[0]["data"][2:]))
        assert (str(repaid), str(loss)) == (row["debt_raw"], row["bad_debt_raw"])


def test_strangers_events_belong_to_nobody(lending_world: simulate.RunningWorld) -> None:
    stranger = lending_world.info["stranger"]
    assert {EVENTS[log["topics"][0]] for log in _logs(lending_world, address=stranger)} == {
        "LiquidationCall",
        "LiquidateBorrow",
    }
    assert stranger not in _known(lending_world)


def test_a_sale_of_absorbed_collateral_is_no_liquidation(lending_world: simulate.RunningWorld) -> None:
    topic = "0x" + keccak(text="BuyCollateral(address,address,uint256,uint256)").hex()
    sales = _logs(lending_world, topics=[topic])
    assert topic == "0xf891b2a411b0e66a5f0a6ff1368670fefa287a13f541eb633a386a1a9cc7046b" and len(sales) == 1
    assert sales[0]["transactionHash"] not in {r["tx_hash"] for r in lending_world.info["truth"]["liquidations"]}


# --- days and blocks


def test_days_tile_new_york_time_and_snapshots_are_proven(lending_world: simulate.RunningWorld) -> None:
    days, zone = lending_world.info["days"], ZoneInfo("America/New_York")
    assert [d["hours"] for d in days] == [24, 24, 24, 24, 25, 24, 24, 24, 24, 24]
    for day in days:
        at = datetime.combine(date.fromisoformat(day["date"]), datetime.min.time(), zone)
        after = datetime.combine(at.date() + timedelta(days=1), datetime.min.time(), zone)
        assert (day["start"], day["end"]) == (int(at.timestamp()), int(after.timestamp()))
    for before, after in pairwise(days):
        assert before["end"] == after["start"] and before["snapshot_block"] + 1 == after["first_block"]
    numbers = [n for d in days for n in (d["snapshot_block"], d["snapshot_block"] + 1)]
    heads = ask_all(lending_world.rpc_url, [("eth_getBlockByNumber", [hex(n), False]) for n in numbers])
    times = [int(head["timestamp"], 16) for head in heads]
    for day, newest, next_one in zip(days, times[::2], times[1::2], strict=True):
        assert newest == day["snapshot_timestamp"] < day["end"] <= next_one
    gaps = {day["date"]: (day["end"] - newest, after - day["end"]) for day, newest, after in
            zip(days, times[::2], times[1::2], strict=True)}  # fmt: skip
    assert [d for d, (_, late) in gaps.items() if late == 0] == ["2025-10-31", "2025-11-02"]  # exactly at midnight
    assert [d for d, (early, _) in gaps.items() if early == 1] == ["2025-10-31", "2025-11-03"]  # the last second
    assert gaps["2025-11-01"][0] > 1_500 and gaps["2025-11-01"][1] > 700  # stalled


# --- what is not there


def test_what_is_not_deployed_yet_has_no_code(lending_world: simulate.RunningWorld) -> None:
    late = {c["csu_id"]: c for c in lending_world.info["csus"] if c["csu_id"] in ("moon_world", "spark_world")}
    for one in late.values():
        codes = ask_all(
            lending_world.rpc_url, [("eth_getCode", [one["registry"], hex(one["start_block"] - n)]) for n in (1, 0)]
        )
        assert codes[0] == "0x" and len(codes[1]) > 100
        statuses = [s["status"] for s in lending_world.info["truth"]["snapshots"] if s["csu_id"] == one["csu_id"]]
        assert statuses == sorted(statuses) and {"not_deployed", "ok"} == set(statuses)
    ghost = csu(lending_world, "ghost_world")
    assert ask(lending_world.rpc_url, "eth_getCode", ghost["registry"], "latest") == "0x"


def test_a_fluid_resolver_works_only_in_its_time(lending_world: simulate.RunningWorld) -> None:
    one = csu(lending_world, "fluid_world")
    old, new = one["addresses"]["resolvers"]
    token = next(t["address"] for t in lending_world.info["tokens"] if t["symbol"] == "USDX")
    for block, works in ((new["from_block"] - 1, "old"), (new["from_block"], "new")):
        read = Reader(lending_world.rpc_url, block)
        answers = {
            name: read.one(r["address"], "getOverallTokenData(address)", "uint256", token)
            if ask(lending_world.rpc_url, "eth_getCode", r["address"], hex(block)) != "0x"
            else None
            for name, r in (("old", old), ("new", new))
        }
        assert [name for name, answer in answers.items() if answer is not None] == [works]


def test_fluid_vaults_follow_from_the_factorys_nonce(lending_world: simulate.RunningWorld) -> None:
    one = csu(lending_world, "fluid_world")["addresses"]
    read = Reader(lending_world.rpc_url, lending_world.info["head"]["number"])
    assert read.one(one["vault_factory"], "totalVaults()", "uint256") == 2
    vaults = read.one(one["vault_resolver"], "getAllVaultsAddresses()", "address[]")
    told = {r["emitter"] for r in lending_world.info["truth"]["liquidations"] if r["csu_id"] == "fluid_world"}
    assert set(vaults) == told
    view = "(address,address,address,address,address,address,uint8,uint8,uint256,bytes32,bytes32,bytes32,bytes32)"
    constants = [read.one(vault, "constantsView()", view) for vault in vaults]
    assert [c[8] for c in constants] == [1, 2] and {c[0] for c in constants} == {one["liquidity"]}


def test_a_token_without_decimals_and_the_native_market(lending_world: simulate.RunningWorld) -> None:
    read = Reader(lending_world.rpc_url, lending_world.info["head"]["number"])
    bare = next(t for t in lending_world.info["tokens"] if t["symbol"] == "BARE")
    assert bare["decimals"] is None and read.one(bare["address"], "decimals()", "uint8") is None
    day = snapshot(lending_world, "compound_v2_world", "2025-11-07")
    native = next(r for r in day["reserves"] if r["symbol"] == "ETH")
    assert int(native["token_address"], 16) == 0
    assert read.one(native["reserve_id"], "underlying()", "address") is None
    at_snapshot = int(ask(lending_world.rpc_url, "eth_getBalance", native["reserve_id"], hex(day["block"])), 16)
    assert at_snapshot == int(native["available_raw"])


def test_flags_and_a_reserve_listed_on_the_way(lending_world: simulate.RunningWorld) -> None:
    one = csu(lending_world, "aave_v3_world")
    seen: dict[str, list[str]] = {"NEWT": [], "COLD": [], "GOVX": []}
    for day in lending_world.info["days"]:
        told = snapshot(lending_world, "aave_v3_world", day["date"])
        read = Reader(lending_world.rpc_url, told["block"])
        provider = read.one(one["registry"], "getPoolDataProvider()", "address")
        for r in told["reserves"]:
            flags = read.one(
                provider, "getReserveConfigurationData(address)", "uint256 " * 5 + "bool " * 5, r["reserve_id"]
            )
            assert flags[9] == r["is_frozen"] and flags[8]
            assert read.one(provider, "getPaused(address)", "bool", r["reserve_id"]) == r["is_paused"]
        symbols = {r["symbol"]: r for r in told["reserves"]}
        seen["NEWT"] += [day["date"]] * ("NEWT" in symbols)
        seen["COLD"] += [day["date"]] * symbols["COLD"]["is_frozen"]
        seen["GOVX"] += [day["date"]] * symbols["GOVX"]["is_paused"]
    assert [dates[0] for dates in seen.values()] == ["2025-10-31", "2025-11-01", "2025-11-02"]
    assert [len(dates) for dates in seen.values()] == [8, 7, 6]


# --- the provider in front, and the world as a whole


def test_the_provider_limits_and_fails_as_in_the_voting_world(healthy_lending_world: simulate.RunningWorld) -> None:
    world = healthy_lending_world
    wanted = {"fromBlock": "0x1", "toBlock": "0x20", "topics": [list(EVENTS)]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}
    assert "up to a 10 block range" in post(world.profile_url("alchemy_free"), request)["error"]["message"]
    assert int(ask(world.rpc_url, "eth_chainId"), 16) == CHAIN_ID
    world.control("no_archive", 5)
    pool = csu(world, "aave_v3_world")["registry"]
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": pool, "data": "0x026b1d5f"}, "0x30"]}
    assert "missing trie node" in post(world.rpc_url, call)["error"]["message"]


def test_the_same_seed_gives_the_same_world_and_small_ones_are_small(
    small_lending_world: simulate.RunningWorld, tmp_path: Path
) -> None:
    kept = {key: small_lending_world.info[key] for key in ("days", "csus", "tokens", "truth", "head")}
    with lending.running(tmp_path, days=4, small=True) as again:
        assert {key: again.info[key] for key in kept} == kept
        heads = [ask(w.rpc_url, "eth_getBlockByNumber", "latest", False)["hash"] for w in (again, small_lending_world)]
        assert heads[0] == heads[1]
    with lending.running(tmp_path, days=4, small=True, seed=8) as other:
        assert other.info["truth"] != kept["truth"]
    assert [d["date"] for d in kept["days"]] == ["2025-10-31", "2025-11-01", "2025-11-02", "2025-11-03"]
    assert len(kept["csus"]) == 6


def test_a_world_too_short_for_the_long_day_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulate", "lending", "--port=0", "--days=2", f"--out={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "at least 3 days" in done.stderr
