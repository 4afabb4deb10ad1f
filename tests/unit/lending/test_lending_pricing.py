"""Which price is taken, and what is said of the others: oracle, then feed, then source; never one from later."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from unittest.mock import ANY

import pytest

from extract.evm.calls import Call, Reply
from extract.evm.client import ChainClient
from extract.evm.views import call
from extract.lending.families.base import PriceRule
from extract.lending.pricing import Price, Pricer, Question
from extract.prices import PriceSourceError, Quote

NOW, BLOCK, CAP = 1_762_000_000, 100, 90_000
GOLD, WETH, USDC, STETH = (f"0x{n:040x}" for n in (1, 2, 3, 4))
ORACLE, FEED = "0x" + "aa" * 20, "0x" + "bb" * 20


def words(*values: int) -> bytes:
    return b"".join((value % 2**256).to_bytes(32, "big") for value in values)


def asked(asset: str) -> Call:
    return call(ORACLE, "getAssetPrice(address)", asset)


class Chain:
    """Answers calls from a book; text is the status of a reply without data."""

    def __init__(self, book: Mapping[Call, bytes | str]) -> None:
        self.book, self.rounds = book, 0

    async def read_blocks(self, requests: Sequence[tuple[int, Sequence[Call]]]) -> list[list[Reply]]:
        self.rounds += 1
        return [[self._reply(c) for c in calls] for _, calls in requests]

    def _reply(self, wanted: Call) -> Reply:
        answer = self.book.get(wanted, "missing")
        return Reply(answer, b"", "fake") if isinstance(answer, str) else Reply("ok", answer, "fake")


class Source:
    """A configured source with fixed quotes, or one that is down."""

    name = "llama"

    def __init__(self, **quotes: Quote) -> None:
        self.known, self.calls, self.is_down = quotes, 0, False

    async def quotes(self, session: Any, tokens: Sequence[str], moment: int) -> dict[str, Quote]:
        self.calls += 1
        if self.is_down:
            raise PriceSourceError("llama did not answer")
        return {t: q for t, q in self.known.items() if t in tokens and q.updated_at <= moment}


def feed(answer: int, age: int = 60, decimals: int = 8) -> dict[Call, bytes | str]:
    answers = words(7, answer, 0, NOW - age, 7)
    return {call(FEED, "latestRoundData()"): answers, call(FEED, "decimals()"): words(decimals)}


def price(
    asset: str,
    book: Mapping[Call, bytes | str],
    rules: Mapping[str, PriceRule] | None = None,
    feeds: Mapping[str, str] | None = None,
    source: Source | None = None,
) -> Price:
    chain = Chain(book)
    pricer = Pricer(cast(ChainClient, chain), feeds or {}, (source,) if source else (), CAP)  # type: ignore[arg-type]
    question = Question(asset, BLOCK, NOW)
    found = asyncio.run(pricer.price([question], {BLOCK: rules or {}}))
    assert chain.rounds == 1, "one round trip, whatever the assets"
    said = {q.asset: p.said for q, p in (found.prices | found.units).items()}
    later = Pricer(cast(ChainClient, Chain({c: r for c, r in book.items() if c.target != ORACLE})), feeds or {},
                   (source,) if source else (), CAP)  # type: ignore[arg-type]  # fmt: skip
    assert asyncio.run(later.complete([question], {BLOCK: said})) == replace(found, calls=ANY), "filled later, the same"
    return found.prices[question]


USD_RULE = {GOLD: PriceRule(asked(GOLD), 8)}


def test_the_protocols_own_oracle_comes_first() -> None:
    found = price(GOLD, {asked(GOLD): words(4_000_12345678), **feed(1)}, USD_RULE, {GOLD: FEED}, Source())
    assert (found.usd, found.source, found.raw, found.unit) == (4000.12345678, "oracle", 400012345678, None)
    assert found.status == "ok" and found.tried == ("oracle: ok",)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("reverted", "oracle: reverted"),
        ("missing", "oracle: missing"),
        (words(0), "oracle: zero"),
        (words(-5), "oracle: negative"),
        (b"\1", "oracle: malformed"),
    ],
)
def test_an_oracle_without_a_price_gives_way_to_the_feed(answer: bytes | str, said: str) -> None:
    found = price(GOLD, {asked(GOLD): answer, **feed(4_000_00000000)}, USD_RULE, {GOLD: FEED})
    assert (found.usd, found.source, found.made_at) == (4000.0, "feed", NOW - 60)
    assert found.tried == (said, "feed: ok")


@pytest.mark.parametrize(
    ("book", "said"),
    [
        (feed(0), "feed: zero"),
        (feed(-1), "feed: negative"),
        (feed(1, age=CAP + 1), f"feed: {CAP + 1} s old"),
        (feed(1, age=-1), "feed: -1 s old"),  # from after the block: not known then
        ({}, "feed: missing"),
        ({call(FEED, "latestRoundData()"): words(1), call(FEED, "decimals()"): words(8)}, "feed: malformed"),
    ],
)
def test_a_feed_that_says_nothing_about_now_gives_way_to_the_source(book: Any, said: str) -> None:
    source = Source(**{GOLD: Quote(3_999.0, NOW - 30, "llama")})
    found = price(GOLD, book, {}, {GOLD: FEED}, source)
    assert (found.usd, found.source) == (3999.0, "llama") and found.tried == ("oracle: none", said, "llama: ok")


def test_what_nobody_prices_is_missing_and_says_who_was_asked() -> None:
    found = price(GOLD, {asked(GOLD): "reverted"}, USD_RULE, {}, Source())
    assert found.usd is None and found.status == "missing"
    assert found.tried == ("oracle: reverted", "feed: none", "llama: none")
    assert price(GOLD, {}, {}).tried == ("oracle: none", "feed: none", "sources: none")


def test_a_quote_from_later_or_too_old_is_no_price() -> None:
    assert price(GOLD, {}, {}, {}, Source(**{GOLD: Quote(1.0, NOW + 1, "llama")})).usd is None
    old = price(GOLD, {}, {}, {}, Source(**{GOLD: Quote(1.0, NOW - CAP - 1, "llama")}))
    assert old.usd is None and old.tried[-1] == f"llama: {CAP + 1} s old"


def test_a_source_that_is_down_loses_only_what_it_alone_could_price() -> None:
    source = Source()
    source.is_down = True
    pricer = Pricer(cast(ChainClient, Chain({asked(GOLD): words(10**8)})), {}, (source,), CAP)  # type: ignore[arg-type]
    questions = [Question(a, BLOCK, NOW) for a in (GOLD, WETH)]
    found = asyncio.run(pricer.price(questions, {BLOCK: USD_RULE}))
    assert found.prices[questions[0]].usd == 1.0 and list(found.down) == ["llama"]
    lost = found.prices[questions[1]]
    assert lost.usd is None and lost.tried[-1] == "llama: down"


def test_a_source_that_is_down_does_not_silence_the_next() -> None:
    first, second = Source(), Source(**{WETH: Quote(3_000.0, NOW - 9, "other")})
    first.is_down, second.name = True, "other"
    pricer = Pricer(cast(ChainClient, Chain({})), {}, (first, second), CAP)  # type: ignore[arg-type]
    question = Question(WETH, BLOCK, NOW)
    found = asyncio.run(pricer.price([question], {}))
    assert found.prices[question].usd == 3000.0 and list(found.down) == ["llama"]


def test_a_price_by_a_markets_maker_is_held_against_somebody_elses() -> None:
    rules = {GOLD: PriceRule(asked(GOLD), 8, control="market")}
    book = {asked(GOLD): words(999 * 10**8)}
    source = Source(**{GOLD: Quote(2.0, NOW - 30, "llama", 0.99)})
    found = price(GOLD, book, rules, {}, source)
    assert (found.usd, found.control, found.check_usd, found.check_source) == (999.0, "market", 2.0, "llama")
    fed = price(GOLD, {**book, **feed(998 * 10**8)}, rules, {GOLD: FEED}, source)
    assert (fed.check_usd, fed.check_source) == (998.0, "feed")
    alone = price(GOLD, book, rules, {}, Source())
    assert (alone.usd, alone.check_usd) == (999.0, None)
    protocol = price(GOLD, book, USD_RULE, {}, source)
    assert (protocol.control, protocol.check_usd) == ("protocol", None)


def test_the_confidence_of_a_source_comes_with_its_price() -> None:
    found = price(GOLD, {}, {}, {}, Source(**{GOLD: Quote(3.0, NOW - 30, "llama", 0.93)}))
    assert (found.usd, found.control, found.confidence) == (3.0, "source", 0.93)


def test_an_oracle_is_as_old_as_the_oldest_feed_that_it_reads() -> None:
    other = "0x" + "cc" * 20
    rules = {GOLD: PriceRule(asked(GOLD), 8, feeds=(FEED, other))}
    ages = {call(FEED, "latestRoundData()"): words(7, 1, 0, NOW - 60, 7)}
    book = {asked(GOLD): words(10**8), **ages, call(other, "latestRoundData()"): words(7, 1, 0, NOW - 7_200, 7)}
    assert price(GOLD, book, rules).made_at == NOW - 7_200
    assert price(GOLD, {asked(GOLD): words(10**8), **ages}, rules).made_at is None, "one of them does not say"


def test_a_price_in_another_asset_needs_that_assets_price() -> None:
    """A staked ether at 1.2 WETH, WETH at 3,000 USD by its feed."""
    rules = {STETH: PriceRule(asked(STETH), 18, WETH)}
    book = {asked(STETH): words(12 * 10**17), **feed(3_000_00000000)}
    found = price(STETH, book, rules, {WETH: FEED})
    assert found.usd == pytest.approx(3600.0) and (found.unit, found.unit_usd) == (WETH, 3000.0)
    assert found.made_at == NOW - 60, "it is as old as the unit's price"
    lost = price(STETH, {asked(STETH): words(12 * 10**17)}, rules)
    assert lost.usd is None and lost.tried[0] == f"oracle: no price of its unit {WETH}"


def test_units_that_count_in_each_other_end_at_a_feed_or_nowhere() -> None:
    rules = {WETH: PriceRule(asked(WETH), 18, USDC), USDC: PriceRule(asked(USDC), 18, WETH)}
    book: dict[Call, bytes | str] = {asked(WETH): words(3_000 * 10**18), asked(USDC): words(10**18 // 3_000)}
    assert price(WETH, book, rules).usd is None
    found = price(WETH, {**book, **feed(10**8)}, rules, {USDC: FEED})
    assert found.usd == pytest.approx(3000.0)


def test_negative_decimals_scale_up() -> None:
    """A Morpho oracle of an asset with many more decimals than its loan's: 36 + 6 - 50 < 0."""
    assert price(GOLD, {asked(GOLD): words(5)}, {GOLD: PriceRule(asked(GOLD), -2)}).usd == 500.0
