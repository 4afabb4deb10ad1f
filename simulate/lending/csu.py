"""What every lending deployment of the world has in common."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from simulate.chain.chain import Chain, account
from simulate.chain.contracts import Contract
from simulate.lending.books import Holding, Liquidation
from simulate.lending.market import Market, Token


@dataclass
class Scene:
    """The chain, its market, and what happened in the block to come."""

    chain: Chain
    contracts: dict[str, Contract]
    market: Market
    chance: random.Random
    liquidations: list[Liquidation] = field(default_factory=list)


class Csu:
    """One deployment: a mirror of its contracts in plain integers, and the agents that use it.

    Each has a `liquidate(at, ...)` of its own: someone's position is opened and closed by force, in one block.
    """

    family = ""

    def __init__(self, csu_id: str, scene: Scene) -> None:
        self.csu_id, self.scene = csu_id, scene
        self.chain, self.market, self.chance = scene.chain, scene.market, scene.chance
        self.admin = account(f"{csu_id} admin")
        self.registry = ""
        self.addresses: dict[str, Any] = {}
        self.start_block: int | None = None
        self._borrowers = 0

    def deploy(self, at: int) -> None:
        """Queue every contract of it and its first deposits."""
        raise NotImplementedError

    def act(self, at: int) -> None:
        """An everyday action of someone: a deposit or a loan."""
        raise NotImplementedError

    def holdings(self, at: int, block: int) -> list[Holding]:
        """What a reader must find at a block."""
        raise NotImplementedError

    def token(self, symbol: str) -> Token:
        return self.market.tokens[symbol]

    def make(self, contract: str, *arguments: Any) -> str:
        return self.chain.deploy(self.admin, self.scene.contracts[contract], *arguments)

    def borrower(self) -> str:
        """A new borrower of this deployment."""
        self._borrowers += 1
        return account(f"{self.csu_id} borrower {self._borrowers}")

    def liquidator(self) -> str:
        return account(f"liquidator {self.chance.randrange(3)}")

    def note(self, event: str, emitter: str, place: int, **rest: Any) -> None:
        """A liquidation of the block to come."""
        self.scene.liquidations.append(Liquidation(self.csu_id, event, emitter, place, **rest))

    def price(self, one: Liquidation, at: int, block: int) -> None:
        """USD of a liquidation at its block, by the same prices as a snapshot there."""
        market = one.facts.get("market_id")
        found = [h for h in self.holdings(at, block) if market is None or h.facts.get("market_id") == market]
        prices = {h.token.symbol: h.price[0] for h in found}
        for side, token, raw in (
            ("collateral", one.collateral, one.collateral_raw),
            ("debt", one.debt, one.debt_raw),
            ("bad_debt", one.debt, one.bad_debt_raw),
        ):
            usd = prices.get(token.symbol) if token else None
            if token and raw is not None and usd is not None:
                one.usd[side] = Fraction(raw) * usd / 10**token.decimals
