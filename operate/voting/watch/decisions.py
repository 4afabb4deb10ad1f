"""Decisions on the open epoch at one block: the warehouse's own functions on what its models say there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from decide.voting.forecast_tables import Learned, LearnedScenarios
from decide.voting.recommend_tables import Seeds, Settings, recommend_now
from operate.voting.recommend import SEED_TABLES, placed, seed_queries, settings_of
from operate.voting.watch.models import PLACES, LiveModels
from operate.voting.watch.standing import StandingQueries
from operate.warehouse import Warehouse, WarehouseError, read_tables

PANEL = "int_forecast_panel"  # what forecasts are made of
KEPT = Path("python_models") / "kept.py"  # of the project that is worked in, as dbt finds it
FORECASTER = "decide.voting.forecast_tables"  # as the dbt model names it: what it kept may be used again


@dataclass(frozen=True)
class Decided:
    """What is recommended to each voter at one block, and the signatures of what was seen."""

    rows: Sequence[dict[str, Any]]
    states: Sequence[dict[str, Any]]


class Decider:
    """The constants and the history that decisions on one exchange's open epoch rest on, read once from what is
    published.
    """

    def __init__(self, warehouse: Warehouse, protocol: str, epoch: int) -> None:
        closed = f"where protocol = '{protocol}' and epoch < {epoch}"
        queries = seed_queries() | {
            "candidates": "select * from main_seeds.forecast_candidates",
            "panel": f"select * exclude (is_simulated) from main_intermediate.int_forecast_panel {closed}",
            "quantiles": f"select * exclude (is_simulated) from main_intermediate.forecast_quantiles {closed}",
            "places": "select * from main_seeds.voters",
        }
        tables = read_tables(warehouse, queries)
        self.seeds = Seeds(**{name: tables[name].to_pylist() for name in SEED_TABLES})
        self.settings: Settings = settings_of(tables)
        self._candidates = tables["candidates"].to_pylist()
        self._senders = {(row["protocol"], row["voter_id"]): row["sender"] for row in tables["places"].to_pylist()}
        self._panel, self._quantiles = tables["panel"], tables["quantiles"]
        self._of_window: dict[str, tuple[Learned, LearnedScenarios]] = {}
        self._code = _code_version()
        self.protocol, self.epoch = protocol, epoch

    @property
    def newest_closed(self) -> int | None:
        """The newest epoch that forecasts learn from."""
        return pc.max(self._panel["epoch"]).as_py()  # type: ignore[no-any-return]

    def check(self, models: LiveModels) -> None:
        """WarehouseError where what is published has other columns than the models of this version."""
        if models.schema(PANEL).names != self._panel.schema.names:
            raise WarehouseError(
                "what is published was built by another version of Foreshore: run foreshore build, then start again"
            )

    def decide(self, seen: StandingQueries, window: str) -> Decided:
        """Every voter's decision at the block that the models are computed at, under the default profile."""
        panel = self._of_block(seen, PANEL, window)
        quantiles, scenarios = self._forecast(panel, window)  # while what comes after the panel is computed
        voters = self._of_block(seen, "int_voter_windows", window)
        made = recommend_now(panel, quantiles, scenarios, voters, self.settings)
        places = {row.pop("gauge_address"): row for row in seen.answer(PLACES).to_pylist()}
        windows = {row["voter_id"]: row for row in voters.to_pylist()}
        rows = [self._placed(row, windows[row["voter_id"]], places) for row in made.to_pylist()]
        states = self._of_block(seen, "int_decision_states", window).sort_by("voter_id")
        return Decided(rows, states.to_pylist())

    def _of_block(self, seen: StandingQueries, model: str, window: str) -> pa.Table:
        """A model's rows of the open epoch."""
        rows = seen.answer(model)
        is_open = pc.and_(pc.equal(rows["epoch"], self.epoch), pc.equal(rows["decision_window"], window))
        return rows.filter(is_open)

    def _forecast(self, panel: pa.Table, window: str) -> tuple[pa.Table, pa.Table]:
        """Quantiles and scenarios of the open epoch; what closed epochs taught is learned once, at a window's first."""
        if window not in self._of_window:
            past, kept = (t.filter(pc.equal(t["decision_window"], window)) for t in (self._panel, self._quantiles))
            learned = Learned(past, self._candidates, self.seeds.thresholds, kept, self._code)
            sets = [row for row in self.seeds.scenario_weights if row["scenario_set"] == self.settings.default_set]
            scenarios = LearnedScenarios(past, learned.quantiles, sets, self.seeds.thresholds)
            self._of_window[window] = learned, scenarios
        moves, late = self._of_window[window]
        quantiles = moves.forecast(panel)
        return quantiles, late.forecast(panel, quantiles)

    def _placed(
        self, row: dict[str, Any], window: Mapping[str, Any], places: Mapping[str, dict[str, Any]]
    ) -> dict[str, Any]:
        sender = self._senders.get((self.protocol, row["voter_id"]))
        return placed(row, {**window, "sender": sender}, places, is_what_if=False)


def _code_version() -> str:
    """The forecaster's version as the project's models seal it; without them nothing that was kept fits, and history is
    forecast again: slower, and the same.
    """
    spec = spec_from_file_location("kept", KEPT)
    if spec is None or spec.loader is None or not KEPT.exists():
        return ""
    kept = module_from_spec(spec)
    spec.loader.exec_module(kept)
    return str(kept.code_version(FORECASTER))
