"""From a recommendation to a vote one can send: pools, exact shares, the unsigned transaction, and its trial run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extract.config import Config
from extract.errors import ForeshoreError, RequestError
from extract.voting.ballot import Ballot, Tried, exact_shares, transaction, try_out
from extract.voting.families import Protocol, load_protocols
from operate.lean import importing

WAIT_SECONDS = 8.0  # a trial run that takes longer is not worth waiting for: the transaction is shown without it


def with_ballot(config: Config, row: dict[str, Any], is_tried: bool) -> dict[str, Any]:
    """The row with `ballot`: None where nothing can be sent, else what to send and what the contract says to it.

    The row's `voter` says who votes; it comes from the row of `int_voter_windows` that was decided on.
    """
    window = row["voter"]
    if row["outcome"] != "ok" or row["action"] == "closed" or not row["votes"]:
        return row | {"ballot": None}
    try:
        protocol = load_protocols(config.section("voting"))[row["protocol"]]
        ballot, asked = unsigned(protocol, row)
    except KeyError:
        cure = "; `foreshore demo up` starts the embedded world again" if config.is_simulated else ""
        return row | {"ballot": None, "ballot_problem": f"{config.path} has no [voting.{row['protocol']}]{cure}"}
    except RequestError as error:
        return row | {"ballot": None, "ballot_problem": str(error)}
    block = int(row["decision_block"])
    tried = _trial(config, protocol.chain, asked, block) if is_tried else Tried("not_simulated", "not asked for", None)
    return row | {
        "ballot": {
            **asked,
            "chain_id": window["chain_id"],
            "token_id": window["token_id"],
            "pools": list(ballot.pools),
            "proportions": [str(share) for share in ballot.shares],
            "gas_estimate": tried.gas,
            "simulation": {"status": tried.status, "reason": tried.reason, "block": block},
        }
    }


def unsigned(protocol: Protocol, row: Mapping[str, Any]) -> tuple[Ballot, dict[str, str]]:
    """A placed recommendation as ballot and transaction (`from`, `to`, `data`). RequestError: why there is none."""
    ballot = _ballot(row, row["voter"])
    return ballot, transaction(protocol, ballot)


def _ballot(row: Mapping[str, Any], window: Mapping[str, Any]) -> Ballot:
    chosen = sorted((v for v in row["votes"] if v["votes"] > 0), key=lambda v: (-v["votes"], v["gauge_address"]))
    wanted = [int(v["votes"]) * 10**18 for v in chosen]
    power = int(window["power_raw"]) if window["power_raw"] is not None and not row["is_what_if"] else sum(wanted)
    who = window["account_address"] or window["sender"] or window["owner_address"]
    if who is None:
        raise RequestError("who sends the vote is not known: name the sender in seeds/voting/voters.csv")
    token = window["token_id"] if window["account_address"] is None else None
    return Ballot(
        pools=tuple(v["pool_address"] for v in chosen),
        shares=exact_shares(wanted, power),
        sender=who,
        token_id=None if token is None else int(token),
    )


def _trial(config: Config, chain: str, asked: Mapping[str, str], block: int) -> Tried:
    """The contract's word at the decision block; `not_simulated` where no provider gives it in time."""
    with importing():  # half of a command's start, and only a trial needs it
        import asyncio

        from extract.evm.client import ChainClient
        from extract.evm.config import load_chains

    async def run() -> Tried:
        spec = load_chains(config.section("chains"), config.environ)[chain]
        async with ChainClient.open(spec) as client:
            return await try_out(client, asked, block)

    try:
        return asyncio.run(asyncio.wait_for(run(), WAIT_SECONDS))
    except TimeoutError:
        return Tried("not_simulated", f"no provider of {chain} answered within {WAIT_SECONDS:.0f} s", None)
    except (ForeshoreError, KeyError) as error:
        return Tried("not_simulated", str(error), None)
