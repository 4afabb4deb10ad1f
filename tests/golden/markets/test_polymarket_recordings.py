"""Recorded pages through the client and the normalizer: every refusal explained and counted, odd ends told right."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from extract.markets.client import Page, PolymarketClient
from extract.markets.config import Polymarket
from extract.markets.normalize import normalize_records
from extract.markets.resolve import classify

pytestmark = pytest.mark.golden
CAP = 30


def recorded(golden: Path, name: str) -> list[Any]:
    body = json.loads((golden / "polymarket" / name).read_text())
    return body if isinstance(body, list) else body.get("markets") or body.get("data") or [body]


def paged(records: Sequence[Any]) -> list[Page]:
    """The records as the client gets them from a server with pages of at most CAP."""
    asked: list[dict[str, str]] = []

    async def keyset(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        start = int(request.query.get("after_cursor", "c0")[1:])
        body: dict[str, Any] = {"markets": records[start : start + CAP]}
        if start + CAP < len(records):
            body["next_cursor"] = f"c{start + CAP}"
        return web.json_response(body)

    async def ask() -> list[Page]:
        app = web.Application()
        app.router.add_get("/markets/keyset", keyset)
        async with TestServer(app) as server:
            config = Polymarket(gamma_url=str(server.make_url("")))
            async with PolymarketClient.open(config) as client:
                return [page async for page in client.pages({"closed": "false", "end_date_min": "x"})]

    found = asyncio.run(ask())
    assert all(query["closed"] == "false" and query["end_date_min"] == "x" for query in asked)
    return found


@pytest.mark.parametrize(
    ("name", "taken", "two_sided", "refused"),
    [
        ("gamma_active_90_2025-05.json", 90, 65, {}),
        (
            "gamma_markets_100_open_2025-05.json",
            98,
            68,
            {"502517": ("missing_field", "conditionId"), "507397": ("missing_field", "endDate")},
        ),
        ("gamma_market_12_predictbench.json", 0, 0, {"12": ("prices_do_not_add_up", "outcomePrices")}),
    ],
)
def test_every_recorded_page_normalizes_and_every_refusal_is_explained(
    golden: Path, name: str, taken: int, two_sided: int, refused: dict[str, tuple[str, str]]
) -> None:
    records = recorded(golden, name)
    pages = paged(records)
    assert sum(len(page.records) for page in pages) == len(records)
    rows, refusals = [], {}
    for page in pages:
        made, left_out = normalize_records(page.records)
        rows += [row for _, row in made]
        refusals |= {record["id"]: (why.reason, why.field) for _, record, why in left_out}
    assert (len(rows), refusals) == (taken, refused)
    midpoints = [row for row in rows if row["midpoint"] is not None]
    assert len(midpoints) == two_sided
    assert all(row["midpoint"] == pytest.approx(row["price"], abs=1e-9) for row in midpoints)
    assert {row["book_status"] for row in rows} <= {"two_sided", "ask_only"}


@pytest.mark.parametrize(
    ("name", "status", "reason", "label"),
    [
        ("argos/market_closed_with_a_price_not_a_resolution.raw.json", "undetermined", "no_uma_status", None),
        ("argos/market_resolved_after_dispute.raw.json", "resolved", "one_hot", 0),
        ("gamma_market_12_predictbench.json", "undetermined", "no_uma_status", None),
    ],
)
def test_odd_ends_are_told_right(golden: Path, name: str, status: str, reason: str, label: int | None) -> None:
    [record] = recorded(golden, name)
    row = classify(record)
    assert (row["status"], row["reason"], row["label"]) == (status, reason, label)
    if status == "resolved":
        assert f"{row['resolved_at']:%Y-%m-%d %H:%M:%S}" == "2026-05-24 05:25:46"
        assert row["resolved_at"] < row["end_at"]  # nineteen months before its scheduled end


def test_no_open_market_has_ended(golden: Path) -> None:
    for name in ("gamma_active_90_2025-05.json", "gamma_markets_100_open_2025-05.json"):
        assert Counter(classify(record)["reason"] for record in recorded(golden, name)).keys() == {"not_closed"}


def as_gamma(record: dict[str, Any]) -> dict[str, Any]:
    """A market of the CLOB's own list in Gamma's words; that list has no oracle status and so no result."""
    tokens = record["tokens"]
    return {
        "id": record["question_id"],
        "conditionId": record["condition_id"],
        "question": record["question"],
        "outcomes": [token["outcome"] for token in tokens],
        "outcomePrices": [token["price"] for token in tokens],
        "clobTokenIds": [token["token_id"] for token in tokens],
        "endDate": record["end_date_iso"],
        "active": record["active"],
        "closed": record["closed"],
    }


def test_a_page_of_the_clob_is_refused_one_by_one_and_a_closed_market_is_no_result(golden: Path) -> None:
    records = [as_gamma(record) for record in recorded(golden, "clob_markets_page_500_2025-05.json")]
    rows, refusals = normalize_records(records)
    assert len(rows) + len(refusals) == 500
    assert Counter((why.reason, why.field) for _, _, why in refusals) == CLOB_REFUSALS
    ends = Counter(classify(record)["status"] for record in records)
    assert ends == {"undetermined": 500}  # 470 are closed, 254 of them at exactly 1 and 0


# counted by hand on the page: 26 markets never deployed, 106 closed ones at [0, 0], 5 more without an end, one with
# an outcome without a name
CLOB_REFUSALS = {
    ("missing_field", "id"): 26,
    ("prices_do_not_add_up", "outcomePrices"): 106,
    ("missing_field", "endDate"): 5,
    ("bad_json", "outcomes"): 1,
}
