"""What a decision can fail with."""

from __future__ import annotations


class DecisionError(ValueError):
    """The inputs cannot be decided on: wrong shape, not finite, contradictory. The message says which and where."""


class Infeasible(DecisionError):
    """No allocation satisfies every constraint. The message names the constraint that cannot hold."""


class NothingToGain(DecisionError):
    """Every allocation is worth nothing: no gauge has a reward in any scenario."""
