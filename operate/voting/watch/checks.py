"""Before a night: everything that can fail in it, tried now on the newest block, each with its cure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from extract.config import Config
from extract.errors import ForeshoreError
from extract.evm.blocks import Block
from extract.evm.errors import EvmError
from extract.evm.proof import PROVEN
from extract.seeds import WEEK, decision_windows, threshold
from extract.voting.ballot import try_out
from extract.voting.live import OpenEpoch, Reading, open_epoch
from operate.checks import FAIL, OK, WARN, Check
from operate.voting.ballots import unsigned
from operate.voting.watch.decisions import Decided, Decider
from operate.voting.watch.hands import ETHER, GWEI
from operate.voting.watch.models import LiveModels, load_models
from operate.voting.watch.night import phases_of
from operate.voting.watch.phases import Phases
from operate.voting.watch.voice import countdown
from operate.warehouse import Warehouse

HEAD_SECONDS = 10.0
VOTES_PAID = 10  # balances should pay for so many attempts


async def check_night(config: Config, protocol: str, voters: Sequence[str]) -> list[Check]:
    """Every check; the first that hinders the others ends the list."""
    warehouse = Warehouse.of(config)
    try:
        models = load_models(warehouse)
        async with open_epoch(config, protocol) as epoch:
            head = await epoch.providers.head(-1, HEAD_SECONDS)
            checks = _providers(epoch)
            if head is None:
                return [*checks, Check("head", FAIL, "no provider tells the newest block", "look at the providers")]
            window = decision_windows(config.seeds)[0]
            decider = Decider(warehouse, protocol, epoch.epoch)
            checks.append(_clock(phases_of(config, epoch, decider), epoch, head))
            checks.append(_history(decider, epoch))
            reading = await epoch.read(head, window)
            checks.append(_state(reading))
            with closing(LiveModels(warehouse, models, protocol, epoch.epoch)) as live:
                decider.check(live)
                with live.at(reading.tables) as at:
                    decided = decider.decide(at, window.decision_window)
            for row in decided.rows:
                if not voters or row["voter_id"] in {voter.lower() for voter in voters}:
                    checks += await _voter(config, epoch, reading, row)
            return [*checks, _decided(decided)]
    except ForeshoreError as error:
        return [Check("night", FAIL, str(error), "see the message")]


def _providers(epoch: OpenEpoch) -> list[Check]:
    trouble = epoch.providers.trouble
    found = [
        Check(
            f"provider {p.name}", FAIL if p.name in trouble else OK, trouble.get(p.name, "answers"), "look at its URL"
        )
        for p in epoch.run.spec.providers
    ]
    if len(found) - len(trouble) == 1:
        found.append(Check("providers", WARN, "one answers: nobody steps in when it is slow", "configure a second one"))
    return found


def _clock(phases: Phases, epoch: OpenEpoch, head: Block) -> Check:
    left = countdown(epoch.last_moment - head.timestamp)
    due = phases.next_event(head.timestamp) - head.timestamp
    return Check("epoch", OK, f"{epoch.epoch}, block {head.number:,}, {left} to the last moment; next due in {due:,} s")


def _history(decider: Decider, epoch: OpenEpoch) -> Check:
    known = decider.newest_closed
    if known == epoch.epoch - WEEK:
        return Check("history", OK, f"what is published knows epochs up to {known}")
    cure = "foreshore extract voting --epochs 2, then foreshore build"
    return Check("history", WARN, f"what is published ends with epoch {known}: forecasts miss what came later", cure)


def _state(reading: Reading) -> Check:
    confirmation, provider = reading.state.confirmation, reading.state.totals["length"].provider
    found = f"{len(reading.state.gauges)} gauges read at block {reading.block.number:,} from {provider}: {confirmation}"
    cure = "a state that is not proven is never voted on: the chain needs Multicall3"
    return Check("state", OK if confirmation == PROVEN else FAIL, found, cure)


async def _voter(config: Config, epoch: OpenEpoch, reading: Reading, row: Mapping[str, Any]) -> list[Check]:
    """Power, and whether a vote would go through now and could be paid for."""
    name = f"voter {row['voter_id']}"
    if row["outcome"] != "ok":
        return [Check(name, WARN, f"{row['outcome']}: {row['reason']}", "no vote will be sent for it")]
    checks = [Check(name, OK, f"{row['voting_power']:,.0f} votes, {row['action']} now: {row['expected_usd']:,.2f} USD")]
    try:
        _, asked = unsigned(epoch.protocol, row)
        tried = await try_out(epoch.run.client, asked, reading.block.number)
        cure = "mend what the contract names; a vote would revert tonight too"
        verdict = {"ok": OK, "reverted": FAIL}.get(tried.status, WARN)
        checks.append(Check(f"{name} trial", verdict, tried.reason or f"a vote lands, {tried.gas:,} gas", cure))
        checks.append(await _paid(config, epoch, name, asked["from"], reading.block.number, tried.gas or 0))
    except (ForeshoreError, EvmError) as error:
        checks.append(Check(f"{name} trial", FAIL, str(error), "see the message"))
    return checks


async def _paid(config: Config, epoch: OpenEpoch, name: str, sender: str, block: int, gas: int) -> Check:
    client = epoch.run.client
    price, balance = await client.gas_price(), await client.balance(sender, block)
    cap = int(threshold(config.seeds, "send_max_gas_price_gwei") * GWEI)
    found = f"{sender} holds {balance / ETHER:.6f}, a vote costs {gas * price / ETHER:.6f} at {price / GWEI:g} gwei"
    if price > cap:
        return Check(f"{name} gas", FAIL, found, "gas is over send_max_gas_price_gwei of seeds/thresholds.csv")
    verdict = OK if balance >= VOTES_PAID * gas * price else FAIL
    return Check(f"{name} gas", verdict, found, f"send it enough for {VOTES_PAID} votes")


def _decided(decided: Decided) -> Check:
    able = sum(row["outcome"] == "ok" for row in decided.rows)
    verdict = OK if able else FAIL
    return Check("decisions", verdict, f"{able} of {len(decided.rows)} voters can be decided", "see the lines above")
