"""Prices of assets at blocks: the protocol's own oracle first, then feeds of the chain, then configured sources.

Every asset is asked for by itself, so one feed that reverts loses no other. What nobody prices stays missing, with a
list of who was asked and what they said. What an oracle answered at a block never changes: it is kept beside the price,
so that a price that is filled later goes the very way of one that was there at once. An oracle that a market's maker
chose is held against a feed or source; whoever reads the panel can tell such prices apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.views import call, word
from extract.lending.families.base import MARKET, NATIVE, PROTOCOL, USD, PriceRule, reply_status
from extract.prices import HttpPrices, Quote, ask_each

MISSING, OK = "missing", "ok"
ORACLE, FEED = "oracle", "feed"  # who priced; any other name is a configured source's
_SIGN = 1 << 255
NOBODY = "0x" + "0" * 40  # how DefiLlama names a chain's own coin
_ANSWER, _UPDATED = 1, 3  # words of latestRoundData

Rules = Mapping[str, PriceRule]


@dataclass(frozen=True, order=True)
class Question:
    """The price of an asset at a block (its time in unix seconds)."""

    asset: str
    block: int
    timestamp: int


@dataclass(frozen=True)
class Said:
    """What the oracle of an asset answered at a block: 10^decimals of `unit` per whole token, or why nothing."""

    status: str = "none"
    raw: int | None = None
    decimals: int = 0
    unit: str = USD
    control: str = PROTOCOL
    made_at: int | None = None


NOTHING = Said()


@dataclass(frozen=True)
class Price:
    """An answer: USD per whole token, or None with everything that was tried. `raw` is what a contract answered.

    `control` is who chose the source: protocol, market (its maker), or the source itself. `check_usd` is what somebody
    else says of an asset whose maker prices it.
    """

    usd: float | None = None
    source: str | None = None
    control: str | None = None
    confidence: float | None = None
    raw: int | None = None
    decimals: int | None = None
    unit: str | None = None  # None: USD; otherwise what the raw price counts in
    unit_usd: float | None = None
    made_at: int | None = None
    check_usd: float | None = None
    check_source: str | None = None
    tried: tuple[str, ...] = ()
    said: Said = NOTHING

    @property
    def status(self) -> str:
        return MISSING if self.usd is None else OK


@dataclass(frozen=True)
class Priced:
    """Answers, what the oracles said of every asset and unit behind them, view calls, and sources that were down."""

    prices: dict[Question, Price]
    units: dict[Question, Price]  # asked for only because a price counts in them
    calls: int
    down: dict[str, str]


@dataclass(frozen=True)
class Pricer:
    """What a chain offers for pricing. `feeds`: asset (or `eth`) to Chainlink feed in USD; `age_cap` in seconds."""

    client: ChainClient
    feeds: Mapping[str, str]
    sources: tuple[HttpPrices, ...]
    age_cap: int

    async def price(self, questions: Iterable[Question], rules: Mapping[int, Rules]) -> Priced:
        """A price per question; `rules` are those of the question's block."""
        asked = sorted(set(questions))
        units = {b: {a: rule.unit for a, rule in rules.get(b, {}).items()} for b in {q.block for q in asked}}
        wanted = _closures(asked, units)
        calls = {b: _oracle_calls(assets, rules.get(b, {})) for b, assets in wanted.items()}
        replies, count = await self._read(wanted, calls)
        said = {
            b: {a: _said(rules[b][a], a, replies[b]) for a in assets if a in rules.get(b, {})}
            for b, assets in wanted.items()
        }
        return await self._settle(asked, wanted, said, replies, count)

    async def complete(self, questions: Iterable[Question], said: Mapping[int, Mapping[str, Said]]) -> Priced:
        """The same from what oracles said earlier: only feeds and sources are asked again."""
        asked = sorted(set(questions))
        units = {b: {a: of.unit for a, of in said.get(b, {}).items()} for b in {q.block for q in asked}}
        wanted = _closures(asked, units)
        replies, count = await self._read(wanted, {b: {} for b in wanted})
        return await self._settle(asked, wanted, said, replies, count)

    async def _read(
        self, wanted: Mapping[int, set[str]], oracles: Mapping[int, Mapping[tuple[str, str], Call]]
    ) -> tuple[dict[int, dict[tuple[str, str], Reply]], int]:
        """Oracle and feed answers by block, keyed by (asset, what)."""
        asked: list[tuple[int, dict[tuple[str, str], Call]]] = []
        for block, assets in wanted.items():
            questions = dict(oracles[block])
            for asset in sorted(assets):
                if feed := self.feeds.get(asset):
                    questions[asset, FEED] = call(feed, "latestRoundData()")
                    questions[asset, "feed_decimals"] = call(feed, "decimals()")
            asked.append((block, questions))
        replies = await self.client.read_blocks([(block, list(questions.values())) for block, questions in asked])
        found = {
            block: dict(zip(questions, of_block, strict=True))
            for (block, questions), of_block in zip(asked, replies, strict=True)
        }
        return found, sum(len(questions) for _, questions in asked)

    async def _settle(
        self,
        asked: Sequence[Question],
        wanted: Mapping[int, set[str]],
        said: Mapping[int, Mapping[str, Said]],
        replies: Mapping[int, Mapping[tuple[str, str], Reply]],
        calls: int,
    ) -> Priced:
        times = {q.block: q.timestamp for q in asked}
        books = {b: _Book(t, said.get(b, {}), replies[b], self.age_cap) for b, t in times.items()}
        down: dict[str, str] = {}
        for block, book in books.items():
            if self.sources and (unsure := sorted(a for a in wanted[block] if book.is_unsure(a))):
                await self._quote(book, unsure)
                down |= book.down
        only_units = {Question(a, b, times[b]) for b, assets in wanted.items() for a in assets} - set(asked)
        found = {q: books[q.block].whole(q.asset) for q in (*asked, *sorted(only_units))}
        return Priced({q: found[q] for q in asked}, {q: found[q] for q in sorted(only_units)}, calls, down)

    async def _quote(self, book: _Book, unsure: Sequence[str]) -> None:
        tokens = [NOBODY if a == NATIVE else a for a in unsure if a.startswith("0x")]
        answers = await ask_each(self.sources, tokens, book.timestamp)
        named = {NATIVE if token == NOBODY else token: quote for token, quote in answers.quotes.items()}
        book.quotes, book.down, book.asked = named, answers.failed, [s.name for s in self.sources]


def _oracle_calls(assets: Iterable[str], rules: Rules) -> dict[tuple[str, str], Call]:
    """The oracle's answer for each asset, and the age of the feeds that it reads."""
    asked: dict[tuple[str, str], Call] = {}
    for asset in sorted(set(assets) & rules.keys()):
        asked[asset, ORACLE] = rules[asset].call
        for i, feed in enumerate(rules[asset].feeds):
            asked[asset, f"oracle_feed_{i}"] = call(feed, "latestRoundData()")
    return asked


def _closures(asked: Iterable[Question], units: Mapping[int, Mapping[str, str]]) -> dict[int, set[str]]:
    """By block: the assets asked for and every unit that their prices count in."""
    found: dict[int, set[str]] = {}
    for question in asked:
        of_block, asset = found.setdefault(question.block, set()), question.asset
        while asset not in of_block and asset != USD:
            of_block.add(asset)
            asset = units[question.block].get(asset, USD)
    return found


def _said(rule: PriceRule, asset: str, replies: Mapping[tuple[str, str], Reply]) -> Said:
    reply = replies[asset, ORACLE]
    raw = word(reply)
    updated = [word(replies[asset, f"oracle_feed_{i}"], _UPDATED) for i in range(len(rule.feeds))]
    known = [at for at in updated if at is not None]
    base = Said(decimals=rule.decimals, unit=rule.unit, control=rule.control)
    if not raw or raw >= _SIGN:
        return replace(base, status=reply_status(reply) if raw is None else "zero" if raw == 0 else "negative")
    return replace(base, status=OK, raw=raw, made_at=min(known) if known and len(known) == len(updated) else None)


@dataclass
class _Book:
    """What was answered about one block; a price follows its unit's price, and never itself."""

    timestamp: int
    said: Mapping[str, Said]
    replies: Mapping[tuple[str, str], Reply]
    age_cap: int
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    asked: Sequence[str] = ()
    down: Mapping[str, str] = field(default_factory=dict)

    def is_unsure(self, asset: str) -> bool:
        """Whether a source should be asked: no price, or only the one of the asset's maker."""
        found = self.price(asset)
        return found.usd is None or (found.control == MARKET and self._feed(asset).usd is None)

    def whole(self, asset: str) -> Price:
        """The price with what the oracle said, and, where its maker chose the oracle, what somebody else says."""
        found = replace(self.price(asset), said=self.said.get(asset, NOTHING))
        if found.control != MARKET:
            return found
        for other in (self._feed(asset), self._source(asset)):
            if other.usd is not None:
                return replace(found, check_usd=other.usd, check_source=other.source)
        return found

    def price(self, asset: str, above: tuple[str, ...] = ()) -> Price:
        tried: list[str] = []
        for found in (self._oracle(asset, above), self._feed(asset), self._source(asset)):
            tried.append(found.tried[0])
            if found.usd is not None:
                return replace(found, tried=tuple(tried))
        return Price(tried=tuple(tried))

    def _oracle(self, asset: str, above: tuple[str, ...]) -> Price:
        said = self.said.get(asset, NOTHING)
        if said.raw is None:
            return Price(tried=(f"oracle: {said.status}",))
        in_unit = said.raw / 10**said.decimals if said.decimals >= 0 else said.raw * 10**-said.decimals
        base = Price(
            source=ORACLE, control=said.control, raw=said.raw, decimals=said.decimals, made_at=said.made_at,
            tried=("oracle: ok",),
        )  # fmt: skip
        if said.unit == USD:
            return replace(base, usd=float(in_unit))
        if said.unit in (*above, asset):
            return Price(tried=("oracle: counts in itself",))
        unit = self.price(said.unit, (*above, asset))
        if unit.usd is None:
            return Price(tried=(f"oracle: no price of its unit {said.unit}",))
        times = [at for at in (said.made_at, unit.made_at) if at is not None]
        return replace(
            base, usd=float(in_unit) * unit.usd, unit=said.unit, unit_usd=unit.usd, made_at=min(times, default=None)
        )

    def _feed(self, asset: str) -> Price:
        reply, places = self.replies.get((asset, FEED)), self.replies.get((asset, "feed_decimals"))
        if reply is None or places is None:
            return Price(tried=("feed: none",))
        raw, made_at, decimals = word(reply, _ANSWER), word(reply, _UPDATED), word(places)
        if raw is None or made_at is None or decimals is None:
            return Price(tried=(f"feed: {reply_status(reply) if reply.status != OK else 'malformed'}",))
        if raw == 0 or raw >= _SIGN or decimals > 77:
            return Price(tried=("feed: zero" if raw == 0 else "feed: negative" if raw >= _SIGN else "feed: malformed",))
        if not 0 <= self.timestamp - made_at <= self.age_cap:
            return Price(tried=(f"feed: {self.timestamp - made_at} s old",))
        return Price(raw / 10**decimals, FEED, FEED, None, raw, decimals, made_at=made_at, tried=("feed: ok",))

    def _source(self, asset: str) -> Price:
        if quote := self.quotes.get(asset):
            age = self.timestamp - quote.updated_at
            if age <= self.age_cap:
                return Price(
                    quote.price_usd, quote.source, "source", quote.confidence, made_at=quote.updated_at,
                    tried=(f"{quote.source}: ok",),
                )  # fmt: skip
            return Price(tried=(f"{quote.source}: {age} s old",))
        if not self.asked:
            return Price(tried=("sources: none",))
        return Price(tried=(", ".join(f"{name}: {'down' if name in self.down else 'none'}" for name in self.asked),))
