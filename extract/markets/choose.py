"""Which normalized markets a day is about: the target day, checked here again, and the configured filters. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from extract.markets.config import Polymarket


@dataclass(frozen=True)
class TargetDay:
    """The day `run_date + window_days` in UTC, from its midnight to the next, the next not included."""

    run_date: date
    window_days: int

    @property
    def start_at(self) -> datetime:
        return datetime.combine(self.run_date + timedelta(days=self.window_days), time(), UTC)

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(days=1)

    @property
    def date(self) -> date:
        return self.start_at.date()


def why_not(market: Mapping[str, Any], day: TargetDay, wanted: Polymarket) -> tuple[str, str, str] | None:
    """Why a market is left out, as (reason, field, words); None when it is wanted. Reasons are tried in this order."""
    if market["is_closed"]:
        return "closed", "closed", "trading has ended"
    if not market["is_active"]:
        return "not_active", "active", "it is not open for trading"
    if market["is_archived"]:
        return "archived", "archived", "the source has put it away"
    if market["end_date"] != day.date:
        shown = market["end_at"] or market["end_date"]
        return "outside_target_day", "endDate", f"it ends {shown:%Y-%m-%d %H:%M:%S} UTC, not on {day.date}"
    if wanted.skip_neg_risk_placeholders and market["is_neg_risk_placeholder"]:
        return "neg_risk_placeholder", "negRiskOther", "an outcome that stands for others not yet named"
    if wanted.skip_recurring and _is_recurring(market, wanted):
        return "recurring_series", "series", f"series {market['series_slug'] or market['slug']}"
    return _too_thin(market, wanted)


def _too_thin(market: Mapping[str, Any], wanted: Polymarket) -> tuple[str, str, str] | None:
    if wanted.min_liquidity_usd <= 0:
        return None
    if market["liquidity_usd"] is None:
        return "liquidity_unknown", "liquidityNum", "no liquidity is given"
    if market["liquidity_usd"] < wanted.min_liquidity_usd:
        words = f"{market['liquidity_usd']:.0f} USD, below {wanted.min_liquidity_usd:.0f}"
        return "below_min_liquidity", "liquidityNum", words
    return None


def _is_recurring(market: Mapping[str, Any], wanted: Polymarket) -> bool:
    names = (market["slug"], market["event_slug"], market["series_slug"])
    return any(name and re.search(wanted.recurring_slug_pattern, name) for name in names)
