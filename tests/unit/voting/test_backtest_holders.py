"""The replay of a holder's NFTs as one voter, and the best that every other voter could have earned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from decide.voting.backtest import Best, realised
from decide.voting.backtest_statistics import backtest_statistics
from decide.voting.backtest_tables import KEYS, SCHEMA, Backtest, backtest_tables, replayable
from decide.voting.decision_tables import Case, cases
from decide.voting.forecast_tables import forecast_quantiles, forecast_scenarios
from decide.voting.together import pooled
from tests.decision_fixtures import Exchange, seed_rows, seeds, settings

ALONE = Exchange.drawn(5, 8, power=500_000.0)
Tables = tuple[pa.Table, pa.Table, pa.Table, pa.Table]


def of_voters(voters: dict[str, tuple[float, str | None]], **changed: Any) -> Tables:
    """The same exchange seen by several voters (their power, whose they are), none of which votes in it."""
    panels, windows = [], []
    for position, (name, (power, holder)) in enumerate(voters.items(), start=1):
        own = replace(ALONE, power=power)
        panels += [row | {"voter_id": name} | changed for row in own.panel().to_pylist()]
        windows += [
            row | {"voter_id": name, "voter_position": position, "holder": holder}
            for row in own.voter_windows().to_pylist()
        ]
    panel = pa.Table.from_pylist(panels, schema=ALONE.panel().schema)
    constants = seed_rows("thresholds")
    quantiles = forecast_quantiles(panel, seed_rows("forecast_candidates"), constants)
    scenarios = forecast_scenarios(panel, quantiles, seed_rows("scenario_weights"), constants)
    return panel, quantiles, scenarios, pa.Table.from_pylist(windows)


def replayed(tables: Tables, kept: pa.Table | None = None) -> pa.Table:
    return backtest_tables(*tables, seeds(), seed_rows("backtest_variants"), kept)


def rows(table: pa.Table, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if all(row[k] == v for k, v in wanted.items())]


TOGETHER = of_voters({"1": (300_000.0, "alice"), "2": (200_000.0, "alice"), "3": (100_000.0, None)})


def test_a_holder_is_replayed_as_one_voter() -> None:
    """Two NFTs of 300,000 and 200,000 votes earn what one of 500,000 does, within what their separate limits take."""
    found, alone = replayed(TOGETHER), ALONE.replayed()
    assert {row["voter_id"] for row in rows(found, is_replayed=True)} == {"alice"}
    for strategy in ("foreshore", "snapshot", "hindsight", "hold", "proportional"):
        ours, theirs = (
            [row for row in rows(table, strategy=strategy) if row["voter_id"] in ("alice", "observer")]
            for table in (found, alone)
        )
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs, strict=True):
            assert (a["epoch"], a["decision_window"], a["outcome"]) == (b["epoch"], b["decision_window"], b["outcome"])
            assert a["hindsight_usd"] == pytest.approx(b["hindsight_usd"], rel=1e-6)
            if b["realised_usd"]:
                assert a["realised_usd"] == pytest.approx(b["realised_usd"], rel=1e-3)
                assert a["realised_usd"] <= a["hindsight_usd"] * (1 + 1e-9)
    staged = rows(found, decision_window="staged")
    assert len(staged) == 5 and all(row["voting_power"] == 500_000 for row in staged)


def test_every_voter_has_the_best_that_it_could_have_earned() -> None:
    found = replayed(TOGETHER)
    for voter, power in (("1", 300_000.0), ("2", 200_000.0), ("3", 100_000.0)):
        mine = rows(found, voter_id=voter)
        assert {row["strategy"] for row in mine} == {"hindsight"} and not any(row["is_replayed"] for row in mine)
        by_itself = rows(replace(ALONE, power=power).replayed(), strategy="hindsight")
        assert [row["hindsight_usd"] for row in mine] == pytest.approx([row["hindsight_usd"] for row in by_itself])
        assert [row["realised_usd"] for row in mine] == pytest.approx([row["hindsight_usd"] for row in mine], rel=1e-6)
    kinds = [*((name, pa.string()) for name in ("protocol", "voter_id", "decision_window", "measure"))]
    none = pa.schema([*kinds, ("epoch", pa.int64())]).empty_table()
    judged = backtest_statistics(found, none, seed_rows("thresholds"), seed_rows("interval_coverage")).to_pylist()
    assert {row["voter_id"] for row in judged} == {"alice"}


def test_rows_that_rest_on_the_same_are_taken_over() -> None:
    found = replayed(TOGETHER)
    assert replayed(TOGETHER, found).equals(found)


def test_without_a_holder_the_first_voter_is_replayed() -> None:
    tables = of_voters({"1": (500_000.0, None), "2": (200_000.0, "bob"), "3": (100_000.0, "bob")})
    found = replayed(tables)
    assert {row["voter_id"] for row in rows(found, is_replayed=True)} == {"1"}
    ((_, epochs),) = replayable(*tables, settings())
    assert len(epochs) == 5 and all(case.key[1] == "1" and not case.powers for epoch in epochs for case in epoch)
    lone = of_voters({"1": (500_000.0, "carol"), "2": (200_000.0, None)})
    assert {row["voter_id"] for row in rows(replayed(lone), is_replayed=True)} == {"1"}, "one NFT is no joint voter"


def two_cases() -> list[Case]:
    found = [case for case in cases(*TOGETHER, settings().sets) if case.key[1] in ("1", "2")]
    return [next(case for case in found if case.key[1] == name) for name in ("1", "2")]


def test_the_truth_leaves_out_what_each_of_them_really_voted() -> None:
    """The first really ended with 10,000 on a gauge and the second with 4,000: neither is among the others."""
    first, second = two_cases()
    others = first.truth.votes.copy()
    own = [np.zeros(8), np.zeros(8)]
    own[0][2], own[1][2] = 10_000.0, 4_000.0
    first = replace(first, truth=replace(first.truth, votes=others + own[1], own=own[0]))
    second = replace(second, truth=replace(second.truth, votes=others + own[0], own=own[1]))
    made = pooled([first, second], "alice")
    assert made.truth.votes == pytest.approx(others) and made.truth.own[2] == 14_000.0
    assert made.powers == (300_000.0, 200_000.0) and made.snapshot.power == 500_000.0
    votes = np.zeros(8)
    votes[2] = 500_000.0
    expected = made.truth.rewards[2] * 500_000 / (500_000 + others[2])
    assert realised(made, votes) == pytest.approx(expected)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("together", [True, False])
def test_epochs_given_some_at_a_time_are_the_same_replay(size: int, together: bool) -> None:
    """What a strategy stands with goes on from part to part; so does what is kept, in one part or in many."""
    tables = TOGETHER if together else of_voters({"1": (300_000.0, None), "2": (200_000.0, "bob")})
    whole = replayed(tables)
    seen = sorted(set(tables[3]["epoch"].to_pylist()))
    parts = [seen[start : start + size] for start in range(0, len(seen), size)]

    def given_in_parts(kept: pa.Table | None) -> pa.Table:
        replay = Backtest(tables[3], seeds(), seed_rows("backtest_variants"))
        of = [
            [t.filter(pc.is_in(t["epoch"], pa.array(part))) for t in (*tables, kept) if t is not None] for part in parts
        ]
        return pa.concat_tables([replay.of(*each) for each in of])

    order = [(name, "ascending") for name in KEYS]
    made = given_in_parts(None)
    assert made.sort_by(order).equals(whole.sort_by(order))
    assert given_in_parts(whole).sort_by(order).equals(whole.sort_by(order))
    assert replayed(tables, made).sort_by(order).equals(whole.sort_by(order))


def test_nothing_is_asked_of_nobody() -> None:
    setting = settings().setting("hydrex", "reach")
    assert setting is not None and list(Best([], setting).epoch([])) == []
    assert "is_replayed" in SCHEMA.names
