"""Rows of the lake as snapshots, snapshots as documents, documents as snapshots again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from decide.markets.experiments.evaluate import usable_documents
from decide.markets.experiments.protocol import Document, PricePoint, Snapshot

_TIMES = ("snapshot_at", "observed_at", "end_at")
COLUMNS = [
    "best_ask",
    "best_bid",
    "category",
    "condition_id",
    "description",
    "end_at",
    "event_id",
    "fee_exponent",
    "fee_rate",
    "is_fee_enabled",
    "is_neg_risk_placeholder",
    "last_trade_price",
    "liquidity_usd",
    "market_id",
    "neg_risk_group_price_sum",
    "neg_risk_market_id",
    "observed_at",
    "outcomes",
    "price",
    "price_change_1d",
    "price_change_1w",
    "question",
    "slug",
    "token_ids",
    "volume_usd",
]  # of normalized markets, those that a snapshot has
_FIELDS = tuple(f.name for f in fields(Snapshot))


def snapshots_of(
    markets: Sequence[Mapping[str, Any]],
    prices: Sequence[Mapping[str, Any]] = (),
    books: Sequence[Mapping[str, Any]] = (),
    documents: Sequence[Mapping[str, Any]] = (),
) -> list[Snapshot]:
    """One snapshot per normalized market, all known when the last thing about them had been read; books overrule the
    listing."""
    if not markets:
        return []
    snapshot_at = max(row["observed_at"] for row in (*markets, *books, *documents))
    past: dict[str, list[PricePoint]] = {}
    for point in sorted(prices, key=lambda p: p["price_at"]):
        past.setdefault(point["market_id"], []).append(PricePoint(point["price_at"], point["price"]))
    book_of = {row["market_id"]: row for row in books}
    return [
        _snapshot(row, snapshot_at, tuple(past.get(row["market_id"], ())), book_of.get(row["market_id"]))
        for row in sorted(markets, key=lambda row: str(row["market_id"]))
    ]


def _snapshot(
    row: Mapping[str, Any], snapshot_at: datetime, prices: tuple[PricePoint, ...], book: Mapping[str, Any] | None
) -> Snapshot:
    quoted = row if book is None else book
    return Snapshot(
        market_id=row["market_id"],
        question=row["question"],
        snapshot_at=snapshot_at,
        observed_at=quoted["observed_at"],
        condition_id=row["condition_id"],
        event_id=row["event_id"],
        slug=row["slug"],
        description=row["description"],
        category=row["category"],
        outcomes=tuple(row["outcomes"]),
        token_ids=tuple(row["token_ids"]),
        end_at=row["end_at"],
        price=row["price"],
        best_bid=quoted["best_bid"],
        best_ask=quoted["best_ask"],
        last_trade_price=row["last_trade_price"],
        day_change=row["price_change_1d"],
        week_change=row["price_change_1w"],
        volume_usd=row["volume_usd"],
        liquidity_usd=row["liquidity_usd"],
        fee_rate=row["fee_rate"] if row["is_fee_enabled"] else None,
        fee_exponent=row["fee_exponent"],
        group_id=row["neg_risk_market_id"],
        group_price_sum=row["neg_risk_group_price_sum"],
        is_placeholder=row["is_neg_risk_placeholder"],
        prices=prices,
    )


def documents_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Document, ...]]:
    """What research found, by market, in the order in which it came."""
    found: dict[str, list[Document]] = {}
    for row in sorted(rows, key=lambda row: (row["market_id"], row["document_number"])):
        made = Document(
            title=row["title"],
            source=row["source"],
            url=row["url"],
            published_at=row["published_at"],
            retrieved_at=row["observed_at"],
            text=row["text"] or "",
        )
        found.setdefault(row["market_id"], []).append(made)
    return {market: tuple(documents) for market, documents in found.items()}


def documents_from(payload: Mapping[str, Any]) -> tuple[Document, ...]:
    """The documents that were stored with a market, without those that were refused."""
    return tuple(
        Document(
            **{name: row[name] for name in ("title", "source", "url", "text")},
            published_at=datetime.fromisoformat(row["published_at"]) if row["published_at"] else None,
            retrieved_at=datetime.fromisoformat(row["retrieved_at"]),
        )
        for row in payload.get("documents", [])
        if row["refused"] is None
    )


def documents_as_stored(documents: Sequence[Document], snapshot: Snapshot) -> list[dict[str, Any]]:
    """Every document that was found, the refused ones with the reason."""
    kept, refused = usable_documents(documents, snapshot)
    told = [(each, None) for each in kept]
    return [{**asdict(each), "refused": why} for each, why in (*told, *refused)]


def contracts_of(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The two tradable sides; the second's prices mirror the first's."""

    def mirrored(value: float | None) -> float | None:
        return None if value is None else 1 - value

    quotes = [
        (snapshot.price, snapshot.best_bid, snapshot.best_ask),
        (mirrored(snapshot.price), mirrored(snapshot.best_ask), mirrored(snapshot.best_bid)),
    ]
    tokens = (*snapshot.token_ids, None, None)
    return [
        {"outcome_index": n, "outcome": snapshot.outcomes[n], "token_id": tokens[n], "price": p, "bid": b, "ask": a}
        for n, (p, b, a) in enumerate(quotes)
    ]


def snapshot_from(document: Mapping[str, Any]) -> Snapshot:
    """The snapshot that `protocol.document` wrote; fields of newer versions that it lacks are as if never said."""
    known: dict[str, Any] = {name: document[name] for name in _FIELDS if name in document}
    for name in _TIMES:
        known[name] = datetime.fromisoformat(known[name]) if known.get(name) else None
    known["outcomes"], known["token_ids"] = tuple(known["outcomes"]), tuple(known["token_ids"])
    known["prices"] = tuple(
        PricePoint(datetime.fromisoformat(p["observed_at"]), p["price"]) for p in known.get("prices", ())
    )
    return Snapshot(**known)
