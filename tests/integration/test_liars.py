"""A provider that lies, in front of both lines of extraction: every lie ends in the truth or in a refusal by name.

The liar stands first; behind it an honest provider, or nobody. Whatever it answers, no row that landed may differ from
the chain's, no exception but a typed one may escape, nothing may hang, and the liar is named.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simulate
from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.client import ChainClient
from extract.evm.config import ChainSpec, ProviderSpec
from extract.lake import Lake
from extract.voting.tables import VOTING_TABLES
from simulate.chain.lies import LIES, REQUESTS, RESULTS
from tests.integration.voting.test_voting_line import NOT_OF_THE_CHAIN, content
from tests.lending_line_fixtures import LendingLine
from tests.line_fixtures import Line

pytestmark = [pytest.mark.node, pytest.mark.slow]

LIAR = "liar"
MOST_SECONDS = 90  # of one run on a busy machine; every wait in it is bounded by the limits below
LIMITS = "timeout_seconds = 1.0\nmax_wait_seconds = 0.5\nmax_body_bytes = 8000000\nmax_in_flight = 8\n"
BACK = {"other_state": 3, "latest_state": 1, "wrong_header": 3, "behind_logs": 30, "slow_body": 4}
OLD_FAULTS: dict[str, Any] = {
    "malformed": None,
    "hang": 4,
    "status": 504,
    "rpc_error": [-32603, "Internal error"],
    "wrong_id": None,
    "drop_items": None,
    "lag": 200,
    "truncate": 1,
    "chain_id": 1,
}
# what a client may take without a word, because nothing that is read from it differs
HARMLESS = {"reordered_logs", "log_time_decimal", "log_time_number", "text_id"}
# what strikes only where more than one call travels, or where logs lie close together, or the head is asked for
RARE = {"drop_items", "swapped_ids", "logs_same_number", "behind_logs", "null_logs", "truncate", "lag", "wrong_header"}
# logs left out by the only provider: not all can be seen while they are fetched, all can where flows meet states
LEAVING_OUT = {"dropped_logs", "no_logs", "null_logs", "truncate", "behind_logs", "lag"}
ASIDE = {*NOT_OF_THE_CHAIN, "provider", "confirmation"}
CASES = [*sorted(LIES), *OLD_FAULTS]
# with nobody behind the liar: what is in good form, where only the house's own checks stand between it and the lake
ALONE = [kind for kind in CASES if kind in {*REQUESTS, *RESULTS} - {"header_short_hash", "header_decimal", "odd_state"}]
EVERY = 7  # one lie in so many runs with every suite, all of them in the long one
ALL = [*((kind, False) for kind in CASES), *((kind, True) for kind in ALONE)]
STANDING = [pytest.param(*case, marks=() if n % EVERY == 0 else pytest.mark.long) for n, case in enumerate(ALL)]


def providers(text: str, world: simulate.RunningWorld, chain: str, alone: bool) -> str:
    """The configuration with the liar first, and the honest endpoint behind it unless it stands alone."""
    honest = f'[[chains.{chain}.providers]]\nname = "{chain}"\nurl = "{world.rpc_url}"\n'
    assert honest in text
    liar = f'[[chains.{chain}.providers]]\nname = "{LIAR}"\nurl = "{world.profile_url(LIAR)}"\n{LIMITS}'
    behind = "" if alone else honest.replace(world.rpc_url, world.profile_url("second")) + LIMITS
    limits = "patience_seconds = 3.0\nconfirm_share = 1.0\nmax_lag_seconds = 100000000\n"
    text = text.replace(honest, liar + behind)
    return text.replace(f"[chains.{chain}]\n", f"[chains.{chain}]\n{limits}", 1)


def lie(world: simulate.RunningWorld, kind: str) -> None:
    world.control(kind, BACK.get(kind, OLD_FAULTS.get(kind)), profile=LIAR)


def run(extract: Callable[[], int]) -> tuple[int, str, float]:
    """Exit code, words of a typed refusal, seconds."""
    started = time.monotonic()
    try:
        code, said = extract(), ""
    except ForeshoreError as error:
        code, said = 1, str(error)
    return code, said, time.monotonic() - started


def configure(line: Line, world: simulate.RunningWorld, chain: str, alone: bool) -> Config:
    written = line.configure().path.read_text().split("\n", 4)[4]
    return line.configure(providers(written, world, chain, alone))


def told(line: Line, said: str, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was said: warnings, the error, the ledger's errors."""
    rows = Lake(str(line.folder / "raw")).read_committed("extract_ledger", _ledger_schema()).to_pylist()
    return "\n".join([said, caplog.text, *(row["error_message"] or "" for row in rows)])


def _ledger_schema() -> Any:
    from extract.ledger import LEDGER_SCHEMA

    return LEDGER_SCHEMA


@pytest.fixture(scope="module")
def voting_truth(small_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Any]]:
    made = Line(small_world, tmp_path_factory.mktemp("truth"))
    assert made.extract(epochs=1, protocols=("hydrex_world",)) == 0
    return {name: set(rows) for name, rows in content(Lake(str(made.folder / "raw")), ASIDE).items()}


def voting(line: Line, config: Config) -> Callable[[], int]:
    return lambda: line.extract(config, epochs=1, protocols=("hydrex_world",))


@pytest.mark.parametrize(("kind", "alone"), STANDING, ids=lambda v: v if isinstance(v, str) else "alone" if v else "")
def test_a_liar_in_front_of_the_votes(
    line: Line, voting_truth: dict[str, set[Any]], kind: str, alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    config = configure(line, line.world, "world", alone)
    lie(line.world, kind)
    code, said, seconds = run(voting(line, config))
    line.world.heal()
    assert seconds < MOST_SECONDS
    words = told(line, said, caplog)
    found = content(Lake(str(line.folder / "raw")), ASIDE)
    if alone and kind in LEAVING_OUT and LIAR not in words:
        words += failed(line)
    judge(kind, alone, code, words, {n: set(rows) for n, rows in found.items()}, voting_truth)


@pytest.mark.parametrize("alone", [False, True], ids=["", "alone"])
def test_a_calendar_is_not_taken_from_headers_an_hour_off(
    line: Line, tmp_path: Path, alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Where epochs turn by the calendar no Mint log holds a header's time against anything: state does."""
    caplog.set_level(logging.WARNING)
    asked: dict[str, Any] = {"epochs": 1, "protocols": ("velodrome_world",)}
    honest = Line(line.world, tmp_path / "honest")
    honest.folder.mkdir()
    assert honest.extract(**asked) == 0
    truth = {name: set(rows) for name, rows in content(Lake(str(honest.folder / "raw")), ASIDE).items()}
    config = configure(line, line.world, "world", alone)
    lie(line.world, "header_an_hour_off")
    code, said, _ = run(lambda: line.extract(config, **asked))
    line.world.heal()
    found = {name: set(rows) for name, rows in content(Lake(str(line.folder / "raw")), ASIDE).items()}
    judge("header_an_hour_off", alone, code, told(line, said, caplog), found, truth)


@pytest.mark.parametrize("alone", [False, True], ids=["", "alone"])
@pytest.mark.parametrize("protocol", ["velodrome_world", "hydrex_world"])
@pytest.mark.parametrize("place", ["boundary", "following"])
def test_one_header_cannot_move_an_epochs_end(
    line: Line, tmp_path: Path, protocol: str, place: str, alone: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The last block of an epoch, or the first of the next, with another time than it has: nobody reads state there."""
    caplog.set_level(logging.WARNING)
    asked: dict[str, Any] = {"epochs": 1, "protocols": (protocol,)}
    honest = Line(line.world, tmp_path / "honest")
    honest.folder.mkdir()
    assert honest.extract(**asked) == 0
    lake = Lake(str(honest.folder / "raw"))
    truth = {name: set(rows) for name, rows in content(lake, ASIDE).items()}
    epochs = lake.read_committed("voting_epochs", VOTING_TABLES["voting_epochs"]).to_pylist()
    number, off = max(row["boundary_block"] or 0 for row in epochs), 5
    config = configure(line, line.world, "world", alone)
    lied = [number, off] if place == "boundary" else [number + 1, -off]
    line.world.control("one_header", lied, profile=LIAR)
    code, said, _ = run(lambda: line.extract(config, **asked))
    line.world.heal()
    found = {name: set(rows) for name, rows in content(Lake(str(line.folder / "raw")), ASIDE).items()}
    words = told(line, said, caplog)
    judge("one_header", alone, code, words, found, truth)
    if alone:  # that epoch fails by name, and nothing else of the run does
        assert code != 0
        assert LIAR in words


@pytest.fixture(scope="module")
def lending_truth(
    small_lending_world: simulate.RunningWorld, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[Any]]:
    made = LendingLine(small_lending_world, tmp_path_factory.mktemp("truth"))
    assert made.extract(**asked(small_lending_world)) == 0
    return rows_of(made)


def asked(world: simulate.RunningWorld) -> dict[str, Any]:
    names = [c["csu_id"] for c in world.info["csus"]]
    return {"csus": tuple(n for n in names if n.startswith(("aave_v3", "morpho", "comet")))[:3], "days": 1}


def rows_of(line: LendingLine) -> dict[str, set[Any]]:
    return {name: {repr(sorted(row.items())) for row in rows} for name, rows in line.everything().items()}


@pytest.mark.parametrize(("kind", "alone"), STANDING, ids=lambda v: v if isinstance(v, str) else "alone" if v else "")
def test_a_liar_in_front_of_the_lending_markets(
    small_lending_world: simulate.RunningWorld,
    lending_truth: dict[str, set[Any]],
    tmp_path: Path,
    kind: str,
    alone: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    line = LendingLine(small_lending_world, tmp_path)
    config = configure(line, small_lending_world, "lending_world", alone)
    lie(small_lending_world, kind)
    try:
        code, said, seconds = run(lambda: line.extract(config, **asked(small_lending_world)))
    finally:
        small_lending_world.heal()
    assert seconds < MOST_SECONDS
    words, found = told(line, said, caplog), rows_of(line)
    if alone and kind in LEAVING_OUT:
        sound = without_incomplete(line, found, lending_truth)
        words += LIAR if sound != found else ""
        found = sound
    judge(kind, alone, code, words, found, lending_truth)


def failed(line: Line) -> str:
    """The provider, where a build of what it said fails a gate: flows against states see what no bloom can."""
    build(line, "int_voting_gates")
    ((count,),) = line.query("select count(*) from main_intermediate.int_voting_gates where verdict = 'fail'")
    return LIAR if count else ""


def without_incomplete(
    line: LendingLine, found: dict[str, set[Any]], truth: dict[str, set[Any]]
) -> dict[str, set[Any]]:
    """Rows that landed, less the wrong ones of CSUs whose panel says itself that they are not complete."""
    build(line, "csu_daily_panel")
    rows = line.query("select csu_id from csu_daily_panel where panel_status <> 'complete'")
    owned = tuple(f"('csu_id', '{csu}')" for (csu,) in rows)
    return {
        name: {row for row in of if row in truth[name] or not any(own in row for own in owned)}
        for name, of in found.items()
    }


def build(line: Line, model: str) -> None:
    done = line.dbt("build", "--select", f"+{model}", "--exclude-resource-type", "test", "unit_test")
    assert done.returncode == 0, done.stdout[-2000:]


def judge(
    kind: str, alone: bool, code: int, words: str, found: dict[str, set[Any]], truth: dict[str, set[Any]]
) -> None:
    """No wrong row, and every lie named. Alone, logs that were left out cannot all be seen: their rows say so."""
    assert "Traceback" not in words
    for name, rows in found.items():
        assert rows <= truth[name], f"{name}: {sorted(rows - truth[name])[:2]}"
    if code == 0 and not (alone and kind in LEAVING_OUT):
        assert {n: len(r) for n, r in found.items()} == {n: len(r) for n, r in truth.items()}, "nothing is missing"
    is_named = LIAR in words
    assert is_named or kind in HARMLESS | RARE, f"{kind} went by without a word (exit {code})"
    if kind in REQUESTS and kind not in RARE:
        assert is_named


def test_there_are_forty_lies_at_least() -> None:
    assert len(CASES) >= 40


def test_a_chain_id_that_changes_is_noticed_when_the_provider_comes_back(
    healthy_world: simulate.RunningWorld, caplog: pytest.LogCaptureFixture
) -> None:
    spec = ChainSpec(
        "world",
        healthy_world.info["chain_id"],
        (ProviderSpec(LIAR, healthy_world.profile_url(LIAR)), ProviderSpec("honest", healthy_world.rpc_url)),
        finality_depth=0,
    )

    async def use() -> int:
        async with ChainClient.open(spec) as chain:
            healthy_world.control("status", 503, profile=LIAR, count=5)
            healthy_world.control("chain_id", 1, profile=LIAR)
            for _ in range(30):
                chain._pool.health["honest"].latency = 100.0  # the liar is preferred whenever it may be asked
                await chain.blocks([1, 2, 3], fresh=True)
                await asyncio.sleep(0.1)
            return (await chain.head()).number

    assert asyncio.run(use()) == healthy_world.info["head"]["number"]
    assert f"{LIAR} is passed over: it serves chain id 1 now" in caplog.text
