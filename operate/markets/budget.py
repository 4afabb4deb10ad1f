"""What calls may cost, counted before they are made: what is held and what is spent never pass the limits together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from operate.markets.calls import Call
from operate.markets.models import Limits


@dataclass(frozen=True)
class Charge:
    """An amount: requests, tokens, US dollars."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Charge) -> Charge:
        return Charge(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Charge) -> Charge:
        return Charge(self.calls - other.calls, self.tokens - other.tokens, self.usd - other.usd)

    def within(self, limits: Limits) -> bool:
        return self.calls <= limits.calls and self.tokens <= limits.tokens and self.usd <= limits.usd + 1e-12


class Budget:
    """One limit, what is spent of it and what is held for calls that are under way."""

    def __init__(self, limits: Limits, spent: Charge = Charge()) -> None:
        self.limits, self.spent, self.held = limits, spent, Charge()

    def has_room(self, wanted: Charge) -> bool:
        return (self.spent + self.held + wanted).within(self.limits)


@dataclass(frozen=True)
class Purse:
    """The budgets that a call counts against: its experiment's and its run's."""

    budgets: Sequence[Budget]

    def hold(self, wanted: Charge) -> bool:
        """Set an amount aside, from every budget or from none."""
        if not all(budget.has_room(wanted) for budget in self.budgets):
            return False
        for budget in self.budgets:
            budget.held += wanted
        return True

    def settle(self, held: Charge, spent: Charge) -> None:
        """What was held comes free, what was spent is gone."""
        for budget in self.budgets:
            budget.held -= held
            budget.spent += spent


def spent_on(calls: Iterable[Call]) -> Charge:
    """What recorded calls have cost: a run that is resumed goes on with the same budget."""
    total = Charge()
    for call in calls:
        total += Charge(call.tries, call.charged_tokens, call.cost_usd)
    return total
