"""The JSON form of an allocation: what is refused and how, what comes back, and the command around it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from decide.errors import DecisionError, Infeasible, NothingToGain
from decide.voting import instance as form
from decide.voting import joint_instance
from decide.voting.allocate import Problem, solve
from extract.errors import RequestError
from operate.voting.allocate import allocate as command

WEEK: dict[str, Any] = {
    "voting_power": 1_774_908,
    "min_votes": 50_000,
    "k_max": 2,
    "scenario_weights": [0.25, 0.5, 0.25],
    "lambda": 0.2,
    "risk": "worst",
    "alpha": 0.25,
    "max_turnover": 0.8,
    "gauges": [
        {"id": "0xA1", "votes": [120_000, 110_000, 100_000], "rewards": [90, 100, 120], "prev": 0.0, "cap": None},
        {"id": "0xb2", "votes": [600_000, 500_000, 400_000], "rewards": [300, 310, 330.5], "prev": 70_000, "cap": None},
        {"id": "0xc3", "votes": [0, 0, 0], "rewards": [1, 2, 3], "prev": 30_000.5, "cap": 60_000},
    ],
}


def week(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(WEEK) | changes


def gauge(**changes: Any) -> dict[str, Any]:
    """The week with its second gauge changed."""
    made = week()
    made["gauges"][1] |= changes
    return made


def without(key: str) -> dict[str, Any]:
    made = week()
    del made[key]
    return made


def test_an_answer_is_plain_values_that_add_up() -> None:
    found = form.allocate(week())
    assert json.loads(json.dumps(found)) == found
    assert found["status"] == "optimal" and found["gap"] <= 1e-6 and found["continuous"]["gap"] <= 1e-6
    assert sum(found["allocation"].values()) == found["votes"] == 1_774_908
    assert all(isinstance(votes, int) and votes >= 50_000 for votes in found["allocation"].values())
    assert found["gauges_used"] == len(found["allocation"]) <= 2
    rows = {row["id"]: row for row in found["per_gauge"]}
    assert list(rows) == ["0xA1", "0xb2", "0xc3"]
    assert {name: row["votes"] for name, row in rows.items() if row["votes"]} == found["allocation"]
    assert sum(row["expected_return"] for row in rows.values()) == pytest.approx(found["expected_return"])
    assert np.sum([row["scenario_returns"] for row in rows.values()], axis=0) == pytest.approx(
        found["scenario_returns"]
    )
    assert found["objective"] == pytest.approx(found["expected_return"] - 0.2 * found["downside"])
    assert found["objective"] <= found["bound"]
    assert found["turnover"] <= found["turnover_limit"] == pytest.approx(0.8 * 1_774_908)


def test_an_instance_is_the_problem_it_says() -> None:
    read = form.parse(week())
    assert read.ids == ("0xA1", "0xb2", "0xc3")
    assert read.problem.votes.shape == read.problem.rewards.shape == (3, 3)
    assert read.problem.caps is not None and read.problem.caps.tolist() == [np.inf, np.inf, 60_000]
    assert read.problem.previous is not None and read.problem.previous.tolist() == [0, 70_000, 30_000.5]
    assert form.allocate(week())["objective"] == solve(read.problem).objective


def test_what_is_left_out_means_no_risk_no_limit_no_previous_vote() -> None:
    plain = {key: week()[key] for key in ("voting_power", "min_votes", "k_max", "scenario_weights")}
    gauges = [{key: row[key] for key in ("id", "votes", "rewards")} for row in WEEK["gauges"]]
    found = form.allocate(plain | {"gauges": gauges})
    assert found["risk_term"] == 0 and found["turnover"] == 0 and found["turnover_limit"] is None
    assert found["objective"] == found["expected_return"]


def test_a_single_gauge_takes_everything() -> None:
    found = form.allocate(week(gauges=WEEK["gauges"][:1]))
    assert found["allocation"] == {"0xA1": 1_774_908}


def test_gauges_nobody_votes_for_pay_in_full_for_the_minimum() -> None:
    rows = [{"id": name, "votes": [0], "rewards": [usd]} for name, usd in (("a", 5), ("b", 9), ("c", 7))]
    found = form.allocate(
        {"voting_power": 100_000, "min_votes": 10, "k_max": 2, "scenario_weights": [1], "gauges": rows}
    )
    assert found["objective"] == 16 and set(found["allocation"]) == {"b", "c"}


BAD: list[tuple[str, Any, str]] = [
    ("not an object", [1], "instance is a list"),
    ("no power", without("voting_power"), "lacks voting_power"),
    ("no gauges key", without("gauges"), "lacks gauges"),
    ("no gauges", week(gauges=[]), "gauges is empty"),
    ("gauges not a list", week(gauges={"id": 1}), "gauges is an object"),
    ("gauge not an object", week(gauges=["0xA1"]), r"gauges\[0\] is a text"),
    ("power 0", week(voting_power=0), "voting_power is 0"),
    ("power negative", week(voting_power=-5), "voting_power is -5"),
    ("power text", week(voting_power="1774908"), "voting_power is '1774908'"),
    ("power bool", week(voting_power=True), "voting_power is True"),
    ("power null", week(voting_power=None), "voting_power is None"),
    ("power NaN", week(voting_power=float("nan")), "voting_power is nan"),
    ("power infinite", week(voting_power=float("inf")), "voting_power is inf"),
    ("power in wei", week(voting_power=10**40), "voting_power is 1e\\+40"),
    ("power beyond floats", week(voting_power=10**400), "voting_power is inf"),
    ("units too many", week(voting_power=1e24), "cannot be told apart"),
    ("k_max 0", week(k_max=0), "k_max is 0"),
    ("k_max fraction", week(k_max=2.5), "k_max is 2.5"),
    ("k_max bool", week(k_max=True), "k_max is True"),
    ("min_votes negative", week(min_votes=-1), "min_votes is -1"),
    ("weights off", week(scenario_weights=[0.25, 0.5, 0.2]), "scenario_weights sum to 0.95"),
    ("weights negative", week(scenario_weights=[-0.25, 0.5, 0.75]), r"scenario_weights\[0\] is -0.25"),
    ("weights empty", week(scenario_weights=[]), "scenario_weights is empty"),
    ("weights too few", week(scenario_weights=[0.5, 0.5]), "has 3 numbers, scenario_weights has 2"),
    ("lambda above 1", week(**{"lambda": 1.5}), "lambda is 1.5"),
    ("lambda text", week(**{"lambda": "0.2"}), "lambda is '0.2'"),
    ("lambda without risk", without("risk"), "risk is missing"),
    ("risk unknown", week(risk="var"), "risk is 'var'.*worst, cvar"),
    ("risk null", week(risk=None), "risk is None"),
    ("risk list", week(risk=["worst"]), "risk is"),
    ("alpha 0", week(alpha=0), "alpha is 0"),
    ("turnover negative", week(max_turnover=-0.1), "max_turnover is -0.1"),
    ("unit 0", week(unit=0), "unit is 0"),
    ("unknown key", week(kmax=5), "has kmax, which means nothing here"),
    ("unknown gauge key", gauge(reward=5), r"gauges\[1\] has reward"),
    ("duplicate id", gauge(id="0xa1"), "gauges has 0xa1 twice"),
    ("id empty", gauge(id=" "), r"gauges\[1\].id is ' '"),
    ("id number", gauge(id=7), r"gauges\[1\].id is 7"),
    ("votes too few", gauge(votes=[1, 2]), r"gauges\[1\].votes has 2 numbers"),
    ("votes scalar", gauge(votes=5), r"gauges\[1\].votes is 5"),
    ("votes negative", gauge(votes=[1, -2, 3]), r"gauges\[1\].votes\[1\] is -2"),
    ("votes NaN", gauge(votes=[1, 2, float("nan")]), r"gauges\[1\].votes\[2\] is nan"),
    ("rewards text", gauge(rewards=[1, "2", 3]), r"gauges\[1\].rewards\[1\] is '2'"),
    ("rewards bool", gauge(rewards=[1, False, 3]), r"gauges\[1\].rewards\[1\] is False"),
    ("rewards infinite", gauge(rewards=[1, float("inf"), 3]), r"gauges\[1\].rewards\[1\] is inf"),
    ("rewards null", gauge(rewards=None), r"gauges\[1\].rewards is null"),
    ("prev negative", gauge(prev=-1), r"gauges\[1\].prev is -1"),
    ("cap negative", gauge(cap=-1), r"gauges\[1\].cap is -1"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_names_the_field(data: Any, words: str) -> None:
    with pytest.raises(DecisionError, match=words) as refused:
        form.allocate(data)
    assert not isinstance(refused.value, Infeasible | NothingToGain)
    assert ":" in str(refused.value)  # what is wrong: what to do


CANNOT: list[tuple[str, Any, str]] = [
    ("minimum above power", week(min_votes=2_000_000), "min_votes is 2e\\+06"),
    ("caps", week(gauges=[row | {"cap": 100_000} for row in WEEK["gauges"]]), "caps.*raise the caps or k_max"),
    ("caps under the minimum", week(gauges=[row | {"cap": 40_000} for row in WEEK["gauges"]]), "caps"),
    ("turnover", week(max_turnover=0.1, k_max=1), "max_turnover is 0.1.*raise max_turnover"),
    ("power under a unit", week(voting_power=0.5, min_votes=0), "under one unit"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in CANNOT], ids=[row[0] for row in CANNOT])
def test_what_no_allocation_satisfies_is_infeasible(data: Any, words: str) -> None:
    with pytest.raises(Infeasible, match=words):
        form.allocate(data)


def test_no_rewards_are_nothing_to_gain() -> None:
    with pytest.raises(NothingToGain):
        form.allocate(week(gauges=[row | {"rewards": [0, 0, 0]} for row in WEEK["gauges"]]))


def run(tmp_path: Path, data: Any, *options: str) -> Any:
    file = tmp_path / "week.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return CliRunner().invoke(command, ["--instance", str(file), *options])


def test_the_command_prints_json_for_programs(tmp_path: Path) -> None:
    done = run(tmp_path, week(), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == form.allocate(week())


def test_the_command_prints_a_table_for_people(tmp_path: Path) -> None:
    done = run(tmp_path, week())
    found = form.allocate(week())
    assert done.exit_code == 0
    for name, votes in found["allocation"].items():
        assert name in done.stdout and f"{votes:,}" in done.stdout
    assert "optimal" in done.stdout and f"{found['bound']:,.6f}" in done.stdout


def test_the_command_reads_standard_input() -> None:
    done = CliRunner().invoke(command, ["--instance", "-", "--json"], input=json.dumps(week()))
    assert done.exit_code == 0 and json.loads(done.stdout)["status"] == "optimal"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (week(k_max=0), "invalid"),
        (week(min_votes=2e6), "infeasible"),
        (week(gauges=[WEEK["gauges"][0] | {"rewards": [0, 0, 0]}]), "nothing_to_gain"),
        ("{", "invalid"),
        ('{"k_max": 1, "k_max": 2}', "invalid"),
        ("[" * 100_000, "invalid"),
    ],
)
def test_without_an_allocation_the_exit_code_is_1_and_the_reason_is_said(
    tmp_path: Path, data: Any, status: str
) -> None:
    done = run(tmp_path, data, "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 1 and said["status"] == status and len(said["reason"]) > 20
    plain = run(tmp_path, data)
    assert plain.exit_code == 1 and isinstance(plain.exception, RequestError)
    assert not plain.stdout


def test_a_file_that_is_not_there_is_named() -> None:
    done = CliRunner().invoke(command, ["--instance", "nowhere.json"])
    assert done.exit_code == 1 and "nowhere.json" in str(done.exception)


def test_arrays_are_checked_where_they_are_built_by_hand() -> None:
    problem = Problem(np.ones((2, 1)), np.ones((2, 1)), 10.0, np.ones(1), 1.0, 2)
    assert solve(problem).objective > 0
    for change, words in (
        ({"votes": np.ones(2)}, "votes has shape"),
        ({"votes": np.ones((0, 1))}, "votes has shape"),
        ({"rewards": np.ones((3, 1))}, "rewards has shape"),
        ({"rewards": np.array([[1.0], [np.nan]])}, r"rewards\[1, 0\] is nan"),
        ({"votes": np.array([["1"], ["2"]])}, "votes holds"),
        ({"votes": np.array([[True], [False]])}, "votes holds"),
        ({"weights": np.array([0.5])}, "weights sum to 0.5"),
        ({"previous": np.ones(3)}, "previous has shape"),
        ({"caps": np.array([-1.0, 2.0])}, r"caps\[0\] is -1"),
        ({"k_max": 0}, "k_max is 0"),
        ({"unit": float("nan")}, "unit is nan"),
    ):
        with pytest.raises(DecisionError, match=words):
            solve(Problem(**(vars(problem) | change)))


TOGETHER: dict[str, Any] = {
    "scenario_weights": [0.25, 0.5, 0.25],
    "risk": "worst",
    "lambda": 0.2,
    "k_max": 2,
    "min_votes": 1000,
    "nfts": [
        {"id": "8", "voting_power": 1_000_000, "prev": {"0xb2": 400_000}, "caps": {"0xc3": 60_000}},
        {"id": "34", "voting_power": 200_000, "k_max": 1, "max_turnover": 1.0},
        {"id": "5", "voting_power": 50_000, "prev": {"0xA1": 50_000}, "fixed": True},
    ],
    "gauges": [{key: row[key] for key in ("id", "votes", "rewards")} for row in WEEK["gauges"]],
}


def together(place: str, **changes: Any) -> dict[str, Any]:
    """The three NFTs with one of them, or a gauge, changed."""
    made = copy.deepcopy(TOGETHER)
    made[place][0] |= changes
    return made


def test_several_nfts_get_a_change_set_each() -> None:
    found = joint_instance.allocate(TOGETHER)
    assert json.loads(json.dumps(found)) == found
    first, second, third = found["nfts"]
    assert sum(first["allocation"].values()) == 1_000_000 and len(first["allocation"]) <= 2
    assert sum(second["allocation"].values()) == 200_000 and len(second["allocation"]) == 1
    assert third["allocation"] == {"0xA1": 50_000} and third["change"] == {}
    assert first["change"].get("0xb2", 0) == first["allocation"].get("0xb2", 0) - 400_000
    assert sum(row["expected_return"] for row in found["per_gauge"]) == pytest.approx(found["expected_return"])
    assert found["objective"] <= found["bound"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (together("nfts", voting_power=0), r"nfts\[0\].voting_power is 0"),
        (together("nfts", prev={"0xzz": 1}), r"nfts\[0\].prev has 0xzz, which is none of the gauges"),
        (together("nfts", prev=[1]), r"nfts\[0\].prev is \[1\]: give an object"),
        (together("nfts", fixed=1), r"nfts\[0\].fixed is 1: give true or false"),
        (together("nfts", id="34"), "nfts has 34 twice: give each NFT once"),
        (together("gauges", prev=1), r"gauges\[0\] has prev, which means nothing here"),
        (TOGETHER | {"nfts": []}, "nfts is empty"),
        ({key: value for key, value in TOGETHER.items() if key != "k_max"}, r"nfts\[0\] lacks k_max: add it there"),
    ],
)
def test_a_bad_nft_names_the_field(data: Any, words: str) -> None:
    with pytest.raises(DecisionError, match=words):
        joint_instance.allocate(data)


def test_the_command_decides_several_nfts_together(tmp_path: Path) -> None:
    done = run(tmp_path, TOGETHER, "--json")
    assert done.exit_code == 0 and json.loads(done.stdout) == joint_instance.allocate(TOGETHER)
    shown = run(tmp_path, TOGETHER)
    assert shown.exit_code == 0 and "NFT 34" in shown.stdout and "fixed" in shown.stdout
