"""`foreshore pre-paper run`: a promoted backtest on live bars. Everything comes from its manifest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from decide.bars.actions import Split
from decide.bars.history import Reason
from decide.bars.promotable import PROMOTABLE
from decide.bars.sessions import Sessions
from decide.bars.tables import canonical_hash, params, rules_hash
from extract.bars.actions import TellsActions
from extract.bars.alpaca_socket import LiveEvent
from extract.bars.config import BarSource, bar_source
from extract.bars.provider import BarProvider
from extract.bars.symbols import canonical
from extract.config import Config
from extract.errors import ForeshoreError, RequestError
from operate.bars.artifacts import artifacts_root
from operate.bars.backtest import calendar, conditions, failed_gates, gates_of, iso, promotion_line
from operate.bars.manifest import Promotion, read_promotion
from operate.bars.pre_paper.cache import BarCache
from operate.bars.pre_paper.evaluation import Guards
from operate.bars.pre_paper.folder import CHECKS, RunFolder, read_lines, stamp
from operate.bars.pre_paper.history import DEADLINE_SECONDS, History
from operate.bars.pre_paper.runner import Clock, Runner
from operate.bars.pre_paper.segregation import confined
from operate.console import err, out, print_json

Say = Callable[[dict[str, Any]], None]
ACTION_DAYS = 45  # more than the longest history that a run asks for
ACTIONS_SECONDS = 10.0


class PrePaperRefused(ForeshoreError):
    """The run cannot begin; the message starts with the reason code."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; none of it is a parameter of the strategy."""

    manifest: Path
    provider: str | None = None
    feed: str | None = None
    symbols: tuple[str, ...] = ()
    replay_from: int | None = None
    require_promotable: bool = False


@dataclass(frozen=True)
class Plan:
    """A run that may begin."""

    promotion: Promotion
    source: BarSource
    symbols: tuple[str, ...]
    sessions: Sessions
    session: tuple[int, int]
    run_id: str
    facts: dict[str, Any]
    guards: Guards = field(default_factory=Guards)
    verdict: Mapping[str, Any] = field(default_factory=dict)  # of the backtest's promotion gates


def plan(config: Config, asked: Asked) -> Plan:
    """Check everything that can be refused before a connection is made; PrePaperRefused says why."""
    promotion, manifest = read_promotion(asked.manifest)
    verdict = manifest["gates"]["promotion"]
    if asked.require_promotable and verdict["status"] != PROMOTABLE:
        raise PrePaperRefused(
            f"not_promotable: {failed_gates(verdict)}. Change the strategy or its range and run a backtest anew, or "
            "leave --require-promotable out"
        )
    source = bar_source(config, asked.provider)
    for named, feed in (("--feed", asked.feed), (f"provider {source.name}", source.feed)):
        if feed is not None and feed != promotion.feed:
            raise PrePaperRefused(
                f"{Reason.FEED_MISMATCH.value}: the backtest stood on the feed {promotion.feed!r}, {named} is "
                f"{feed!r}: they are different series. Use a provider of {promotion.feed!r}, or backtest on {feed!r}"
            )
    symbols = tuple(canonical(symbol) for symbol in asked.symbols) or (promotion.symbol,)
    if len(set(symbols)) != len(symbols):
        raise RequestError(f"--symbols names {max(symbols, key=symbols.count)} twice")
    sessions = calendar(config)
    session = session_at(sessions, asked.replay_from if asked.replay_from is not None else int(time.time()))
    day = f"{datetime.fromtimestamp(session[0], UTC):%Y%m%d}"
    digest = canonical_hash([source.name, sorted(symbols), asked.replay_from is not None])[:6]
    run_id = f"{manifest['identity']['run_id']}-{day}-{digest}"
    facts = {
        "run_id": run_id,
        "promotion_sha256": manifest["identity"]["promotion_sha256"],
        "rules_hash": rules_hash(promotion.strategy),
        "strategy_key": promotion.strategy.key,
        "impl_version": promotion.strategy.version,
        "timeframe_minutes": promotion.strategy.rules.timeframe_minutes,
        "feed": promotion.feed,
        "is_replay": asked.replay_from is not None,
    }
    guards = Guards(jumps=conditions(config), gates=gates_of(config))
    return Plan(promotion, source, tuple(symbols), sessions, session, run_id, facts, guards, verdict)


def session_at(sessions: Sessions, moment: int) -> tuple[int, int]:
    """Open and close of the session at `moment`, or of the next one; PrePaperRefused past the calendar's end."""
    place = int(np.searchsorted(sessions.closes, moment, side="right"))
    if place >= len(sessions.closes) or moment < sessions.known_from:
        raise PrePaperRefused(
            f"{Reason.CALENDAR_OUT_OF_RANGE.value}: seeds/bars/sessions.csv has no session at or after {iso(moment)}: "
            "extend it"
        )
    return int(sessions.opens[place]), int(sessions.closes[place])


def run(config: Config, asked: Asked, as_json: bool) -> int:
    """One session of pre-paper; exit code 0, or 2 when something could not be said (NO-SIGNALS)."""
    made, folder, summary = execute(config, asked, None if as_json else _say)
    if as_json:
        print_json({"run_id": made.run_id, "folder": str(folder), **summary})
    else:
        show(made, folder, summary)
    return 2 if summary["decisions"].get("NO-SIGNALS") else 0


def execute(config: Config, asked: Asked, say: Say | None) -> tuple[Plan, Path, dict[str, Any]]:
    """Run it, confined to its cache and its folder; what was planned, the folder, and the summary."""
    made = plan(config, asked)
    if say is not None:
        err.print(promotion_line(made.verdict), soft_wrap=True)
    cache_folder, folder = config.root / "pre_paper", artifacts_root(config) / "pre_paper" / made.run_id
    for place in (cache_folder, folder):
        place.mkdir(parents=True, exist_ok=True)
    feed = made.promotion.feed
    with (
        confined(cache_folder, folder),
        RunFolder(folder) as run_folder,
        BarCache(cache_folder / f"bars-{feed}.sqlite", feed, made.sessions) as cache,
    ):
        return made, folder, asyncio.run(_session(made, asked, cache, run_folder, say))


async def _session(made: Plan, asked: Asked, cache: BarCache, folder: RunFolder, say: Say | None) -> dict[str, Any]:
    provider, socket = made.source.open(), made.source.socket()
    try:
        return await trade_session(made, asked, cache, folder, provider, socket.stream(made.symbols), say)
    finally:
        await provider.close()


async def trade_session(
    made: Plan,
    asked: Asked,
    cache: BarCache,
    folder: RunFolder,
    provider: BarProvider,
    events: AsyncIterator[LiveEvent],
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the loop on a stream of events; returns the summary that `run_result.json` holds as well."""
    clock = Clock(asked.replay_from)
    manifest = folder.manifest(
        {
            "identity": {**made.facts, "started_at": stamp(), "since": clock.now()},
            "promoted": {
                "manifest": str(asked.manifest),
                "sha256": made.facts["promotion_sha256"],
                "verdict": dict(made.verdict),
                "params": params(made.promotion.strategy),
            },
            "data": {
                "provider": made.source.name,
                "feed": made.promotion.feed,
                "symbols": list(made.symbols),
                "session": [iso(edge) for edge in made.session],
            },
        }
    )
    guards = replace(made.guards, splits=await _splits(made, provider, folder))
    folder.log("started", clock=iso(clock.now()), decided_before=len(folder.checked), said_before=len(folder.said))
    history = History(cache, provider, DEADLINE_SECONDS)
    runner = Runner(
        made.promotion,
        made.symbols,
        history,
        folder,
        clock,
        made.session,
        int(manifest["identity"]["since"]),
        made.facts,
        say or (lambda row: None),
        guards,
    )
    status, failure = "FINISHED", None
    try:
        async with aclosing(events) as stream:  # type: ignore[type-var]
            await runner.run(stream)
    except BaseException as error:  # stopped by hand, too: only a session that was lived through is FINISHED
        status, failure = "FAILED", str(error) if isinstance(error, ForeshoreError) else type(error).__name__
        raise
    finally:
        folder.revisions(revision_lines(cache, made, int(manifest["identity"]["since"])))
        summary = _summary(runner, folder, status, failure)
        folder.result(summary)
    return summary


async def _splits(made: Plan, provider: BarProvider, folder: RunFolder) -> dict[str, tuple[Split, ...]]:
    """Splits of the last weeks by symbol; none where the provider cannot tell: a jump like one is then refused."""
    if not isinstance(provider, TellsActions):
        return {}
    day = datetime.fromtimestamp(made.session[0], UTC).date()
    try:
        async with asyncio.timeout(ACTIONS_SECONDS):
            told = await provider.actions(made.symbols, day - timedelta(days=ACTION_DAYS), day)
    except (ForeshoreError, TimeoutError) as error:
        folder.log("no_corporate_actions", error=str(error) or type(error).__name__)
        return {}
    opens = {datetime.fromtimestamp(at, UTC).date(): at for at in made.sessions.opens.tolist()}
    found: dict[str, tuple[Split, ...]] = {}
    for action in told:
        ex_at = next((at for session, at in opens.items() if session >= action.ex_date), None)
        if action.kind == "split" and ex_at is not None:
            shares = (Fraction(repr(size)) for size in (action.old_shares or 1.0, action.new_shares or 1.0))
            found[action.symbol] = (*found.get(action.symbol, ()), Split(ex_at, *shares))
    return found


def _summary(runner: Runner, folder: RunFolder, status: str, failure: str | None) -> dict[str, Any]:
    tally = runner.tally
    latencies = sorted(tally.latencies)
    return {
        "status": status,
        "failure": failure,
        "signals": len(folder.said),
        "decisions": dict(sorted(tally.decisions.items())),
        "events": tally.events,
        "skipped": tally.skipped,
        "rejoined": tally.rejoined,
        "bar_to_decision_p99_ms": round(1000 * latencies[int(0.99 * (len(latencies) - 1))], 3) if latencies else None,
        "ended_at": stamp(),
    }


def revision_lines(cache: BarCache, made: Plan, since: int) -> list[dict[str, Any]]:
    """What the cache replaced or refused of this run's symbols since it began."""
    lines = []
    for row in cache.revisions():
        if row["symbol"] in made.symbols and row["revised_at"] >= since:
            shown = {
                name: value for name, value in row.items() if name not in ("ts", "tf", "revision_id", "revised_at")
            }
            lines.append({**shown, "bar_at": iso(row["ts"]), "revised_at": iso(row["revised_at"])})
    return lines


def _say(row: dict[str, Any]) -> None:
    order = row["reason"] or f"valid {row['valid_from'][11:16]} to {row['valid_to'][11:16]}"
    out.print(
        f"[bold]{row['symbol']}[/bold] {row['side']} {row['entry_price']:.2f} stop {row['stop_price']:.2f} target "
        f"{row['take_profit_price']:.2f}  {row['signal_at'][:16].replace('T', ' ')}  ({order})"
    )


def show(made: Plan, folder: Path, summary: dict[str, Any]) -> None:
    """What a run said, and how often it could not."""
    decisions = ", ".join(f"{count} {name}" for name, count in summary["decisions"].items()) or "none"
    out.print(f"{summary['signals']} signals; bar closes: {decisions}")
    for line in no_signals(folder):
        out.print(f"[yellow]NO-SIGNALS[/yellow] {line}")
    out.print(f"\n{folder}", soft_wrap=True)
    out.print(f"[dim]into the warehouse: foreshore pre-paper land --run {made.run_id}[/dim]", soft_wrap=True)


def no_signals(folder: Path) -> Sequence[str]:
    """The refused closes of a run, runs of equal ones together."""
    episodes: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in read_lines(folder / CHECKS):
        if row["decision"] == "NO-SIGNALS":
            episodes.setdefault((row["symbol"], row["reason"]), []).append(row)
    return [_episode(symbol, reason, rows) for (symbol, reason), rows in episodes.items()]


def _episode(symbol: str, reason: str, rows: Sequence[dict[str, Any]]) -> str:
    span = rows[0]["close"][11:16] + (f" to {rows[-1]['close'][11:16]}" if len(rows) > 1 else "")
    gaps = rows[0].get("gaps") or []
    missing = sum(gap["count"] for gap in gaps)
    told = f": {missing} of {rows[0]['required']} bars missing from {gaps[0]['first'][:16]}" if gaps else ""
    return f"{symbol} {reason}, {len(rows)} closes {span} UTC{told}"
