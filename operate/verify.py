"""`foreshore verify`: the morning's look at what the nights left, from disk alone."""

from __future__ import annotations

import shutil
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from extract.config import Config, load_config
from extract.integrity import audit
from extract.land import Lake
from extract.ledger import Ledger
from operate.console import err, out, print_json, table
from operate.expected import Expectation, expectations
from operate.gates import failing_gates
from operate.options import config_option, json_option
from operate.overnight import journal
from operate.overnight.settings import night_folder, night_settings
from operate.overnight.telling import tell
from operate.warehouse import Warehouse

SIZES = "sizes.json"  # bytes by folder at the last look that had changed them a day or more ago
FULL_AT = 0.9  # of the disk: DuckDB spills and a publication is written beside the one before
QUIET_BEAT_HOURS = 0.1  # a heartbeat comes every ten seconds: one this old belongs to a night that died


@dataclass(frozen=True)
class Finding:
    """Something a person should know: where, what, the command or act that cures it, and whether it fails the look."""

    about: str
    what: str
    cure: str
    is_bad: bool = True


@click.command()
@click.option("--notify", is_flag=True, help="Send a message when something is wrong, or when no night ran.")
@json_option
@config_option
def verify(notify: bool, as_json: bool, config_file: str | None) -> None:
    """The morning report: did the night run, is what was expected there, which gates fail, how the store grows.

    Expectations come from the calendar and the ledger; no provider is asked. Exit code 0 all well, 2 something is
    missing or failing, 1 nothing ran or nothing is there.

    \b
    Examples
      foreshore verify
      foreshore verify --notify
      foreshore verify --json
    """
    config = load_config(config_file)
    report = look(config, datetime.now(UTC))
    if as_json:
        print_json(report.as_dict())
    else:
        report.show()
    bad = [finding for finding in report.findings if finding.is_bad]
    if notify and bad:
        lines = [f"{f.about}: {f.what}. {f.cure}" for f in bad]
        for problem in tell(f"foreshore: {len(bad)} findings this morning", lines, config.environ):
            err.print(f"[red]not sent[/red] {escape(problem)}")
    sys.exit(report.exit_code)


@dataclass(frozen=True)
class Report:
    """One look: the last night, expectations by family, bytes by folder and since before, what a person should know."""

    night: dict[str, Any] | None
    expected: Sequence[Expectation]
    sizes: dict[str, int]
    grown: dict[str, int]
    findings: Sequence[Finding]

    @property
    def exit_code(self) -> int:
        if not any(finding.is_bad for finding in self.findings):
            return 0
        return 1 if self.night is None or not self.expected else 2

    def as_dict(self) -> dict[str, Any]:
        told = {"expected": [asdict(e) for e in self.expected], "findings": [asdict(f) for f in self.findings]}
        return {
            "night": self.night,
            "bytes": self.sizes,
            "grown_bytes": self.grown,
            **told,
            "exit_code": self.exit_code,
        }

    def show(self) -> None:
        if self.night:
            steps = ", ".join(f"{s['name']} {s['exit_code']}" for s in self.night["steps"])
            out.print(
                f"Night {self.night['run_id']}: exit code {self.night['exit_code']} ({steps}), {self.night['at'][:16]}"
            )
        by_wing: dict[str, list[Expectation]] = defaultdict(list)
        for one in self.expected:
            by_wing[one.wing].append(one)
        rows = [
            (wing, len(of), sum(e.expected for e in of), sum(e.actual for e in of), sum(e.newest_rows for e in of),
             f"{sum(e.usual_rows for e in of):,.0f}")
            for wing, of in by_wing.items()
        ]  # fmt: skip
        heads = ["wing", "families", "expected", "complete", "newest rows", "usual rows"]
        if rows:
            out.print(table("Partitions of the last periods", heads, rows, right=heads[1:]))
        grown = ", ".join(f"{name} {_mb(size)} ({_mb(self.grown[name], '+')})" for name, size in self.sizes.items())
        out.print(f"Storage: {grown or 'nothing yet'}")
        for finding in self.findings:
            colour = "red" if finding.is_bad else "yellow"
            out.print(f"[{colour}]{escape(finding.about)}[/{colour}] {escape(finding.what)}", soft_wrap=True)
            out.print(f"    cure: {escape(finding.cure)}", soft_wrap=True)
        if not self.findings:
            out.print("All well: nothing to do.")


def look(config: Config, now: datetime) -> Report:
    """Everything on disk that tells how the nights went; `now` in UTC."""
    lake = Lake.of(config)
    night = journal.read(night_folder(config), journal.RESULT)
    damages = audit(lake) if lake.has_landed() else []
    ledger = Ledger.read(lake, {damage.load_id for damage in damages})
    expected = expectations(ledger, now)
    sizes = _sizes(config.root)
    grown = _growth(config, sizes, now)
    findings = [
        *_of_night(config, night, now),
        *(_missing(one) for one in expected if one.missing),
        *(_thin(one) for one in expected if one.is_thin),
        *_failing(ledger),
        *(Finding("damaged", damage.spoken(), "foreshore repair") for damage in damages),
        *(Finding(f"gate {g['wing']} {g['gate_key']} {g['gate']}", str(g["evidence"]), str(g["cure"]))
          for g in failing_gates(Warehouse.of(config))),
        *_disk(config.root, grown),
    ]  # fmt: skip
    if not ledger.states:
        findings.insert(0, Finding("store", "nothing was ever extracted", "foreshore extract all"))
    return Report(night, expected, sizes, grown, findings)


def _of_night(config: Config, night: dict[str, Any] | None, now: datetime) -> list[Finding]:
    beat = journal.read(night_folder(config), journal.HEARTBEAT)
    beat_age = journal.age_hours(beat, now) if beat else None
    is_newer = beat is not None and (night is None or beat["run_id"] != night["run_id"])
    if is_newer and beat is not None and beat_age is not None and beat_age < QUIET_BEAT_HOURS:
        return [Finding("night", f"is running now: {beat['step']}, try {beat['try']}", "look again later", False)]
    found = []
    if is_newer and beat is not None:
        what = f"{beat['run_id']} ended unfinished in {beat['step']} at {beat['at'][:16]} UTC"
        found.append(Finding("night", what, "foreshore overnight   # it goes on where it stood"))
    late = night_settings(config).late_after_hours
    if night is None:
        found.append(Finding("night", "none has ever ended", "foreshore overnight install, or foreshore overnight"))
    elif (age := journal.age_hours(night, now)) > late:
        what = f"none has ended for {age:.0f} hours (limit {late:.0f})"
        found.append(Finding("night", what, "see why the timer did not start it, then: foreshore overnight"))
    elif night["exit_code"]:
        names = ", ".join(f"{s['name']} ({s['exit_code']})" for s in night["steps"] if s["exit_code"] not in (0, 3))
        found.append(Finding("night", f"failed in {names}", f"read {night['output']}, then: foreshore overnight"))
    return found


def _missing(one: Expectation) -> Finding:
    more = f" and {len(one.missing) - 3} more" if len(one.missing) > 3 else ""
    what = f"{one.family}: {one.actual} of {one.expected} complete; missing {', '.join(one.missing[:3])}{more}"
    return Finding(one.wing, what, one.cure)


def _thin(one: Expectation) -> Finding:
    what = f"{one.family}: {one.newest_rows:,} rows in the newest period, {one.usual_rows:,.0f} in a usual one"
    return Finding(one.wing, what, "compare with the source; if it recovered, extract with --no-resume", False)


def _failing(ledger: Ledger) -> list[Finding]:
    failing = [state.newest for state in ledger.states.values() if state.is_failing]
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in failing:
        groups[row["source"], row["error_class"] or "unknown"].append(row)
    return [
        Finding(source, f"{len(rows)} partitions fail with {error}: {rows[-1]['error_message']}", "foreshore status")
        for (source, error), rows in sorted(groups.items())
    ]


def _sizes(root: Path) -> dict[str, int]:
    """Bytes of each folder of the root; a file that vanishes while it is looked at counts nothing."""
    found = {}
    for folder in sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []:
        total = 0
        for path in folder.rglob("*"):
            try:
                total += path.lstat().st_size if path.is_file() else 0
            except OSError:
                continue
        found[folder.name] = total
    return found


def _growth(config: Config, sizes: dict[str, int], now: datetime) -> dict[str, int]:
    """Bytes since the last look of another day; this look is kept for the next one."""
    before = journal.read(night_folder(config), SIZES)
    known = before["bytes"] if before else {}
    grown = {name: size - int(known.get(name, size)) for name, size in sizes.items()}
    if before is None or journal.age_hours(before, now) >= 20:
        try:
            journal.note(night_folder(config), SIZES, {"bytes": sizes})
        except OSError:  # a store that can be read but not written is still looked at
            return grown
    return grown


def _disk(root: Path, grown: dict[str, int]) -> list[Finding]:
    here = root if root.exists() else Path.cwd()
    usage = shutil.disk_usage(here)
    daily = max(sum(grown.values()), 0)
    if usage.used / usage.total > FULL_AT or (daily and usage.free / daily < 7):
        days = f", {usage.free / daily:.0f} days at the last growth" if daily else ""
        return [Finding("disk", f"{_mb(usage.free)} left{days}", "free some space, or move [storage] root")]
    return []


def _mb(size: int, sign: str = "") -> str:
    return f"{size / 1e6:{sign},.1f} MB"
