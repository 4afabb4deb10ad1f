"""A language model as an experiment: what it is asked about a market, and what its recorded answers come to.

Pure like every other: the calls are made and recorded elsewhere, and what was recorded is the experiment's input. The
same answers give the same result, with or without a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from decide.errors import DecisionError
from decide.markets.experiments.protocol import (
    Answer,
    Context,
    Document,
    Forecast,
    Result,
    Skip,
    Snapshot,
    sha256_of,
)
from decide.markets.language.ensemble import RULES, aggregate
from decide.markets.language.prompt import Lengths, Messages, Prompt, market_key, messages_for, repair_messages
from decide.markets.language.reply import REFUSED, Unusable, read_reply

CODE = "1"  # of how prompts are filled and answers read; a change here is another version of every such experiment
MOST_SAMPLES = 50


class ModelAnswerUnusable(DecisionError):
    """Too few of a model's answers could be used, after one try at repair each."""


@dataclass(frozen=True)
class ModelSpec:
    """What shapes a model's forecasts. `temperature` 0 and one sample, or more of both; `seed` None: none is sent.

    `training_cutoff` is what its maker states: the last day that it may know of (None: not stated).
    """

    name: str
    prompt: Prompt
    model: str
    sees_price: bool = False
    samples: int = 1
    rule: str = "median"
    least_valid: int = 1
    temperature: float = 0.0
    seed: int | None = None
    max_tokens: int = 800
    training_cutoff: date | None = None
    lengths: Lengths = field(default_factory=Lengths)

    def __post_init__(self) -> None:
        if not 1 <= self.least_valid <= self.samples <= MOST_SAMPLES:
            raise DecisionError(f"{self.name}: least_valid, samples and {MOST_SAMPLES} must not decrease in that order")
        if self.rule not in RULES:
            raise DecisionError(f"{self.name}: no rule {self.rule!r}; there are {', '.join(RULES)}")
        if self.samples > 1 and self.temperature <= 0:
            raise DecisionError(f"{self.name}: {self.samples} samples at temperature 0 are one; raise it, or take one")

    @property
    def version(self) -> str:
        """Another prompt, model or way of asking is another version; the code's own first, then a digest."""
        shaping = {name: getattr(self, name) for name in _SHAPING}
        cutoff = self.training_cutoff.isoformat() if self.training_cutoff else None
        digest = sha256_of({**shaping, "prompt": self.prompt.sha256, "cutoff": cutoff, "lengths": vars(self.lengths)})
        return f"{CODE}.{digest[:10]}"


_SHAPING = ("model", "sees_price", "samples", "rule", "least_valid", "temperature", "seed", "max_tokens")


@dataclass(frozen=True)
class Question:
    """One call that an experiment wants made. `request_sha256` names everything that shapes its answer."""

    sample: int
    messages: Messages
    seed: int | None
    request_sha256: str


class LanguageModel:
    """Probability = the stated rule over the valid answers of `samples` calls; see ModelSpec."""

    requires: tuple[str, ...] = ()
    mandatory = False

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.name, self.version = spec, spec.name, spec.version
        self.needs: tuple[str, ...] = ("answers", *(("documents",) if spec.prompt.asks_for_documents else ()))

    def questions(self, snapshot: Snapshot, documents: Sequence[Document]) -> tuple[Question, ...]:
        """The first call of every sample."""
        spec = self.spec
        asked = messages_for(spec.prompt, snapshot, documents, sees_price=spec.sees_price, lengths=spec.lengths)
        return tuple(self._question(n, asked) for n in range(spec.samples))

    def repair(self, question: Question, answer: Answer, why: Unusable, snapshot: Snapshot) -> Question:
        """The one call more that an answer of bad form is worth."""
        asked = repair_messages(question.messages, answer.text, why.why, market_key(snapshot))
        return self._question(question.sample, asked)

    def read(self, answer: Answer, snapshot: Snapshot) -> float | Unusable:
        """The answer's probability, or why it has none."""
        return read_reply(answer, market_key(snapshot))

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        if context.withheld:
            return Skip(context.withheld)
        first = {q.sample: q for q in self.questions(snapshot, context.documents)}
        read = self._by_sample(snapshot, context.answers, first)
        valid = [value for value in read.values() if isinstance(value, float)]
        troubles = [value for value in read.values() if isinstance(value, Unusable)]
        if len(valid) >= self.spec.least_valid:
            return Forecast(aggregate(valid, self.spec.rule), self._details(context.answers, valid))
        if troubles and len(troubles) == len(first) and all(trouble.kind == REFUSED for trouble in troubles):
            return Skip("the model refused to answer")
        kinds = ", ".join(sorted({trouble.kind for trouble in troubles})) or "none came"
        raise ModelAnswerUnusable(
            f"{len(valid)} of {self.spec.samples} answers can be used, {self.spec.least_valid} are needed ({kinds})"
        )

    def _by_sample(
        self, snapshot: Snapshot, answers: Sequence[Answer], first: dict[int, Question]
    ) -> dict[int, float | Unusable]:
        """Per sample the first usable answer, else the last trouble; an answer to anything else asked is refused."""
        found: dict[int, float | Unusable] = {}
        open_repairs: dict[int, Question] = {}
        for answer in sorted(answers, key=lambda each: (each.sample, each.attempt)):
            question = first.get(answer.sample)
            repair = open_repairs.pop(answer.sample, None)
            hashes = {q.request_sha256 for q in (question, repair) if q is not None}
            if question is None or answer.request_sha256 not in hashes:
                raise DecisionError(f"an answer of sample {answer.sample} is not to what this experiment asks")
            if isinstance(found.get(answer.sample), float):
                continue
            read = self.read(answer, snapshot)
            found[answer.sample] = read
            if isinstance(read, Unusable) and read.can_be_repaired:
                open_repairs[answer.sample] = self.repair(question, answer, read, snapshot)
        return found

    def _question(self, sample: int, messages: Messages) -> Question:
        spec = self.spec
        seed = None if spec.seed is None else spec.seed + sample
        shaping = [spec.model, spec.temperature, seed, spec.max_tokens, sample, [dict(m) for m in messages]]
        return Question(sample, messages, seed, sha256_of(shaping))

    def _details(self, answers: Sequence[Answer], valid: Sequence[float]) -> dict[str, float | str]:
        cutoff = self.spec.training_cutoff
        return {
            "samples": self.spec.samples,
            "valid": len(valid),
            "probabilities": " ".join(f"{value:.6g}" for value in valid),
            "model": ", ".join(sorted({answer.model for answer in answers if answer.model})),
            "prompt_sha256": self.spec.prompt.sha256,
            "training_cutoff": cutoff.isoformat() if cutoff else "unknown",
        }
