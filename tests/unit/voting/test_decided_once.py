"""Forecasts, recommendations and replays of an earlier build: taken over bit for bit, decided anew where they must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.voting import backtest, recommend_tables
from decide.voting.backtest_tables import backtest_tables
from decide.voting.forecast import Race
from decide.voting.forecast_tables import forecast_quantiles, forecast_scenarios
from decide.voting.recommend_tables import Seeds
from decide.voting.recommend_tables import recommend_tables as recommended
from tests.decision_fixtures import START, WEEK_SECONDS, Exchange, Row, seed_rows, seeds

WORLD = Exchange.drawn(6, 6, power=400_000.0)
CODE = "1"
VARIANTS = seed_rows("backtest_variants")


@dataclass(frozen=True)
class Build:
    """The three tables of one build."""

    quantiles: pa.Table
    recommendations: pa.Table
    replay: pa.Table

    def equals(self, other: Build) -> bool:
        return all(a.equals(b) for a, b in zip(vars(self).values(), vars(other).values(), strict=True))


def build(
    world: Exchange = WORLD,
    before: Build | None = None,
    chosen: Seeds | None = None,
    code: str = CODE,
    variants: list[Row] = VARIANTS,
) -> Build:
    """Everything a build decides, on what an earlier one left."""
    wanted = chosen or seeds()
    panel, windows = world.panel(), world.voter_windows()
    old = (None, None, None) if before is None else tuple(vars(before).values())
    quantiles = forecast_quantiles(panel, seed_rows("forecast_candidates"), wanted.thresholds, old[0], code)
    forecasts = forecast_scenarios(panel, quantiles, wanted.scenario_weights, wanted.thresholds)
    tables = panel, quantiles, forecasts, windows
    return Build(
        quantiles,
        recommended(*tables, wanted, old[1], code),
        backtest_tables(*tables, wanted, variants, old[2], code),
    )


@cache
def first() -> Build:
    return build()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[Any]:
    """Which units are decided, by kind and key."""
    found: Counter[Any] = Counter()

    def counting(kind: str, inner: Callable[..., Any], key: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            found[kind, *key(*args)] += 1
            return inner(*args)

        return call

    of_race = lambda race, place: (int(race.panel.epoch[race.starts[place]]),)  # noqa: E731
    monkeypatch.setattr(Race, "forecast", counting("forecast", Race.forecast, of_race))
    decided = counting("recommend", recommend_tables.recommendation_row, lambda case, *_: case.key[2:])
    monkeypatch.setattr(recommend_tables, "recommendation_row", decided)
    replayed = counting("replay", backtest._Window.row, lambda w, strategy, _: (*w.case.key[2:], strategy.name))
    monkeypatch.setattr(backtest._Window, "row", replayed)
    staged = counting("replay", backtest._staged, lambda cases, *_: (cases[0].key[2], "staged", "foreshore"))
    monkeypatch.setattr(backtest, "_staged", staged)
    return found


def epochs_of(found: Counter[Any], kind: str) -> set[int]:
    return {(key[1] - START) // WEEK_SECONDS for key in found if key[0] == kind}


def test_nothing_changed_decides_nothing_and_gives_the_same_bytes(counted: Counter[Any]) -> None:
    before = first()
    counted.clear()
    again = build(before=before)
    assert not counted and again.equals(before)
    assert build(before=again).equals(build()), "and so does a third build"


def test_a_new_epoch_decides_that_epoch_alone(counted: Counter[Any]) -> None:
    """What is learned from the newest labels concerns nobody before them."""
    shorter = replace(WORLD, **{n: getattr(WORLD, n)[:5] for n in _ARRAYS})
    before = build(shorter)
    counted.clear()
    after = build(before=before)
    assert after.equals(first())
    assert all(epochs_of(counted, kind) == {5} for kind in ("forecast", "recommend", "replay"))


_ARRAYS = ("votes_now", "votes_final", "rewards_now", "rewards_final")


def changed(name: str, epoch: int, factor: float = 1.3) -> Exchange:
    values = getattr(WORLD, name).copy()
    values[epoch] = values[epoch] * factor
    return replace(WORLD, **{name: values})


def test_a_label_that_comes_decides_no_recommendation_again(counted: Counter[Any]) -> None:
    """The last epoch ends: its forecast and its recommendations stand, only its replay is new."""
    gone = np.where(np.arange(6)[:, None] == 5, np.nan, WORLD.votes_final)
    before = build(
        replace(WORLD, votes_final=gone, rewards_final=np.where(np.isnan(gone), np.nan, WORLD.rewards_final))
    )
    counted.clear()
    after = build(before=before)
    assert after.equals(first())
    assert epochs_of(counted, "replay") == {5}
    assert not epochs_of(counted, "forecast") and not epochs_of(counted, "recommend")


def test_a_changed_truth_decides_its_replay_and_what_was_learned_from_it(counted: Counter[Any]) -> None:
    before, world = first(), changed("votes_final", 3)
    counted.clear()
    after = build(world, before)
    assert epochs_of(counted, "forecast") == {4, 5} == epochs_of(counted, "recommend")
    assert epochs_of(counted, "replay") == {3, 4, 5}
    of_three = {key[3] for key in counted if key[0] == "replay" and (key[1] - START) // WEEK_SECONDS == 3}
    assert of_three == {row["strategy"] for row in VARIANTS} | {"foreshore"}
    snapshot = {(key[1] - START) // WEEK_SECONDS for key in counted if key[-1] == "snapshot"}
    assert snapshot == {3}, "the snapshot learns nothing"
    assert after.equals(build(world))


def test_a_changed_snapshot_decides_itself_and_what_follows(counted: Counter[Any]) -> None:
    before, world = first(), changed("rewards_now", 4)
    counted.clear()
    assert build(world, before).equals(build(world))
    counted.clear()
    build(world, before)
    assert min(epochs_of(counted, "forecast")) == 4 == min(epochs_of(counted, "recommend"))
    assert min(epochs_of(counted, "replay")) == 4


def with_rows(name: str, change: Callable[[Row], Row]) -> Seeds:
    return seeds(**{name: [change(row) for row in seed_rows(name)]})


def of_profile(name: str, **values: Any) -> Seeds:
    return with_rows("risk_profiles", lambda row: row | (values if row["risk_profile"] == name else {}))


def of_threshold(name: str, value: float) -> Seeds:
    return with_rows("thresholds", lambda row: row | ({"value": value} if row["threshold"] == name else {}))


@pytest.mark.parametrize(
    ("chosen", "kinds", "names"),
    [
        (of_threshold("panel_jump_share", 0.4), set(), set()),
        (of_profile("bold", k_max=3), {"replay"}, {"foreshore_bold"}),
        (of_threshold("drift_floor_votes", 900.0), {"forecast", "recommend", "replay"}, None),
        (of_threshold("guard_uplift_bps", 60.0), {"recommend", "replay"}, None),
    ],
)
def test_a_changed_constant_decides_what_reads_it(
    counted: Counter[Any], chosen: Seeds, kinds: set[str], names: set[str] | None
) -> None:
    before = first()
    counted.clear()
    after = build(before=before, chosen=chosen)
    assert {key[0] for key in counted} == kinds
    assert names is None or {key[-1] for key in counted} == names
    assert after.equals(build(chosen=chosen))


def test_a_new_variant_decides_itself_alone(counted: Counter[Any]) -> None:
    before = first()
    more = [*VARIANTS, {"strategy": "bolder", "position": 9, "kind": "snapshot", "risk_profile": "bold"}]
    counted.clear()
    after = build(before=before, variants=more)
    assert {key[-1] for key in counted} == {"bolder"}
    assert after.replay.filter(pc.not_equal(after.replay["strategy"], "bolder")).equals(before.replay)


def test_other_code_decides_everything(counted: Counter[Any]) -> None:
    before = first()
    counted.clear()
    after = build(before=before, code="2")
    assert len(counted) == 6 + 12 + 6 * (2 * len(VARIANTS) + 1), "each epoch, decision and row of a replay"
    for old, new in zip(vars(before).values(), vars(after).values(), strict=True):
        assert old.drop_columns(["seal"]).equals(new.drop_columns(["seal"])) and not old.equals(new)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_damage_is_decided_anew_and_never_believed(data: st.DataObject) -> None:
    """Any rows lost, doubled, moved, mixed up or changed in one number: the next build is that of an empty file."""
    damaged = {}
    for name, table in vars(first()).items():
        rows = table.to_pylist()
        for _ in range(data.draw(st.integers(0, 3))):
            n, m = (data.draw(st.integers(0, len(rows) - 1)) for _ in range(2))
            column = data.draw(st.sampled_from(table.schema.names))
            kind = data.draw(st.sampled_from(["lose", "double", "swap", "mix", "change"]))
            if kind == "lose":
                del rows[n]
            elif kind == "double":
                rows.insert(m, rows[n])
            elif kind == "swap":
                rows[n], rows[m] = rows[m], rows[n]
            elif kind == "mix":
                rows[n] = rows[n] | {column: rows[m][column]}
            elif isinstance(rows[n][column], float):
                rows[n] = rows[n] | {column: float(np.nextafter(rows[n][column], np.inf))}
        damaged[name] = pa.Table.from_pylist(rows, schema=table.schema)
    assert build(before=Build(**damaged)).equals(first())
