"""Prices of assets at blocks: the protocol's own oracle first, then feeds of the chain, then configured sources.

Every asset is asked for by itself, so one feed that reverts loses no other. What nobody prices stays missing, with a
list of who was asked and what they said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.views import call, word
from extract.lending.families.base import NATIVE, USD, PriceRule, reply_status
from extract.prices import HttpPrices, PriceSourceError, Quote, ask_sources

MISSING, OK = "missing", "ok"
_SIGN = 1 << 255
NOBODY = "0x" + "0" * 40  # how DefiLlama names a chain's own coin
_ANSWER, _UPDATED = 1, 3  # words of latestRoundData


@dataclass(frozen=True, order=True)
class Question:
    """The price of an asset at a block (its time in unix seconds)."""

    asset: str
    block: int
    timestamp: int


@dataclass(frozen=True)
class Price:
    """An answer: USD per whole token, or None with everything that was tried. `raw` is what a contract answered."""

    usd: float | None = None
    source: str | None = None
    raw: int | None = None
    decimals: int | None = None
    unit: str | None = None  # None: USD; otherwise what the raw price counts in
    unit_usd: float | None = None
    made_at: int | None = None
    tried: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        return MISSING if self.usd is None else OK


@dataclass(frozen=True)
class Pricer:
    """What a chain offers for pricing. `feeds`: asset (or `eth`) to Chainlink feed in USD; `age_cap` in seconds."""

    client: ChainClient
    feeds: Mapping[str, str]
    sources: tuple[HttpPrices, ...]
    age_cap: int

    async def price(
        self, questions: Iterable[Question], rules: Mapping[str, PriceRule]
    ) -> tuple[dict[Question, Price], int]:
        """A price per question, and the view calls it took."""
        asked = sorted(set(questions))
        blocks = {q.block: q.timestamp for q in asked}
        wanted = {b: _closure([q.asset for q in asked if q.block == b], rules) for b in blocks}
        read, calls = await self._read(wanted, rules)
        books = {b: _Book(blocks[b], rules, read[b], self.age_cap) for b in blocks}
        for block, book in books.items():
            missing = sorted(a for a in wanted[block] if book.price(a).usd is None)
            if missing and self.sources:
                await self._quote(book, missing)
        return {q: books[q.block].price(q.asset) for q in asked}, calls

    async def _read(
        self, wanted: Mapping[int, set[str]], rules: Mapping[str, PriceRule]
    ) -> tuple[dict[int, dict[tuple[str, str], Reply]], int]:
        """Oracle and feed answers by block, keyed by (asset, what)."""
        asked: list[tuple[int, dict[tuple[str, str], Call]]] = []
        for block, assets in wanted.items():
            questions = {(a, "oracle"): rules[a].call for a in assets if a in rules}
            for asset in assets:
                if feed := self.feeds.get(asset):
                    questions[asset, "feed"] = call(feed, "latestRoundData()")
                    questions[asset, "feed_decimals"] = call(feed, "decimals()")
            asked.append((block, questions))
        replies = await self.client.read_blocks([(block, list(questions.values())) for block, questions in asked])
        found = {
            block: dict(zip(questions, of_block, strict=True))
            for (block, questions), of_block in zip(asked, replies, strict=True)
        }
        return found, sum(len(questions) for _, questions in asked)

    async def _quote(self, book: _Book, missing: Sequence[str]) -> None:
        tokens = [NOBODY if a == NATIVE else a for a in missing if a.startswith("0x")]
        try:
            quotes = await ask_sources(self.sources, tokens, book.timestamp)
            named = {NATIVE if token == NOBODY else token: quote for token, quote in quotes.items()}
            book.take(named, [s.name for s in self.sources])
        except PriceSourceError as error:
            book.failed = str(error)


def _closure(assets: Iterable[str], rules: Mapping[str, PriceRule]) -> set[str]:
    """The assets and every unit that their prices count in."""
    found, open_ = set[str](), list(assets)
    while open_:
        asset = open_.pop()
        if asset not in found:
            found.add(asset)
            rule = rules.get(asset)
            if rule and rule.unit != USD:
                open_.append(rule.unit)
    return found


@dataclass
class _Book:
    """What was answered about one block; a price follows its unit's price, and never itself."""

    timestamp: int
    rules: Mapping[str, PriceRule]
    replies: Mapping[tuple[str, str], Reply]
    age_cap: int
    quotes: dict[str, Quote] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failed: str | None = None

    def take(self, quotes: Mapping[str, Quote], asked: Sequence[str]) -> None:
        self.quotes |= quotes
        self.asked = list(asked)

    def price(self, asset: str, above: tuple[str, ...] = ()) -> Price:
        tried: list[str] = []
        for found in (self._oracle(asset, above), self._feed(asset), self._source(asset)):
            tried.append(found.tried[0])
            if found.usd is not None:
                return replace(found, tried=tuple(tried))
        return Price(tried=tuple(tried))

    def _oracle(self, asset: str, above: tuple[str, ...]) -> Price:
        rule, reply = self.rules.get(asset), self.replies.get((asset, "oracle"))
        if rule is None or reply is None:
            return Price(tried=("oracle: none",))
        raw = word(reply)
        if not raw or raw >= _SIGN:
            said = reply_status(reply) if raw is None else "zero" if raw == 0 else "negative"
            return Price(tried=(f"oracle: {said}",))
        in_unit = raw / 10**rule.decimals if rule.decimals >= 0 else raw * 10**-rule.decimals
        base = Price(source="oracle", raw=raw, decimals=rule.decimals, tried=("oracle: ok",))
        if rule.unit == USD:
            return replace(base, usd=float(in_unit))
        if rule.unit in (*above, asset):
            return Price(tried=("oracle: counts in itself",))
        unit = self.price(rule.unit, (*above, asset))
        if unit.usd is None:
            return Price(tried=(f"oracle: no price of its unit {rule.unit}",))
        made_at = unit.made_at
        return replace(base, usd=float(in_unit) * unit.usd, unit=rule.unit, unit_usd=unit.usd, made_at=made_at)

    def _feed(self, asset: str) -> Price:
        reply, places = self.replies.get((asset, "feed")), self.replies.get((asset, "feed_decimals"))
        if reply is None or places is None:
            return Price(tried=("feed: none",))
        raw, made_at, decimals = word(reply, _ANSWER), word(reply, _UPDATED), word(places)
        if raw is None or made_at is None or decimals is None:
            return Price(tried=(f"feed: {reply_status(reply) if reply.status != OK else 'malformed'}",))
        if raw == 0 or raw >= _SIGN:
            return Price(tried=("feed: zero" if raw == 0 else "feed: negative",))
        if not 0 <= self.timestamp - made_at <= self.age_cap:
            return Price(tried=(f"feed: {self.timestamp - made_at} s old",))
        return Price(raw / 10**decimals, "feed", raw, decimals, made_at=made_at, tried=("feed: ok",))

    def _source(self, asset: str) -> Price:
        if quote := self.quotes.get(asset):
            if self.timestamp - quote.updated_at <= self.age_cap:
                return Price(quote.price_usd, quote.source, made_at=quote.updated_at, tried=(f"{quote.source}: ok",))
            return Price(tried=(f"{quote.source}: {self.timestamp - quote.updated_at} s old",))
        if self.failed:
            return Price(tried=("sources: failed",))
        return Price(tried=(f"{', '.join(self.asked)}: none" if self.asked else "sources: none",))
