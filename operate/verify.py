"""The morning's look: did the night run, is everything there and fresh, what fails, how does the store grow."""

from __future__ import annotations

import shutil
from collections import defaultdict
from datetime import UTC, datetime, timedelta

from extract.config import Config
from extract.integrity import audit
from extract.lake import Lake
from extract.ledger import Ledger, PartitionState
from operate.checks import FAIL, OK, WARN, Check
from operate.expected import Expectation, Unusual, expectations, unusual
from operate.gates import failing_gates
from operate.overnight import is_running, last_night
from operate.warehouse import Warehouse

NIGHT_HOURS = 26.0  # a night a day, and two hours for its work
LEAST_FREE_BYTES = 5 * 2**30
GROWTH = 3.0  # a night that lands so many times the usual bytes is looked at
USUAL_DAYS = 14


def verify(config: Config, now: datetime | None = None) -> list[Check]:
    """Checks of a store; `now` is UTC, for tests."""
    moment = now or datetime.now(UTC)
    lake = Lake.of(config)
    damages = audit(lake)
    ledger = Ledger.read(lake, {damage.load_id for damage in damages})
    states = list(ledger.states.values())
    checks = [_night(config, moment)]
    if not states:
        return [*checks, Check("partitions", FAIL, "nothing was ever extracted", "foreshore extract all")]
    if damages:
        said = f"{len(damages)} raw files are not as they were landed, first: {damages[0].spoken()}"
        checks.append(Check("raw files", FAIL, said, "foreshore repair"))
    else:
        checks.append(Check("raw files", OK, "every file is as it was landed"))
    by_wing: dict[str, list[PartitionState]] = defaultdict(list)
    for state in states:
        by_wing[state.newest["source"]].append(state)
    for wing, of in sorted(by_wing.items()):
        checks += [_partitions(wing, of), _freshness(wing, of, moment)]
    if not config.is_simulated:  # the embedded world lives in another year: no calendar of ours holds for it
        checks += [_expected(one) for one in expectations(ledger, moment) if one.missing]
        checks += [_unusual(one) for one in unusual(ledger)]
    return [*checks, *_published(config), _gates(config), _growth(states, moment), _disk(config)]


def _expected(one: Expectation) -> Check:
    """Periods that have ended and that nobody fetched, of what was fetched lately."""
    more = f" and {len(one.missing) - 3} more" if len(one.missing) > 3 else ""
    said = f"{one.family}: {one.actual} of {one.expected} complete; missing {', '.join(one.missing[:3])}{more}"
    return Check(f"{one.wing} expected", FAIL, said, one.cure)


def _unusual(one: Unusual) -> Check:
    said = f"{one.family}: {one.rows:,} rows of {one.period}, usually {one.usual_rows:,}"
    cure = f"look at the source, then fetch it anew: foreshore extract {one.wing} --no-resume"
    if one.wing == "markets":
        cure = "look at the source: what it listed on a day that passed cannot be asked for again"
    return Check(f"{one.wing} rows", WARN, said, cure)


def _night(config: Config, now: datetime) -> Check:
    last = last_night(config)
    if last is None:
        return Check("night", WARN, "no night ever ran here", "foreshore overnight install")
    beat = datetime.fromisoformat(last["beat_at"])
    ago = f"{beat:%Y-%m-%d %H:%M} UTC"
    if is_running(config):
        return Check("night", OK, f"{last['run_id']} runs: {last['doing']}")
    if last["code"] is None:
        return Check("night", FAIL, f"{last['run_id']} broke off at {ago}: {last['doing']}", "foreshore overnight")
    if now - beat > timedelta(hours=NIGHT_HOURS):
        said = f"the last one ended at {ago}, more than {NIGHT_HOURS:g} h ago"
        return Check("night", FAIL, said, "foreshore overnight")
    if last["code"]:
        bad = ", ".join(f"{s['name']} ({s['code']})" for s in last["steps"] if s["code"] not in (0, 3))
        said = f"{last['run_id']} ended at {ago} with {last['code']}: {bad}"
        return Check("night", FAIL, said, f"see {config.root}/logs")
    return Check("night", OK, f"{last['run_id']} ended well at {ago}")


def _partitions(wing: str, states: list[PartitionState]) -> Check:
    failing = [s for s in states if s.is_failing]
    rows = sum(s.complete["rows"] for s in states if s.complete)
    there = f"{sum(s.complete is not None for s in states)} of {len(states)} partitions complete, {rows:,} rows"
    if not failing:
        return Check(f"{wing} partitions", OK, there)
    first = failing[0].newest
    said = f"{there}; {len(failing)} failing, first: {first['partition_id']}: {first['error_message']}"
    return Check(f"{wing} partitions", FAIL, said, f"foreshore extract {wing}")


def _freshness(wing: str, states: list[PartitionState], now: datetime) -> Check:
    newest = max((s.complete["finished_at"] for s in states if s.complete), default=None)
    if newest is None:
        return Check(f"{wing} freshness", FAIL, "nothing is complete", f"foreshore extract {wing}")
    hours = (now - newest).total_seconds() / 3600
    verdict = OK if hours <= NIGHT_HOURS else WARN
    return Check(f"{wing} freshness", verdict, f"newest rows fetched {hours:.1f} h ago", f"foreshore extract {wing}")


def _published(config: Config) -> list[Check]:
    units = Warehouse.of(config).shelf.units()
    if not units:
        return [Check("publication", FAIL, "nothing is published", "foreshore build")]
    return [
        Check(f"{name} published", OK, f"{unit.table_count} tables at {unit.published_at:%Y-%m-%d %H:%M} UTC")
        for name, unit in sorted(units.items())
    ]


def _gates(config: Config) -> Check:
    failing = failing_gates(Warehouse.of(config))
    if not failing:
        return Check("gates", OK, "no key fails")
    first = failing[0]
    said = f"{len(failing)} keys fail, first: {' '.join(str(v) for v in list(first.values())[:4])}"
    return Check("gates", WARN, said, "foreshore sql \"from gate_verdicts where verdict = 'fail'\"")


def _growth(states: list[PartitionState], now: datetime) -> Check:
    by_day: dict[int, int] = defaultdict(int)
    for state in states:
        if state.complete:
            by_day[(now - state.complete["finished_at"]).days] += state.complete["bytes"] or 0
    today = by_day.pop(0, 0)
    usual = sorted(size for day, size in by_day.items() if 0 < day <= USUAL_DAYS)
    said = f"{today / 1e6:,.1f} MB landed in the last day"
    if not usual:
        return Check("growth", OK, f"{said}; no days before to compare with")
    middle = usual[len(usual) // 2]
    said += f", {middle / 1e6:,.1f} MB on a usual one"
    return Check("growth", WARN if today > GROWTH * middle else OK, said, "look at data/logs/extract.jsonl")


def _disk(config: Config) -> Check:
    free = shutil.disk_usage(config.root).free
    verdict = OK if free >= LEAST_FREE_BYTES else FAIL
    return Check("disk", verdict, f"{free / 2**30:.1f} GiB free", "free some: at least 5 GiB")
