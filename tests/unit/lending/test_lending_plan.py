"""Which partitions are due, what a plan costs, and what is refused before any chain is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from extract.config import Config, load_config
from extract.errors import ConfigError, RequestError
from extract.ledger import COMPLETE, FAILED, Ledger
from extract.lending.cost import Period, costs
from extract.lending.days import day_of, requested_days
from extract.lending.plan import MISSING_PRICES, PRICES, Plan, Request, make_plan, make_scope
from extract.lending.registry import load_registry
from tests.line_fixtures import ROOT

AAVE, COMET = "aave_v3_ethereum", "compound_v3_eth_usdc"
DAYS = {"since": "2024-12-01", "until": "2024-12-03"}
NOW = int(datetime(2026, 3, 9, 15, tzinfo=UTC).timestamp())


def config(**chains: Any) -> Config:
    provider = {"name": "a", "url": "http://127.0.0.1:1"}
    made = chains or {"ethereum": {"chain_id": 1, "block_seconds": 12.0, "providers": [provider]}}
    raw = {"storage": {"seeds": str(ROOT / "seeds")}, "chains": made}
    return Config(Path("foreshore.toml"), raw, {})


def planned(request: Request, ledger: Ledger | None = None, made: Config | None = None, **changed: Any) -> Plan:
    made = made or config()
    return make_plan(made, request, make_scope(made, request), ledger or Ledger([]), "run", **changed)


def ledger_of(plan: Plan, status: str = COMPLETE, **facts: Any) -> Ledger:
    """A ledger in which everything of a plan ended with `status`."""
    rows = [replace(row, status=status, **facts).as_row() for unit in plan.units for row in unit.due.values()]
    return Ledger(rows)


def test_every_chain_day_is_one_unit_with_all_its_csus() -> None:
    plan = planned(Request(csus=(AAVE, COMET), **DAYS))
    assert [unit.name for unit in plan.units] == [f"ethereum 2024-12-0{n}" for n in (1, 2, 3)]
    assert all(len(unit.due) == 1 + 2 * 3 for unit in plan.units) and plan.skipped == 0
    names = {p.partition_id for p in plan.units[0].due}
    assert f"lending/prices/{AAVE}/2024-12-01" in names and "lending/days/ethereum/2024-12-01" in names


def test_what_is_complete_is_skipped_and_what_failed_is_due() -> None:
    request = Request(csus=(AAVE, COMET), **DAYS)
    whole = planned(request)
    again = planned(request, ledger_of(whole))
    assert again.units == [] and again.skipped == 21
    failed = planned(request, ledger_of(whole, FAILED))
    assert len(failed.units) == 3 and all(row.attempts == 2 for row in failed.units[0].due.values())
    assert len(planned(replace(request, resume=False), ledger_of(whole)).units) == 3


def test_a_block_that_changed_makes_its_partitions_due_again() -> None:
    request = Request(csus=(AAVE,), **DAYS)
    whole = planned(request)
    name = f"lending/snapshot/{AAVE}/2024-12-02"
    again = planned(request, ledger_of(whole), changed=frozenset({name}))
    assert [[p.partition_id for p in unit.due] for unit in again.units] == [[name]]


def test_missing_prices_are_asked_for_again_on_request_or_when_a_source_comes() -> None:
    request = Request(csus=(AAVE,), **DAYS)
    without = ledger_of(planned(request), error_class=MISSING_PRICES)
    assert planned(request, without).units == []
    retried = planned(replace(request, retry_missing=True), without)
    assert len(retried.units) == 3, "the blocks of a day have no prices, but its ledger row says so here too"
    chain = {**config().section("chains")["ethereum"], "feeds": {"0x" + "ab" * 20: "0x" + "cd" * 20}}
    fed = planned(request, without, config(ethereum=chain))
    assert all({p.table_group for p in unit.due} == {PRICES} for unit in fed.units) and len(fed.units) == 3


def test_chains_without_a_provider_are_left_out_unless_named() -> None:
    both = {
        **config().section("chains"),
        "base": {"chain_id": 8453, "providers": [{"name": "b", "url_env": "NOT_SET"}]},
    }
    scope = make_scope(config(**both), Request(**DAYS))
    assert set(scope.chains) == {"ethereum"} and scope.unconfigured == ("base",)
    with pytest.raises(ConfigError, match="chain base has no provider to talk to: set NOT_SET"):
        make_scope(config(**both), Request(csus=("aave_v3_base",), **DAYS))
    with pytest.raises(ConfigError, match=r"no \[chains.polygon\] with providers"):
        make_scope(config(), Request(csus=("aave_v3_polygon",), **DAYS))


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(csus=("aave_v3_etherium",), **DAYS), "no CSU 'aave_v3_etherium': the registry has aave_v3_ethereum"),
        (Request(since="2024-12-31", until="2024-12-01"), "--since 2024-12-31 is after --until 2024-12-01"),
        (Request(since="12/01/2024"), "is not a day: write it as 2024-12-31"),
        (Request(until="2999-01-01"), "has not ended in New York yet"),
        (Request(since="2999-01-01"), "has not ended in New York yet"),
        (Request(since="2024-12-01", days=3), "--since and --days exclude each other"),
    ],
)
def test_what_cannot_be_is_refused(request_: Request, said: str) -> None:
    with pytest.raises(RequestError) as refused:
        make_scope(config(), request_)
    assert said in str(refused.value)


def test_days_are_counted_back_from_the_last_ended_one() -> None:
    """On 9 March 2026, 11:00 in New York: the 8th has ended, and had 23 hours."""
    assert [d.date for d in requested_days(NOW, 3, None, None)] == [date(2026, 3, n) for n in (6, 7, 8)]
    [last] = requested_days(NOW, None, None, None)
    assert last == day_of(date(2026, 3, 8)) and last.end - last.start == 23 * 3600


def test_the_plan_of_43_csus_counts_what_existed() -> None:
    """A month of December: at most what was promised, and what comes on top on lines of its own."""
    made = load_config(str(ROOT / "foreshore.toml"))
    request = Request(csus=("planned",), since="2024-12-01", until="2024-12-31")
    found = {cap: costs(made, request, Ledger([]), cap) for cap in (10, 2_000)}
    late = {
        c.csu_id for c in load_registry(made).values() if c.is_planned and c.start_date and c.start_date.year > 2024
    }
    assert "lista_lending_bnb" in late and sum(c.csus for c in found[10]) <= 43 - len(late)
    total = sum(c.total for c in found[2_000])
    assert total <= 33_325
    assert sum(c.headers + c.history + c.samples for c in found[2_000]) <= 0.25 * total
    assert 20 * total < 43 * 31 * 720, "the first plan's way"
    for cost in found[10]:
        assert not cost.is_measured and cost.logs == cost.days * -(-cost.blocks_per_day // 10)


def test_a_plan_counts_blocks_of_then_and_csus_of_then() -> None:
    request = Request(csus=(AAVE, COMET), since="2024-12-01", until="2024-12-02")
    [assumed] = costs(config(), request, Ledger([]), 1_000)
    [measured] = costs(config(), request, Ledger([]), 1_000, {"ethereum": Period(21_300_000, 21_306_000)})
    assert (assumed.blocks_per_day, assumed.is_measured) == (7_200, False)
    assert (measured.blocks_per_day, measured.is_measured, measured.logs) == (3_000, True, 6)
    [young] = costs(config(), request, Ledger([]), 1_000, {"ethereum": Period(16_000_000, 16_291_000)})
    assert young.csus == 1, "Aave began at block 16,291,071"
    assert costs(config(), Request(csus=(AAVE,), **DAYS), Ledger([]), 10, {"ethereum": Period(None, None)}) == []


def test_a_history_is_planned_once_and_not_where_a_checkpoint_stands() -> None:
    made = config()
    request = Request(csus=("morpho_blue_ethereum",), since="2024-12-01", until="2024-12-31")
    period = {"ethereum": Period(21_303_933, 21_303_933 + 31 * 7_200)}
    [cost] = costs(made, request, Ledger([]), 2_000, period)
    assert cost.history == -(-(21_303_933 - 18_883_124 + 30 * 7_200) // 2_000), "its start to the last day, one scan"
    before = planned(replace(request, since="2024-11-30", until="2024-11-30"), made=made)
    [again] = costs(made, request, ledger_of(before), 2_000, period)
    assert again.history == 0
