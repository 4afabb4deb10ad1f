"""The voting line's constants out of the seeds, typed."""

from __future__ import annotations

from pathlib import Path

from extract.seeds import threshold
from extract.voting.pricing import PriceRules


def price_rules(seeds: Path) -> PriceRules:
    """When prices agree, how old they may be, and how much must be sold to say anything."""
    return PriceRules(
        agree_ratio=threshold(seeds, "price_agree_ratio"),
        stale_seconds=threshold(seeds, "price_stale_seconds"),
        max_age_seconds=threshold(seeds, "price_max_age_seconds"),
        least_sale_usd=threshold(seeds, "price_least_sale_usd"),
        calm_depth=threshold(seeds, "price_calm_depth"),
    )
