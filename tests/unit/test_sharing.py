"""Limits that several processes share, and who may work for a run."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from extract import worker
from extract.config import Config, read_config
from extract.errors import ConfigError
from extract.evm.pace import Clock, Pace, Slots
from extract.evm.waits import Waits
from extract.lake import Lake
from extract.where import Where
from extract.worker import Said, Terms, for_travel, introduce, mark
from tests.line_fixtures import ROOT


def test_slots_may_become_fewer_and_more_while_some_are_taken() -> None:
    async def most_at_once(limits: list[int]) -> int:
        slots, inside, seen = Slots(limits[0]), 0, 0
        go = asyncio.Event()

        async def work() -> None:
            nonlocal inside, seen
            async with slots:
                inside += 1
                seen = max(seen, inside)
                await go.wait()
                await asyncio.sleep(0)
                inside -= 1

        tasks = [asyncio.create_task(work()) for _ in range(20)]
        await asyncio.sleep(0)
        for limit in limits[1:]:
            slots.share(limit)
            await asyncio.sleep(0.01)
        tasks[-1].cancel()  # whoever waits and gives up takes nobody's turn
        go.set()
        await asyncio.gather(*tasks[:-1])
        return seen

    assert asyncio.run(most_at_once([4])) == 4
    assert asyncio.run(most_at_once([4, 1])) == 4
    assert asyncio.run(most_at_once([1, 3])) == 3


@pytest.mark.parametrize(("rate", "shares", "expected"), [(10.0, [1], 10.0), (10.0, [4], 2.5), (10.0, [4, 2], 5.0)])
def test_a_rate_is_divided_and_divided_anew(rate: float, shares: list[int], expected: float) -> None:
    pace = Pace(rate, Waits("x", Clock()))
    for among in shares:
        pace.share(rate / among)
    assert pace.rate == expected


def test_what_was_learned_stays_where_it_is_slower_than_the_share() -> None:
    pace = Pace(10.0, Waits("x", Clock()))
    pace.refused(None)
    learned = pace.rate
    assert learned is not None and learned < 10.0
    pace.share(9.5)
    assert pace.rate == learned
    pace.share(learned / 2)
    assert pace.rate == learned / 2
    free = Pace(None, Waits("x", Clock()))
    free.share(None)
    assert free.rate is None


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "foreshore.toml"
    path.write_text(f'[storage]\nroot = "data"\nseeds = "{ROOT}/seeds"\n')
    return read_config(path)


def test_a_configuration_travels_without_its_environment_and_finds_keys_there(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".foreshore.env").write_text("# keys\nA_KEY = one\nB_KEY=from the file\n")
    monkeypatch.setenv("B_KEY", "from the shell")
    gone = pickle.loads(pickle.dumps(for_travel(Config(config.path, config.raw, {"A_SECRET": "s3cret-of-nobody"}))))
    assert b"s3cret-of-nobody" not in pickle.dumps(gone) and gone.path.is_absolute()
    there = worker.own(gone)
    assert (there.environ["A_KEY"], there.environ["B_KEY"]) == ("one", "from the shell")
    monkeypatch.setenv("FORESHORE_PROJECT", str(tmp_path / "elsewhere"))
    assert worker.own(gone).root == tmp_path / "elsewhere" / "data"


def lacks_a_key(config: Config) -> None:
    raise ConfigError("set SOME_KEY to the provider's key")


def test_who_does_not_see_the_run_or_lacks_a_key_says_so(config: Config) -> None:
    travelling = for_travel(config)
    blind = introduce(Terms("run1", travelling))
    assert "does not see this run's raw zone" in blind.objection
    lake = Lake.of(config)
    with mark(lake, "run1"):
        assert introduce(Terms("run1", travelling)).objection == ""
        assert "does not see" in introduce(Terms("run2", travelling)).objection
        assert introduce(Terms("run1", travelling, (lacks_a_key,))) == Said({}, "set SOME_KEY to the provider's key")
    assert "does not see" in introduce(Terms("run1", travelling)).objection


def test_seeds_and_code_are_part_of_who_one_is(config: Config, tmp_path: Path) -> None:
    here = worker.facts(config.seeds)
    assert here == worker.facts(ROOT / "seeds") and len(here["code"]) == 12 and here["numpy"] != "none"
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "thresholds.csv").write_text("threshold,value\n")
    assert worker.facts(seeds)["seeds"] != here["seeds"]
    assert worker.facts(tmp_path / "none")["seeds"] == f"none at {tmp_path}/none"


def test_where_work_is_done() -> None:
    assert not Where().is_cluster
    assert Where("dask").is_cluster and Where(scheduler="tcp://x:1").is_cluster and Where(hosts=("a",)).is_cluster
