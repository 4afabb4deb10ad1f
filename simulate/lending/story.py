"""What happens when: the awkward moments, by day (counted from the 25-hour one) and place among the day's blocks."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Any

TIMED = {"liquidate", "list_reserve", "buy", "drop", "zero", "create", "open"}  # verbs that take the block's time
QUIET = -1  # no liquidation anywhere on this day


@dataclass(frozen=True)
class Moment:
    """A verb of a deployment (or of the market) in one block of a day."""

    offset: int
    when: str  # first, last, noon, hour_25
    csu: str
    verb: str = "liquidate"
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def is_timed(self) -> bool:
        return self.verb in TIMED

    def slot(self, times: list[int], end: int) -> int:
        """The index of its block."""
        if self.when == "hour_25":
            return next(i for i, time in enumerate(times) if time >= end - 3_600)
        return {"first": 0, "last": len(times) - 1, "noon": len(times) // 2}[self.when]


def story(csus: Container[str]) -> list[Moment]:
    """Every moment whose deployment is in the world."""
    return [m for m in _moments() if m.csu in csus or m.csu in ("market", "stranger")]


def _moments() -> list[Moment]:
    return [*_liquidations(), *_odd_things()]


def _liquidations() -> list[Moment]:
    aave, compound, comet, morpho = "aave_v3_world", "compound_v2_world", "comet_usdx_world", "morpho_world"
    return [
        Moment(-4, "noon", aave),
        Moment(-4, "noon", "aave_v2_world"),
        Moment(-3, "first", comet),
        Moment(-3, "last", aave, how={"collateral": "WBTX", "receive": True}),
        Moment(-3, "last", "comet_wetx_world", how={"collaterals": 2, "accounts": 2}),
        Moment(-2, "first", compound, how={"collateral": "ETH"}),
        Moment(-2, "noon", comet, how={"collaterals": 3}),
        Moment(-2, "noon", morpho, how={"market": 2}),
        Moment(-2, "last", aave, how={"times": 2}),
        Moment(0, "first", morpho),
        Moment(0, "hour_25", aave),
        Moment(0, "hour_25", compound),
        Moment(0, "hour_25", comet, how={"accounts": 2, "collaterals": 2}),
        Moment(0, "last", morpho, how={"market": 1}),
        Moment(0, "last", "moon_world", how={"collateral": "WETX"}),
        Moment(0, "last", "aave_v2_world", how={"collateral": "WBTX"}),
        Moment(1, "first", aave),
        Moment(1, "first", comet),
        Moment(1, "noon", morpho, how={"bad_debt": True}),
        Moment(1, "noon", compound, how={"times": 2}),
        Moment(1, "noon", aave, how={"deficit": True, "collateral": "WBTX"}),
        Moment(1, "last", aave, how={"times": 2, "usd": 8_000.0}),
        Moment(1, "last", compound, how={"collateral": "BARE"}),
        Moment(2, "last", "spark_world", how={"debt": "USDY"}),
        Moment(3, "first", "spark_world", how={"debt": "USDY", "deficit": True}),
        Moment(3, "noon", "comet_wetx_world"),
        Moment(4, "noon", "moon_world", how={"collateral": "WETX", "times": 3}),
        Moment(5, "last", compound),
        Moment(-3, "noon", "fluid_world"),
        Moment(0, "hour_25", "fluid_world", how={"vault": 1}),
        Moment(2, "first", "fluid_world", how={"absorb": True}),
        Moment(-4, "last", "silo_v2_world"),
        Moment(0, "hour_25", "silo_v2_world", how={"pair": 1}),
        Moment(4, "first", "silo_v2_world", how={"receive": True}),
        Moment(-3, "last", "gearbox_world"),
        Moment(0, "hour_25", "gearbox_world", how={"pool": 1}),
        Moment(2, "first", "gearbox_world", how={"lost": True}),
        Moment(-2, "last", "euler_v2_world"),
        Moment(1, "noon", "euler_v2_world", how={"lost": True}),
        Moment(3, "noon", "euler_v2_world", how={"debt": 2, "collateral": 1}),
    ]


def _odd_things() -> list[Moment]:
    aave, comet = "aave_v3_world", "comet_usdx_world"
    return [
        Moment(-2, "noon", aave, "list_reserve", {"symbol": "NEWT"}),
        Moment(-2, "noon", "stranger"),
        Moment(-1, "noon", "moon_world", "deploy"),
        Moment(-1, "noon", "market", "kill", {"name": "BRKN / USD source"}),
        Moment(-1, "last", aave, "freeze", {"symbol": "COLD"}),
        Moment(-1, "last", comet, "buy", {"symbol": "WETX"}),
        Moment(0, "noon", "market", "kill", {"name": "LOST / USD source"}),
        Moment(0, "hour_25", aave, "pause", {"symbol": "GOVX"}),
        Moment(0, "noon", "market", "drop", {"symbol": "WETX", "share": 0.05}),
        Moment(1, "noon", "market", "zero", {"name": "ZERO / USD source"}),
        Moment(1, "first", "stranger"),
        Moment(1, "first", "spark_world", "deploy"),
        Moment(1, "noon", "moon_world", "garble", {"symbol": "USDX"}),
        Moment(0, "noon", "fluid_world", "upgrade"),
        Moment(2, "noon", "euler_v2_world", "open", {"symbol": "GOVX", "unit": "USD"}),
        Moment(2, "noon", "morpho_world", "create", {"loan_symbol": "USDY", "collateral_symbol": "WBTX"}),
    ]
