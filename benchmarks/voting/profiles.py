"""The default risk profile, chosen on some worlds and judged on others. `python -m benchmarks.voting.profiles`

Every combination of a grid is replayed, walk-forward, on worlds of the tuning seeds: the mean share of hindsight over
exchanges and windows says which limits cost what. The profiles of the seed file are then replayed on worlds of seeds
that nothing was chosen on (`--tune` without a number: only that).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.voting.line import extraction, measured
from extract.config import load_config
from extract.seeds import read_seed
from operate.voting.sweeping import Grid, sweep
from operate.warehouse import Warehouse
from simulate import voting as voting_world

GRID = Grid(None, k_max=(5, 10, 20, 30), min_votes=(1.0,), risk_aversion=(0.0, 0.1, 0.2, 0.5), max_turnover=(0.8, 1.0))
Rows = list[dict[str, Any]]
SEEDS = Path(__file__).parents[2] / "seeds" / "voting"


def replayed(seed: int, grids: Iterable[Grid], epochs: int, gauges: int) -> Rows:
    """Rows of `foreshore backtest --sweep` on a world of one seed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with voting_world.running(folder / "world", epochs=epochs, gauges=gauges, voters=40, seed=seed) as world:
            extraction(world, folder / "line", epochs)
        settings = folder / "line" / "foreshore.toml"
        measured([sys.executable, "-m", "operate.cli", "build"], {"FORESHORE_CONFIG": str(settings)})
        warehouse = Warehouse.of(load_config(str(settings)))
        return [row | {"seed": seed} for grid in grids for row in sweep(warehouse, grid, None, 2)]


def means(rows: Rows) -> list[tuple[float, float, str]]:
    """(mean, lowest share of hindsight, parameters): a mean of exchange, window and world, best first."""
    found = []
    ordered = sorted(rows, key=lambda row: row["parameters"])
    for parameters, of in itertools.groupby(ordered, key=lambda row: row["parameters"]):
        shares = [row["mean_hindsight_share"] for row in of]
        found.append((statistics.fmean(shares), min(shares), parameters))
    return sorted(found, reverse=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", type=int, nargs="*", default=[101, 102, 103], help="seeds that are chosen on")
    parser.add_argument("--judge", type=int, nargs="+", default=[201, 202, 203], help="seeds that are judged on")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--gauges", type=int, default=60)
    options = parser.parse_args()
    tuned: Rows = []
    for seed in options.tune:
        tuned += replayed(seed, [GRID], options.epochs, options.gauges)
        print(f"seed {seed}: {json.dumps(means([r for r in tuned if r['seed'] == seed])[:3])}", flush=True)
    ranked = means(tuned)
    for mean, lowest, parameters in ranked:
        print(f"{mean:.4f} lowest {lowest:.4f}  {parameters}")
    beside = [Grid(row["risk_profile"]) for row in read_seed(SEEDS, "risk_profiles")]
    judged: Rows = []
    for seed in options.judge:
        judged += replayed(seed, beside, options.epochs, options.gauges)
    for mean, lowest, parameters in means(judged):
        print(f"judged {mean:.4f} lowest {lowest:.4f}  {parameters}")
    for window in dict.fromkeys(row["decision_window"] for row in judged):
        of = means([row for row in judged if row["decision_window"] == window])
        print(f"{window}: " + "; ".join(f"{mean:.3f} {parameters}" for mean, _, parameters in of))
    return 0


if __name__ == "__main__":
    sys.exit(main())
