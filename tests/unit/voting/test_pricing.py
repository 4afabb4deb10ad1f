"""Which price to believe, case by case, and what a sale into a pool brings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extract.errors import ConfigError
from extract.evm.calls import Reply
from extract.voting.pools import Pool, load_pools, sale
from extract.voting.pricing import PriceQuote, PriceRules, judge

NOW = 1_000_000
RULES = PriceRules(agree_ratio=1.2, stale_seconds=100, max_age_seconds=1_000, least_sale_usd=10, calm_depth=1_000)


def ref(price: float, age: int = 0, source: str = "ref") -> PriceQuote:
    return PriceQuote(source, "reference", price, NOW - age)


def sold(price: float, size: float = 25.0, depth: float | None = None) -> PriceQuote:
    return PriceQuote("router", "sale", price, NOW, size, depth)


@pytest.mark.parametrize(
    ("quotes", "price", "status", "support"),
    [
        ([], None, "no_source", None),
        ([ref(1.0, 2_000)], None, "too_old", None),
        ([ref(1.0, -5)], None, "no_source", None),  # made after the moment: not known then
        ([ref(1.0)], 1.0, "ok", "alone"),
        ([ref(1.0), ref(1.1)], 1.0, "ok", "agreed"),
        ([ref(1.0), ref(27.0)], None, "sources_disagree", None),
        ([ref(1.0), ref(9.0, 500)], 1.0, "ok", "alone"),  # an old one beside a fresh one is not asked
        ([ref(9.0, 500)], 9.0, "ok", "alone"),
        ([sold(1.0, 1.0)], None, "sale_too_small", None),
        ([sold(2.0, 1.0), sold(1.0)], 1.0, "ok", "alone"),
        ([ref(1.0), sold(1.1)], 1.0, "ok", "agreed"),
        ([ref(1.0), sold(0.9)], 0.9, "ok", "agreed"),
        ([ref(1.0), sold(0.08)], 0.08, "ok", "sale"),  # what a sale brings, whatever is paid elsewhere
        ([ref(1.0), sold(0.9, 1.0), sold(0.08, depth=80.0)], 0.08, "ok", "sale"),  # a thin pool gives way
        ([ref(1.0), sold(0.9, 1.0), sold(0.03, depth=1e6)], None, "sources_disagree", None),  # a deep one does not
        ([ref(1.0), sold(27.0)], None, "sources_disagree", None),  # never a higher price instead of a lower one
        ([ref(0.0), sold(1.0)], 1.0, "ok", "alone"),
    ],
)
def test_each_case(quotes: list[PriceQuote], price: float | None, status: str, support: str | None) -> None:
    found = judge(quotes, NOW, RULES)
    assert (found.price_usd, found.status, found.support) == (price, status, support)


prices = st.floats(1e-9, 1e6)


@given(
    st.lists(st.builds(ref, prices, st.integers(0, 2_000)), max_size=4), st.lists(st.builds(sold, prices), max_size=3)
)
def test_a_price_is_always_somebodys_quote_and_never_above_every_reference(
    references: list[PriceQuote], sales: list[PriceQuote]
) -> None:
    found = judge([*references, *sales], NOW, RULES)
    if found.price_usd is None:
        assert found.status != "ok" and found.quote is None
        return
    assert found.quote in [*references, *sales] and found.price_usd == found.quote.price_usd
    fresh = [r for r in references if NOW - r.made_at <= RULES.stale_seconds]
    assert not fresh or found.price_usd <= max(r.price_usd for r in fresh)


# Pools

TOKEN, COIN = "0x" + "22" * 20, "0x" + "11" * 20


def word(*values: int) -> Reply:
    return Reply("ok", b"".join(v.to_bytes(32, "big") for v in values), "test")


@given(st.floats(1.0, 1e7), st.floats(1e-3, 1e4), st.floats(1, 1e4))
def test_a_sale_into_a_pool_is_the_constant_product(depth: float, price: float, size: float) -> None:
    """Token of 18 decimals against a coin of 6 worth a dollar: x·y stays."""
    x, y = int(depth / price * 10**18), int(depth * 10**6)
    pool = Pool(TOKEN, "0x" + "99" * 20, COIN, "constant_product")
    replies = {"token0": word(int(COIN, 16)), "reserves": word(y, x, 0), "held": word(y)}
    found = sale(pool, replies, (18, 6), 1.0, size, NOW)
    assert found is not None and found.kind == "sale" and found.liquidity_usd == pytest.approx(depth, rel=1e-3)
    amount = size / price
    brought = depth - depth * (depth / price) / (depth / price + amount)
    assert found.price_usd == pytest.approx(brought / amount, rel=1e-3)
    assert found.price_usd <= price * 1.001


def test_a_concentrated_pool_is_no_deeper_than_what_it_holds() -> None:
    root = 2**96  # one to one, both tokens with 6 decimals
    pool = Pool(COIN, "0x" + "99" * 20, TOKEN, "concentrated")
    replies = {"token0": word(int(COIN, 16)), "liquidity": word(10**12), "price": word(root), "held": word(50 * 10**6)}
    found = sale(pool, replies, (6, 6), 2.0, 20.0, NOW)
    assert found is not None and found.price_usd == pytest.approx(2.0, rel=1e-4) and found.liquidity_usd == 100.0
    assert sale(pool, replies, (6, 6), 2.0, 500.0, NOW) is None, "a sale beyond what it holds is not quoted"


def test_a_pool_that_does_not_answer_gives_no_price() -> None:
    pool = Pool(TOKEN, "0x" + "99" * 20, COIN, "constant_product")
    dead = Reply("reverted", b"", "test")
    for replies in (
        {"token0": dead, "reserves": word(1, 1, 0), "held": word(1)},
        {"token0": word(int(COIN, 16)), "reserves": dead, "held": word(1)},
        {"token0": word(int(COIN, 16)), "reserves": word(0, 0, 0), "held": word(0)},
    ):
        assert sale(pool, replies, (18, 6), 1.0, 25.0, NOW) is None


def test_the_configuration_of_a_pool_is_checked() -> None:
    good = {"token": TOKEN, "pool": "0x" + "99" * 20, "quote": COIN, "kind": "algebra"}
    assert load_pools("base", [good], {COIN: "0xfeed"})[0].kind == "algebra" and load_pools("base", None, {}) == ()
    with pytest.raises(ConfigError, match="has no feed"):
        load_pools("base", [good], {})
    with pytest.raises(ConfigError, match="use one of constant_product"):
        load_pools("base", [good | {"kind": "curve"}], {COIN: "0xfeed"})
    with pytest.raises(ConfigError, match="lacks quote"):
        load_pools("base", [{k: v for k, v in good.items() if k != "quote"}], {})
