"""One night: follow the head, decide where a decision is due, hand votes over, see what becomes of them.

Nothing here holds a key. Every moment is the chain's; a block that the chain takes back is read and decided again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median_low
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from extract.config import Config
from extract.errors import Busy, ForeshoreError, StorageError
from extract.evm.blocks import Block
from extract.lake import Lake
from extract.ledger import LEDGER_TABLE
from extract.seeds import DecisionWindow, decision_windows, threshold
from extract.voting.live import OpenEpoch, Reading
from extract.voting.nights import LiveDecision, land_decisions
from extract.voting.submissions import SUBMITTED_TABLE
from operate.voting.watch.decisions import Decided, Decider
from operate.voting.watch.hands import Hands
from operate.voting.watch.models import LiveModels
from operate.voting.watch.phases import Phases
from operate.voting.watch.voice import Voice, worth

POLLS_PER_BLOCK = 6  # how often a provider is asked for its head while every block counts
FAR_POLL_SECONDS = 60.0  # at most so long between two looks at the head while nothing is due
READ_DEADLINE_SECONDS = 8.0  # a reading that takes longer is given up: the next block is newer
PING_SECONDS = 60.0
KEPT_BLOCKS = 600  # headers, to notice which were taken back
KEPT_MOMENTS = 10  # decisions with all that was read: a window's block is known a block or two later
SILENCE_SECONDS = 30.0  # without a new block while every block counts: said, and again after as long


@dataclass(frozen=True)
class Moment:
    """A block that was decided on: as which window, what came of it, and how fast."""

    reading: Reading
    decided: Decided
    read_seconds: float
    decide_seconds: float

    @property
    def window(self) -> str:
        return self.reading.window.decision_window


@dataclass
class Night:
    """The open epoch of one exchange from now to its last moment. `run` follows it to the end."""

    config: Config
    epoch: OpenEpoch
    models: LiveModels
    decider: Decider
    hands: Hands
    voice: Voice
    run_id: str
    moments: dict[int, Moment] = field(default_factory=dict)  # by block
    _stamps: deque[Block] = field(default_factory=lambda: deque(maxlen=KEPT_BLOCKS))
    _unlanded: dict[tuple[str, str], LiveDecision] = field(default_factory=dict)  # by voter and window
    _due: dict[str, DecisionWindow] = field(default_factory=dict)  # windows that have passed, and are not recorded
    _recorded: dict[str, str] = field(default_factory=dict)  # window -> hash of its block
    _has_decided: bool = False
    _early: dict[str, int] = field(default_factory=dict)  # window before the late ones -> times it was decided on
    _pinged: float = 0.0

    def __post_init__(self) -> None:
        seeds = self.config.seeds
        self.phases = phases_of(self.config, self.epoch, self.decider)
        self.frozen_seconds = threshold(seeds, "watch_frozen_seconds")
        self.settle_seconds = threshold(seeds, "watch_settle_seconds")
        self.early_tries = int(threshold(seeds, "early_vote_tries"))

    async def run(self) -> None:
        """Follow the head until no vote can land any more and every attempt has its outcome."""
        head = await self._next(None)
        name, left = self.epoch.protocol.name, self.left(head)
        self.voice.say("started", f"{name}, epoch {self.epoch.epoch}, block {head.number:,}", left)
        since = head.timestamp
        while head.timestamp <= self.epoch.last_moment:
            await self._look(head, since)
            since = head.timestamp
            head = await self._next(head)
        head = await self._last_window(head)
        await self._settle_all(head)
        self._land()
        if self.is_blind:
            self.voice.say("failed", f"{name}: no block of this night could be decided on", self.left(head))
        self.voice.say("over", self.hands.summary(), self.left(head), **self.hands.facts())

    @property
    def is_blind(self) -> bool:
        """Whether there was no block that could be decided on."""
        return not self._has_decided

    def left(self, head: Block) -> int:
        """Seconds of chain time until the last moment that takes a vote."""
        return self.epoch.last_moment - head.timestamp

    @property
    def block_seconds(self) -> int:
        """How far apart blocks are: the middle of those seen last and of what the configuration says. A chain that
        stood still for a while counts once, also where that is all that was seen. A second at least.
        """
        seen = list(self._stamps)[-20:]
        apart = [(b.timestamp - a.timestamp) / (b.number - a.number) for a, b in pairwise(seen)]
        return max(1, round(median_low([self.epoch.run.spec.block_seconds, *apart])))

    async def _next(self, head: Block | None) -> Block:
        """The next head, waited for as patiently as what is due next allows."""
        since = time.monotonic()
        while True:
            wait = self._patience(head)
            found = await self.epoch.providers.head(-1 if head is None else head.number, max(wait, 2.0))
            self._say_trouble()
            if found is not None:
                await self._note(found)
                self._ping()
                return found
            if head is not None and time.monotonic() - since > max(SILENCE_SECONDS, 2 * wait):
                since = time.monotonic()
                self.voice.say("blind", f"nobody tells of a block after {head.number:,}", self.left(head))
            await asyncio.sleep(wait)

    def _patience(self, head: Block | None) -> float:
        if head is None or self.phases.is_late(head.timestamp):
            return self.block_seconds / POLLS_PER_BLOCK
        due = self.phases.next_event(head.timestamp) - head.timestamp
        return min(max(due / 2, self.block_seconds / POLLS_PER_BLOCK), FAR_POLL_SECONDS)

    def _say_trouble(self) -> None:
        for provider, why in self.epoch.providers.trouble.items():
            self.voice.once("provider", f"{provider}: {why}")

    def _ping(self) -> None:
        if time.monotonic() - self._pinged > PING_SECONDS:
            self._pinged = time.monotonic()
            self.voice.healthy()

    async def _note(self, head: Block) -> None:
        """Remember a head; what was decided on blocks that are gone is forgotten, and said."""
        while self._stamps and not await self._still_stands(self._stamps[-1], head):
            gone = self._stamps.pop()
            self.voice.say("reorg", f"block {gone.number:,} was taken back", self.left(head))
            self.moments = {number: m for number, m in self.moments.items() if number < gone.number}
            self.epoch.forget(gone.number - 1)
            self.hands.doubt()
        self._stamps.append(head)

    async def _still_stands(self, before: Block, head: Block) -> bool:
        """Whether a block that was the head is below the new one."""
        if head.number == before.number + 1:
            return head.parent_hash == before.hash
        try:
            (found,) = await self.epoch.providers.first(lambda client: client.blocks([before.number], fresh=True))
        except ForeshoreError as error:
            self.voice.once("provider", f"block {before.number:,} could not be asked again: {error}")
            return True  # the next head is asked about it again, and its state proves its own block
        return found.hash == before.hash

    async def _look(self, head: Block, since: int) -> None:
        """Everything that a head asks for: outcomes, windows that have passed, and a decision where one is due."""
        await self.hands.settle(head, self.left(head))
        if self.phases.is_late(head.timestamp) and self.phases.can_land(head.timestamp, self.block_seconds):
            window = self.phases.window_at(head.timestamp, self.block_seconds)
            if window is not None:
                await self._decide(head, window, head)
        self._due |= {w.decision_window: w for w in self.phases.passed(since - self.block_seconds, head.timestamp)}
        for window in await self._record_due(head):
            if head.number not in self.moments:
                await self._decide(head, window, head)  # what is sent is decided on the newest state
            self._early[window.decision_window] = 1
        await self._try_again(head)
        self._land()

    async def _try_again(self, head: Block) -> None:
        """A vote of an early window that did not go out, or that the chain did not take, is decided anew and offered:
        hours are left, and the chance to land that decisions rest on (`early_vote_tries`) counts on it.
        """
        if self.phases.is_late(head.timestamp) or head.number in self.moments:
            return  # every block is decided on, or this one was
        window = self.phases.window_at(head.timestamp, self.block_seconds)
        if window is None or window.decision_window in self._due or window not in self.phases.passed(0, head.timestamp):
            return  # its own decision is still to come
        if self._early.get(window.decision_window, 1) >= self.early_tries:
            return
        voters = self.hands.owed(self.early_tries)
        if voters:
            self._early[window.decision_window] = self._early.get(window.decision_window, 1) + 1
            self.voice.say(
                "again", f"the vote of {window.decision_window} did not land: it is decided anew", self.left(head)
            )
            await self._decide(head, window, head, voters)

    async def _last_window(self, head: Block) -> Block:
        """The window that hangs on the last vote: its block is known once a block after the last moment is seen."""
        self._due |= {w.decision_window: w for w in self.phases.windows if w.anchor == "last_vote"}
        await self._record_due(head)
        while self._due and head.timestamp <= self.epoch.last_moment + self.settle_seconds:
            head = await self._next(head)
            await self._record_due(head)
        return head

    async def _record_due(self, head: Block) -> list[DecisionWindow]:
        """Record the windows whose block is to be had now, and say which are new; one whose block nobody tells of stays
        due.
        """
        recorded = []
        for window in list(self._due.values()):
            target = self.phases.target(window)
            try:
                block = await (self._last_parent() if target is None else self._at_or_before(target))
            except ForeshoreError as error:
                self.voice.once("provider", f"the block of {window.decision_window} could not be asked: {error}")
                continue
            del self._due[window.decision_window]
            if self._recorded.get(window.decision_window) != block.hash:  # the block before is looked at twice
                recorded.append(window)
            await self._record(block, window, head)
        return recorded

    async def _last_parent(self) -> Block:
        """The parent of the last block that took votes."""
        last = await self._at_or_before(self.epoch.last_moment)
        (parent,) = await self.epoch.providers.first(lambda client: client.blocks([last.number - 1]))
        return parent

    async def _at_or_before(self, moment: int) -> Block:
        return await self.epoch.providers.first(lambda client: client.block_at_or_before(moment))

    async def _decide(
        self, block: Block, window: DecisionWindow, head: Block, voters: Collection[str] | None = None
    ) -> Moment | None:
        """Read and decide at a block, and offer what comes of it (for all, or for some voters) where it is the head."""
        started = time.perf_counter()
        is_frozen = block.timestamp >= self.epoch.boundary - self.frozen_seconds
        try:
            async with asyncio.timeout(READ_DEADLINE_SECONDS if self.moments else None):
                reading = await self.epoch.read(block, window, is_frozen)
        except TimeoutError:
            self.voice.say(
                "blind", f"block {block.number:,} could not be read in {READ_DEADLINE_SECONDS:g} s", self.left(head)
            )
            return None
        except ForeshoreError as error:
            self.voice.say("blind", f"block {block.number:,}: {error}", self.left(head))
            return None
        read = time.perf_counter()
        try:
            decided = await asyncio.to_thread(self._think, reading)
        except Exception as error:  # whatever it is: one block that cannot be decided on is not the night
            said = f"block {block.number:,} could not be decided on: {type(error).__name__}: {error}"
            self.voice.say("blind", said, self.left(head))
            return None
        made = Moment(reading, decided, read - started, time.perf_counter() - read)
        self.moments[block.number], self._has_decided = made, True
        self.moments = {number: self.moments[number] for number in sorted(self.moments)[-KEPT_MOMENTS:]}
        if block.number == head.number:
            self._say_decided(made, head)
            rows = [row for row in decided.rows if voters is None or row["voter_id"] in voters]
            await self.hands.offer(reading, rows, self.block_seconds, self.left(head))
        return made

    def _think(self, reading: Reading) -> Decided:
        tables = dict(reading.tables)
        sent, ledger = self.hands.submitted()
        if sent.num_rows:
            tables[SUBMITTED_TABLE] = sent
            tables[LEDGER_TABLE] = pa.concat_tables([tables[LEDGER_TABLE], ledger])
        with self.models.at(tables) as seen:
            return self.decider.decide(seen, reading.window.decision_window)

    def _say_decided(self, made: Moment, head: Block) -> None:
        took = f"read {made.read_seconds * 1000:.0f} ms, decided {made.decide_seconds * 1000:.0f} ms"
        before = self.moments.get(head.number - 1)
        for row in made.decided.rows:
            who = f"block {head.number:,} {made.window} voter {row['voter_id']}"
            facts = {"row": row, "block": head.number, "read_seconds": made.read_seconds,
                     "decide_seconds": made.decide_seconds, "changes": _changes(before, made)}  # fmt: skip
            self.voice.say("decided", f"{who} {worth(row)} ({took})", self.left(head), **facts)

    async def _record(self, block: Block, window: DecisionWindow, head: Block) -> None:
        """Keep what was decided at a window's own block for landing; decided now where it was not live."""
        if self._recorded.get(window.decision_window) == block.hash:
            return
        made = self.moments.get(block.number)
        is_live = made is not None and made.window == window.decision_window and made.reading.block.hash == block.hash
        if not is_live:
            made = await self._decide(block, window, head)
        if made is None:
            return
        behind = 0 if is_live else head.number - block.number
        self._recorded[window.decision_window] = block.hash
        for row in made.decided.rows:
            self._unlanded[row["voter_id"], window.decision_window] = _live(made, row, behind)
        self.voice.say("window", f"{window.decision_window} was block {block.number:,}", self.left(head))

    def _land(self) -> None:
        """What was decided goes to the raw zone; while another process lands there, it waits."""
        if not self._unlanded:
            return
        try:
            land_decisions(Lake.of(self.config), list(self._unlanded.values()), self.run_id)
            self._unlanded = {}
        except (Busy, StorageError) as error:
            self.voice.once("waiting", f"decisions are not landed yet: {error}")

    async def _settle_all(self, head: Block) -> None:
        """Wait until every attempt has an outcome: until long enough after the last moment, it may still land."""
        self.hands.doubt()  # a late reorg may have taken back what had landed
        await self.hands.settle(head, self.left(head))
        while self.hands.has_pending:
            is_over = head.timestamp > self.epoch.last_moment + self.settle_seconds
            await self.hands.settle(head, self.left(head), is_over)
            if not self.hands.has_pending:
                return
            head = await self._next(head)


def phases_of(config: Config, epoch: OpenEpoch, decider: Decider) -> Phases:
    """The phases of an exchange's open epoch."""
    rule = decider.settings.rules.get(epoch.protocol.name)
    closed = rule.closed_seconds_before if rule else 0
    late = int(threshold(config.seeds, "watch_late_seconds"))
    return Phases.of(decision_windows(config.seeds), closed, epoch.boundary, epoch.last_moment, late)


def _changes(before: Moment | None, now: Moment) -> list[dict[str, Any]]:
    """Votes that moved since the block before: by gauge and actor, from the events of this block."""
    if before is None:
        return []
    events = now.reading.tables["voting_events"]
    is_new = pc.and_(
        pc.and_(pc.equal(events["block_number"], now.reading.block.number), pc.equal(events["event_kind"], "vote")),
        events["is_counted"],
    )
    return [
        {"actor": e["actor"], "gauge": e["gauge_address"], "votes_raw": e["amount_raw"], "sign": e["sign"]}
        for e in events.filter(is_new).to_pylist()
    ]


def _live(made: Moment, row: Mapping[str, Any], behind: int) -> LiveDecision:
    block, state = made.reading.block, made.reading.state
    seen = next((s for s in made.decided.states if s["voter_id"] == row["voter_id"]), {})
    votes = sorted(f"{v['gauge_address']}:{v['votes']:.0f}" for v in row["votes"] if v["votes"] > 0)
    return LiveDecision(
        protocol=row["protocol"],
        voter_id=row["voter_id"],
        epoch=row["epoch"],
        decision_window=made.window,
        decision_block=block.number,
        decision_block_hash=block.hash,
        decision_at=datetime.fromtimestamp(block.timestamp, UTC),
        confirmation=state.confirmation,
        provider=state.totals["length"].provider,
        votes_signature=seen.get("votes_signature"),
        rewards_signature=seen.get("rewards_signature"),
        outcome=row["outcome"],
        action=row["action"],
        expected_usd=row.get("expected_usd"),
        standing_usd=row.get("standing_usd"),
        votes=",".join(votes),
        blocks_behind=behind,
        read_seconds=made.read_seconds,
        decide_seconds=made.decide_seconds,
        decided_at=datetime.now(UTC),
    )
