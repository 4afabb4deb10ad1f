"""One call of a language model as it is kept: what was asked, what came back, what it cost. No secret is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from decide.markets.experiments.protocol import Answer

ANSWERED, FAILED = "answered", "failed"


@dataclass(frozen=True)
class Call:
    """A row of `model_calls`. `attempt` counts the calls of a sample; `tries` the requests that this call took.

    `prompt_tokens` and `completion_tokens` as the endpoint says (None: it does not); `charged_tokens` is what the
    budget was charged: as said, else the most that it could have been.
    """

    market_id: str
    experiment: str
    experiment_version: str
    sample: int
    attempt: int
    status: str
    error_class: str
    error_message: str
    request_sha256: str
    prompt_sha256: str
    messages: tuple[dict[str, str], ...]
    answer: str
    finish: str
    model_asked: str
    model_answered: str
    temperature: float
    seed: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    charged_tokens: int
    cost_usd: float
    tries: int
    latency_seconds: float
    asked_at: datetime

    @property
    def key(self) -> tuple[str, str, str]:
        return self.market_id, self.experiment, self.experiment_version

    def as_answer(self) -> Answer:
        """What the experiment is given of it."""
        return Answer(self.sample, self.attempt, self.answer, self.finish, self.model_answered, self.request_sha256)

    def values(self, run_id: str) -> tuple[Any, ...]:
        """In the order of CALL_COLUMNS."""
        made = {**vars(self), "run_id": run_id, "messages": json.dumps(self.messages)}
        return tuple(made[name] for name in CALL_COLUMNS)

    @classmethod
    def of(cls, row: Sequence[Any]) -> Call:
        """The call that `values` wrote."""
        found = dict(zip(CALL_COLUMNS, row, strict=True))
        del found["run_id"]
        told = found["messages"]
        found["messages"] = tuple(json.loads(told) if isinstance(told, str) else told)
        return cls(**found)


CALL_COLUMNS = ("run_id", *(f.name for f in fields(Call)))
