"""A day from the loopback server: the right markets, once, whatever the server does, and the same after a kill."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from extract.errors import Busy, RequestError
from extract.evm.pace import Clock
from extract.lake import Lake
from extract.ledger import COMPLETE, FAILED
from extract.markets.client import PolymarketClient
from extract.markets.config import Polymarket
from extract.markets.daily import BOOK, PRICES
from extract.markets.resolve import Asked
from extract.markets.rows import in_partition
from extract.markets.tables import MARKETS, PAGES, RESOLUTIONS
from extract.web import WebError
from tests.kills import files, kill_when
from tests.polymarket_fixtures import FIRST, MarketLine, ids, reasons

ROOT = Path(__file__).parents[3]
KEYSET = "/markets/keyset"


def test_a_day_has_every_market_that_closes_then_and_says_why_others_are_left_out(market_line: MarketLine) -> None:
    made = market_line.ingest()
    assert set(ids(made)) == market_line.wanted() and len(ids(made)) == len(set(ids(made))) > 40
    assert made.is_complete and not made.problems
    assert reasons(made)["recurring_series"] == 12
    rows = made.markets.to_pylist()
    assert {row["observed_at"] for row in rows} == {datetime(2026, 1, 5, 7, 17, tzinfo=UTC)}
    assert all(row["end_at"].date() == date(2026, 1, 12) for row in rows)
    pages = Lake(market_line.config().raw_url).read_committed("polymarket_pages", PAGES).to_pylist()
    assert [page["page_number"] for page in pages] == [1, 2, 3]  # of at most 25 records, though 100 were asked for
    assert sum(page["record_count"] for page in pages) == len(rows) + made.refusals.num_rows
    assert pages[-1]["next_cursor"] is None and all('"end_date_min"' in page["query"] for page in pages)


def test_bounds_are_checked_again_whatever_the_server_sends(market_line: MarketLine) -> None:
    honest = market_line.wanted()
    market_line.server.control("ignore_filters", path=KEYSET)
    made = market_line.ingest()
    assert set(ids(made)) == honest
    assert reasons(made)["outside_target_day"] > 500


def test_prices_of_a_group_are_summed_over_all_its_markets(market_line: MarketLine) -> None:
    whole = {row["market_id"]: row for row in market_line.ingest().markets.to_pylist()}
    groups = {row["neg_risk_market_id"] for row in whole.values() if row["is_neg_risk"]}
    assert groups
    for group in groups:
        members = [row for row in whole.values() if row["neg_risk_market_id"] == group]
        assert {row["neg_risk_group_count"] for row in members} == {len(members)}
        assert members[0]["neg_risk_group_price_sum"] == pytest.approx(sum(row["price"] for row in members))
    config = market_line.config(min_liquidity_usd=5_000.0)
    other = MarketLine(market_line.server, market_line.folder / "thick")
    thick = other.ingest(config=type(config)(config.path, {**config.raw, "storage": {"root": str(other.folder)}}, {}))
    assert 0 < thick.markets.num_rows < len(whole) and reasons(thick)["below_min_liquidity"] > 0
    for row in thick.markets.to_pylist():
        assert row["neg_risk_group_price_sum"] == whole[row["market_id"]]["neg_risk_group_price_sum"]


def test_a_complete_day_is_read_back_and_never_fetched_again(market_line: MarketLine) -> None:
    first = market_line.ingest()
    market_line.at(FIRST + timedelta(days=2))
    again = market_line.ingest()
    assert again.is_reused and again.requests == 0
    assert again.markets.equals(first.markets) and again.refusals.equals(first.refusals)


def test_a_dry_run_fetches_and_lands_nothing(market_line: MarketLine) -> None:
    made = market_line.ingest(dry_run=True)
    assert set(ids(made)) == market_line.wanted()
    assert not (market_line.folder / "raw").exists()


def test_history_and_books_belong_to_the_snapshot(market_line: MarketLine) -> None:
    made = market_line.ingest(wants=frozenset({PRICES, BOOK}))
    snapshot = made.markets.column("observed_at")[0].as_py()
    points = made.price_history.to_pylist()
    assert {row["market_id"] for row in points} == set(ids(made)) == {r["market_id"] for r in made.books.to_pylist()}
    assert max(row["price_at"] for row in points) <= snapshot
    assert min(row["price_at"] for row in points) >= snapshot - timedelta(days=14)
    by_id = {row["market_id"]: row for row in made.markets.to_pylist()}
    for row in made.books.to_pylist():
        for name in ("best_bid", "best_ask", "midpoint", "book_status"):
            assert row[name] == pytest.approx(by_id[row["market_id"]][name]), name
    assert market_line.ingest(wants=frozenset({PRICES, BOOK})).requests == 0


def test_history_may_be_asked_for_later_and_still_ends_at_the_snapshot_but_books_may_not(
    market_line: MarketLine,
) -> None:
    first = market_line.ingest()
    market_line.at(FIRST + timedelta(days=1))
    made = market_line.ingest(wants=frozenset({PRICES, BOOK}))
    assert made.is_reused and made.markets.equals(first.markets)
    assert max(made.price_history.column("price_at").to_pylist()) <= first.markets.column("observed_at")[0].as_py()
    assert made.books.num_rows == 0 and "too old" in " ".join(made.problems)
    assert made.is_complete


def test_one_market_without_an_answer_does_not_take_the_others_along(market_line: MarketLine) -> None:
    market_line.server.control("status", 400, path="/prices-history", count=3, skip=5)
    made = market_line.ingest(wants=frozenset({PRICES}))
    assert len({row["market_id"] for row in made.price_history.to_pylist()}) == made.markets.num_rows - 3
    assert f"3 of {made.markets.num_rows} markets failed" in made.problems[0]
    again = market_line.ingest(wants=frozenset({PRICES}))
    assert not again.problems and again.is_reused
    assert len({row["market_id"] for row in again.price_history.to_pylist()}) == made.markets.num_rows


PASSING: list[tuple[str, Any]] = [
    ("rate_limit", 0.05),
    ("rate_limit", None),
    ("status", 503),
    ("garbage", None),
    ("wrong_shape", None),
    ("drop", None),
]


@pytest.mark.parametrize(("kind", "value"), PASSING)
def test_trouble_that_passes_is_not_seen(market_line: MarketLine, kind: str, value: Any) -> None:
    market_line.server.control(kind, value, path=KEYSET, count=3, skip=1)
    made = market_line.ingest()
    assert made.is_complete and set(ids(made)) == market_line.wanted()
    assert made.requests == 3 + 3


@pytest.mark.parametrize(("kind", "value"), [PASSING[1], PASSING[3], PASSING[5]])
def test_trouble_that_stays_is_recorded_and_what_came_before_is_kept(
    market_line: MarketLine, kind: str, value: Any
) -> None:
    market_line.server.control(kind, value, path=KEYSET, skip=1)
    made = market_line.ingest(config=market_line.config(tries=3))
    assert not made.is_complete and 0 < made.markets.num_rows < len(market_line.wanted())
    [problem] = made.problems
    assert "3 tries" in problem and market_line.server.url not in problem
    state = market_line.ledger().states["markets/markets/2026-01-05/7d"]
    assert state.is_failing and state.complete is None and state.newest["error_class"] == "WebError"
    market_line.server.heal()
    whole = market_line.ingest()
    assert whole.is_complete and set(ids(whole)) == market_line.wanted()
    assert market_line.ledger().states["markets/markets/2026-01-05/7d"].newest["attempts"] == 2


def test_nothing_at_all_is_an_error_and_recorded(market_line: MarketLine) -> None:
    market_line.server.control("status", 500, path=KEYSET)
    with pytest.raises(WebError, match="HTTP 500"):
        market_line.ingest(config=market_line.config(tries=2))
    assert market_line.ledger().states["markets/markets/2026-01-05/7d"].newest["status"] == FAILED


def test_a_cursor_that_does_not_advance_ends_the_listing(market_line: MarketLine) -> None:
    before = market_line.server.stats().get("/markets", 0)
    market_line.server.control("stuck_cursor", path=KEYSET)
    made = market_line.ingest()
    assert not made.is_complete and "does not advance" in made.problems[0]
    assert 0 < made.markets.num_rows <= 25 and reasons(made)["duplicate"] == 25
    assert market_line.server.stats()["/markets"] - before == 4  # two pages, and once more from the start
    assert set(ids(made)) < market_line.wanted()


def test_a_cursor_that_was_stuck_once_is_asked_again(market_line: MarketLine) -> None:
    market_line.server.control("stuck_cursor", path=KEYSET, count=2)
    made = market_line.ingest()
    assert made.is_complete and set(ids(made)) == market_line.wanted() and not made.problems


@pytest.mark.parametrize(("kind", "value", "skip"), [("short_pages", 7, 0), ("empty_page", None, 1)])
def test_a_short_or_empty_page_is_not_the_end(market_line: MarketLine, kind: str, value: Any, skip: int) -> None:
    market_line.server.control(kind, value, path=KEYSET, skip=skip, count=None if value else 1)
    made = market_line.ingest()
    assert made.is_complete and set(ids(made)) == market_line.wanted()


def test_too_many_pages_are_called_a_loop(market_line: MarketLine) -> None:
    made = market_line.ingest(config=market_line.config(max_pages=2))
    assert not made.is_complete and "max_pages" in made.problems[0] and made.markets.num_rows > 0


def test_a_slow_server_is_timed_out_and_asked_again(market_line: MarketLine) -> None:
    market_line.server.control("slow", 1.5, path=KEYSET, count=1)
    made = market_line.ingest(config=market_line.config(timeout_seconds=0.5))
    assert made.is_complete and made.requests == 4


def test_a_server_is_not_asked_faster_than_configured_and_rests_as_it_says(market_line: MarketLine) -> None:
    asked: list[float] = []

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await asyncio.sleep(0)

    market_line.server.control("rate_limit", 2, path=KEYSET, count=2)
    made = market_line.ingest(clock=Clock(sleep=sleep))
    assert made.is_complete and sum(1 for seconds in asked if seconds >= 2) >= 2
    market_line.server.heal()

    async def spent() -> float:
        config = Polymarket(gamma_url=market_line.server.url, gamma_requests_per_second=10.0)
        async with PolymarketClient.open(config) as client:
            started = time.monotonic()
            await asyncio.gather(*(client.market("1") for _ in range(15)))
            return time.monotonic() - started

    assert asyncio.run(spent()) >= 0.4  # ten may burst, five more take half a second


def test_a_window_of_the_past_is_refused(market_line: MarketLine) -> None:
    from extract.markets.daily import ingest_day

    with pytest.raises(RequestError, match="negative"):
        asyncio.run(ingest_day(market_line.config(), FIRST, -1, "run", lambda _: None))


def test_a_lake_in_use_is_waited_for_and_then_named(market_line: MarketLine) -> None:
    lake = Lake(market_line.config().raw_url)
    with lake.lock(), pytest.raises(Busy):
        market_line.ingest(config=market_line.config(lock_wait_seconds=0.1))
    assert market_line.ingest().is_complete


# days that heal


def test_a_listing_of_nothing_is_no_day_without_markets(market_line: MarketLine) -> None:
    market_line.server.control("ends_early", path=KEYSET)
    made = market_line.ingest()
    assert not made.is_complete and "no open market on any day" in made.problems[0]
    market_line.server.heal()
    assert set(ids(market_line.ingest())) == market_line.wanted(), "it heals by itself"


def test_a_listing_of_nothing_once_is_asked_again(market_line: MarketLine) -> None:
    market_line.server.control("ends_early", path=KEYSET, count=1)
    made = market_line.ingest()
    assert made.is_complete and set(ids(made)) == market_line.wanted()


def test_a_day_that_really_has_no_market_is_complete(market_line: MarketLine) -> None:
    made = market_line.ingest(date(2027, 6, 1))
    assert made.is_complete and not made.problems and made.markets.num_rows == 0


def test_a_second_page_that_is_empty_is_not_the_end(market_line: MarketLine) -> None:
    market_line.server.control("ends_early", path=KEYSET, skip=1)
    made = market_line.ingest()
    assert not made.is_complete and "not complete" in made.problems[0] and made.markets.num_rows > 0
    market_line.server.heal()
    market_line.server.control("ends_early", path=KEYSET, skip=1, count=1)
    assert market_line.ingest().is_complete, "a second listing brought the rest"
    assert set(ids(market_line.ingest())) == market_line.wanted()


def test_a_complete_day_is_taken_anew_on_request(market_line: MarketLine) -> None:
    first = market_line.ingest(wants=frozenset({BOOK}))
    market_line.at(FIRST, hour=12)
    again = market_line.ingest(refetch=True, wants=frozenset({BOOK}))
    assert again.requests and again.markets["observed_at"][0].as_py() > first.markets["observed_at"][0].as_py()
    read = market_line.ingest(wants=frozenset({BOOK}))
    assert read.is_reused and read.requests == 0 and read.markets.equals(again.markets)
    assert read.books.equals(again.books)


def test_half_a_character_in_one_record_costs_one_note(market_line: MarketLine) -> None:
    name = sorted(market_line.wanted())[0]
    market_line.server.amend({name: {"question": "Will \ud800 it \x00?", "description": "\udfff", "volumeNum": -0.01}})
    made = market_line.ingest()
    assert made.is_complete and set(ids(made)) == market_line.wanted() and made.requests == 3
    (row,) = [row for row in made.markets.to_pylist() if row["market_id"] == name]
    assert row["question"] == "Will \ufffd it \ufffd?" and len(row["notes"]) >= 2
    market_line.at(date(2026, 2, 1))
    assert not market_line.resolve(market_line.pending()).problems


def test_points_of_a_history_that_are_none_are_counted(market_line: MarketLine) -> None:
    market_line.server.control("text_points", path="/prices-history", count=1)
    market_line.server.control("late_points", path="/prices-history", count=1, skip=1)
    made = market_line.ingest(wants=frozenset({PRICES}))
    assert not made.problems and made.dropped_points > 300 and made.price_history.num_rows > 0


# truth


def test_ends_are_what_the_world_says_and_nothing_else_is_scored(market_line: MarketLine) -> None:
    market_line.ingest()
    truth = market_line.server.truth()
    assert {each.market_id for each in market_line.pending()} == market_line.wanted()
    market_line.at(date(2026, 1, 19))
    made = market_line.resolve([*market_line.pending(), Asked("999999")])
    rows = {row["market_id"]: row for row in made.rows.to_pylist()}
    assert rows.pop("999999")["reason"] == "not_found"
    assert made.counts["resolved"] > 30 and made.counts["void"] >= 1 and not made.problems
    now = datetime(2026, 1, 19, 7, 17, tzinfo=UTC)
    for name, row in rows.items():
        told = truth[name]
        is_over = datetime.fromisoformat(told["ended_at"]) <= now and told["fate"] in ("normal", "early", "disputed")
        assert (row["status"] == "resolved") is is_over, told
        assert row["label"] == (int(told["is_true"]) if is_over else None)
        assert (row["status"] == "void") is (told["fate"] == "void")
        assert row["observed_at"] == now and (row["resolved_at"] or now) <= now
    assert {each.market_id for each in market_line.pending()} == set(rows), "what is final is looked at again"
    undetermined = {name for name, row in rows.items() if row["status"] == "undetermined"}
    market_line.at(date(2026, 2, 10))
    market_line.resolve(market_line.pending())
    assert {each.market_id for each in market_line.pending()} == undetermined


def test_ends_by_list_and_one_by_one_are_the_same(market_line: MarketLine) -> None:
    market_line.ingest()
    market_line.at(date(2026, 1, 14))
    asked = market_line.pending()[:12]
    listed = market_line.resolve(asked)
    for kind, value in (("ignore_filters", None), ("stuck_cursor", None), ("status", 422)):
        market_line.server.control(kind, value, path=KEYSET)
        market_line.server.control("short_pages", 5, path=KEYSET)
        single = market_line.resolve(asked)
        market_line.server.heal()
        drop = ["fetched_at"]
        assert single.rows.drop_columns(drop).equals(listed.rows.drop_columns(drop)), kind
        found_by_list = 5 if kind == "stuck_cursor" else 0
        assert single.requests > len(asked) - found_by_list and listed.requests <= 2


def test_a_list_that_fails_costs_nothing_while_single_ids_work(market_line: MarketLine) -> None:
    market_line.ingest()
    market_line.at(date(2026, 1, 19))
    asked = market_line.pending()
    market_line.server.control("status", 500, path="/markets", count=2)
    made = market_line.resolve(asked, tries=2, ids_per_request=20)
    assert not made.problems and made.rows.num_rows == len(asked)
    again = market_line.resolve(market_line.pending(), ids_per_request=20)
    assert not again.problems
    assert market_line.resolve([]).rows.num_rows == 0


def test_one_id_that_always_answers_500_costs_itself_only(market_line: MarketLine) -> None:
    market_line.ingest()
    market_line.at(date(2026, 2, 10))
    asked = market_line.pending()
    bad = asked[7].market_id
    market_line.server.control("status", 500, path=KEYSET)
    market_line.server.control("status", 500, path=f"/markets/{bad}")
    made = market_line.resolve(asked, tries=2)
    assert len(made.problems) == 1 and bad in made.problems[0] and "1 markets" in made.problems[0]
    rows = made.rows.column("market_id").to_pylist()
    assert set(rows) == {each.market_id for each in asked} - {bad}
    market_line.server.heal()
    assert bad in {each.market_id for each in market_line.pending()}


def test_a_source_that_is_down_is_not_asked_for_every_id(market_line: MarketLine) -> None:
    market_line.ingest()
    before = sum(market_line.server.stats().values())
    market_line.server.control("status", 500)
    made = market_line.resolve(market_line.pending(), tries=2)
    assert made.rows.num_rows == 0 and made.problems
    assert sum(market_line.server.stats().values()) - before < 12


def ending(market_line: MarketLine, **fields: object) -> dict[str, Any]:
    """How one market's end is told when its record has these fields."""
    market_line.ingest()
    market_line.at(date(2026, 2, 1))
    told = market_line.server.truth()
    asked = next(a for a in market_line.pending() if told[a.market_id]["fate"] == "normal")
    market_line.server.amend({asked.market_id: fields})
    (row,) = market_line.resolve([asked]).rows.to_pylist()
    assert row["label"] in (None, int(told[asked.market_id]["is_true"]))
    return dict(row)


GONE = {"absent": True}


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"umaResolutionStatuses": '["proposed"]', "umaResolutionStatus": "resolved"}, "resolved", "one_hot"),
        (
            {"umaResolutionStatuses": '["proposed"]', "umaResolutionStatus": GONE, "automaticallyResolved": True},
            "resolved",
            "one_hot",
        ),
        ({"umaResolutionStatuses": "[]", "umaResolutionStatus": GONE}, "resolved", "clob_winner"),
        (
            {"umaResolutionStatuses": "[]", "umaResolutionStatus": GONE, "resolutionStatus": "resolved"},
            "resolved",
            "one_hot",
        ),
        (
            {"umaResolutionStatuses": "[]", "umaResolutionStatus": GONE, "resolutionStatus": "active"},
            "undetermined",
            "not_final",
        ),
        ({"umaResolutionStatuses": '["disputed"]', "umaResolutionStatus": "disputed"}, "undetermined", "not_final"),
        ({"conditionId": "0x" + "77" * 32}, "refused", "other_condition"),
        ({"outcomes": '["Up", "Down"]'}, "refused", "other_outcomes"),
        ({"closedTime": GONE, "umaEndDate": "soon", "endDate": "2026-01-12", "volume": -0.01}, "resolved", "one_hot"),
    ],
)
def test_ends_as_sources_write_them(market_line: MarketLine, fields: dict[str, Any], status: str, reason: str) -> None:
    row = ending(market_line, **fields)
    assert (row["status"], row["reason"]) == (status, reason)
    assert (row["label"] is not None) is (status == "resolved")


def test_a_result_that_turns_is_seen_because_it_is_looked_at_again(market_line: MarketLine) -> None:
    row = ending(market_line)
    turned = [*json.loads(json.dumps(row["outcome_prices_text"]))][::-1]
    market_line.server.amend({row["market_id"]: {"outcomePrices": json.dumps(turned)}})
    market_line.at(date(2026, 2, 9))
    asked = [each for each in market_line.pending() if each.market_id == row["market_id"]]
    (again,) = market_line.resolve(asked).rows.to_pylist()
    assert again["label"] == 1 - row["label"] and again["winning_token_id"] != row["winning_token_id"]
    schema = pa.schema([RESOLUTIONS.field(name) for name in ("market_id", "label")])
    landed = Lake(market_line.config().raw_url).read_committed("polymarket_resolutions", schema).to_pylist()
    assert [r["label"] for r in landed if r["market_id"] == row["market_id"]] == [row["label"], 1 - row["label"]]


# kills


def _run(line: MarketLine) -> subprocess.Popen[bytes]:
    config = line.folder / "foreshore.toml"
    section = f'[polymarket]\ngamma_url = "{line.server.url}"\nclob_url = "{line.server.url}"\n'
    config.write_text(f'[storage]\nroot = "{line.folder}"\nraw_url = "{line.folder}/raw"\n\n{section}')
    command = [sys.executable, "-m", "operate.cli", "extract", "markets", "--run-date", "2026-01-05", "--json"]
    command += ["--with", PRICES, "--config", str(config)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_killed_anywhere_and_started_again_a_day_is_whole_and_single(market_line: MarketLine, tmp_path: Path) -> None:
    clean = MarketLine(market_line.server, tmp_path / "clean").ingest(wants=frozenset({PRICES}))
    for killed in range(4):  # at the first, second .. file that it writes
        kill_when(_run(market_line), files(tmp_path), 1 + 2 * killed)
        assert _landed(market_line) in (0, clean.markets.num_rows)
    last = _run(market_line)
    assert last.wait(60) in (0, 3), last.stderr and last.stderr.read()
    assert _landed(market_line) == clean.markets.num_rows
    made = market_line.ingest(wants=frozenset({PRICES}))
    assert made.requests == 0 and ids(made) == ids(clean)
    assert made.price_history.num_rows == clean.price_history.num_rows
    drop = ["fetched_at"]
    assert made.markets.drop_columns(drop).equals(clean.markets.drop_columns(drop))


def _landed(line: MarketLine) -> int:
    """Market rows that readers see: of the newest complete load of the partition."""
    lake, name = Lake(line.config().raw_url), "markets/markets/2026-01-05/7d"
    state = line.ledger().states.get(name)
    if state is None or state.complete is None:
        return 0
    assert state.complete["status"] == COMPLETE
    return in_partition(lake.read_load("polymarket_markets", state.complete["load_id"], MARKETS), name).num_rows


def test_the_world_is_the_same_for_the_same_seed_and_its_cursor_belongs_to_its_filters(
    market_line: MarketLine,
) -> None:
    first = market_line.ingest(dry_run=True)
    assert (
        market_line.ingest(dry_run=True)
        .markets.drop_columns(["fetched_at"])
        .equals(first.markets.drop_columns(["fetched_at"]))
    )

    async def ask() -> tuple[list[str], int]:
        async with PolymarketClient.open(Polymarket(gamma_url=market_line.server.url)) as client:
            page = await anext(client.pages({"closed": "false"}))
            ignored = await client.gamma.get(KEYSET, {"cursor": page.next_cursor or "", "limit": "100"}, lambda _: None)
            try:
                wrong = {"closed": "true", "after_cursor": page.next_cursor or ""}
                await client.gamma.get(KEYSET, wrong, lambda _: None)
            except WebError as refused:
                return [r["id"] for r in ignored.value["markets"]], getattr(refused, "status", 0)
            return [], 0

    names, status = asyncio.run(ask())
    assert Counter(names).most_common(1)[0][1] == 1 and status == 422
