"""What a forecast promises: levels by how much history there is, coverage, the least past loss, tables that say why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from decide.columns import NEVER, floats, in_order
from decide.errors import DecisionError
from decide.once import SEAL
from decide.quantiles import pinball_rows
from decide.thresholds import thresholds
from decide.voting.constants import scenario_sets
from decide.voting.forecast import LEVELS, Panel, apply_move, clusters, move, walk_forward
from decide.voting.forecast_tables import KEYS, Learned, LearnedScenarios, forecast_quantiles, forecast_scenarios
from decide.voting.late_rewards import Record, late_rewards
from decide.voting.scenarios import scenario_values
from decide.voting.situation import returns
from tests.decision_fixtures import WEEK, Exchange, Floats, rules, seed_rows, stationary


def panel_of(epoch: Floats, gauge: Floats, votes: float | Floats = 1e5, rewards: float | Floats = 500.0) -> Panel:
    boundary = (epoch + 1) * WEEK
    filled = (np.broadcast_to(np.asarray(x, dtype=float), epoch.shape) for x in (votes, rewards))
    return Panel(epoch, gauge, *filled, boundary - 1, boundary + 1)


# Moves


def test_where_there_was_nothing_a_move_adds_what_came() -> None:
    """The floor makes the log ratio of an empty gauge finite, and gives back exactly what was added."""
    after = np.array([0.0, 1.0, 999.0, 5e6])
    there = move(np.zeros(4), after, 1_000.0)
    assert apply_move(np.zeros(4), there, 1_000.0) == pytest.approx(after, rel=1e-12, abs=1e-9)
    assert apply_move(np.zeros(1), np.array([np.log(2)]), 1_000.0)[0] == pytest.approx(1_000.0)
    assert apply_move(np.full(1, 1e9), np.array([np.log(2)]), 1_000.0)[0] == pytest.approx(2e9, rel=1e-5)


def test_an_unknown_truth_is_no_move() -> None:
    assert np.isnan(move(np.array([1.0, np.nan]), np.array([np.nan, 1.0]), 1.0)).all()


def test_gauges_without_rewards_or_votes_are_clusters_of_their_own() -> None:
    epoch = np.repeat([0, 1], 6)
    votes, rewards = np.array([5, 5, 0, 5, 5, 5] * 2), np.array([0, 9, 9, 1, 3, 7] * 2)
    found = clusters(panel_of(epoch, np.tile(np.arange(6), 2), votes, rewards), "reward", 2, rules())
    assert found.tolist() == [0, 3, 1, 2, 2, 3] * 2
    twice = clusters(panel_of(epoch, epoch, votes, rewards * np.repeat([1, 1000], 6)), "reward", 2, rules())
    assert twice.tolist() == found.tolist(), "ranks are taken within an epoch: a richer epoch has the same bins"


# History


def test_without_any_known_label_the_forecast_is_what_stands() -> None:
    """No history and history that is not known yet are the same; both are named none."""
    panel, moves = stationary(3, 5, 1)
    late = replace(panel, known_at=np.full(15, NEVER))
    walked = walk_forward(panel, moves, rules())
    for found, rows in ((walked, panel.epoch == 0), (walk_forward(late, moves, rules()), panel.epoch >= 0)):
        assert not found.quantiles[rows].any() and set(found.level(rules())[rows]) == {"none"}
        assert (found.trained_until[rows] == -1).all() and not found.sample_rows[rows].any()
    assert walked.quantiles[panel.epoch == 1].any()


def test_levels_begin_at_six_epochs_of_a_gauge_and_four_of_a_cluster() -> None:
    """Gauge 0 is there from the start, 1 from the second epoch, 2 comes last; all share a cluster."""
    epoch = np.array([*range(7), *range(1, 7), 6])
    gauge = np.array([0] * 7 + [1] * 6 + [2])
    order = np.argsort(epoch, kind="stable")
    panel = panel_of(epoch[order], gauge[order])
    one_bin = tuple(replace(c, clusters=1) for c in rules().candidates)
    found = walk_forward(panel, np.zeros(14), rules(candidates=one_bin)).level(rules())
    level = {(int(e), int(g)): str(name) for e, g, name in zip(panel.epoch, panel.gauge, found, strict=True)}
    assert [level[e, 0] for e in range(7)] == ["none", "global", "global", "global", "cluster", "cluster", "gauge"]
    assert level[6, 1] == "cluster" and level[6, 2] == "cluster"


# Promises on a stationary exchange


def test_intervals_of_eighty_percent_hold_eighty_percent() -> None:
    """120 gauges, 30 epochs. The band is a wide one on purpose: 22 epochs of gauges that move together with noise."""
    panel, moves = stationary(30, 120, 4)
    found = walk_forward(panel, moves, rules())
    assert (np.diff(found.quantiles, axis=1) >= 0).all()
    late = panel.epoch >= 8
    held = (found.quantiles[late, 0] <= moves[late]) & (moves[late] <= found.quantiles[late, -1])
    assert 0.75 <= held.mean() <= 0.87
    below = [(moves[late] <= found.quantiles[late, q]).mean() for q in range(len(LEVELS))]
    assert below == pytest.approx(LEVELS, abs=0.06)


def test_pooling_beats_the_plain_rule_where_gauges_are_young() -> None:
    """Gauges that drift their own way, new ones every epoch: rows with one to five epochs of their own history."""
    panel, moves = stationary(16, 96, 9, effect=0.4, born=20)
    loss = {}
    for candidate in rules().candidates:
        alone = walk_forward(panel, moves, rules(candidates=(candidate,), default=0))
        young = (alone.held.gauge_epochs >= 1) & (alone.held.gauge_epochs < 6) & (panel.epoch >= 3)
        loss[candidate.name] = pinball_rows(moves[young], alone.quantiles[young], LEVELS).mean()
    assert young.sum() > 200
    assert loss["pooled_gap_6"] < 0.95 * loss["plain_fallback"] and loss["pooled_gap_12"] < loss["plain_fallback"]


def test_the_candidate_with_the_least_past_loss_speaks() -> None:
    """Each candidate is walked alone, uncalibrated, and its losses are counted over what was known in time."""
    panel, moves = stationary(12, 30, 2, effect=0.5, born=8)
    some = rules()
    mute = rules(min_calibration_epochs=10**9)
    alone = [walk_forward(panel, moves, replace(mute, candidates=(c,), default=0)) for c in some.candidates]
    losses = np.array([pinball_rows(moves, found.quantiles, LEVELS).mean(axis=1) for found in alone])
    chosen = walk_forward(panel, moves, some).chosen
    for epoch in range(12):
        scored = (panel.known_at < panel.decision_at[panel.epoch == epoch][0]) & (panel.epoch > 0)
        best = int(np.argmin(losses[:, scored].mean(axis=1))) if scored.any() else some.default
        assert set(chosen[panel.epoch == epoch].tolist()) == {best}, epoch
    assert len(set(chosen.tolist())) > 1, "the choice never changed: this panel proves nothing"


def test_calibration_waits_for_its_epochs_and_then_repairs() -> None:
    """After a quiet half everything starts to shake: raw intervals stay narrow for long, corrected ones less so."""
    chance = np.random.default_rng(8)
    epoch, gauge = np.repeat(np.arange(12), 20), np.tile(np.arange(20), 12)
    moves = chance.normal(0, np.where(epoch < 6, 0.05, 0.5))
    panel = panel_of(epoch, gauge, chance.lognormal(10, 1, 240), chance.lognormal(6, 1, 240))
    raw = walk_forward(panel, moves, rules(min_calibration_epochs=10**9))
    found = walk_forward(panel, moves, rules(min_calibration_epochs=2))
    assert found.calibration_rows[panel.epoch <= 2].tolist() == [0] * 60, "one epoch is forecast and known by epoch 2"
    assert set(found.calibration_rows[panel.epoch == 3].tolist()) == {40}
    late = panel.epoch >= 8
    held = [
        np.mean((f.quantiles[late, 0] <= moves[late]) & (moves[late] <= f.quantiles[late, -1])) for f in (raw, found)
    ]
    assert held[1] > held[0] + 0.05


@pytest.mark.parametrize("changed", [{"candidates": ()}, {"default": 9}, {"drift_floor": 0.0}, {"uplift_floor": -1.0}])
def test_rules_that_cannot_work_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(DecisionError):
        rules(**changed)


# Tables


def test_tables_do_not_depend_on_order_or_addresses() -> None:
    exchange = Exchange.drawn(6, 7)
    plain, mixed = exchange.tables(), exchange.tables(shuffled=5)
    keys = [(k, "ascending") for k in ("decision_window", "epoch", "gauge_address", "measure")]
    assert plain[1].sort_by(keys).equals(mixed[1].sort_by(keys))
    backwards = replace(exchange, names=tuple(f"0x{99 - n:040x}" for n in range(7)))
    renamed = {exchange.gauge(n): backwards.gauge(n) for n in range(7)}
    rows = [row | {"gauge_address": renamed[row["gauge_address"]]} for row in plain[1].to_pylist()]
    other = pa.Table.from_pylist(rows, schema=plain[1].schema)
    found = [table.drop_columns([SEAL]).sort_by(keys) for table in (other, backwards.tables()[1])]
    assert found[0].equals(found[1])


def test_an_empty_panel_gives_empty_tables_with_their_columns() -> None:
    exchange = Exchange.drawn(2, 3)
    full = exchange.tables()
    constants = seed_rows("thresholds")
    quantiles = forecast_quantiles(exchange.panel().slice(0, 0), seed_rows("forecast_candidates"), constants)
    scenarios = forecast_scenarios(exchange.panel().slice(0, 0), quantiles, seed_rows("scenario_weights"), constants)
    assert quantiles.num_rows == scenarios.num_rows == 0
    assert quantiles.schema.equals(full[1].schema) and scenarios.schema.equals(full[2].schema)


def test_confidence_loses_its_penalties_up_to_the_cap() -> None:
    """Sparse history 0.10, high variance 0.10 and a stale price 0.15 would be 0.35; the cap is 0.30."""
    exchange = Exchange.drawn(8, 6, votes_final=np.random.default_rng(1).lognormal(11, 2, (8, 6)))
    panel = exchange.panel()
    stale = panel.set_column(panel.schema.get_field_index("is_price_stale"), "is_price_stale", pa.array([True] * 96))
    rows = forecast_quantiles(stale, seed_rows("forecast_candidates"), seed_rows("thresholds")).to_pylist()
    for row in rows:
        sparse, wide = row["gauge_epochs"] < 6, row["p90"] - row["p10"] > 1
        assert row["confidence"] == pytest.approx(1 - min(0.1 * sparse + 0.1 * wide + 0.15, 0.3))
    assert {round(row["confidence"], 2) for row in rows} >= {0.70, 0.75}


def test_scenarios_move_what_stands_by_their_quantiles() -> None:
    panel, quantiles, scenarios, _ = Exchange.drawn(6, 4).tables()
    key = ("epoch", "decision_window", "gauge_address")
    moved = {(*(q[k] for k in key), q["measure"]): q for q in quantiles.to_pylist()}
    now = {tuple(p[k] for k in key): p for p in panel.to_pylist()}
    wanted = {(s["scenario_set"], s["scenario"]): s for s in seed_rows("scenario_weights")}
    ordered = in_order(panel, KEYS)
    values = thresholds(seed_rows("thresholds"))
    late: dict[tuple[object, ...], tuple[float, float]] = {}  # what a gauge gets late, by what all rewards grow
    for name in {s["scenario_set"] for s in wanted.values()}:
        expected = np.zeros(ordered.num_rows)
        for scenario in (s for s in wanted.values() if s["scenario_set"] == name):
            level = f"p{round(100 * scenario['uplift_quantile'])}"
            moves = [moved[(*(p[k] for k in key), "uplift")][level] for p in ordered.to_pylist()]
            expected += scenario["weight"] * apply_move(floats(ordered, "rewards_now_usd"), np.array(moves), 1.0)
        fixed = values["late_reward_strength"], values["min_calibration_epochs"]
        own, grown = late_rewards(ordered, expected, lambda _, gauges, fixed=fixed: Record(sorted(set(gauges)), *fixed))
        assert len(set(grown)) > 2 and (own > 0).any()
        late |= {
            (name, *(p[k] for k in key)): pair
            for p, pair in zip(ordered.to_pylist(), zip(own, grown, strict=True), strict=True)
        }
    for row in scenarios.to_pylist():
        place, scenario = tuple(row[k] for k in key), wanted[row["scenario_set"], row["scenario"]]
        for measure, floor, before, after in (
            ("drift", 1_000.0, "other_votes_now", "other_votes"),
            ("uplift", 1.0, "rewards_now_usd", "rewards_usd"),
        ):
            z = moved[(*place, measure)][f"p{round(100 * scenario[f'{measure}_quantile'])}"]
            wanted_now = max((now[place][before] + floor) * np.exp(z) - floor, 0)
            if measure == "uplift":
                own_late, all_grow = late[(row["scenario_set"], *place)]
                wanted_now = (wanted_now + own_late) * all_grow
            assert row[after] == pytest.approx(wanted_now, abs=1e-6)
        assert row["scenario_weight"] == scenario["weight"] and row["scenario_position"] == scenario["position"]
    assert scenarios.num_rows == panel.num_rows * len(wanted)


@pytest.mark.parametrize(("seed", "epochs"), [(0, 6), (1, 6), (2, 12), (3, 1), (4, 2)])
def test_an_open_epoch_is_forecast_again_and_again_as_in_the_whole_panel(seed: int, epochs: int) -> None:
    """On what the others taught, block after block: the same floats; a gauge that is new and a block in between move
    nothing.
    """
    whole = with_large_voters(Exchange.drawn(epochs, 7, seed=seed).panel(), seed)
    last = whole["epoch"].to_numpy().max()
    is_last = pc.equal(whole["epoch"], last)
    newest, past = whole.filter(is_last), whole.filter(pc.invert(is_last))
    past = past.filter(pc.not_equal(past["gauge_address"], newest["gauge_address"][0]))
    whole = pa.concat_tables([past, newest])
    constants, sets = seed_rows("thresholds"), seed_rows("scenario_weights")
    moves = Learned(past, seed_rows("forecast_candidates"), constants)
    kept = Learned(past, seed_rows("forecast_candidates"), constants, moves.quantiles)
    late = LearnedScenarios(past, moves.quantiles, sets, constants)
    quantiles = forecast_quantiles(whole, seed_rows("forecast_candidates"), constants)
    scenarios = forecast_scenarios(whole, quantiles, sets, constants)
    other = newest.set_column(
        newest.schema.get_field_index("other_votes_now"), "other_votes_now", pc.multiply(newest["other_votes_now"], 1.7)
    )
    between = moves.forecast(other)
    late.forecast(other, between)
    found = moves.forecast(newest)
    dropped = ["seal", "raw_quantiles"]
    assert found.drop_columns(dropped[1:]).equals(_of_epoch(quantiles, last).drop_columns(dropped).cast(_bare(found)))
    assert kept.forecast(newest).drop_columns(dropped[1:]).equals(found.drop_columns(dropped[1:]))
    assert epochs < 3 or not found.equals(between)
    assert late.forecast(newest, found).equals(_of_epoch(scenarios, last))
    with pytest.raises(DecisionError, match="after those"):
        Learned(whole, seed_rows("forecast_candidates"), constants).forecast(newest)


def _of_epoch(table: pa.Table, epoch: int) -> pa.Table:
    return table.filter(pc.equal(table["epoch"], epoch))


def _bare(table: pa.Table) -> pa.Schema:
    return table.drop_columns(["raw_quantiles"]).schema


def with_large_voters(panel: pa.Table, seed: int) -> pa.Table:
    """Three voters who hold up to a third of each gauge, as `int_forecast_panel` tells them apart."""
    chance = np.random.default_rng(seed)
    for column, total in (("large_votes_now", "other_votes_now"), ("large_votes_final", "other_votes_final")):
        held = [
            [{"voter_id": f"v{n}", "votes": (votes or 0.0) * chance.uniform(0, 0.3)} for n in range(3)]
            for votes in panel[total].to_pylist()
        ]
        place = panel.schema.get_field_index(column)
        panel = panel.set_column(place, panel.schema.field(place), pa.array(held, panel.schema.field(place).type))
    return panel


@pytest.mark.parametrize("name", ["quartiles", "deciles"])
def test_every_allocation_earns_more_in_a_later_scenario(name: str) -> None:
    chance = np.random.default_rng(3)
    votes, rewards = chance.lognormal(10, 2, 40), chance.lognormal(5, 2, 40)
    drift, uplift = (np.sort(chance.normal(0, 1, (40, 5)), axis=1) for _ in range(2))
    wanted = scenario_sets(seed_rows("scenario_weights"))[name]
    values = scenario_values(wanted, votes, rewards, drift, uplift, (1e3, 1))
    for _ in range(20):
        earned = returns(*values, chance.lognormal(8, 2, 40) * (chance.random(40) < 0.3))
        assert (np.diff(earned) >= 0).all()


def test_scenarios_that_cannot_be_are_refused() -> None:
    rows = seed_rows("scenario_weights")
    with pytest.raises(DecisionError, match="weights of scenario set deciles do not add up"):
        scenario_sets([row | {"weight": 0.5} if row["scenario_set"] == "deciles" else row for row in rows])
    with pytest.raises(DecisionError, match=r"drift_quantile 0\.6 is not forecast"):
        scenario_sets([row | {"drift_quantile": 0.6} for row in rows])


def test_the_seeds_thresholds_are_the_documented_ones() -> None:
    values = thresholds(seed_rows("thresholds"))
    assert (rules().min_gauge_epochs, rules().min_cluster_epochs) == (6, 4)
    assert (rules().drift_floor, rules().uplift_floor) == (values["drift_floor_votes"], values["uplift_floor_usd"])
    assert rules().candidates[rules().default].name == "voters_gap_24"
