"""From a decision to a vote on its way: the guards, the sender, the attempts, what the chain says became of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from decide.voting.sending import Offer, SendingLimits, clear
from extract.config import Config
from extract.errors import Busy, ForeshoreError, StorageError
from extract.evm.blocks import Block
from extract.evm.proof import PROVEN
from extract.lake import Lake
from extract.ledger import ledger_table
from extract.seeds import threshold
from extract.voting.ballot import Tried, try_out
from extract.voting.live import OpenEpoch, Reading
from extract.voting.submissions import Submission, record_submission, submission_rows
from operate.console import to_json
from operate.voting.ballots import unsigned
from operate.voting.watch.attempts import Attempt, Attempts, Outcome
from operate.voting.watch.sender import Answer, hand_over
from operate.voting.watch.voice import Voice

LONGEST_SENDING_SECONDS = 20.0
HEAD_SECONDS = 1.0  # for one more look at the clock of the chain before a vote goes
ASK_SECONDS = 5.0  # for what became of an attempt: nobody's silence keeps the next block from being decided
SPARE_GAS = 1.2  # a later block's state may cost a little more than the one it was tried on
GWEI, ETHER, VOTE = 10**9, 10**18, 10**18


@dataclass
class _Voter:
    """One voter's attempts in this epoch, and the vote that is with the sender now."""

    log: Attempts
    sending: asyncio.Task[Answer] | None = None
    votes: dict[int, Submission] = field(default_factory=dict)  # by attempt of this process
    asked_as: str | int | None = None  # how the voter contract knows who votes
    is_worth: bool | None = None  # sending, as last decided; None: not decided by this process


class Hands:
    """Sends for the voters that were asked for; without a `sender`, votes are written to files and nothing is sent."""

    def __init__(
        self, config: Config, epoch: OpenEpoch, voters: Sequence[str], sender: str | None, voice: Voice, run_id: str
    ) -> None:
        self.config, self.epoch, self.sender, self.voice, self.run_id = config, epoch, sender, voice, run_id
        self.folder = config.root / "nights" / epoch.protocol.name / str(epoch.epoch)
        self.max_gas_price = int(threshold(config.seeds, "send_max_gas_price_gwei") * GWEI)
        self.max_spent = int(threshold(config.seeds, "send_max_spent_eth") * ETHER)
        self._voters: dict[str, _Voter] = {}
        for voter in voters:
            self._voters[voter] = _Voter(Attempts(self.folder / f"{voter}.jsonl"))
        self._unrecorded: list[Submission] = []
        self._is_in_doubt = True  # what a process before this one saw is asked again once

    def doubt(self) -> None:
        """A block was taken back: what had landed is asked again."""
        self._is_in_doubt = True

    def close(self) -> None:
        for of in self._voters.values():
            of.log.close()

    @property
    def has_failed(self) -> bool:
        """Whether a voter's last attempt did not land."""
        last = [of.log.all[-1].outcome for of in self._voters.values() if of.log.all]
        return any(outcome != "landed" for outcome in last)

    @property
    def has_pending(self) -> bool:
        return any(of.sending is not None or of.log.pending for of in self._voters.values())

    def owed(self, tries: int) -> list[str]:
        """Voters whose vote was worth sending and did not land, with fewer than `tries` attempts made; what has no
        outcome may still land. Nobody where nothing is sent.
        """
        found = []
        for voter, of in self._voters.items():
            made = of.log.all
            if self.sender is None or of.sending is not None or of.log.pending or len(made) >= tries:
                continue
            has_failed = made[-1].outcome != "landed" if made else of.is_worth
            if has_failed and of.is_worth is not False:
                found.append(voter)
        return found

    async def offer(self, reading: Reading, rows: Sequence[Mapping[str, Any]], block_seconds: int, left: int) -> None:
        """Hand over every vote that may go now; say of the others why not."""
        for row in rows:
            of = self._voters.get(row["voter_id"])
            if of is not None:
                who = row["voter"]["account_address"] or row["voter"]["token_id"]
                of.asked_as = int(who) if isinstance(who, str) and who.isdigit() else who
                of.is_worth = row["outcome"] == "ok" and row["action"] == "submit"
            if of is None or row["outcome"] != "ok" or row["action"] != "submit" or of.sending is not None:
                continue
            try:
                await self._offer(of, reading, row, block_seconds, left)
            except TimeoutError:
                self.voice.say("refused", f"voter {row['voter_id']}: no provider tried it in {ASK_SECONDS:g} s", left)
            except (ForeshoreError, OSError) as error:
                self.voice.say("refused", f"voter {row['voter_id']}: {error}", left)

    async def _offer(self, of: _Voter, reading: Reading, row: Mapping[str, Any], block_seconds: int, left: int) -> None:
        block = reading.block
        _, asked = unsigned(self.epoch.protocol, row)
        providers = self.epoch.providers
        async with asyncio.timeout(ASK_SECONDS):
            tried, price, newest = await asyncio.gather(
                providers.first(lambda client: try_out(client, asked, block.number)),
                providers.first(lambda client: client.gas_price()),
                providers.head(-1, HEAD_SECONDS),
            )
        now = max(block.timestamp, newest.timestamp if newest else 0)  # deciding took its time
        left = self.epoch.last_moment - now
        if tried.status == "reverted":
            self.voice.say("refused", f"voter {row['voter_id']}: the contract refuses it: {tried.reason}", left)
            return
        gas = int((tried.gas or 0) * SPARE_GAS)
        offer = Offer(
            action=row["action"],
            is_proven=reading.state.confirmation == PROVEN,
            head_at=now,
            block_seconds=block_seconds,
            last_votable_at=self.epoch.last_moment,
            gauges=[vote["gauge_address"] for vote in row["votes"] if vote["votes"] > 0],
            shares=[int(vote["votes"]) for vote in row["votes"] if vote["votes"] > 0],
            gas=gas,
            gas_price_wei=price,
            spent_wei=of.log.spent_wei,
            has_pending=bool(of.log.pending),
        )
        allowed = clear(offer, SendingLimits(self.max_gas_price, self.max_spent))
        vote = {
            **asked,
            "chain_id": self.epoch.run.spec.chain_id,
            "gas": gas,
            "last_votable_at": self.epoch.last_moment,
        }
        if not allowed.may_send:
            self.voice.say("refused", f"voter {row['voter_id']}: {'; '.join(allowed.reasons)}", left)
        elif self.sender is None:
            self._write(row, vote, block, tried, left)
        else:
            self._send(of, row, vote, block, gas * price, left)

    def _write(self, row: Mapping[str, Any], vote: Mapping[str, Any], block: Block, tried: Tried, left: int) -> None:
        """The newest vote, unsigned, where whoever signs finds it."""
        target = self.folder / f"{row['voter_id']}.json"
        part = target.with_suffix(".part")
        part.write_text(
            json.dumps(to_json({**vote, "decision_block": block.number, "allocation": row["allocation"]}), indent=1)
        )
        part.replace(target)
        self.voice.say(
            "unsent", f"voter {row['voter_id']}: no --sender, the vote is in {target}", left, vote=dict(vote)
        )

    def _send(
        self, of: _Voter, row: Mapping[str, Any], vote: dict[str, Any], block: Block, cost: int, left: int
    ) -> None:
        assert self.sender is not None
        seconds = min(LONGEST_SENDING_SECONDS, float(max(left, 1)))
        attempt = of.log.hand(block.number, block.hash, cost, vote)
        of.votes[attempt.number] = self._submission(row, block)
        self._unrecorded.append(of.votes[attempt.number])
        of.sending = asyncio.create_task(asyncio.to_thread(hand_over, self.sender, vote, seconds))
        of.sending.add_done_callback(lambda task: self._answered(row["voter_id"], of, attempt, task))
        self.voice.say("sent", f"voter {row['voter_id']}: attempt {attempt.number} is with the sender", left)

    def _submission(self, row: Mapping[str, Any], block: Block) -> Submission:
        """What is on its way, as made just after its block: a decision at that block did not know of it."""
        return Submission(
            protocol=row["protocol"],
            voter_id=row["voter_id"],
            epoch=row["epoch"],
            submitted_at=datetime.fromtimestamp(block.timestamp + 1, UTC),
            votes_raw={gauge: votes * VOTE for gauge, votes in row["allocation"].items()},
        )

    def _answered(self, voter: str, of: _Voter, attempt: Attempt, task: asyncio.Task[Answer]) -> None:
        of.sending = None
        if task.cancelled():
            return
        answer = task.result()
        try:
            of.log.answer(attempt.number, answer)
        except OSError as error:  # the chain still says what becomes of it
            self.voice.say("failed", f"voter {voter}: the answer to attempt {attempt.number} is not kept: {error}")
        if answer.status == "answered":
            self.voice.say("answered", f"voter {voter}: attempt {attempt.number} is {answer.transaction_hash}")
        else:
            self.voice.say("failed", f"voter {voter}: attempt {attempt.number}: {answer.reason}")

    async def settle(self, head: Block, left: int, is_over: bool = False) -> None:
        """Ask the chain what became of attempts; `is_over`: what is in no block by now never landed."""
        for voter, of in self._voters.items():
            for attempt in of.log.all:
                if attempt.outcome is None or (self._is_in_doubt and attempt.transaction_hash):
                    await self._settle(voter, of, attempt, head, left, is_over)
        self._is_in_doubt = False
        self._record()

    async def _settle(self, voter: str, of: _Voter, attempt: Attempt, head: Block, left: int, is_over: bool) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                outcome = await self._outcome(of, attempt, head)
        except (ForeshoreError, TimeoutError) as error:
            self.voice.once("provider", f"what became of attempt {attempt.number} could not be asked: {error}")
            outcome = attempt.outcome
        if outcome is None and is_over:
            outcome = "never"
        if outcome == attempt.outcome:
            return
        hash_ = attempt.transaction_hash
        of.log.settle(attempt.number, outcome)
        if outcome is None:
            self.voice.say("reorg", f"voter {voter}: attempt {attempt.number} is in no block any more", left)
            return
        said = "landed" if outcome == "landed" else "failed"
        self.voice.say(said, f"voter {voter}: attempt {attempt.number} {outcome}", left, transaction=hash_)
        vote = of.votes.get(attempt.number)
        if vote is not None:
            told = "reverted" if outcome == "late" else outcome if outcome in ("landed", "reverted") else "not_sent"
            self._unrecorded.append(replace(vote, transaction_hash=hash_, outcome=told))

    async def _outcome(self, of: _Voter, attempt: Attempt, head: Block) -> Outcome | None:
        """By its receipt; without a hash (the sender hung, or we were killed), or where the transaction reverted (a
        sender that tried twice has one that did), by when the contract says one voted.
        """
        providers, hash_ = self.epoch.providers, attempt.transaction_hash
        if hash_:
            found = await providers.first(lambda client: client.receipt(hash_))
            if found is None:
                return None
            number, succeeded = found
            if succeeded:
                (landed,) = await providers.first(lambda client: client.blocks([number]))
                return self._in_time(landed.timestamp)
        otherwise: Outcome | None = "reverted" if hash_ else None
        if of.asked_as is None:
            return otherwise
        voted_at = await self.epoch.last_voted(of.asked_as, head.number)
        (decided,) = await providers.first(lambda client: client.blocks([attempt.decision_block]))
        return self._in_time(voted_at) if voted_at is not None and voted_at > decided.timestamp else otherwise

    def _in_time(self, moment: int) -> Outcome:
        """A vote after the last moment counts for the next epoch, or for none."""
        return "landed" if moment <= self.epoch.last_moment else "late"

    def submitted(self) -> tuple[pa.Table, pa.Table]:
        """What this night has sent, as raw rows and their ledger rows: the next decision knows of it."""
        made = [vote for of in self._voters.values() for vote in of.votes.values()]
        tables = [submission_rows(vote, self.run_id) for vote in made]
        rows = pa.concat_tables([table for table, _ in tables]) if tables else pa.table({})
        return rows, ledger_table([ledger for _, ledger in tables])

    def _record(self) -> None:
        """Submissions go to the raw zone, where the chances that a vote lands are counted; Busy waits."""
        while self._unrecorded:
            try:
                record_submission(Lake.of(self.config), self._unrecorded[0], self.run_id)
            except (Busy, StorageError) as error:
                self.voice.once("waiting", f"a submission is not recorded yet: {error}")
                return
            self._unrecorded.pop(0)

    def facts(self) -> dict[str, Any]:
        """Attempts by voter and outcome."""
        return {
            "attempts": {
                voter: [{"number": a.number, "outcome": a.outcome, "hash": a.transaction_hash} for a in of.log.all]
                for voter, of in self._voters.items()
            }
        }

    def summary(self) -> str:
        """The night in a line: who voted how often, and what became of it."""
        told = []
        for voter, of in self._voters.items():
            outcomes = [a.outcome or "pending" for a in of.log.all]
            told.append(f"voter {voter}: {', '.join(outcomes) if outcomes else 'nothing was sent'}")
        return "; ".join(told) or "nobody's vote was asked for"
