"""What an experiment is: a name, a version, and one pure function from a snapshot to a forecast, a stake or a skip.

    class Mine:
        name, version = "mine", "1"
        requires: tuple[str, ...] = ()      # experiments whose results it reads, by name
        needs: tuple[str, ...] = ()         # of NEEDS; what is not named here is not handed over
        mandatory = False                   # true: where it fails, the market is left out of the run

        def run(self, snapshot: Snapshot, context: Context) -> Result: ...

    EXPERIMENT = Mine()

Everything in a snapshot was known at `snapshot_at`, everything in a context at or before it. Prices and probabilities
are of YES, the first outcome, 0 to 1.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from decide.errors import DecisionError

NEEDS = ("resolved", "siblings", "prices", "book", "documents", "answers")
BUDGET = "budget"  # why a market was not asked about: the skip says this word


@dataclass(frozen=True, slots=True)
class PricePoint:
    """A price of YES and when it was observed."""

    observed_at: datetime
    price: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One market as it was known at `snapshot_at`. `None` is "the market did not say", never zero.

    `observed_at` is when the market itself was read, at or before `snapshot_at`, when its whole run had been read.
    `price` is the displayed price; bid and ask are missing where that side of the book is empty. `end_at` is what the
    market calls its end: neither a cutoff nor the resolution. Changes are of the price, over a day and a week. A
    share bought at p costs a fee of fee_rate * (p(1 - p))^fee_exponent. `group_id` names a set of markets of which
    exactly one resolves YES, `group_price_sum` their displayed prices added up over every open market of the group;
    placeholders in it stand for unnamed outcomes. `prices` is past prices, oldest first,
    where an experiment needs them.
    """

    market_id: str
    question: str
    snapshot_at: datetime
    observed_at: datetime | None = None
    condition_id: str | None = None
    event_id: str | None = None
    slug: str | None = None
    description: str | None = None
    category: str | None = None
    outcomes: tuple[str, ...] = ("Yes", "No")
    token_ids: tuple[str, ...] = ()
    end_at: datetime | None = None
    price: float | None = None
    best_bid: float | None = None
    best_ask: float | None = None
    last_trade_price: float | None = None
    day_change: float | None = None
    week_change: float | None = None
    volume_usd: float | None = None
    liquidity_usd: float | None = None
    fee_rate: float | None = None
    fee_exponent: float | None = None
    group_id: str | None = None
    group_price_sum: float | None = None
    is_placeholder: bool = False
    prices: tuple[PricePoint, ...] = ()

    @property
    def midpoint(self) -> float | None:
        """Middle of best bid and ask; None when a side is empty or the book is crossed."""
        if self.best_bid is None or self.best_ask is None or not 0 <= self.best_bid <= self.best_ask <= 1:
            return None
        return (self.best_bid + self.best_ask) / 2

    @property
    def cluster(self) -> str:
        """What shares its fate: the event, else the market itself."""
        return self.event_id or self.market_id


@dataclass(frozen=True, slots=True)
class Document:
    """Something that was found about a market before its snapshot was complete: what a later forecast may rest on too.

    `published_at` is what its source says (None: it does not), `retrieved_at` when it was fetched, by its source's
    clock.
    """

    title: str
    source: str
    url: str
    published_at: datetime | None
    retrieved_at: datetime
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a language model said in one call. `finish` is why it stopped: stop, length, refused, content_filter."""

    sample: int
    attempt: int
    text: str
    finish: str
    model: str
    request_sha256: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A resolved market: the price we saw last before it resolved, what happened (1 or 0), when we came to know it.

    `superseded_at`: since when another answer stands in its place (the result was taken back); None: none does.
    """

    market_id: str
    cluster: str
    price: float | None
    happened: int
    known_at: datetime
    superseded_at: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """Our own resolved markets known at some moment, oldest knowledge first; equal when the digest is."""

    outcomes: tuple[Outcome, ...] = ()
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", sha256_of([_learned(outcome) for outcome in self.outcomes]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resolved) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.outcomes)


def resolved_until(outcomes: Iterable[Outcome], until: datetime) -> Resolved:
    """The outcomes known at `until` (inclusive), each market once: the law of point in time for what is learned."""
    known = sorted(
        (o for o in outcomes if o.known_at <= until and not (o.superseded_at and o.superseded_at <= until)),
        key=lambda o: (o.known_at, o.market_id, -1 if o.price is None else o.price),
    )
    # that a result will be taken back later is not known then, so it must not be seen in what is handed over
    return Resolved(tuple({outcome.market_id: replace(outcome, superseded_at=None) for outcome in known}.values()))


def _learned(outcome: Outcome) -> dict[str, Any]:
    """What can be learned from an outcome; its digest did not change when `superseded_at` came to it."""
    return {name: value for name, value in asdict(outcome).items() if name != "superseded_at"}


@dataclass(frozen=True, slots=True)
class Forecast:
    """A probability of YES, with numbers worth keeping."""

    probability: float
    details: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (is_number(self.probability) and 0 <= self.probability <= 1):
            raise DecisionError(f"probability {self.probability!r} is not a number within [0, 1]")
        object.__setattr__(self, "probability", float(self.probability))


@dataclass(frozen=True, slots=True)
class Stake:
    """A share of the bankroll to put on one side at a price (fee included): sizing, not a forecast."""

    side: str
    fraction: float
    price: float
    details: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sized = (self.fraction, self.price)
        if self.side not in ("yes", "no") or not all(is_number(value) and 0 < value < 1 for value in sized):
            raise DecisionError(f"stake {self.side!r} of {self.fraction!r} at {self.price!r}: yes or no, within (0, 1)")
        object.__setattr__(self, "fraction", float(self.fraction))
        object.__setattr__(self, "price", float(self.price))


@dataclass(frozen=True, slots=True)
class Skip:
    """No answer, and why: a result, not a failure."""

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise DecisionError("a skip must say why")


Result = Forecast | Stake | Skip


def is_number(value: Any) -> bool:
    """A finite int or float. True is an int to Python and a word to every database."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class Context:
    """What an experiment asked for beside the snapshot; the rest is empty.

    `settings`: its rows of the seed `experiment_settings`. `results`: of what it requires, by name. `resolved` and
    `siblings` (every market of its event in the same run, itself included) when it needs them. `documents`: what was
    found about the market and is from before the snapshot. `answers`: what its language model said, every call in
    order; `withheld` says why it was not asked.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, Result] = field(default_factory=dict)
    resolved: Resolved = field(default_factory=Resolved)
    siblings: tuple[Snapshot, ...] = ()
    documents: tuple[Document, ...] = ()
    answers: tuple[Answer, ...] = ()
    withheld: str = ""


@runtime_checkable
class Experiment(Protocol):
    """See the module's example. `needs` may be left out."""

    name: str
    version: str
    requires: tuple[str, ...]
    mandatory: bool

    def run(self, snapshot: Snapshot, context: Context) -> Result:
        """Pure: the same snapshot and context give the same result. An exception is a recorded failure."""
        ...


def needs_of(experiment: Experiment) -> tuple[str, ...]:
    """What it needs beyond its own snapshot; nothing unless it says so."""
    return tuple(getattr(experiment, "needs", ()))


def input_hash(experiment: Experiment, snapshot: Snapshot, context: Context) -> str:
    """SHA-256 of name, version and every input: two runs with the same hash must give the same result."""
    found: dict[str, Any] = {
        "experiment": experiment.name,
        "version": experiment.version,
        "snapshot": snapshot_digest(snapshot),
        "settings": dict(context.settings),
        "results": {name: plain(result) for name, result in context.results.items()},
        "resolved": context.resolved.digest,
        "siblings": [snapshot_digest(sibling) for sibling in context.siblings],
    }
    if context.documents:
        found["documents"] = [asdict(each) for each in context.documents]
    if context.answers or context.withheld:
        found |= {"answers": [asdict(each) for each in context.answers], "withheld": context.withheld}
    return sha256_of(found)


@lru_cache(maxsize=1024)
def snapshot_digest(snapshot: Snapshot) -> str:
    """SHA-256 of every field; remembered, because each experiment of a market and of its siblings asks."""
    return sha256_of(document(snapshot))


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Every field by name, past prices as objects (`dataclasses.asdict` copies deeply and takes ten times as long)."""
    fields = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
    fields["prices"] = [{"observed_at": point.observed_at, "price": point.price} for point in snapshot.prices]
    return fields


def plain(result: Result) -> dict[str, Any]:
    """A result as JSON types: `kind` and its fields."""
    if isinstance(result, Forecast):
        return {"kind": "forecast", "probability": result.probability, "details": dict(result.details)}
    if isinstance(result, Stake):
        sized = {"side": result.side, "fraction": result.fraction, "price": result.price}
        return {"kind": "stake", **sized, "details": dict(result.details)}
    return {"kind": "skip", "reason": result.reason}


def result_of(row: Mapping[str, Any]) -> Result:
    """The result that `plain` wrote."""
    if row["kind"] == "forecast":
        return Forecast(row["probability"], dict(row.get("details") or {}))
    if row["kind"] == "stake":
        return Stake(row["side"], row["fraction"], row["price"], dict(row.get("details") or {}))
    return Skip(row["reason"])


def sha256_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any) -> str:
    """One spelling per value: keys sorted, no spaces, times in UTC with microseconds; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_as_text)


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DecisionError(f"{value} has no zone: times are UTC")
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise DecisionError(f"{type(value).__name__} has no canonical form: use numbers, text, booleans, times, lists")


def settings_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The seed `experiment_settings` by experiment and setting."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(str(row["experiment"]), {})[str(row["setting"])] = float(row["value"])
    return found
