"""Every family against a small deployment in a book: what is read, how it is priced, what its events mean."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from extract.evm.abi import Event, event_topics
from extract.evm.views import call, view
from extract.lending.families import FAMILIES, euler_v2, fluid, gearbox, morpho_blue
from extract.lending.families.base import (
    COLLATERAL,
    MOVE,
    NATIVE,
    NO_ARCHIVE,
    NOT_DEPLOYED,
    OK,
    UNREADABLE,
    USD,
    EventRule,
    Memory,
    PriceRule,
    Reserve,
    State,
)
from extract.lending.families.base import MARKET as MARKET_MADE
from tests.lending_fakes import BLOCK, Book, a_csu, addr, address_list, at, decoded, log_row, read, words
from tests.lending_protocols import (
    DECIMALS,
    DEPLOYMENTS,
    IDLE,
    MARKET,
    USDC,
    WBTC,
    WETH,
    Deployment,
    compound_v3,
    packed,
)

TOPICS = {  # as printed in the protocols' own explorers; computed here from the signatures
    "aave_v2": ["0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"],
    "aave_v3": [
        "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286",
        "0x2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699",
    ],
    "compound_v2": ["0x298637f684da70674f26509b10f07ec2fbc77a335ab1e7d6215a4b2484d8bb52"],
    "compound_v3": [
        "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f",
        "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e",
    ],
    "morpho_blue": ["0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41"],
    "fluid": ["0x80fd9cc6b1821f4a510e45ffce6852ea3404807b5d3d833ffa85664408afcb66"],
    "euler_v2": ["0x8246cc71ab01533b5bebc672a636df812f10637ad720797319d5741d5ebb3962"],
    "moolah": ["0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41"],
    "silo_v2": ["0x3a84f64446e8eada995aa9da2ddbfcd9b5d5d650503b19f024096d04c05ef2a9"],
    "gearbox": ["0x7dfecd8419723a9d3954585a30c2a270165d70aafa146c11c1e1b88ae1439064"],
}
SELECTORS = {
    "getPool()": "0x026b1d5f",
    "getPoolDataProvider()": "0xe860accb",
    "getPriceOracle()": "0xfca513a8",
    "getReservesList()": "0xd1946dbc",
    "getReserveTokensAddresses(address)": "0xd2493b6c",
    "totalSupply()": "0x18160ddd",
    "getAssetPrice(address)": "0xb3596f07",
    "BASE_CURRENCY_UNIT()": "0x8c89b64f",
    "getAllMarkets()": "0xb0772d0b",
    "getCash()": "0x3b1d21a2",
    "totalBorrows()": "0x47bd3718",
    "totalReserves()": "0x8f840ddd",
    "underlying()": "0x6f307dc3",
    "exchangeRateStored()": "0x182df0f5",
    "oracle()": "0x7dc0d1d0",
    "getUnderlyingPrice(address)": "0xfc57d4df",
    "totalBorrow()": "0x8285ef40",
    "numAssets()": "0xa46fe83b",
    "getAssetInfo(uint8)": "0xc8c7fe6b",
    "totalsCollateral(address)": "0x59e017bd",
    "baseToken()": "0xc55dae63",
    "baseTokenPriceFeed()": "0xe7dad6bd",
    "getPrice(address)": "0x41976e09",
    "market(bytes32)": "0x5c60e39a",
    "price()": "0xa035b1fe",
    "totalAssets()": "0x01e1d114",
    "cash()": "0x961be391",
}


def made(name: str) -> tuple[Deployment, State]:
    deployment = DEPLOYMENTS[name]()
    return deployment, read(deployment.family, deployment.book, deployment.csu)


def told(deployment: Deployment) -> list[EventRule]:
    """The rules of its liquidations and deficits, one layout each."""
    rules = {rule.name: rule for rule in reversed(deployment.family.events) if rule.kind != MOVE}
    return [rule for rule in reversed(rules.values()) if rule.name != "LiquidateVAI"]


def test_every_family_has_a_deployment_and_topics() -> None:
    assert set(FAMILIES) == set(DEPLOYMENTS) == set(TOPICS)


@pytest.mark.parametrize("name", sorted(TOPICS))
def test_topics(name: str) -> None:
    assert event_topics([rule.signature for rule in FAMILIES[name].events])[: len(TOPICS[name])] == TOPICS[name]


@pytest.mark.parametrize(("signature", "selector"), SELECTORS.items())
def test_selectors(signature: str, selector: str) -> None:
    assert view(signature).selector == selector


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_deployment_is_read_whole(name: str) -> None:
    deployment, state = made(name)
    assert (state.status, state.reason) == (OK, None)
    found = {r.reserve_id: (r.supplied, r.borrowed, r.borrowed_stable, r.available) for r in state.reserves}
    assert found == deployment.amounts
    assert all(r.status == OK for r in state.reserves)
    assert state.emitters.keys() == deployment.emitters


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_contract_that_is_not_there_yet_is_a_status_not_a_zero(name: str) -> None:
    state = read(FAMILIES[name], Book(), DEPLOYMENTS[name]().csu)
    assert (state.status, state.reserves, state.emitters) == (NOT_DEPLOYED, [], {})
    assert state.reason and "not deployed yet" in state.reason


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_no_archive_state_says_what_to_do(name: str) -> None:
    deployment = DEPLOYMENTS[name]()
    deployment.book.everything = NO_ARCHIVE
    state = read(deployment.family, deployment.book, deployment.csu)
    assert (state.status, state.reserves) == (NO_ARCHIVE, [])
    assert state.reason and "add an archive provider to chain ethereum" in state.reason


def test_aave_flags_pause_and_freeze() -> None:
    _, state = made("aave_v3")
    flags = {r.asset: (r.is_frozen, r.is_paused) for r in state.reserves}
    assert flags == {WETH: (False, True), USDC: (True, False)}
    _, older = made("aave_v2")
    assert all(r.is_paused for r in older.reserves)  # V2 pauses the whole pool


def test_aave_prices_by_its_own_unit() -> None:
    deployment, state = made("aave_v3")
    asked = call(addr(4), "getAssetPrice(address)", WETH)
    assert deployment.family.pricing(state, DECIMALS)[WETH] == PriceRule(asked, 8, USD)
    deployment, state = made("aave_v2")
    assert deployment.family.pricing(state, DECIMALS)[USDC].unit == "eth"
    assert deployment.family.pricing(state, DECIMALS)[USDC].decimals == 18


def test_a_v3_oracle_without_its_unit_prices_nothing() -> None:
    deployment = DEPLOYMENTS["aave_v3"]()
    deployment.book.put(addr(4), "BASE_CURRENCY_UNIT()", gives="reverted")
    state = read(deployment.family, deployment.book, deployment.csu)
    assert state.status == OK
    assert deployment.family.pricing(state, DECIMALS) == {}


def test_a_reserve_listed_later_and_an_oracle_that_is_gone() -> None:
    deployment = DEPLOYMENTS["aave_v3"]()
    deployment.book.put(addr(1), "getPriceOracle()", gives=words(0))
    state = read(deployment.family, deployment.book, deployment.csu)
    assert len(state.reserves) == 2
    assert deployment.family.pricing(state, DECIMALS) == {}


def test_compound_v2_native_market_and_price_scale() -> None:
    deployment, state = made("compound_v2")
    native, usdc = addr(0x10), addr(0x11)
    assert {r.reserve_id: r.asset for r in state.reserves} == {native: NATIVE, usdc: USDC}
    rules = deployment.family.pricing(state, DECIMALS)
    assert rules[USDC] == PriceRule(call(addr(4), "getUnderlyingPrice(address)", usdc), 30)
    assert rules[NATIVE].decimals == 18
    assert USDC not in deployment.family.pricing(state, {NATIVE: 18})  # a token with no decimals has no price


def test_compound_v2_market_whose_underlying_is_not_known() -> None:
    deployment = DEPLOYMENTS["compound_v2"]()
    deployment.book.put(addr(0x11), "underlying()", gives=b"\x00" * 7)
    state = read(deployment.family, deployment.book, deployment.csu)
    [_, usdc] = state.reserves
    assert (usdc.asset, usdc.status, usdc.supplied) == (None, "malformed", 981)


def test_a_comet_in_dollars_and_one_in_its_base_asset() -> None:
    deployment, state = made("compound_v3")
    rules = deployment.family.pricing(state, DECIMALS)
    assert rules[WETH] == PriceRule(call(addr(1), "getPrice(address)", addr(0x50)), 8, USD)
    assert rules.keys() == {WETH, USDC, WBTC}
    deployment = compound_v3("base")
    state = read(deployment.family, deployment.book, deployment.csu)
    rules = deployment.family.pricing(state, DECIMALS)
    assert {asset: rule.unit for asset, rule in rules.items()} == {USDC: WETH, WBTC: WETH}


def test_a_comet_that_does_not_say_how_many_assets_it_has_is_not_one_without_collateral() -> None:
    deployment = compound_v3()
    deployment.book.put(addr(1), "numAssets()", gives="reverted")
    state = read(deployment.family, deployment.book, deployment.csu)
    assert state.status == UNREADABLE
    assert state.reason and f"block {BLOCK}" in state.reason


def test_morpho_prices_collateral_in_the_loan_asset() -> None:
    deployment, state = made("morpho_blue")
    rule = PriceRule(call(addr(4), "price()"), 36 + 6 - 18, USDC, MARKET_MADE)
    assert deployment.family.pricing(state, DECIMALS) == {WETH: rule}
    assert {r.role for r in state.reserves if r.reserve_id.endswith("collateral")} == {COLLATERAL}


def test_morpho_remembers_markets_and_scans_only_what_is_new() -> None:
    deployment, state = made("morpho_blue")
    assert deployment.book.scans == [(50, BLOCK)]
    remembered = Memory(BLOCK - 10, dict(state.markets))
    again = read(deployment.family, deployment.book, deployment.csu, remembered)
    assert deployment.book.scans[-1] == (BLOCK - 9, BLOCK)
    assert again.markets[MARKET].collateral_raw == state.markets[MARKET].collateral_raw - 10**19  # seized again
    same = read(deployment.family, deployment.book, deployment.csu, Memory(BLOCK, dict(state.markets)))
    assert same.reserves == state.reserves
    assert len(deployment.book.scans) == 2  # nothing left to scan


def test_morpho_without_a_start_block_begins_at_its_first_day() -> None:
    deployment, state = made("morpho_blue")
    book = deployment.book
    csu = a_csu("morpho_blue", start_date=date(1970, 1, 3))
    assert read(deployment.family, book, csu).reserves == state.reserves
    assert book.scans[-1] == (86_400 // 1200, BLOCK)


def test_more_collateral_gone_than_ever_came_is_a_status() -> None:
    deployment = DEPLOYMENTS["morpho_blue"]()
    deployment.book.logs = [r for r in deployment.book.logs if r["block_number"] != 110]
    state = read(deployment.family, deployment.book, deployment.csu)
    assert {r.status for r in state.reserves if r.reserve_id.endswith("collateral")} == {"negative"}


def test_an_idle_morpho_market_has_no_collateral_and_no_rate() -> None:
    _, state = made("morpho_blue")
    assert [r.reserve_id for r in state.reserves if r.market_id == IDLE] == [f"{IDLE}:loan"]


def test_fluid_tells_vault_types_apart() -> None:
    deployment, state = made("fluid")
    one, two, four = (state.emitters[addr(0x40 + i)] for i in (1, 2, 3))
    assert (one["collateral"], one["debt"], one["status"]) == (NATIVE, USDC, OK)
    assert (two["shares"], two["debt"], two["status"]) == (addr(0xD1), USDC, "smart_collateral")
    assert four["status"] == "smart_collateral_and_debt" and "debt" not in four
    assert deployment.family.pricing(state, DECIMALS) == {}
    assert state.reserves[0].is_paused and not state.reserves[1].is_paused


@pytest.mark.parametrize(("answer", "why"), [("missing", "no code there"), ("reverted", "reverted")])
def test_fluid_with_a_factory_that_does_not_answer_names_block_and_cure(answer: str, why: str) -> None:
    deployment = DEPLOYMENTS["fluid"]()
    deployment.book.put(addr(2), "totalVaults()", gives=answer)
    state = read(deployment.family, deployment.book, deployment.csu)
    assert (state.status, state.emitters) == (UNREADABLE, {})
    assert state.reason and f"block {BLOCK} ({why})" in state.reason and "second_address" in state.reason


def test_fluid_without_a_second_address() -> None:
    deployment = DEPLOYMENTS["fluid"]()
    state = read(deployment.family, deployment.book, a_csu("fluid"))
    assert state.status == UNREADABLE and state.reason and "second_address" in state.reason


def test_fluid_without_an_exchange_price_is_not_zero() -> None:
    deployment = DEPLOYMENTS["fluid"]()
    deployment.book.put(
        addr(1), fluid.READ, fluid.mapping_slot(5, USDC).to_bytes(32, "big"), gives=words(packed(supply=0))
    )
    usdc = read(deployment.family, deployment.book, deployment.csu).reserves[1]
    assert (usdc.status, usdc.supplied, usdc.borrowed) == ("no_exchange_price", None, None)


def test_euler_prices_by_the_largest_vault_of_an_asset() -> None:
    deployment, state = made("euler_v2")
    rules = deployment.family.pricing(state, DECIMALS)
    quote = "getQuote(uint256,address,address)"
    assert rules[USDC] == PriceRule(call(addr(4), quote, 10**6, USDC, addr(840)), 18, USD, MARKET_MADE)
    assert rules[WETH] == PriceRule(call(addr(4), quote, 10**18, WETH, USDC), 6, USDC, MARKET_MADE)
    assert WETH not in deployment.family.pricing(state, {WETH: 18})  # its unit has no decimals


def test_euler_reads_many_vaults_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(euler_v2, "PAGE", 2)
    deployment = DEPLOYMENTS["euler_v2"]()
    book, slice_ = deployment.book, "getProxyListSlice(uint256,uint256)"
    vaults = sorted(deployment.emitters)
    book.put(addr(1), slice_, 0, 2, gives=address_list(*vaults[:2]))
    book.put(addr(1), slice_, 2, 3, gives=address_list(*vaults[2:]))
    assert read(deployment.family, book, deployment.csu).emitters.keys() == deployment.emitters
    book.put(addr(1), slice_, 2, 3, gives=address_list())
    state = read(deployment.family, book, deployment.csu)
    assert state.status == UNREADABLE and state.reason and "2 to 3" in state.reason


def test_silo_quotes_in_the_other_silos_asset() -> None:
    deployment, state = made("silo_v2")
    asked = call(addr(4), "quote(uint256,address)", 10**18, WETH)
    assert deployment.family.pricing(state, DECIMALS) == {WETH: PriceRule(asked, 6, USDC, MARKET_MADE)}


def test_gearbox_prices_by_its_managers_oracle() -> None:
    deployment, state = made("gearbox")
    assert deployment.family.pricing(state, DECIMALS)[USDC] == PriceRule(
        call(addr(4), "getPrice(address)", USDC), 8, USD
    )


@pytest.mark.parametrize(
    ("name", "target", "signature"),
    [("gearbox", addr(0x63), "creditFacade()"), ("fluid", addr(2), "getVaultAddress(uint256)")],
)
def test_an_emitter_that_is_not_known_is_not_a_day_without_liquidations(name: str, target: str, signature: str) -> None:
    deployment = DEPLOYMENTS[name]()
    arguments = [2] if "uint256" in signature else []
    deployment.book.put(target, signature, *arguments, gives="reverted")
    assert read(deployment.family, deployment.book, deployment.csu).status == UNREADABLE


LIQUIDATOR, BORROWER = addr(0x71), addr(0x72)


def test_legs_of_aave() -> None:
    deployment, state = made("aave_v3")
    rule, deficit = told(deployment)
    row = log_row(
        BLOCK,
        1,
        addr(2),
        Event(rule.signature),
        collateralAsset=WETH,
        debtAsset=USDC,
        user=BORROWER,
        debtToCover=2**200,
        liquidatedCollateralAmount=7,
        liquidator=LIQUIDATOR,
        receiveAToken=True,
    )
    legs = deployment.family.legs(rule.kind, decoded(row, Event(rule.signature)), {}, state)
    assert (legs.liquidator, legs.borrower, legs.debt_asset, legs.debt) == (LIQUIDATOR, BORROWER, USDC, 2**200)
    assert (legs.collateral_asset, legs.collateral_token_amount, legs.shares_of) == (WETH, 7, None)
    row = log_row(BLOCK, 2, addr(2), Event(deficit.signature), user=BORROWER, debtAsset=USDC, amountCreated=5)
    legs = deployment.family.legs(deficit.kind, decoded(row, Event(deficit.signature)), {}, state)
    assert (legs.borrower, legs.debt_asset, legs.debt, legs.bad_debt) == (BORROWER, USDC, None, 5)


def test_legs_of_compound_v2_where_nothing_is_indexed() -> None:
    deployment, state = made("compound_v2")
    [rule] = told(deployment)
    event, native, usdc = Event(rule.signature), addr(0x10), addr(0x11)
    values = {"liquidator": LIQUIDATOR, "borrower": BORROWER, "cTokenCollateral": native}
    row = log_row(BLOCK, 1, usdc, event, repayAmount=9, seizeTokens=50, **values)
    assert row["topic1"] is None
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[usdc], state)
    assert (legs.debt_asset, legs.debt, legs.collateral_asset) == (USDC, 9, NATIVE)
    assert (legs.collateral_token, legs.collateral_token_amount, legs.rate_decimals) == (native, 50, 18)
    assert legs.shares_of == call(native, "exchangeRateStored()")


def test_legs_of_comet() -> None:
    deployment, state = made("compound_v3")
    debt, seized = told(deployment)
    who = {"absorber": LIQUIDATOR, "borrower": BORROWER, "usdValue": 3}
    emitter = state.emitters[addr(1)]
    row = log_row(BLOCK, 1, addr(1), Event(debt.signature), basePaidOut=4, **who)
    legs = deployment.family.legs(debt.kind, decoded(row, Event(debt.signature)), emitter, state)
    assert (legs.debt_asset, legs.debt, legs.collateral_asset, legs.stated_usd) == (WETH, 4, None, 3)
    row = log_row(BLOCK, 2, addr(1), Event(seized.signature), asset=WBTC, collateralAbsorbed=6, **who)
    legs = deployment.family.legs(seized.kind, decoded(row, Event(seized.signature)), emitter, state)
    assert (legs.debt_asset, legs.collateral_asset, legs.collateral_token_amount) == (None, WBTC, 6)


def test_legs_of_morpho_need_the_market() -> None:
    deployment, state = made("morpho_blue")
    [rule] = told(deployment)
    row = next(r for r in deployment.book.logs if r["topic0"] == Event(rule.signature).topic0)
    values = decoded(row, Event(morpho_blue.LIQUIDATE))
    legs = deployment.family.legs(rule.kind, values, {}, state)
    assert (legs.debt_asset, legs.debt, legs.bad_debt) == (USDC, 5, 0)
    assert (legs.collateral_asset, legs.collateral_token_amount) == (WETH, 10**19)
    unknown = deployment.family.legs(rule.kind, values, {}, State())
    assert (unknown.debt_asset, unknown.collateral_asset, unknown.debt) == (None, None, 5)


@pytest.mark.parametrize(
    ("vault", "status", "collateral", "debt"),
    [
        (0x41, OK, NATIVE, USDC),
        (0x42, "smart_collateral", None, USDC),
        (0x43, "smart_collateral_and_debt", None, None),
    ],
)
def test_legs_of_fluid_name_what_a_vault_does_not_say(
    vault: int, status: str, collateral: str | None, debt: str | None
) -> None:
    deployment, state = made("fluid")
    [rule] = told(deployment)
    event = Event(rule.signature)
    row = log_row(BLOCK, 1, addr(vault), event, liquidator_=LIQUIDATOR, colAmt_=8, debtAmt_=9, to_=LIQUIDATOR)
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[addr(vault)], state)
    assert (legs.status, legs.collateral_asset, legs.debt_asset) == (status, collateral, debt)
    assert (legs.borrower, legs.debt, legs.collateral_token_amount, legs.market_id) == (None, 9, 8, addr(vault))


def test_legs_of_euler_turn_shares_into_assets() -> None:
    deployment, state = made("euler_v2")
    rule, socialized = told(deployment)
    event, vault, collateral = Event(rule.signature), addr(0x21), addr(0x23)
    values = {"liquidator": LIQUIDATOR, "violator": BORROWER, "repayAssets": 3, "yieldBalance": 10**20}
    row = log_row(BLOCK, 1, vault, event, collateral=collateral, **values)
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[vault], state)
    assert (legs.debt_asset, legs.collateral_asset, legs.status) == (USDC, WETH, OK)
    assert legs.shares_of == call(collateral, "convertToAssets(uint256)", 10**20) and legs.rate_decimals is None
    row = log_row(BLOCK, 1, vault, event, collateral=addr(0x99), **values)
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[vault], state)
    assert (legs.collateral_asset, legs.shares_of, legs.status) == (None, None, "collateral_unknown")
    event = Event(socialized.signature)
    row = log_row(BLOCK, 2, vault, event, account=BORROWER, assets=4)
    legs = deployment.family.legs(socialized.kind, decoded(row, event), state.emitters[vault], state)
    assert (legs.debt_asset, legs.bad_debt, legs.debt) == (USDC, 4, None)


def test_legs_of_silo_by_the_silo_of_the_debt() -> None:
    deployment, state = made("silo_v2")
    [rule] = told(deployment)
    event, hook = Event(rule.signature), addr(5)
    values = {"liquidator": LIQUIDATOR, "borrower": BORROWER, "repayDebtAssets": 3, "withdrawCollateral": 4}
    row = log_row(BLOCK, 1, hook, event, silo=addr(0x32), receiveSToken=False, **values)
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[hook], state)
    assert (legs.debt_asset, legs.debt, legs.collateral_asset, legs.collateral_token_amount) == (USDC, 3, WETH, 4)
    row = log_row(BLOCK, 1, hook, event, silo=addr(0x99), receiveSToken=False, **values)
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[hook], state)
    assert (legs.status, legs.debt_asset, legs.debt) == ("silo_unknown", None, 3)


def test_legs_of_gearbox_leave_amounts_unknown() -> None:
    deployment, state = made("gearbox")
    rule, loss = told(deployment)
    event, facade = Event(rule.signature), addr(0x64)
    row = log_row(
        BLOCK, 1, facade, event, creditAccount=BORROWER, liquidator=LIQUIDATOR, to=LIQUIDATOR, remainingFunds=99
    )
    legs = deployment.family.legs(rule.kind, decoded(row, event), state.emitters[facade], state)
    assert (legs.status, legs.debt, legs.collateral_token_amount) == ("amounts_not_logged", None, None)
    assert (legs.debt_asset, legs.market_id, legs.borrower) == (USDC, addr(0x63), BORROWER)
    event = Event(gearbox.LOSS)
    row = log_row(BLOCK, 2, addr(0x61), event, creditManager=addr(0x63), loss=12)
    legs = deployment.family.legs(loss.kind, decoded(row, event), state.emitters[addr(0x61)], state)
    assert (legs.debt_asset, legs.bad_debt) == (USDC, 12)


def test_the_first_reason_of_a_reserve_stands() -> None:
    reserve = Reserve("x", WETH, supplied=3)
    reserve.fail("reverted")
    reserve.lose("malformed")
    assert (reserve.status, reserve.supplied, reserve.borrowed) == ("reverted", None, None)


def test_a_plain_token_at_morphos_address_is_unreadable_not_an_empty_market() -> None:
    deployment = DEPLOYMENTS["morpho_blue"]()
    book = deployment.book
    for odd, status in (("reverted", UNREADABLE), (words(1), UNREADABLE), ("missing", NOT_DEPLOYED)):
        book.put(addr(1), "idToMarketParams(bytes32)", b"\0" * 32, gives=odd)
        state = read(deployment.family, book, deployment.csu)
        assert (state.status, state.reserves, state.emitters) == (status, [], {}) and state.reason


def test_moolah_prices_both_tokens_by_peek() -> None:
    deployment, state = made("moolah")
    rules = deployment.family.pricing(state, {})
    asked = {a: call(addr(4), "peek(address)", a) for a in (WETH, USDC)}
    assert rules == {a: PriceRule(asked[a], 8, USD, MARKET_MADE) for a in (WETH, USDC)}


def test_a_morpho_liquidation_is_priced_by_its_own_market() -> None:
    deployment, state = made("morpho_blue")
    small = replace(state.markets[MARKET], market_id="0xsmall", oracle=addr(44), collateral_raw=1)
    state.markets["0xsmall"] = small
    assert deployment.family.pricing(state, DECIMALS)[WETH].call.target == addr(4)
    assert deployment.family.pricing(state, DECIMALS, ["0xsmall"])[WETH].call.target == addr(44)


def test_a_morpho_oracle_is_as_old_as_its_oldest_feed() -> None:
    deployment = DEPLOYMENTS["morpho_blue"]()
    deployment.book.put(addr(4), "BASE_FEED_1()", gives=words(addr(71)))
    deployment.book.put(addr(4), "QUOTE_FEED_1()", gives=words(addr(72)))
    deployment.book.put(addr(4), "QUOTE_FEED_2()", gives=words(0))
    state = read(deployment.family, deployment.book, deployment.csu)
    assert deployment.family.pricing(state, DECIMALS)[WETH].feeds == (addr(71), addr(72))


def test_aave_books_deficits_and_what_is_minted() -> None:
    deployment = DEPLOYMENTS["aave_v3"]()
    book, pool, gho = deployment.book, addr(2), USDC
    for asset, own, lost in ((WETH, 650, 7), (gho, 0, 0)):
        book.put(pool, "getVirtualUnderlyingBalance(address)", asset, gives=words(own))
        book.put(pool, "getReserveDeficit(address)", asset, gives=words(lost))
    book.put(addr(0x101), "totalSupply()", gives=words(0))
    book.put(addr(0x301), "totalSupply()", gives=words(90))
    weth, minted = read(deployment.family, book, deployment.csu).reserves
    assert (weth.available, weth.held, weth.deficit, weth.minted, weth.counted) == (650, 680, 7, 0, 650)
    assert weth.is_book and (minted.supplied, minted.borrowed, minted.minted, minted.counted) == (0, 90, 90, None)


def test_aave_v2_dollar_markets_count_in_dollars() -> None:
    deployment = DEPLOYMENTS["aave_v2"]()
    deployment.book.put(addr(4), "BASE_CURRENCY_UNIT()", gives=words(10**8))
    deployment.book.put(addr(4), "BASE_CURRENCY()", gives=words("0x10f7fc1f91ba351f9c629c5947ad69bd03c05b96"))
    state = read(deployment.family, deployment.book, deployment.csu)
    assert {(r.unit, r.decimals) for r in deployment.family.pricing(state, DECIMALS).values()} == {(USD, 8)}


def test_an_oracle_is_read_again_at_another_block() -> None:
    for name, asks, target in (("aave_v3", "getPriceOracle()", addr(1)), ("compound_v2", "oracle()", addr(1))):
        deployment, state = made(name)
        deployment.book.put(target, asks, gives=words(addr(99)))
        deployment.book.put(addr(99), "BASE_CURRENCY_UNIT()", gives=words(10**8))
        deployment.book.put(addr(99), "BASE_CURRENCY()", gives=words(0))
        oracle = asyncio.run(deployment.family.oracle(at(deployment.book), deployment.csu, state))
        rules = deployment.family.pricing(replace(state, oracle=oracle), DECIMALS)
        assert {rule.call.target for rule in rules.values()} == {addr(99)}, name


def test_vai_is_debt_that_nobody_lent_and_its_liquidations_are_heard() -> None:
    deployment = DEPLOYMENTS["compound_v2"]()
    book, controller, vai = deployment.book, addr(0x77), addr(0x78)
    book.put(addr(1), "vaiController()", gives=words(controller))
    book.put(controller, "getVAIAddress()", gives=words(vai))
    book.put(vai, "totalSupply()", gives=words(5_000))
    state = read(deployment.family, book, deployment.csu)
    reserve = next(r for r in state.reserves if r.reserve_id == vai)
    assert (reserve.role, reserve.supplied, reserve.borrowed, reserve.minted) == ("minted", 0, 5_000, 5_000)
    rule = next(r for r in deployment.family.events if r.name == "LiquidateVAI")
    assert event_topics([rule.signature]) == ["0x42d401f96718a0c42e5cea8108973f0022677b7e2e5f4ee19851b2de7a0394e7"]
    values = {"liquidator": addr(1), "borrower": addr(2), "repayAmount": 7, "cTokenCollateral": addr(0x11)}
    legs = deployment.family.legs(rule.kind, values | {"seizeTokens": 3}, state.emitters[controller], state)
    assert (legs.debt_asset, legs.debt, legs.collateral_asset) == (vai, 7, USDC)


def test_a_comet_keeps_what_it_absorbed_apart() -> None:
    _, state = made("compound_v3")
    assert [r.absorbed for r in state.reserves] == [0, 0, 3]


@pytest.mark.parametrize(
    ("name", "event", "values", "moved"),
    [
        ("aave_v3", "Supply", {"reserve": WETH, "amount": "5"}, [(WETH, 5)]),
        ("aave_v3", "Borrow", {"reserve": WETH, "amount": "5"}, [(WETH, -5)]),
        ("aave_v3", "Repay", {"reserve": WETH, "amount": "5", "useATokens": False}, [(WETH, 5)]),
        ("aave_v3", "Repay", {"reserve": WETH, "amount": "5", "useATokens": True}, []),
        ("aave_v3", "FlashLoan", {"asset": WETH, "amount": "9", "premium": "2"}, [(WETH, 2)]),
        ("aave_v3", "BackUnbacked", {"reserve": WETH, "amount": "5", "fee": "1"}, [(WETH, 6)]),
        ("aave_v3", "DeficitCreated", {}, []),
        ("aave_v2", "Repay", {"reserve": WETH, "amount": "5"}, [(WETH, 5)]),
        ("compound_v2", "Mint", {"minter": addr(9), "amount": "5"}, [(addr(0x11), 5)]),
        ("compound_v2", "ReservesAdded", {"minter": addr(0x11), "amount": "5"}, []),
        ("compound_v2", "ReservesAdded", {"minter": addr(9), "amount": "5"}, [(addr(0x11), 5)]),
        ("compound_v2", "RedeemFee", {"minter": addr(9), "amount": "5"}, [(addr(0x11), -5)]),
        ("compound_v2", "LiquidateBorrow", {}, []),
        ("morpho_blue", "Withdraw", {"id": MARKET, "assets": "5"}, [(f"{MARKET}:loan", -5)]),
        ("morpho_blue", "Liquidate", {"id": MARKET, "repaidAssets": "5"}, [(f"{MARKET}:loan", 5)]),
    ],
)
def test_what_an_event_moves(name: str, event: str, values: dict[str, Any], moved: list[tuple[str, int]]) -> None:
    deployment, state = made(name)
    found = deployment.family.moved(event, values, addr(0x11), state)
    assert [(m.reserve_id, m.amount) for m in found] == moved


@pytest.mark.parametrize(("receives", "out"), [(True, []), (False, [(WETH, -3)])])
def test_a_liquidation_paid_in_atokens_takes_no_collateral_out(receives: bool, out: list[tuple[str, int]]) -> None:
    deployment, state = made("aave_v3")
    values = {"debtAsset": USDC, "debtToCover": "8", "collateralAsset": WETH, "liquidatedCollateralAmount": "3"}
    found = deployment.family.moved("LiquidationCall", values | {"receiveAToken": receives}, addr(2), state)
    assert [(m.reserve_id, m.amount) for m in found] == [(USDC, 8), *out]
