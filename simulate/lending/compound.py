"""The Compound V2 line as the agents know it: cTokens, a comptroller, an oracle that scales by decimals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulate.chain.chain import account
from simulate.chain.contracts import MULTICALL3
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import USD, Holders, Quote, Token, quote

WAD = 10**18
INCENTIVE = 108 * 10**16
SEIZE_SHARE = 28 * 10**15
EVENT = "LiquidateBorrow(address,address,uint256,address,uint256)"


@dataclass
class Market:
    """One cToken: what is stored grows at each touch; `grown` is what it would be at a block."""

    token: Token
    address: str
    rate: int  # borrow rate per block
    initial: int  # first exchange rate
    accrued: int  # block
    cash: int = 0
    borrows: int = 0
    reserves: int = 0
    shares: Holders = field(default_factory=Holders)
    is_priced: bool = True

    def exchange_rate(self) -> int:
        if self.shares.total == 0:
            return self.initial
        return (self.cash + self.borrows - self.reserves) * WAD // self.shares.total

    def grown(self, block: int) -> tuple[int, int]:
        """(borrows, reserves) with the interest up to a block."""
        interest = self.rate * (block - self.accrued) * self.borrows // WAD
        return self.borrows + interest, self.reserves + interest * 2 // 10

    def accrue(self, block: int) -> None:
        self.borrows, self.reserves = self.grown(block)
        self.accrued = block


class Compound(Csu):
    """A comptroller and its markets; `symbols` may have ETH, the native one."""

    family = "compound_v2"

    def __init__(self, csu_id: str, scene: Scene, symbols: tuple[str, ...], unpriced: tuple[str, ...] = ()) -> None:
        super().__init__(csu_id, scene)
        self.symbols, self.unpriced = symbols, unpriced
        self.markets: dict[str, Market] = {}

    def deploy(self, at: int) -> None:
        self.oracle = self.make("compound_oracle")
        self.registry = self.make("comptroller", self.oracle)
        self.addresses = {"comptroller": self.registry, "oracle": self.oracle}
        for symbol in self.symbols:
            self._list(symbol)

    def _list(self, symbol: str) -> None:
        token, n = self._token(symbol), len(self.markets)
        initial, rate = 2 * 10 ** (16 + token.decimals - 8), 10**13 * (1 + n)
        asset = token.address  # the zero address is the native coin
        address = self.make("ctoken", f"c{symbol}", self.registry, asset, initial, rate)
        market = Market(token, address, rate, initial, self.chain.number + 1)
        calls: list[tuple[Any, ...]] = [(self.registry, "supportMarket(address)", address)]
        if symbol not in self.unpriced and token.feed:
            factor = 10 ** (36 - USD - token.decimals)
            calls.append((self.oracle, "setFeed(address,address,uint256)", address, token.feed.address, factor))
        else:
            market.is_priced = False
        self.chain.together(self.admin, calls)
        self.markets[symbol] = market
        whale = account(f"{self.csu_id} whale")
        self.mint(whale, symbol, token.amount(2_000_000 / (1 + n)))
        self.borrow(whale, symbol, token.amount(900_000 / (1 + n)))

    def _token(self, symbol: str) -> Token:
        return self.market.eth if symbol == "ETH" else self.token(symbol)

    def mint(self, user: str, symbol: str, amount: int) -> None:
        m = self.markets[symbol]
        m.accrue(self.chain.number + 1)
        m.shares.add(user, amount * WAD // m.exchange_rate())
        m.cash += amount
        self.chain.send(user, m.address, "mint(uint256)", amount, value=amount if symbol == "ETH" else 0)

    def borrow(self, user: str, symbol: str, amount: int) -> None:
        m = self.markets[symbol]
        m.accrue(self.chain.number + 1)
        m.borrows += amount
        m.cash -= amount
        self.chain.send(user, m.address, "borrow(uint256)", amount)

    def act(self, at: int) -> None:
        symbol = self.chance.choice(list(self.markets))
        m, user = self.markets[symbol], account(f"{self.csu_id} user {self.chance.randrange(5)}")
        if symbol == "ETH":
            user = account(f"{self.csu_id} whale")  # who has coins
        if self.chance.random() < 0.6:
            self.mint(user, symbol, m.token.amount(self.chance.uniform(1_000, 40_000)))
        else:
            self.borrow(user, symbol, m.cash * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, collateral: str = "WBTX", debt: str = "USDX", usd: float = 9_000.0,
                  times: int = 1) -> None:  # fmt: skip
        """A borrower appears and is liquidated `times` in one transaction."""
        user, c, d = self.borrower(), self.markets[collateral], self.markets[debt]
        owner = account(f"{self.csu_id} whale") if collateral == "ETH" else user
        self.mint(owner, collateral, c.token.amount(usd * 3))
        self.borrow(user, debt, d.token.amount(usd * 1.5))
        amounts = [d.token.amount(usd / times) for _ in range(times)]
        function = "liquidateBorrow(address,uint256,address)"
        liquidator = self.liquidator()
        if times == 1:
            place = self.chain.send(liquidator, d.address, function, owner, amounts[0], c.address)
        else:
            place = self.chain.together(liquidator, [(d.address, function, owner, a, c.address) for a in amounts])
            liquidator = MULTICALL3
        taken = []
        for amount in amounts:
            d.borrows -= amount
            d.cash += amount
            c.accrue(self.chain.number + 1)
            tokens = self._seized(d, c, amount)
            kept = tokens * SEIZE_SHARE // WAD
            c.reserves += kept * c.exchange_rate() // WAD
            c.shares.add(owner, -tokens)
            c.shares.add(liquidator, tokens - kept)
            taken.append((amount, tokens, kept))
        for amount, tokens, kept in taken:  # worth by the rate that the block ends with
            self.note(
                EVENT, d.address, place, borrower=owner, liquidator=liquidator, collateral=c.token,
                collateral_raw=tokens * c.exchange_rate() // WAD, debt=d.token, debt_raw=amount,
                facts={"seized_shares_raw": str(tokens), "collateral_share_token": c.address,
                       "protocol_fee_raw": str(kept)},
            )  # fmt: skip

    def _seized(self, d: Market, c: Market, amount: int) -> int:
        """cTokens for a repayment, by the comptroller's own arithmetic."""
        price_d, price_c = self._quote(d).raw or 0, self._quote(c).raw or 0
        ratio = (INCENTIVE * price_d // WAD) * WAD // (price_c * c.exchange_rate() // WAD)
        return ratio * amount // WAD

    def garble(self, symbol: str) -> None:
        """A log nobody can decode."""
        address = self.markets[symbol].address
        place = self.chain.send(self.admin, address, "garble()")
        self.note(EVENT, address, place, borrower=None, liquidator=None, is_readable=False)

    def pause(self, symbol: str) -> None:
        self.chain.send(self.admin, self.registry, "setMintPaused(address,bool)", self.markets[symbol].address, True)

    def _quote(self, m: Market) -> Quote:
        if not m.is_priced:
            return Quote("zero", 0)
        found = quote(m.token.feed)
        if found.raw is None or m.token.feed is None:
            return found
        return Quote(found.status, found.raw * 10 ** (36 - USD - m.token.decimals), found.usd, found.updated_at)

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [
            Holding(
                reserve_id=m.address,
                role="reserve",
                token=m.token,
                supplied=m.cash + m.grown(block)[0] - m.grown(block)[1],
                variable=m.grown(block)[0],
                stable=0,
                available=m.cash,
                held=m.cash,
                quote=self._quote(m),
                facts={"exchange_rate": str(m.exchange_rate()), "reserves_raw": str(m.reserves)},
            )
            for m in self.markets.values()
        ]
