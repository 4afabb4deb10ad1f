"""Corporate actions as Alpaca and EODHD tell them, from the embedded market's endpoints to landed rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from extract.bars import alpaca
from extract.bars.actions import (
    Action,
    TellsActions,
    decode_alpaca_actions,
    decode_eodhd_dividends,
    decode_eodhd_splits,
)
from extract.bars.config import bar_source
from extract.bars.provider import MalformedAnswer
from extract.bars.tables import ACTIONS
from extract.lake import Lake
from simulate import bars as stock_market
from simulate.bars import RunningBars
from tests.line_fixtures import Line

SPAN = ["--from", "2025-11-24", "--to", "2025-12-05"]
TOLD = [  # symbol, kind, ex-date, terms
    ("FORE", "split", "2025-11-25", {"old": 1, "new": 4}),
    ("FORE", "split", "2025-12-02", {"old": 10, "new": 1}),
    ("FORE", "dividend", "2025-12-03", {"cash": 0.25}),
    ("FORE", "split", "2025-12-08", {"old": 1, "new": 2}),  # after the days that are asked for
    ("TIDE", "split", "2025-11-25", {"old": 1, "new": 3}),  # of another security
]
FOUND = [
    ("FORE", "split", date(2025, 11, 25), 1.0, 4.0, None),
    ("FORE", "split", date(2025, 12, 2), 10.0, 1.0, None),
    ("FORE", "dividend", date(2025, 12, 3), None, None, 0.25),
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBars]:
    with stock_market.running(tmp_path_factory.mktemp("market"), now="2026-03-09T13:25:00Z") as running:
        for symbol, kind, ex_date, terms in TOLD:
            running.act(symbol, kind, ex_date, **terms)
        yield running


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line(None, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("provider", ["alpaca", "eodhd"])
def test_they_land_with_the_bars_of_their_days(line: Line, market: RunningBars, provider: str) -> None:
    line.configure(market.config(provider))
    done = line.cli("extract", "bars", "--symbol", "FORE", *SPAN, **market.environ)
    assert done.returncode == 0, done.stderr
    rows = Lake(f"{line.folder}/raw").read_committed("bar_actions", ACTIONS).to_pylist()
    names = ("symbol", "kind", "ex_date", "old_shares", "new_shares", "cash_usd")
    assert sorted((tuple(row[name] for name in names) for row in rows), key=lambda row: row[2]) == FOUND
    assert {row["provider"] for row in rows} == {provider}


def test_alpacas_pages_are_read_to_the_end(line: Line, market: RunningBars, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(line.configure(market.config()), environ=market.environ)

    async def ask() -> list[Action]:
        provider = bar_source(config, "alpaca").open()
        assert isinstance(provider, TellsActions)
        try:
            return await provider.actions(["FORE", "TIDE"], date(2025, 11, 24), date(2025, 12, 8))
        finally:
            await provider.close()

    at_once = asyncio.run(ask())
    monkeypatch.setattr(alpaca, "ACTIONS_PER_PAGE", 1)
    assert asyncio.run(ask()) == at_once and len(at_once) == len(TOLD)


def test_what_alpaca_tells_of_is_decoded_by_kind() -> None:
    day = {"ex_date": "2026-03-02", "process_date": "2026-03-03"}
    answer = {
        "corporate_actions": {
            "stock_dividends": [{"symbol": "HOOD", "rate": 0.05, **day}],
            "cash_dividends": [{"symbol": "HOOD", "rate": 0.4, "payable_date": "2026-02-27", **day}],
            "name_changes": [{"old_symbol": "HOOD", "new_symbol": "HD", "process_date": "2026-03-04"}],
            "spin_offs": [{"source_symbol": "HOOD", "new_symbol": "X", "source_rate": 1, "new_rate": 0.1, **day}],
            "reverse_splits": [{"symbol": "AAPL", "old_rate": 2, "new_rate": 1, **day}],  # was not asked for
        }
    }
    found = {action.raw_kind: action for action in decode_alpaca_actions(answer, ["HOOD"], "alpaca")}
    assert {raw: action.kind for raw, action in found.items()} == {
        "stock_dividends": "split",
        "cash_dividends": "dividend",
        "name_changes": "symbol_change",
        "spin_offs": "other",
    }
    assert (found["stock_dividends"].old_shares, found["stock_dividends"].new_shares) == (1.0, 1.05)
    assert found["cash_dividends"].cash_usd == 0.4 and found["cash_dividends"].payable_on == date(2026, 2, 27)
    assert found["cash_dividends"].ex_date == date(2026, 3, 2)  # never the payable date
    assert (found["name_changes"].new_symbol, found["name_changes"].ex_date) == ("HD", date(2026, 3, 4))
    assert found["spin_offs"].old_shares is found["spin_offs"].new_shares is None


def test_what_eodhd_tells_of_is_decoded() -> None:
    paid = {"date": "2026-03-02", "declarationDate": "2026-02-10", "paymentDate": "2026-03-20"}
    answer = [{**paid, "value": 0.1, "unadjustedValue": 0.4}, {"date": "2026-06-01", "value": 0.1}]
    first, second = decode_eodhd_dividends(answer, "HOOD", "eodhd")
    assert (first.cash_usd, first.declared_on, first.payable_on) == (0.4, date(2026, 2, 10), date(2026, 3, 20))
    assert (second.cash_usd, second.declared_on, second.payable_on) == (0.1, None, None)
    (split,) = decode_eodhd_splits([{"date": "2020-08-31", "split": "4.000000/1.000000"}], "AAPL", "eodhd")
    assert (split.old_shares, split.new_shares) == (1.0, 4.0)


SPLIT = {"symbol": "HOOD", "old_rate": 1, "new_rate": 4, "ex_date": "2026-03-02"}
BROKEN: list[tuple[Any, str]] = [
    ({"corporate_actions": []}, "without `corporate_actions`"),
    ({"corporate_actions": {"forward_splits": [{**SPLIT, "symbol": None}]}}, "forward_splits 0: no symbol"),
    ({"corporate_actions": {"forward_splits": [SPLIT, {**SPLIT, "new_rate": 0}]}}, "forward_splits 1: 0"),
    ({"corporate_actions": {"forward_splits": [{**SPLIT, "old_rate": None}]}}, "no number of shares"),
    ({"corporate_actions": {"forward_splits": [{**SPLIT, "ex_date": "soon"}]}}, "'soon' is no date"),
]


@pytest.mark.parametrize(("answer", "message"), BROKEN)
def test_an_alpaca_answer_that_is_none_is_named(answer: Any, message: str) -> None:
    with pytest.raises(MalformedAnswer, match=message):
        decode_alpaca_actions(answer, ["HOOD"], "alpaca")


@pytest.mark.parametrize("split", ["4", "4/0", "0/1", "", "four/one", "nan/1", "-4/1"])
def test_an_eodhd_split_that_is_none_is_named(split: str) -> None:
    with pytest.raises(MalformedAnswer, match="bar provider eodhd, split 0 of HOOD"):
        decode_eodhd_splits([{"date": "2026-03-02", "split": split}], "HOOD", "eodhd")
    with pytest.raises(MalformedAnswer, match="without a list"):
        decode_eodhd_splits({"error": split}, "HOOD", "eodhd")
