"""Read `[polymarket]` of foreshore.toml: where the source is, how it may be asked, which markets are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from extract.errors import ConfigError
from extract.web import WebLimits

LONGEST_HISTORY_DAYS = 15  # the CLOB answers a longer window with nothing


@dataclass(frozen=True)
class Polymarket:
    """The section; every field has a default, named in foreshore.toml with its evidence."""

    gamma_url: str = "https://gamma-api.polymarket.com"
    clob_url: str = "https://clob.polymarket.com"
    page_size: int = 100
    max_pages: int = 500
    ids_per_request: int = 100
    gamma_requests_per_second: float = 25.0
    clob_requests_per_second: float = 80.0
    max_in_flight: int = 8
    timeout_seconds: float = 30.0
    tries: int = 8
    min_liquidity_usd: float = 0.0
    skip_recurring: bool = True
    recurring_slug_pattern: str = r"up-or-down|updown"
    skip_neg_risk_placeholders: bool = True
    history_days: int = 14
    history_fidelity_minutes: int = 60
    book_max_age_minutes: float = 30.0
    resolve_for_days: int = 180
    recheck_for_days: int = 14
    lock_wait_seconds: float = 300.0
    news_url: str = "https://api.gdeltproject.org"
    news_requests_per_second: float = 0.2
    news_max_markets: int = 100
    news_days: int = 30
    news_per_market: int = 10
    news_max_age_minutes: float = 60.0

    @property
    def gamma_limits(self) -> WebLimits:
        return WebLimits(self.gamma_requests_per_second, self.max_in_flight, self.timeout_seconds, self.tries)

    @property
    def news_limits(self) -> WebLimits:
        return WebLimits(self.news_requests_per_second, 1, self.timeout_seconds, self.tries)

    @property
    def clob_limits(self) -> WebLimits:
        return WebLimits(self.clob_requests_per_second, self.max_in_flight, self.timeout_seconds, self.tries)

    def selection(self) -> dict[str, Any]:
        """What decides which rows a day has, for its fingerprint."""
        names = ("min_liquidity_usd", "skip_recurring", "recurring_slug_pattern", "skip_neg_risk_placeholders")
        return {name: getattr(self, name) for name in names}


def load_polymarket(section: Mapping[str, Any]) -> Polymarket:
    """The checked section. Errors: ConfigError names the key and what it may be."""
    kinds = {f.name: type(f.default) for f in fields(Polymarket)}
    made: dict[str, Any] = {}
    for name, value in section.items():
        if name not in kinds:
            raise ConfigError(f"[polymarket] has no {name!r}: it may have {', '.join(kinds)}")
        kind = kinds[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number if kind is float else type(value) is kind):
            raise ConfigError(f"[polymarket] {name} = {value!r}: it must be a {kind.__name__}")
        made[name] = float(value) if kind is float else value
    found = Polymarket(**made)
    _check(found)
    return found


def _check(found: Polymarket) -> None:
    for name in ("gamma_url", "clob_url", "news_url"):
        url = urlsplit(getattr(found, name))
        if url.scheme not in ("http", "https") or not url.netloc:
            raise ConfigError(f"[polymarket] {name} is not an http(s) URL")
    at_least = {"page_size": 1, "max_pages": 1, "ids_per_request": 1, "max_in_flight": 1, "tries": 1}
    at_least |= {"history_days": 1, "history_fidelity_minutes": 1, "resolve_for_days": 1, "recheck_for_days": 0}
    at_least |= {"news_max_markets": 0, "news_days": 1, "news_per_market": 1}
    for name, least in at_least.items():
        if getattr(found, name) < least:
            raise ConfigError(f"[polymarket] {name} must be at least {least}")
    for name in (
        "gamma_requests_per_second",
        "clob_requests_per_second",
        "news_requests_per_second",
        "timeout_seconds",
    ):
        if not getattr(found, name) > 0:
            raise ConfigError(f"[polymarket] {name} must be above 0")
    if found.min_liquidity_usd < 0:
        raise ConfigError("[polymarket] min_liquidity_usd must not be negative")
    try:
        re.compile(found.recurring_slug_pattern)
    except re.error as error:
        raise ConfigError(f"[polymarket] recurring_slug_pattern is no regular expression: {error}") from None
