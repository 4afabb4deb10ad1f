"""Real disagreements between price sources: within 20 % of the right price, or unpriced with a reason."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from extract.seeds import threshold
from extract.voting.pricing import Judged, PriceQuote, PriceRules, judge
from extract.voting.rules import price_rules
from tests.line_fixtures import ROOT

pytestmark = pytest.mark.golden
NOW = 1_787_184_000
RULES: PriceRules = price_rules(ROOT / "seeds")


def quotes(row: dict[str, str], without: str = "") -> list[PriceQuote]:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] and name != without else None

    liquidity = number("pool_liquidity_usd")
    found = []
    for name, kind, age, size in (
        ("cached_price", "reference", float(row["cached_age_days"]) * 86_400, None),
        ("reference_price", "reference", 0.0, None),
        ("router_price_1_usd", "sale", 0.0, 1.0),
        ("router_price_25_usd", "sale", 0.0, 25.0),
    ):
        if (price := number(name)) is not None:
            found.append(PriceQuote(name, kind, price, NOW - int(age), size, liquidity))
    return found


@pytest.fixture(scope="module")
def audit(golden: Path) -> list[dict[str, str]]:
    with (golden / "hydrex" / "price_sources_audit_2026-08-20.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_every_row_is_right_or_says_why_not(audit: list[dict[str, str]]) -> None:
    judged = {row["symbol"]: judge(quotes(row), NOW, RULES) for row in audit}
    assert len(judged) == 18
    wrong = {
        row["symbol"]: (found.price_usd, row["right_price"])
        for row in audit
        if (found := judged[row["symbol"]]).price_usd is not None
        and not 0.8 <= found.price_usd / float(row["right_price"]) <= 1.2
    }
    assert wrong == {}
    assert all(found.status != "ok" for found in judged.values() if found.price_usd is None)
    assert sum(found.price_usd is not None for found in judged.values()) == 18, "every one of them has a right price"


@pytest.mark.parametrize("missing", ["reference_price", "router_price_1_usd"])
def test_a_source_that_is_down_makes_no_price_wrong(audit: list[dict[str, str]], missing: str) -> None:
    for row in audit:
        found: Judged = judge(quotes(row, without=missing), NOW, RULES)
        assert found.price_usd is None or 0.8 <= found.price_usd / float(row["right_price"]) <= 1.2, row["symbol"]


def test_a_tiny_sale_and_an_old_price_alone_are_no_prices(audit: list[dict[str, str]]) -> None:
    tiny = [q for row in audit for q in quotes(row) if q.size_usd == 1.0]
    assert {judge([q], NOW, RULES).status for q in tiny} == {"sale_too_small"}
    days = threshold(ROOT / "seeds", "price_max_age_seconds") / 86_400
    old = [
        q for row in audit if float(row["cached_age_days"]) > days for q in quotes(row) if q.source == "cached_price"
    ]
    assert len(old) > 10 and {judge([q], NOW, RULES).status for q in old} == {"too_old"}
