"""`foreshore pre-paper land`: run folders into the raw zone, each once per state it was in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extract.bars.pre_paper import RunLines, land_pre_paper, partition_of
from extract.config import Config
from extract.errors import RequestError
from extract.lake import Lake
from extract.ledger import Ledger
from operate.bars.artifacts import artifacts_root, read_json
from operate.bars.pre_paper.folder import CHECKS, MANIFEST, REVISIONS, SIGNALS, read_lines
from operate.console import out, print_json

FACTS = (
    *("run_id", "promotion_sha256", "rules_hash", "strategy_key", "impl_version"),
    *("feed", "timeframe_minutes", "is_replay"),
)


def land_runs(config: Config, run_id: str | None, as_json: bool) -> int:
    """Land what is new; exit code 3 when nothing is."""
    root = artifacts_root(config) / "pre_paper"
    folders = sorted(path.parent for path in root.glob(f"*/{MANIFEST}"))
    chosen = [folder for folder in folders if run_id in (None, folder.name)]
    if run_id is not None and not chosen:
        raise RequestError(f"there is no run {run_id} in {root}")
    lake = Lake.of(config)
    landed = {folder.name: rows for folder in chosen if (rows := land_folder(lake, folder)) is not None}
    if as_json:
        print_json({"landed": landed, "unchanged": len(chosen) - len(landed)})
    else:
        for name, rows in landed.items():
            out.print(f"Landed {name}: {rows} rows", soft_wrap=True)
        if not landed:
            out.print("Nothing new to land.")
    return 0 if landed else 3


def land_folder(lake: Lake, folder: Path) -> int | None:
    """Rows landed of one run, or None where it stands as it was landed."""
    manifest = read_json(folder / MANIFEST)
    identity: dict[str, Any] = manifest["identity"]
    run = {name: identity[name] for name in FACTS}
    lines = RunLines(
        signals=read_lines(folder / SIGNALS),
        checks=read_lines(folder / CHECKS),
        revisions=read_lines(folder / REVISIONS),
        symbols=tuple(manifest["data"]["symbols"]),
        params=manifest["promoted"].get("params"),
    )
    if Ledger.read(lake).complete_row(partition_of(run), lines.fingerprint) is not None:
        return None
    return land_pre_paper(lake, run, lines)
