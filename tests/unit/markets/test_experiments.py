"""Experiments: order, what each says on markets whose answer is known, and what must never happen."""

from __future__ import annotations

import json
import math
import random
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decide.errors import DecisionError
from decide.markets.experiments import (
    base_rate,
    kelly,
    longshot_corrected,
    market_price,
    momentum,
    negrisk_coherent,
    time_decay,
)
from decide.markets.experiments.evaluate import Known, answer, context_for
from decide.markets.experiments.protocol import (
    Context,
    Forecast,
    Outcome,
    Resolved,
    Skip,
    Snapshot,
    Stake,
    canonical,
    document,
    plain,
    resolved_until,
    result_of,
    settings_of,
)
from decide.markets.experiments.registry import arrange
from extract.seeds import read_seed
from operate.markets.registry import ExperimentError, load_experiments
from operate.markets.settings import SHIPPED
from operate.markets.snapshots import snapshot_from
from operate.markets.worker import Inputs, Task, evaluate_market
from tests.market_run_fixtures import AT, ROOT, a_snapshot

SETTINGS = settings_of(read_seed(ROOT / "seeds", "markets/experiment_settings"))


def outcomes(count: int, days_ago: float = 1) -> list[Outcome]:
    rng = random.Random(3)
    made = []
    for n in range(count):
        price = rng.uniform(0.05, 0.95)
        odds = 2 * math.log(price / (1 - price))  # reality is twice as sure as the price
        happened = int(rng.random() < 1 / (1 + math.exp(-odds)))
        made.append(Outcome(f"o{n}", f"e{n}", price, happened, AT - timedelta(days=days_ago, minutes=n)))
    return made


def ask(experiment: Any, snapshot: Snapshot, resolved: Resolved | None = None, **results: Any) -> Any:
    context = Context(SETTINGS.get(experiment.name, {}), results, resolved or Resolved())
    return experiment.run(snapshot, context)


class Named:
    """An experiment with a name and requirements."""

    version, mandatory = "1", False

    def __init__(self, name: str, *requires: str) -> None:
        self.name, self.requires = name, requires

    def run(self, snapshot: Snapshot, context: Context) -> Any:
        return Skip("nothing")


@given(st.permutations([("a", "c"), ("b",), ("c", "b"), ("d", "a", "b")]))
def test_order_follows_requirements_and_not_the_order_given(given_order: list[tuple[str, ...]]) -> None:
    arranged = arrange([Named(*names) for names in given_order])
    assert [e.name for e in arranged] == ["b", "c", "a", "d"]


def test_circles_unknown_and_malformed_experiments_are_refused_by_name() -> None:
    with pytest.raises(DecisionError, match="a -> b -> c -> a"):
        arrange([Named("a", "b"), Named("b", "c"), Named("c", "a"), Named("x")])
    with pytest.raises(DecisionError, match="'a' requires ghost, which is not registered; registered are a"):
        arrange([Named("a", "ghost")])
    with pytest.raises(DecisionError, match="registered twice"):
        arrange([Named("a"), Named("a")])
    with pytest.raises(DecisionError, match="use lower-case letters"):
        arrange([Named("A b")])
    with pytest.raises(DecisionError, match="is no experiment"):
        arrange([object()])  # type: ignore[list-item]
    wrong = Named("a")
    wrong.needs = ("tomorrow",)  # type: ignore[attr-defined]
    with pytest.raises(DecisionError, match="needs tomorrow; there is only"):
        arrange([wrong])


def test_modules_that_do_not_load_are_named(tmp_path: Path) -> None:
    for text, words in (("x = 1", "neither EXPERIMENT"), ("1/0", "does not load: ZeroDivisionError")):
        path = tmp_path / f"e{len(text)}.py"
        path.write_text(text)
        with pytest.raises(ExperimentError, match=words):
            load_experiments([str(path)])
    with pytest.raises(ExperimentError, match="cannot be found"):
        load_experiments(["decide.markets.experiments.nothing_here"])
    with pytest.raises(ExperimentError, match="does not exist"):
        load_experiments([str(tmp_path / "none.py")])


def test_the_market_price_is_the_midpoint_and_abstains_on_one_side() -> None:
    assert ask(market_price.EXPERIMENT, a_snapshot(best_bid=0.3, best_ask=0.4)) == Forecast(0.35)
    for bid, asked in ((None, 0.4), (0.3, None), (None, None), (0.5, 0.4)):
        assert isinstance(ask(market_price.EXPERIMENT, a_snapshot(best_bid=bid, best_ask=asked)), Skip)


def test_the_base_rate_is_laplaces_rule_of_what_is_known() -> None:
    known = resolved_until(outcomes(50), AT)
    happened = sum(o.happened for o in known.outcomes)
    assert ask(base_rate.EXPERIMENT, a_snapshot(), known).probability == (happened + 1) / 52
    assert isinstance(ask(base_rate.EXPERIMENT, a_snapshot(), resolved_until(outcomes(29), AT)), Skip)


def test_the_longshot_slope_finds_what_prices_lack_and_waits_for_150_ends() -> None:
    snapshot, price = a_snapshot(), Forecast(0.2)
    few = ask(longshot_corrected.EXPERIMENT, snapshot, resolved_until(outcomes(149), AT), market_price=price)
    assert few == Skip("149 markets with a price resolved so far; 150 are needed")
    many = resolved_until(outcomes(3000), AT)
    made = ask(longshot_corrected.EXPERIMENT, snapshot, many, market_price=price)
    assert made.details["slope"] == pytest.approx(2, abs=0.15)
    assert made.probability == pytest.approx(1 / (1 + 4 ** made.details["slope"]))
    from scipy import optimize, special

    x = special.logit([o.price for o in many.outcomes])
    y = [o.happened for o in many.outcomes]
    loss = lambda b: -sum(special.log_expit(b * x * [1 if v else -1 for v in y])) + 2.5 * (b - 1) ** 2 / 2  # noqa: E731
    assert made.details["slope"] == pytest.approx(optimize.minimize_scalar(loss).x, abs=1e-4)


def test_groups_are_divided_by_their_sum_only_when_whole() -> None:
    one = a_snapshot(group_id="g", group_price_sum=1.02)
    assert ask(negrisk_coherent.EXPERIMENT, one, market_price=Forecast(0.51)).probability == 0.5
    for changes in ({"group_price_sum": 0.7}, {"group_price_sum": 1.3}, {"group_id": None}, {"is_placeholder": True}):
        assert isinstance(ask(negrisk_coherent.EXPERIMENT, replace(one, **changes), market_price=Forecast(0.5)), Skip)


def test_momentum_carries_a_little_on_and_stays_a_probability() -> None:
    moved = ask(momentum.EXPERIMENT, a_snapshot(day_change=0.1, week_change=-0.2), market_price=Forecast(0.5))
    assert moved.probability == pytest.approx(0.5 + 0.1 * 0.1 - 0.05 * 0.2)
    edge = ask(momentum.EXPERIMENT, a_snapshot(day_change=0.9, week_change=0.9), market_price=Forecast(0.9995))
    assert edge.probability == 0.9995
    assert isinstance(ask(momentum.EXPERIMENT, a_snapshot(day_change=None, week_change=None), market_price=edge), Skip)


@pytest.mark.parametrize(
    ("question", "counts"),
    [
        ("Will it rain by January 31?", True),
        ("Russia x Ukraine ceasefire before 2027?", True),
        ("Fed cut by end of year?", True),
        ("Will he win the 2026 election?", False),
        ("Will it be sold by Sotheby's?", False),
    ],
)
def test_time_decays_only_in_questions_by_a_date(question: str, counts: bool) -> None:
    snapshot = a_snapshot(question=question, week_change=0.0)
    made = ask(time_decay.EXPERIMENT, snapshot, market_price=Forecast(0.36))
    assert isinstance(made, Forecast) is counts
    if counts:  # half the time is left: 1 - (1 - 0.36) ** 0.5 = 0.2, then half of it and half of the price
        assert made.probability == pytest.approx((0.2 + 0.36) / 2)


def test_kelly_stakes_a_quarter_of_the_full_bet_on_the_side_that_is_cheap() -> None:
    sized = kelly.Kelly("mine", "kelly_mine")
    known = {"settings": SETTINGS["kelly"]}
    context = Context(**known, results={"mine": Forecast(0.5)})
    yes = sized.run(a_snapshot(best_bid=0.38, best_ask=0.4), context)
    assert isinstance(yes, Stake) and (yes.side, yes.price) == ("yes", 0.4)
    assert yes.fraction == pytest.approx(0.25 * 0.1 / 0.6)
    no = sized.run(a_snapshot(best_bid=0.6, best_ask=0.62), context)
    assert (no.side, no.price) == ("no", pytest.approx(0.4))
    fair = sized.run(a_snapshot(best_bid=0.49, best_ask=0.51), context)
    assert isinstance(fair, Skip)
    costly = sized.run(a_snapshot(best_bid=0.38, best_ask=0.48, fee_rate=0.25, fee_exponent=1.0), context)
    assert isinstance(costly, Skip), "a fee of 6 cents eats an edge of 2"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(-1, 1), st.floats(0.5, 2), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_whatever_the_market_results_are_valid_and_can_be_written(
    bid: float, asked: float, day: float, week: float, total: float, known: int
) -> None:
    snapshot = a_snapshot(
        best_bid=min(bid, asked),
        best_ask=max(bid, asked),
        day_change=day,
        week_change=week,
        group_id="g",
        group_price_sum=total,
    )
    rows = evaluate(snapshot, resolved_until(outcomes(known), AT))
    assert len(rows) == 8 and not [row for row in rows if "error_class" in row]
    for row in rows:
        assert json.loads(canonical(plain(result_of(row))))["kind"] == row["kind"]


def evaluate(snapshot: Snapshot, resolved: Resolved, siblings: tuple[Snapshot, ...] = ()) -> list[dict[str, Any]]:
    experiments = load_experiments(SHIPPED)
    task = Task(0, (snapshot, *siblings), (0,), Inputs())
    return evaluate_market(experiments, Known(SETTINGS, resolved), task, 0)


def test_the_same_inputs_give_the_same_hash_and_result_in_any_order() -> None:
    known = outcomes(300)
    shuffled = random.Random(1).sample(known, len(known))
    friends = tuple(a_snapshot(n, event_id="e0") for n in range(2, 6))
    first = evaluate(a_snapshot(), resolved_until(known, AT), friends)
    again = evaluate(a_snapshot(), resolved_until(shuffled, AT), friends[::-1])
    assert first == again
    hashes = {row["experiment"]: row["input_hash"] for row in first}
    changed = {
        row["experiment"]: row["input_hash"] for row in evaluate(a_snapshot(volume_usd=1.0), resolved_until(known, AT))
    }
    assert all(hashes[name] != changed[name] for name in hashes)


def test_a_hash_covers_what_was_asked_for_and_nothing_else() -> None:
    few, many = (evaluate(a_snapshot(), resolved_until(outcomes(n), AT)) for n in (200, 300))
    differs = {a["experiment"] for a, b in zip(few, many, strict=True) if a["input_hash"] != b["input_hash"]}
    assert differs == {"base_rate", "longshot_corrected", "kelly"}


def test_later_ends_move_nothing() -> None:
    known = outcomes(200)
    later = [
        replace(o, market_id=f"late{n}", known_at=AT + timedelta(seconds=1 + n), happened=1)
        for n, o in enumerate(known)
    ]
    assert evaluate(a_snapshot(), resolved_until(known, AT)) == evaluate(
        a_snapshot(), resolved_until(known + later, AT)
    )


def test_an_input_from_after_the_snapshot_is_refused_even_if_handed_over() -> None:
    late = Resolved((Outcome("o", "e", 0.5, 1, AT + timedelta(seconds=1)),))
    experiment = base_rate.EXPERIMENT
    context = context_for(experiment, Known(SETTINGS, late), (), {})
    with pytest.raises(DecisionError, match="after the snapshot"):
        answer(experiment, a_snapshot(), context)


def test_inputs_cannot_be_changed_by_an_experiment() -> None:
    with pytest.raises(FrozenInstanceError):
        a_snapshot().price = 1.0  # type: ignore[misc]
    with pytest.raises(DecisionError, match=r"within \[0, 1\]"):
        Forecast(math.nan)
    with pytest.raises(DecisionError, match="say why"):
        Skip(" ")


def test_a_snapshot_comes_back_from_the_ledger_as_it_was() -> None:
    whole = a_snapshot(group_id="g", fee_rate=0.02, description="rules")
    assert snapshot_from(json.loads(canonical(document(whole)))) == whole
    older = {k: v for k, v in document(whole).items() if k != "fee_rate"}
    assert snapshot_from(json.loads(canonical(older))).fee_rate is None
