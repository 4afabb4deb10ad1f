"""Every verb that writes, as chaos runs it: from which store, and what must be the same when it has come to its end."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import duckdb

from operate.markets.demo import FIRST_END, WINDOW
from tests.chaos_store import Chaos, Sources

BARS = ("extract", "bars", "--symbol", "FORE", "--from", "2026-01-02", "--to")  # whole months: a repair fetches these
TESTED = ("backtest", "bars", "--symbol", "FORE", "--from", "2026-01-07", "--to", "2026-03-05")
DAY = str(FIRST_END - timedelta(days=WINDOW))
VOTER = "0x2b9f23a551ee94ec33cf07e3873b5b6ab813339a"  # has votes to cast; the first of the seed has none here
RECOMMEND = ("recommend", "--window", "day", "--protocol", "hydrex_world", "--voter", VOTER, "--no-simulate")
Look = Callable[[Chaos], dict[str, Any]]


def raw(chaos: Chaos) -> dict[str, Any]:
    return chaos.raw()


def bars(chaos: Chaos) -> dict[str, Any]:
    """Bars alone: a month that is fetched again reaches to the newest day that is over, and its request says so."""
    return chaos.raw("bars")


def ledger(chaos: Chaos) -> dict[str, Any]:
    return chaos.raw() | chaos.ledger()


def published(chaos: Chaos) -> dict[str, Any]:
    return chaos.published()


def files(*places: str) -> Look:
    return lambda chaos: chaos.files(*places)


@dataclass(frozen=True)
class Verb:
    """`least` of a thousand rounds are its own; `cheap` ones share what is left. `group` rounds are run before it may
    come to its end. `prepare` comes before every round."""

    name: str
    arguments: Sequence[str]
    store: str
    look: Look
    least: int = 20
    is_cheap: bool = False
    group: int = 5
    allowed: tuple[int, ...] = (0, 3)
    prepare: Callable[[Chaos, random.Random], None] | None = None
    by_clock: bool = False


# what needs neither a chain nor a build: CI runs these
SHORT = [
    Verb("extract bars", (*BARS, "2026-03-06"), "empty", raw),
    Verb("extract bars anew", (*BARS, "2026-03-06", "--no-resume"), "landed", raw),
    Verb("extract markets", ("extract", "markets", "--run-date", str(FIRST_END)), "empty", raw),
    Verb("markets daily", ("markets", "daily", "--run-date", DAY), "empty", ledger),
    Verb("markets resolve", ("markets", "resolve"), "daily", ledger),
    Verb("markets backfill", ("markets", "backfill"), "lacking", ledger, is_cheap=True),
    Verb("compact", ("compact", "--least", "2"), "landed", raw, is_cheap=True),
    Verb("prune", ("prune", "--before", "2100-01-01", "--apply"), "landed", raw, is_cheap=True),
    Verb("repair", ("repair", "--verify"), "landed", bars, is_cheap=True, prepare=Chaos.damage),
    # a whole project, or a whole package, that a kill left is refused: nothing is written over
    Verb("init", ("init", "ROOT/mine"), "empty", files("mine"), is_cheap=True, allowed=(0, 1)),
    Verb("overnight install", ("overnight", "install", "--for", "systemd", "--write"), "empty", files("home"),
         is_cheap=True),
]  # fmt: skip


def long_ones(sources: Sources) -> list[Verb]:
    """What needs the chains, or what was built."""
    day = ("--since", sources.day, "--until", sources.day)
    return [
        Verb("extract voting", ("extract", "voting", "--epochs", "1"), "empty", raw),
        Verb("extract lending", ("extract", "lending", "--csu", sources.csu, *day), "empty", raw),
        Verb("extract all", ("extract", "all", "--epochs", "1"), "empty", raw, group=10),
        Verb("build", ("build",), "stale", published, least=40, group=10, allowed=(0,)),
        Verb("publish", ("sql", "select count(*) from gauges"), "unpublished", published, least=40, is_cheap=True,
             allowed=(0,)),
        Verb("report", ("report",), "built", files("report")),
        Verb("export lending", ("export", "lending", *day, "--out", "ROOT/pack"), "built", files("pack"),
             allowed=(0, 1)),
        Verb("backtest bars", TESTED, "built", files("artifacts"), is_cheap=True),
        Verb("backtest bars --sweep", (*TESTED, "--sweep", "atr_period=5:12"), "built", files("artifacts"),
             is_cheap=True),
        Verb("recommend", RECOMMEND, "built", files("recommendations"), is_cheap=True),
        Verb("submitted", ("submitted", "--file", "ROOT/vote.json", "--submitted-at", "2025-09-24T00:05:00Z"), "voted",
             raw, is_cheap=True),
        Verb("overnight", ("overnight",), "night", raw, by_clock=True, group=10),
    ]  # fmt: skip


def lay_short(chaos: Chaos) -> None:
    """The stores that the short verbs start from."""
    chaos.keep("empty")
    chaos.whole("markets", "daily", "--run-date", DAY)
    chaos.keep("daily")
    without_two(chaos)
    chaos.keep("lacking")
    chaos.back_to("daily")
    chaos.whole(*BARS, "2026-02-03")
    chaos.whole(*BARS, "2026-03-06")
    chaos.keep("landed")


def without_two(chaos: Chaos) -> None:
    """Take two experiments' results out of the ledger, as if they had not existed on that day."""
    results = "from_json(payload -> '$.results', '[\"JSON\"]')"
    kept = f"list_filter({results}, lambda r: (r ->> '$.experiment') not in ('momentum', 'kelly'))"
    with duckdb.connect(str(chaos.folder / "ledger" / "markets.duckdb")) as connection:
        connection.execute(
            f"update processed_markets set payload = json_merge_patch(payload, json_object('results', {kept}))"
        )


def lay_long(chaos: Chaos) -> None:
    """The stores that the long verbs start from: `stale` was built before its newest bars were landed."""
    sources = chaos.sources
    chaos.back_to("landed")
    chaos.whole("extract", "voting", "--epochs", "1")
    chaos.whole("extract", "lending", "--csu", sources.csu, "--since", sources.day, "--until", sources.day)
    chaos.whole("markets", "resolve")
    chaos.whole("build", allowed=(0,))
    chaos.whole(*BARS, "2026-03-06", "--no-resume")
    chaos.whole("extract", "markets", "--run-date", str(FIRST_END))
    chaos.keep("stale")
    chaos.whole("build", allowed=(0,))
    chaos.keep("built")
    chaos.whole(*RECOMMEND)
    (vote,) = (chaos.folder / "recommendations").rglob("*.json")
    shutil.copy(vote, chaos.folder / "vote.json")
    chaos.keep("voted")
    chaos.back_to("built")
    shutil.rmtree(chaos.folder / "published")
    (chaos.folder / "foreshore.duckdb").unlink()
    (chaos.folder / "build" / "considered").unlink()
    chaos.keep("unpublished")
    chaos.back_to("built")
    with (chaos.folder / "foreshore.toml").open("a") as handle:
        lines = [f"bars = {[*BARS, '2026-03-06']}", f"markets = {['markets', 'daily', '--run-date', DAY]}"]
        handle.write("[overnight]\nretries = 1\nbackoff_seconds = 0.1\n[overnight.steps]\n" + "\n".join(lines) + "\n")
    chaos.keep("night")
