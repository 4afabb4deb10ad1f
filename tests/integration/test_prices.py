"""Configured price sources, against a server that speaks the same protocol, with its own bad days."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from extract import prices
from extract.errors import ConfigError
from extract.prices import HttpPrices, PriceSourceError, ask_sources, decode_quotes, load_price_sources
from tests.line_fixtures import Line
from tests.price_fixtures import Api


async def ask(url: str, tokens: list[str], moment: int = 1_000_000) -> dict[str, prices.Quote]:
    return await ask_sources([HttpPrices("llama", url, "base")], tokens, moment)


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def test_quotes_come_with_their_own_time(api: str) -> None:
    assert run(ask(api, ["0xa", "0xb"])) == {t: prices.Quote(2.5, 999_940, "llama") for t in ("0xa", "0xb")}
    assert "/prices/historical/1000000/base:0xa,base:0xb" in Api.asked[0]


def test_a_price_from_the_future_is_refused(api: str) -> None:
    Api.age = -1
    assert run(ask(api, ["0xa"])) == {}


def test_a_passing_fault_is_retried_and_a_lasting_one_raised(api: str) -> None:
    Api.failures = 2
    assert len(run(ask(api, ["0xa"]))) == 1
    Api.failures = 99
    with pytest.raises(PriceSourceError, match=r"llama did not answer .* in 4 tries \(HTTP 503\)"):
        run(ask(api, ["0xa"]))


def test_many_tokens_are_asked_in_parts(api: str) -> None:
    assert len(run(ask(api, [f"0x{n:040x}" for n in range(120)]))) == 120
    assert len(Api.asked) == 3


@pytest.mark.parametrize(
    "coin", [None, {}, {"price": -1, "timestamp": 1}, {"price": "2", "timestamp": 1}, {"price": True, "timestamp": 1}]
)
def test_odd_entries_are_left_out(coin: Any) -> None:
    assert decode_quotes({"coins": {"base:0xA": coin}}, "llama", 10) == {}


@pytest.mark.parametrize(("confidence", "is_taken"), [(0.01, False), (0.79, False), (0.8, True), (None, True)])
def test_a_price_that_its_source_doubts_is_no_price(confidence: float | None, is_taken: bool) -> None:
    coin = {"price": 999.0, "timestamp": 5} | ({} if confidence is None else {"confidence": confidence})
    found = decode_quotes({"coins": {"base:0xa": coin}}, "llama", 10, least_confidence=0.8)
    assert bool(found) == is_taken and (not is_taken or found["0xa"].confidence == confidence)


def test_configuration_names_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="lacks chain_key"):
        load_price_sources("base", [{"name": "x"}], {})
    assert load_price_sources("base", [{"name": "x", "chain_key": "base", "url_env": "UNSET"}], {}) == ()


@pytest.mark.node
@pytest.mark.long
def test_only_tokens_without_a_feed_take_the_configured_price(line: Line, api: str) -> None:
    source = f'[[chains.world.price_sources]]\nname = "llama"\nchain_key = "world"\nurl = "{api}"\n'
    text = (
        line.configure()
        .path.read_text()
        .split("\n", 4)[4]
        .replace("[chains.world.feeds]", source + "[chains.world.feeds]")
    )
    assert line.extract(line.configure(text), epochs=1) == 0
    done = line.dbt("build", "--resource-type", "model", "--resource-type", "seed")
    assert done.returncode == 0, done.stdout[-2000:]
    found = line.query(
        "select token_symbol, any_value(price_source), min(price_age_seconds), bool_and(reward_usd is not null) "
        "from main_intermediate.int_rewards_valued where value_status = 'ok' group by all"
    )
    by_token = {row[0]: row[1:] for row in found}
    assert by_token["NOPE"] == ("llama", 60, True)
    pooled = {symbol for symbol, (source, _, _) in by_token.items() if source.startswith("pool:")}
    assert pooled == {"HUGE", "THIN"}
    rest = by_token.keys() - pooled - {"NOPE", "DEAD"}
    assert rest and all(by_token[symbol][0].startswith("chainlink:") for symbol in rest)
