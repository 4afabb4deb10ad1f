"""Decisions without a chain: seeds as the warehouse holds them, simulated panels, and a small exchange as tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.voting.decision_tables import WINDOW_SCHEMA, seed_rows, window_row
from decide.thresholds import thresholds
from decide.voting.backtest_tables import backtest_tables
from decide.voting.constants import forecast_rules
from decide.voting.decision_tables import Case, cases
from decide.voting.forecast import ForecastRules, Panel
from decide.voting.forecast_tables import forecast_quantiles, forecast_scenarios
from decide.voting.recommend_tables import Seeds, Settings, recommend_tables

WEEK_SECONDS = 604_800
WEEK = WEEK_SECONDS * 1_000_000  # microseconds, as in a Panel
START = 1_700_092_800  # an epoch's start: a Thursday, 00:00 UTC
WINDOWS = {"day": 86_400, "T-5": 300, "T-1": 60, "T-0": 2}  # seconds before the boundary
Floats = npt.NDArray[np.float64]
Row = dict[str, Any]


def seeds(**changed: list[Row]) -> Seeds:
    """The seeds of a decision, some of them changed."""
    names = ("thresholds", "scenario_weights", "risk_profiles", "voting_rules", "decision_windows", "submission_counts")
    return Seeds(**{name: changed.get(name) or seed_rows(name) for name in names})


def under_the_plan() -> list[Row]:
    """Risk profiles with the plan's limits in the default one: five gauges, 50,000 votes each, a turnover cap."""
    (plan,) = (row for row in seed_rows("risk_profiles") if row["risk_profile"] == "plan")
    limits = {name: plan[name] for name in ("risk_aversion", "k_max", "min_votes", "max_turnover")}
    return [row | (limits if row["is_default"] else {}) for row in seed_rows("risk_profiles")]


def settings(**changed: list[Row]) -> Settings:
    return Settings.of(seeds(**changed))


def rules(**changed: Any) -> ForecastRules:
    """The seeds' forecaster, some of its constants changed."""
    return replace(forecast_rules(seed_rows("forecast_candidates"), thresholds(seed_rows("thresholds"))), **changed)


def stationary(epochs: int, gauges: int, seed: int, effect: float = 0.3, born: int = 0) -> tuple[Panel, Floats]:
    """Moves of gauges that each drift their own way, with noise 0.2; labels are known ten seconds after the boundary.

    With `born`, that many gauges exist from the start and the others appear evenly over the epochs.
    """
    chance = np.random.default_rng(seed)
    epoch, gauge = np.repeat(np.arange(epochs), gauges), np.tile(np.arange(gauges), epochs)
    moves = chance.normal(0, effect, gauges)[gauge] + chance.normal(0, 0.2, len(epoch))
    birth = np.where(np.arange(gauges) < born, 0, np.arange(gauges) * epochs // gauges) if born else np.zeros(gauges)
    kept = epoch >= birth[gauge]
    votes, rewards = chance.lognormal(10, 1, len(epoch)), chance.lognormal(6, 1, len(epoch))
    boundary = (epoch + 1) * WEEK
    panel = Panel(epoch, gauge, votes, rewards, boundary - 300_000_000, boundary + 10_000_000)
    return Panel(**{name: column[kept] for name, column in vars(panel).items()}), moves[kept]


@dataclass(frozen=True)
class Exchange:
    """One exchange and voter: E epochs, W windows, N gauges. Arrays (E, W, N) now and (E, N) at the truth."""

    votes_now: Floats
    votes_final: Floats
    rewards_now: Floats
    rewards_final: Floats
    power: float | list[float | None] | None = 500_000.0  # or one an epoch
    protocol: str = "hydrex"
    windows: tuple[str, ...] = ("day", "T-5")
    own_votes_status: str = "none"
    resets: bool = True
    names: tuple[str, ...] = field(default=())
    voters_now: Floats | None = None  # (E, W, M, N): of `votes_now` those of M voters; None: nobody is told apart
    voters_final: Floats | None = None  # (E, M, N)

    @classmethod
    def drawn(cls, epochs: int = 5, gauges: int = 8, seed: int = 7, **changed: Any) -> Exchange:
        """Votes that move by a tenth to the truth, rewards that grow by up to a third: nothing to learn, some noise."""
        chance = np.random.default_rng(seed)
        windows = len(changed.get("windows", ("day", "T-5")))
        votes, rewards = chance.lognormal(11, 0.7, (epochs, gauges)), chance.lognormal(6, 0.7, (epochs, gauges))
        noise = chance.lognormal(0, 0.1, (epochs, windows, gauges))
        arrays = {
            "votes_now": votes[:, None] * noise,
            "votes_final": votes,
            "rewards_now": np.repeat(rewards[:, None], windows, axis=1),
            "rewards_final": rewards * chance.uniform(1, 1.3, rewards.shape),
        }
        return cls(**(arrays | changed))

    def gauge(self, n: int) -> str:
        return self.names[n] if self.names else f"0x{n:040x}"

    def panel(self) -> pa.Table:
        rows = []
        for e, w, n in np.ndindex(self.votes_now.shape):
            numbers = {
                "other_votes_now": self.votes_now[e, w, n],
                "other_votes_final": self.votes_final[e, n],
                "rewards_now_usd": self.rewards_now[e, w, n],
                "rewards_final_usd": self.rewards_final[e, n],
                "own_votes_now": 0.0,
                "own_votes_final": 0.0,
                "previous_votes": 0.0,
                "data_confidence": 1.0,
            }
            known = np.isfinite(self.votes_final[e, n])
            rows.append(
                self._key(e, w)
                | {name: float(x) if np.isfinite(x) else None for name, x in numbers.items()}
                | {
                    "gauge_address": self.gauge(n),
                    "is_price_stale": False,
                    "is_candidate": True,
                    "decision_at": self._decision_at(e, w),
                    "large_votes_now": _held(None if self.voters_now is None else self.voters_now[e, w, :, n]),
                    "large_votes_final": _held(None if self.voters_final is None else self.voters_final[e, :, n]),
                }
                | {"known_at": _moment(e) + timedelta(seconds=WEEK_SECONDS + 10) if known else None}
            )
        return pa.Table.from_pylist(rows, schema=PANEL)

    def voter_windows(self) -> pa.Table:
        rows = []
        for e, w in np.ndindex(self.votes_now.shape[:2]):
            power = self.power[e] if isinstance(self.power, list) else self.power
            rows.append(
                self._key(e, w)
                | window_row(w + 1, self._decision_at(e, w), power, self.own_votes_status)
                | {"decision_block": 100 * e + w, "votes_reset_each_epoch": self.resets}
            )
        return pa.Table.from_pylist(rows, schema=WINDOW_SCHEMA)

    def tables(self, shuffled: int | None = None) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
        """Panel, quantiles, forecasts and voter windows; `shuffled` is the seed of another order of their rows."""
        chance = np.random.default_rng(shuffled)
        mix = (lambda t: t) if shuffled is None else (lambda t: t.take(chance.permutation(t.num_rows)))
        panel, windows = mix(self.panel()), mix(self.voter_windows())
        constants = seed_rows("thresholds")
        quantiles = mix(forecast_quantiles(panel, seed_rows("forecast_candidates"), constants))
        return panel, quantiles, mix(forecast_scenarios(panel, quantiles, _scenarios(), constants)), windows

    def cases(self) -> list[Case]:
        return list(cases(*self.tables(), settings().sets))

    def replayed(self, shuffled: int | None = None, chosen: Seeds | None = None) -> pa.Table:
        return backtest_tables(*self.tables(shuffled), chosen or seeds(), seed_rows("backtest_variants"))

    def recommended(self, chosen: Seeds | None = None) -> list[Row]:
        return recommend_tables(*self.tables(), chosen or seeds()).to_pylist()

    def _key(self, e: int, w: int) -> Row:
        epoch = START + e * WEEK_SECONDS
        return {
            "protocol": self.protocol,
            "voter_id": "observer",
            "epoch": epoch,
            "decision_window": self.windows[w],
        }

    def _decision_at(self, e: int, w: int) -> datetime:
        return _moment(e) + timedelta(seconds=WEEK_SECONDS - WINDOWS[self.windows[w]])


def _held(votes: Floats | None) -> list[Row] | None:
    """What single voters have on a gauge, as the panel tells it."""
    if votes is None or not votes.any():
        return None
    return [{"voter_id": f"voter {m}", "votes": float(x)} for m, x in enumerate(votes) if x > 0]


def _scenarios() -> list[Row]:
    return seed_rows("scenario_weights")


def _moment(e: int) -> datetime:
    return datetime.fromtimestamp(START + e * WEEK_SECONDS, UTC)


_KEYS = [(name, pa.string()) for name in ("protocol", "voter_id", "decision_window")] + [("epoch", pa.int64())]
_UTC = pa.timestamp("us", "UTC")
PANEL = pa.schema(
    [
        *_KEYS,
        ("gauge_address", pa.string()),
        *((f"other_votes_{name}", pa.float64()) for name in ("now", "final")),
        *((f"rewards_{name}_usd", pa.float64()) for name in ("now", "final")),
        *((name, pa.float64()) for name in ("own_votes_now", "own_votes_final", "previous_votes", "data_confidence")),
        ("is_price_stale", pa.bool_()),
        ("is_candidate", pa.bool_()),
        *(
            (name, pa.list_(pa.struct([("voter_id", pa.string()), ("votes", pa.float64())])))
            for name in ("large_votes_now", "large_votes_final")
        ),
        ("decision_at", _UTC),
        ("known_at", _UTC),
    ]
)
