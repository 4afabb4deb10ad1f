"""Morpho Blue as the agents know it: isolated markets in one contract, interest only when touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import NO_QUOTE, Quote, Token

WAD = 10**18
PRICE = 10**36
VIRTUAL = 10**6
FEE = 10**17
BASE, SLOPE = 317_097_919, 1_585_489_599  # per second: 1 % and 5 % a year
INCENTIVE = 105 * 10**16
PARAMS = "(address,address,address,address,uint256)"
EVENT = "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
LLTV = 86 * 10**16


@dataclass
class Position:
    shares: int = 0
    collateral: int = 0


@dataclass
class Market:
    """One market's totals as stored, and positions by owner."""

    loan: Token
    collateral: Token
    params: tuple[str, str, str, str, int]
    at: int
    factor: int  # of the oracle: scales one feed over another to 1e36
    supplied: int = 0
    supply_shares: int = 0
    borrowed: int = 0
    borrow_shares: int = 0
    pledged: int = 0
    positions: dict[str, Position] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return "0x" + keccak(encode(["address", "address", "address", "address", "uint256"], self.params)).hex()

    def interest(self, at: int) -> int:
        rate = BASE if self.supplied == 0 else BASE + SLOPE * self.borrowed // self.supplied
        first = rate * (at - self.at)
        second = first * first // (2 * WAD)
        third = second * first // (3 * WAD)
        return self.borrowed * (first + second + third) // WAD

    def accrue(self, at: int) -> None:
        if at == self.at:
            return
        interest = self.interest(at)
        self.borrowed += interest
        self.supplied += interest
        fee = interest * FEE // WAD
        self.supply_shares += fee * (self.supply_shares + VIRTUAL) // (self.supplied - fee + 1)
        self.at = at

    def price(self) -> int | None:
        """What its oracle answers; None when a feed reverts."""
        ours, theirs = self.collateral.feed, self.loan.feed
        assert ours is not None and theirs is not None
        if ours.is_dead or theirs.is_dead:
            return None
        return self.factor * ours.answer // theirs.answer


class Morpho(Csu):
    """The singleton and its markets, given as (loan, collateral)."""

    family = "morpho_blue"

    def __init__(self, csu_id: str, scene: Scene, pairs: tuple[tuple[str, str], ...]) -> None:
        super().__init__(csu_id, scene)
        self.pairs = pairs
        self.markets: list[Market] = []

    def deploy(self, at: int) -> None:
        self.registry = self.make("morpho")
        self.irm = self.make("morpho_irm")
        self.addresses = {"morpho": self.registry, "irm": self.irm}
        for loan, collateral in self.pairs:
            self.create(at, loan, collateral)

    def create(self, at: int, loan_symbol: str, collateral_symbol: str) -> None:
        """A new market with its first lender and borrower."""
        loan, collateral = self.token(loan_symbol), self.token(collateral_symbol)
        assert loan.feed is not None and collateral.feed is not None
        factor = 10 ** (36 + loan.decimals - collateral.decimals)
        oracle = self.make("morpho_oracle", collateral.feed.address, loan.feed.address, factor)
        market = Market(loan, collateral, (loan.address, collateral.address, oracle, self.irm, LLTV), at, factor)
        self.chain.send(self.admin, self.registry, f"createMarket({PARAMS})", market.params)
        self.markets.append(market)
        whale, n = account(f"{self.csu_id} whale"), len(self.markets)
        self.supply(at, whale, market, loan.amount(2_000_000 / n))
        self.pledge(whale, market, collateral.amount(1_500_000 / n))
        self.borrow(at, whale, market, loan.amount(1_000_000 / n))

    def supply(self, at: int, user: str, m: Market, amount: int) -> None:
        m.accrue(at)
        shares = amount * (m.supply_shares + VIRTUAL) // (m.supplied + 1)
        m.supply_shares += shares
        m.supplied += amount
        self.chain.send(
            user, self.registry, f"supply({PARAMS},uint256,uint256,address,bytes)", m.params, amount, 0, user, b""
        )

    def borrow(self, at: int, user: str, m: Market, amount: int) -> None:
        m.accrue(at)
        shares = -(-amount * (m.borrow_shares + VIRTUAL) // (m.borrowed + 1))
        m.borrow_shares += shares
        m.borrowed += amount
        m.positions.setdefault(user, Position()).shares += shares
        self.chain.send(
            user, self.registry, f"borrow({PARAMS},uint256,uint256,address,address)", m.params, amount, 0, user, user
        )

    def pledge(self, user: str, m: Market, amount: int) -> None:
        m.pledged += amount
        m.positions.setdefault(user, Position()).collateral += amount
        self.chain.send(
            user, self.registry, f"supplyCollateral({PARAMS},uint256,address,bytes)", m.params, amount, user, b""
        )

    def release(self, at: int, user: str, m: Market, amount: int) -> None:
        m.accrue(at)
        m.pledged -= amount
        m.positions[user].collateral -= amount
        self.chain.send(
            user, self.registry, f"withdrawCollateral({PARAMS},uint256,address,address)", m.params, amount, user, user
        )

    def act(self, at: int) -> None:
        m, roll = self.chance.choice(self.markets), self.chance.random()
        user, whale = account(f"{self.csu_id} user {self.chance.randrange(5)}"), account(f"{self.csu_id} whale")
        if roll < 0.35:
            self.supply(at, user, m, m.loan.amount(self.chance.uniform(1_000, 50_000)))
        elif roll < 0.6:
            self.pledge(user, m, m.collateral.amount(self.chance.uniform(1_000, 50_000)))
        elif roll < 0.8:
            self.release(at, whale, m, m.positions[whale].collateral * self.chance.randrange(1, 20) // 1_000)
        else:
            self.borrow(at, user, m, (m.supplied - m.borrowed) * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, market: int = 0, usd: float = 15_000.0, bad_debt: bool = False) -> None:
        """A borrower loses half the collateral, or all of it with debt left over."""
        m, user, liquidator = self.markets[market], self.borrower(), self.liquidator()
        pledged = m.collateral.amount(usd)
        self.pledge(user, m, pledged)
        self.borrow(at, user, m, m.loan.amount(usd * (1.2 if bad_debt else 0.8)))
        seized = pledged if bad_debt else pledged // 2
        function = f"liquidate({PARAMS},address,uint256,uint256,bytes)"
        place = self.chain.send(liquidator, self.registry, function, m.params, user, seized, 0, b"")
        m.accrue(at)
        position, price = m.positions[user], m.price()
        assert price is not None
        quoted = -(-seized * price // PRICE)
        by_price = -(-quoted * WAD // INCENTIVE)
        burned = min(by_price * (m.borrow_shares + VIRTUAL) // (m.borrowed + 1), position.shares)
        repaid = -(-burned * (m.borrowed + 1) // (m.borrow_shares + VIRTUAL))
        position.shares -= burned
        position.collateral -= seized
        m.pledged -= seized
        m.borrow_shares -= burned
        m.borrowed -= min(repaid, m.borrowed)
        bad_shares = bad = 0
        if position.collateral == 0:
            bad_shares = position.shares
            bad = min(m.borrowed, -(-bad_shares * (m.borrowed + 1) // (m.borrow_shares + VIRTUAL)))
            m.borrowed -= bad
            m.supplied -= bad
            m.borrow_shares -= bad_shares
            position.shares = 0
        self.note(EVENT, self.registry, place, borrower=user, liquidator=liquidator, collateral=m.collateral,
                  collateral_raw=seized, debt=m.loan, debt_raw=repaid, bad_debt_raw=bad,
                  facts={"market_id": m.id})  # fmt: skip

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [row for m in self.markets for row in self._rows(m, at)]

    def _rows(self, m: Market, at: int) -> list[Holding]:
        """A market's loan side, interest included up to the block's second, and its collateral."""
        interest = m.interest(at)
        supplied, borrowed = m.supplied + interest, m.borrowed + interest
        facts = {"market_id": m.id, "stored_supplied_raw": str(m.supplied), "stored_borrowed_raw": str(m.borrowed)}
        loan = Holding(
            f"{m.id}:loan", "loan", m.loan, supplied, borrowed, 0, supplied - borrowed, NO_QUOTE, facts=facts
        )
        pledged = Holding(f"{m.id}:collateral", "collateral", m.collateral, m.pledged, 0, 0, None, self._quote(m, loan),
                          facts={"market_id": m.id})  # fmt: skip
        return [loan, pledged]

    def _quote(self, m: Market, loan: Holding) -> Quote:
        """The market's oracle prices the collateral in loan tokens; those are worth what the public feed says."""
        raw, unit = m.price(), loan.price[0]
        if raw is None:
            return Quote("reverted")
        if raw == 0 or unit is None:
            return Quote("zero", raw)
        usd = Fraction(raw, PRICE) * 10**m.collateral.decimals / 10**m.loan.decimals * unit
        assert m.collateral.feed is not None
        return Quote("ok", raw, usd, m.collateral.feed.updated_at)
