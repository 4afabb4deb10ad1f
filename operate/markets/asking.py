"""Ask language models about markets: bounded, timed, within a budget, every call kept as data before it is used.

What was asked before and answered usably is not asked again. Whatever goes wrong costs one experiment on one market.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from decide.markets.experiments.evaluate import Heard
from decide.markets.experiments.language_model import Question
from decide.markets.experiments.protocol import BUDGET, Answer, Document, Snapshot
from decide.markets.language.reply import Unusable
from operate.markets.budget import Budget, Charge, Purse, spent_on
from operate.markets.calls import ANSWERED, FAILED, Call
from operate.markets.endpoint import Chat, Reply
from operate.markets.models import Limits, Model

BEAT_SECONDS = 5.0  # how often calls are written down and the lease of the run is renewed
MOST_SILENCES = 5  # markets in a row without any answer; then the model is left alone for the rest of the run
LONGEST_REPAIRED = 16_000  # bytes: what of an unusable answer goes back with the repair
REPAIR_TOKENS = 400

Keep = Callable[[Sequence[Call]], None]
Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Wanted:
    """One experiment on one market."""

    model: Model
    snapshot: Snapshot
    documents: tuple[Document, ...]

    @property
    def place(self) -> tuple[str, str]:
        return self.snapshot.market_id, self.model.experiment.name


@dataclass
class Asked:
    """What was heard, by (market, experiment), and what failed, as failures of those experiments there."""

    heard: dict[tuple[str, str], Heard] = field(default_factory=dict)
    failures: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    calls: int = 0
    spent: Charge = field(default_factory=Charge)


def heard_of(
    models: Sequence[Model], markets: Iterable[str], recorded: Sequence[Call], otherwise: str
) -> dict[tuple[str, str], Heard]:
    """What was recorded before, without asking anybody; where nothing was, the experiment is told `otherwise`."""
    by_key: dict[tuple[str, str, str], list[Answer]] = {}
    for call in recorded:
        if call.status == ANSWERED:
            by_key.setdefault(call.key, []).append(call.as_answer())
    found = {}
    for market_id in markets:
        for model in models:
            name, version = model.experiment.name, model.experiment.version
            answers = tuple(by_key.get((market_id, name, version), ()))
            found[market_id, name] = Heard(answers, "" if answers else otherwise)
    return found


def ask_models(wanted: Sequence[Wanted], recorded: Sequence[Call], run_limits: Limits, keep: Keep, say: Say) -> Asked:
    """Make the calls that are missing; `recorded` are those that the run has made already."""
    return asyncio.run(_Asking(recorded, run_limits, keep, say).all(wanted))


class _Asking:
    """One run's calls. The most liquid markets come first, so that a budget is spent where it tells most."""

    def __init__(self, recorded: Sequence[Call], run_limits: Limits, keep: Keep, say: Say) -> None:
        self.keep, self.say, self.made = keep, say, Asked()
        self.recorded: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
        for call in recorded:
            self.recorded[call.key].append(call)
        self.run_budget = Budget(run_limits, spent_on(recorded))
        self.purses: dict[str, Purse] = {}
        self.chats: dict[str, Chat] = {}
        self.silences: defaultdict[str, int] = defaultdict(int)
        self.unwritten: list[Call] = []

    async def all(self, wanted: Sequence[Wanted]) -> Asked:
        queues: dict[str, deque[Wanted]] = {}
        for each in sorted(wanted, key=lambda w: (-(w.snapshot.liquidity_usd or 0.0), w.snapshot.market_id)):
            name = each.model.experiment.name
            if name not in queues:
                queues[name] = deque()
                earlier = [c for calls in self.recorded.values() for c in calls if c.experiment == name]
                self.purses[name] = Purse((self.run_budget, Budget(each.model.limits, spent_on(earlier))))
                self.chats[name] = Chat(each.model.endpoint)
            queues[name].append(each)
        hands = [
            asyncio.create_task(self._hand(queue))
            for queue in queues.values()
            for _ in range(min(len(queue), queue[0].model.endpoint.max_in_flight))
        ]
        try:
            waiting = set(hands)
            while waiting:
                done, waiting = await asyncio.wait(waiting, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
                self._write()
                for hand in done:
                    hand.result()
        finally:
            for hand in hands:
                hand.cancel()
            await asyncio.gather(*hands, return_exceptions=True)
            for chat in self.chats.values():
                await chat.close()
        self.made.spent = self.run_budget.spent
        return self.made

    def _write(self) -> None:
        calls, self.unwritten = self.unwritten, []
        self.keep(calls)

    async def _hand(self, queue: deque[Wanted]) -> None:
        while queue:
            await self._market(queue.popleft())

    async def _market(self, wanted: Wanted) -> None:
        """Every sample that has no usable answer yet, or a reason why not."""
        experiment, snapshot, name = wanted.model.experiment, wanted.snapshot, wanted.model.experiment.name
        earlier = self.recorded[(snapshot.market_id, name, experiment.version)]
        questions = [q for q in experiment.questions(snapshot, wanted.documents) if not self._is_settled(wanted, q)]
        if questions:
            if self.silences[name] >= MOST_SILENCES:
                words = f"its endpoint did not answer for {MOST_SILENCES} markets in a row; not asked any more"
                self._hear(wanted, earlier, "ModelSuspended", words)
                return
            held = most_of_market(wanted.model, questions)
            if not self.purses[name].hold(held):
                self.made.heard[wanted.place] = Heard(withheld=BUDGET)
                return
            before = len(earlier)
            try:
                await asyncio.gather(*(self._sample(wanted, question) for question in questions))
            finally:
                self.purses[name].settle(held, Charge())
            self._notice(wanted, earlier[before:])
        last = earlier[-1] if earlier else None
        self._hear(wanted, earlier, last.error_class if last else "", last.error_message if last else "")

    def _hear(self, wanted: Wanted, calls: Sequence[Call], error_class: str, message: str) -> None:
        """Hand on what answered; where nothing ever did, the experiment has failed there for that reason."""
        answers = tuple(call.as_answer() for call in calls if call.status == ANSWERED)
        self.made.heard[wanted.place] = Heard(answers)
        if not answers:
            self.made.failures[wanted.place] = {"error_class": error_class, "message": message}

    def _is_settled(self, wanted: Wanted, question: Question) -> bool:
        """Whether a sample has a usable answer to exactly this question (or its repair), or was refused."""
        key = (wanted.snapshot.market_id, wanted.model.experiment.name, wanted.model.experiment.version)
        for call in self.recorded[key]:
            if call.sample == question.sample and call.status == ANSWERED:
                read = wanted.model.experiment.read(call.as_answer(), wanted.snapshot)
                if not isinstance(read, Unusable) or not read.can_be_repaired:
                    return True
        return False

    async def _sample(self, wanted: Wanted, question: Question) -> None:
        """One call, and one more where the answer's form was wrong."""
        call = await self._call(wanted, question, _most(wanted.model, question))
        if call.status != ANSWERED:
            return
        experiment, answer = wanted.model.experiment, call.as_answer()
        read = experiment.read(answer, wanted.snapshot)
        if isinstance(read, Unusable) and read.can_be_repaired:
            again = experiment.repair(question, answer, read, wanted.snapshot)
            await self._call(wanted, again, _most(wanted.model, again))

    async def _call(self, wanted: Wanted, question: Question, most: Charge) -> Call:
        model, place = wanted.model, wanted.snapshot.market_id
        purse, chat = self.purses[model.experiment.name], self.chats[model.experiment.name]
        asked_at, started, tries = datetime.now(UTC), time.monotonic(), 0
        charged, reply = Charge(), Reply(error_class="ModelUnreachable", error="it was not asked")
        while tries < model.endpoint.tries:
            extra = most if tries else Charge()
            if tries and not purse.hold(extra):
                break
            tries += 1
            reply = await chat.ask(model.spec, question)
            cost = _cost(model, reply, most)
            purse.settle(extra, cost)
            charged += cost
            if not reply.can_be_tried_again:
                break
            if tries < model.endpoint.tries:
                await chat.rest(reply, tries)
        earlier = self.recorded[(place, model.experiment.name, model.experiment.version)]
        attempt = 1 + max((call.attempt for call in earlier if call.sample == question.sample), default=0)
        call = Call(
            market_id=place,
            experiment=model.experiment.name,
            experiment_version=model.experiment.version,
            sample=question.sample,
            attempt=attempt,
            status=FAILED if reply.error_class else ANSWERED,
            error_class=reply.error_class,
            error_message=reply.error[:500],
            request_sha256=question.request_sha256,
            prompt_sha256=model.spec.prompt.sha256,
            messages=tuple(dict(message) for message in question.messages),
            answer=reply.text,
            finish=reply.finish,
            model_asked=model.spec.model,
            model_answered=reply.model,
            temperature=float(model.spec.temperature),
            seed=question.seed,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            charged_tokens=charged.tokens,
            cost_usd=charged.usd,
            tries=tries,
            latency_seconds=round(time.monotonic() - started, 3),
            asked_at=asked_at,
        )
        earlier.append(call)
        self.unwritten.append(call)
        self.made.calls += 1
        return call

    def _notice(self, wanted: Wanted, calls: Sequence[Call]) -> None:
        """Count markets in a row on which no call came through; many of them suspend the model."""
        name = wanted.model.experiment.name
        if any(call.status == ANSWERED for call in calls):
            self.silences[name] = 0
            return
        self.silences[name] += 1
        last = calls[-1]
        self.say("model failed", f"{name} on {wanted.snapshot.market_id}: {last.error_class}: {last.error_message}")


def most_of_market(model: Model, questions: Sequence[Question]) -> Charge:
    """The most that a market can cost: every question once and its repair once, without a second try of either."""
    total = Charge()
    for question in questions:
        total += _most(model, question) + _repair_most(model, question)
    return total


def _most(model: Model, question: Question) -> Charge:
    """The most that one request can cost: a token is at least a byte of what is sent; answers are capped."""
    sent = sum(len(message["content"].encode()) + 16 for message in question.messages)
    return Charge(1, sent + model.spec.max_tokens, model.endpoint.cost(sent, model.spec.max_tokens))


def _repair_most(model: Model, question: Question) -> Charge:
    first, more = _most(model, question), LONGEST_REPAIRED + REPAIR_TOKENS
    return first + Charge(0, more, model.endpoint.cost(more, 0))


def _cost(model: Model, reply: Reply, most: Charge) -> Charge:
    """What a request has cost: as the endpoint says, else the most it can have been; nothing for a refusal."""
    if reply.prompt_tokens is not None and reply.completion_tokens is not None:
        usd = model.endpoint.cost(reply.prompt_tokens, reply.completion_tokens)
        return Charge(1, reply.prompt_tokens + reply.completion_tokens, usd)
    return most if reply.may_have_cost else Charge(1)
