"""Families under damaged replies, and the interest they add, against exact arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extract.lending.families import FAMILIES
from extract.lending.families.base import NO_ARCHIVE, OK, Reserve, State
from extract.lending.families.fluid import PERCENT, PRICE_UNIT, YEAR, exchange_prices, mapping_slot
from extract.lending.families.morpho_blue import WAD, accrue
from tests.lending_fakes import read
from tests.lending_protocols import DECIMALS, DEPLOYMENTS, packed

WHOLE: dict[str, State] = {}
AMOUNTS = ("supplied", "borrowed", "borrowed_stable", "available")


def whole(name: str) -> State:
    if name not in WHOLE:
        of = DEPLOYMENTS[name]()
        WHOLE[name] = read(of.family, of.book, of.csu)
    return WHOLE[name]


def same_or_unknown(found: Reserve, was: Reserve) -> bool:
    return all(getattr(found, a) in (None, getattr(was, a)) for a in AMOUNTS)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_reply_takes_amounts_away_and_never_changes_them(name: str, data: st.DataObject) -> None:
    """One reply is refused or cut short: what is then reported is what it was, or null with a reason."""
    deployment = DEPLOYMENTS[name]()
    book = deployment.book
    asked = data.draw(st.sampled_from(sorted(book.answers, key=lambda c: (c.target, c.data))))
    answer = book.answers[asked]
    damage = st.sampled_from(["missing", "reverted", NO_ARCHIVE])
    short = st.integers(0, 31).map(lambda n: answer[:n] if isinstance(answer, bytes) else "reverted")
    book.answers[asked] = data.draw(damage | short) or "missing"
    state = read(deployment.family, book, deployment.csu)
    if state.status != OK:
        assert state.reason and not state.emitters
        return
    before = {r.reserve_id: r for r in whole(name).reserves}
    after = {r.reserve_id: r for r in state.reserves}
    lost = before.keys() - after.keys()
    assert not lost or any(r.status != OK for r in state.reserves)
    for key, reserve in after.items():
        assert key in before or reserve.status != OK
        if key in before:
            assert same_or_unknown(reserve, before[key])
        if None in (reserve.supplied, reserve.borrowed, reserve.available):
            assert reserve.status != OK
    assert state.emitters.keys() >= deployment.emitters  # every contract that logs is still scanned


@pytest.mark.parametrize("name", sorted(FAMILIES))
@settings(max_examples=25, deadline=None)
@given(known=st.sets(st.sampled_from(sorted(DECIMALS))))
def test_prices_are_asked_for_own_assets_only_and_in_known_units(name: str, known: set[str]) -> None:
    decimals = {asset: DECIMALS[asset] for asset in known}
    rules = FAMILIES[name].pricing(whole(name), decimals)
    assert rules.keys() <= whole(name).assets()
    for asset, rule in rules.items():
        assert rule.unit != asset
        assert 0 <= rule.decimals <= 72


RAW = st.integers(0, 2**110)
RATES = st.integers(0, 10**12)  # per second, 1e18: up to 3e13 % a year


@given(RAW, RAW, RATES, st.integers(0, 10**8))
def test_morpho_interest_is_the_rational_one_rounded_down_three_times(
    supplied: int, borrowed: int, rate: int, elapsed: int
) -> None:
    """MathLib.wTaylorCompounded: x + x^2/2 + x^3/6 with a floor after each product (x = rate * elapsed)."""
    now = 2_000_000_000
    got = accrue((supplied, 1, borrowed, 1, now - elapsed, 0), rate, now)
    x = Fraction(rate * elapsed, WAD)
    exact = borrowed * (x + x**2 / 2 + x**3 / 6)
    interest = got[1] - borrowed
    assert got[0] - supplied == interest >= 0
    # floors lose under one unit of 1e-18 in the second term, one and x/3 of one in the third, and one of the asset
    slack = 1 + borrowed * (2 + x / 3) / WAD
    assert exact - slack < interest <= exact


def _taylor(rate: int, elapsed: int) -> int:
    """As the contract computes it, operation by operation (mulDivDown is a floor division)."""
    first = rate * elapsed
    second = first * first // (2 * WAD)
    return first + second + second * first // (3 * WAD)


@given(RAW, RATES, st.integers(0, 10**8))
def test_morpho_interest_is_the_contracts_to_the_unit(borrowed: int, rate: int, elapsed: int) -> None:
    expected = borrowed * _taylor(rate, elapsed) // WAD
    assert accrue((0, 0, borrowed, 0, 1000, 0), rate, 1000 + elapsed) == (expected, borrowed + expected)


def test_morpho_known_values() -> None:
    year = 31_536_000
    five_percent = 1_585_489_599  # per second
    supplied, borrowed = accrue((10**24, 0, 10**24, 0, 0, 0), five_percent, year)
    assert supplied == borrowed
    assert 0.05126 < borrowed / 10**24 - 1 < 0.05128  # e^0.05 - 1 = 0.051271
    assert accrue((7, 0, 5, 0, 500, 0), 10**9, 400) == (7, 5)  # a clock behind the last update adds nothing


@given(
    rate=st.integers(0, 0xFFFF),
    elapsed=st.integers(0, 10**7),
    utilization=st.integers(0, PERCENT),
    fee=st.integers(0, PERCENT),
    free_supply=st.integers(0, 10**6),
    free_borrow=st.integers(0, 10**6),
)
def test_fluid_lenders_get_what_borrowers_pay(
    rate: int, elapsed: int, utilization: int, fee: int, free_supply: int, free_borrow: int
) -> None:
    """Against exact rationals: growth of the borrow price is rate * time, of the supply price that times yield.

    Ratios are of 1e6 with interest to `free` without, stored as the contract stores them (1e4, the larger below).
    """

    def stored(free: int, grown: int = 10**6) -> tuple[int, Fraction]:
        if free > grown:
            ratio = grown * PERCENT // free
            return ratio << 1 | 1, Fraction(PERCENT, ratio) if ratio else Fraction(0)
        ratio = free * PERCENT // grown
        return ratio << 1, Fraction(ratio, PERCENT)

    supply_ratio, s = stored(free_supply)
    borrow_ratio, b = stored(free_borrow)
    price = 3 * PRICE_UNIT
    config = packed(rate, 0, price, price, fee=fee, utilization=utilization) | supply_ratio << 219 | borrow_ratio << 234
    found = exchange_prices(config, elapsed)
    assert found is not None
    supply, borrow = found
    growth = Fraction(rate * elapsed, PERCENT * YEAR)
    assert price * (1 + growth) - 1 < borrow <= price * (1 + growth)
    share = Fraction(utilization, PERCENT) * (1 + s) / (1 + b)
    expected = price * (1 + growth * share * Fraction(PERCENT - fee, PERCENT))
    slack = 1 + price * growth * Fraction(2, PERCENT)  # the contract keeps four digits of the yield
    assert expected - slack < supply <= expected + slack * Fraction(1, 10**6)


@given(st.integers(1, 0xFFFF), st.integers(1, 10**7))
def test_fluid_prices_stand_still_without_time_rate_or_interest(rate: int, elapsed: int) -> None:
    still = packed(rate, 100)
    assert exchange_prices(still, 100) == exchange_prices(still, 50) == (PRICE_UNIT, PRICE_UNIT)
    assert exchange_prices(packed(0, 0), elapsed) == (PRICE_UNIT, PRICE_UNIT)
    assert exchange_prices(packed(rate, 0, borrow_ratio=1), elapsed) == (PRICE_UNIT, PRICE_UNIT)
    only_borrow = exchange_prices(packed(rate, 0, supply_ratio=1, utilization=5000), elapsed)
    assert only_borrow and only_borrow[0] == PRICE_UNIT <= only_borrow[1]


def test_fluid_example_of_the_source() -> None:
    """LiquidityCalcs: 80 + 20 supplied, 50 + 10 borrowed, 40 % for half a year, no fee: 1.1125... and 1.2.

    The source's own figures take a fee of 10 %: 22.5 % a year on lenders with interest.
    """
    config = packed(
        4000,
        0,
        100 * PRICE_UNIT,
        100 * PRICE_UNIT,
        fee=1000,
        utilization=6000,
        supply_ratio=2500 << 1,
        borrow_ratio=2000 << 1,
    )
    found = exchange_prices(config, YEAR // 2)
    assert found is not None
    assert found[1] == 120 * PRICE_UNIT
    assert found[0] == 11125 * PRICE_UNIT // 100


def test_mapping_slot_is_soliditys() -> None:
    """keccak256(abi.encode(address(0), uint256(0))): the well-known first slot."""
    assert f"{mapping_slot(0, '0x0'):064x}" == "ad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5"


def test_a_copy_of_a_reserve_is_compared_by_its_amounts() -> None:
    """The check above is not vacuous: a changed amount is seen."""
    was = Reserve("x", None, supplied=5, available=1)
    assert same_or_unknown(replace(was, supplied=None), was)
    assert not same_or_unknown(replace(was, supplied=0), was)
