"""Which price of a token to believe: pure, from every quote at hand, and never a price that nothing supports.

A quote that says what a sale brings beats one that says what others paid elsewhere: a reward is worth what it can be
sold for. Where sources agree the lower one counts. Where they do not, the sale counts if it is the lower one and is not
at odds with itself; a price that is only higher than the other is never taken instead of it. What remains is unpriced,
with a reason: unpriced is not zero, and unmeasured liquidity is not none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PriceQuote:
    """USD per whole token. `kind`: `reference` (an aggregator's) or `sale` (what a sale of `size_usd` brings).

    `made_at` in unix seconds. `liquidity_usd`: what the pools behind it hold against the token; None: not measured.
    """

    source: str
    kind: str
    price_usd: float
    made_at: int
    size_usd: float | None = None
    liquidity_usd: float | None = None


@dataclass(frozen=True)
class PriceRules:
    """Thresholds: a ratio up to which prices agree, ages in seconds, and the least sale that says anything, USD."""

    agree_ratio: float
    stale_seconds: float
    max_age_seconds: float
    least_sale_usd: float
    calm_depth: float  # a pool this many times as deep as a sale cannot be moved by it


@dataclass(frozen=True)
class Judged:
    """A price with the quote it is taken from, or None; `status` is `ok` or why there is none.

    `support`: agreed (two kinds), alone (one), sale (the sale was believed over a higher reference).
    """

    price_usd: float | None
    quote: PriceQuote | None
    status: str
    support: str | None = None
    liquidity_usd: float | None = None


def judge(quotes: Sequence[PriceQuote], moment: int, rules: PriceRules) -> Judged:
    """The price to value a token with at `moment` (unix seconds)."""
    known = [q for q in quotes if q.price_usd > 0 and q.made_at <= moment]
    if not known:
        return Judged(None, None, "no_source")
    young = [q for q in known if moment - q.made_at <= rules.max_age_seconds]
    if not young:
        return Judged(None, None, "too_old")
    fresh = [q for q in young if moment - q.made_at <= rules.stale_seconds] or young
    sales = sorted((q for q in fresh if q.kind == "sale"), key=lambda q: q.size_usd or 0.0)
    references = sorted((q for q in fresh if q.kind == "reference"), key=lambda q: q.price_usd)
    liquidity = max((q.liquidity_usd for q in fresh if q.liquidity_usd is not None), default=None)
    large = [q for q in sales if (q.size_usd or 0.0) >= rules.least_sale_usd]
    if not large and not references:
        return Judged(None, None, "sale_too_small", liquidity_usd=liquidity)
    if not large:
        return _of_references(references, rules, liquidity)
    sale = large[-1]
    if not references:
        return Judged(sale.price_usd, sale, "ok", "alone", liquidity)
    return _of_both(sale, sales, references, rules, liquidity)


def _of_references(references: Sequence[PriceQuote], rules: PriceRules, liquidity: float | None) -> Judged:
    low, high = references[0], references[-1]
    if high.price_usd > low.price_usd * rules.agree_ratio:
        return Judged(None, None, "sources_disagree", liquidity_usd=liquidity)
    return Judged(low.price_usd, low, "ok", "agreed" if len(references) > 1 else "alone", liquidity)


def _of_both(
    sale: PriceQuote,
    sales: Sequence[PriceQuote],
    references: Sequence[PriceQuote],
    rules: PriceRules,
    liquidity: float | None,
) -> Judged:
    near = [r for r in references if _ratio(r, sale) <= rules.agree_ratio]
    if near:
        low = min((sale, *near), key=lambda q: q.price_usd)
        return Judged(low.price_usd, low, "ok", "agreed", liquidity)
    if sale.price_usd > references[-1].price_usd:
        return Judged(None, None, "sources_disagree", liquidity_usd=liquidity)
    is_steady = all(_ratio(other, sale) <= rules.agree_ratio for other in sales)
    depth = sale.liquidity_usd if sale.liquidity_usd is not None else liquidity
    is_deep = depth is not None and depth >= rules.calm_depth * (sale.size_usd or 0.0)
    if is_deep and not is_steady:  # a deep pool is not moved by so small a sale: one of the quotes is no market
        return Judged(None, None, "sources_disagree", liquidity_usd=liquidity)
    return Judged(sale.price_usd, sale, "ok", "sale", liquidity)


def _ratio(one: PriceQuote, other: PriceQuote) -> float:
    return max(one.price_usd, other.price_usd) / min(one.price_usd, other.price_usd)
