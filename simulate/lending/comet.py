"""A Comet as the agents know it; in the WETH Comet everything is counted in ETH."""

from __future__ import annotations

from dataclasses import dataclass

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import USD, Feed, Holders, Quote, Token, quote

INDEX = 10**15
WAD = 10**18
SUPPLY_RATE, BORROW_RATE = 950_000_000, 1_430_000_000  # per second: 3.0 % and 4.5 % a year
SEIZED_AT = 93 * 10**16
DEBT = "AbsorbDebt(address,address,uint256,uint256)"
COLLATERAL = "AbsorbCollateral(address,address,address,uint256,uint256)"
BUY = "BuyCollateral(address,address,uint256,uint256)"


@dataclass
class Collateral:
    token: Token
    feed: Feed
    total: int = 0
    reserves: int = 0  # absorbed and not sold


class Comet(Csu):
    """One base, some collaterals. `unit` is USD, or ETH where the base's own feed says 1 for ever."""

    family = "compound_v3"

    def __init__(self, csu_id: str, scene: Scene, base: str, collaterals: tuple[str, ...]) -> None:
        super().__init__(csu_id, scene)
        self.base, self.symbols = self.token(base), collaterals
        self.unit = "ETH" if base == "WETX" else "USD"
        self.supply_index = self.borrow_index = INDEX
        self.supplied = self.borrowed = self.cash = 0
        self.borrowed_by = Holders()

    def deploy(self, at: int) -> None:
        if self.unit == "ETH":
            base_feed = self.make("feed_constant", 10**USD, USD)
        else:
            assert self.base.feed is not None
            base_feed = self.base.feed.address
        self.registry = self.make("comet", self.base.address, base_feed, self.base.decimals, SUPPLY_RATE, BORROW_RATE)
        self.addresses = {"comet": self.registry, "base": self.base.address, "base_feed": base_feed}
        self.at = at
        self.collaterals = {symbol: Collateral(self.token(symbol), self._feed(symbol)) for symbol in self.symbols}
        function = "addAsset(address,address,uint64)"
        assets = [(c.token.address, c.feed.address, 10**c.token.decimals) for c in self.collaterals.values()]
        self.chain.together(self.admin, [(self.registry, function, *asset) for asset in assets])
        whale = account(f"{self.csu_id} whale")
        self.supply(at, whale, self.base, self.base.amount(3_000_000))
        for c in self.collaterals.values():
            self.supply(at, whale, c.token, c.token.amount(900_000))
        self.borrow(at, whale, self.base.amount(1_200_000))

    def _feed(self, symbol: str) -> Feed:
        """The collateral's feed: in USD, or in ETH with 8 decimals."""
        token = self.token(symbol)
        if self.unit == "USD":
            assert token.feed is not None
            return token.feed
        name = f"{symbol} / ETH 8"
        return self.market.feeds.get(name) or self.market.feed(token, name, in_eth=True)

    def accrue(self, at: int) -> None:
        self.supply_index, self.borrow_index = self._indices(at)
        self.at = at

    def _indices(self, at: int) -> tuple[int, int]:
        seconds = at - self.at
        return (
            self.supply_index + self.supply_index * (SUPPLY_RATE * seconds) // WAD,
            self.borrow_index + self.borrow_index * (BORROW_RATE * seconds) // WAD,
        )

    def supply(self, at: int, user: str, token: Token, amount: int) -> None:
        if token is self.base:
            self.accrue(at)
            self.supplied += amount * INDEX // self.supply_index
            self.cash += amount
        else:
            self.collaterals[token.symbol].total += amount
        self.chain.send(user, self.registry, "supplyTo(address,address,uint256)", user, token.address, amount)

    def borrow(self, at: int, user: str, amount: int) -> None:
        self.accrue(at)
        principal = (amount * INDEX + self.borrow_index - 1) // self.borrow_index
        self.borrowed += principal
        self.borrowed_by.add(user, principal)
        self.cash -= amount
        function = "withdrawFrom(address,address,address,uint256)"
        self.chain.send(user, self.registry, function, user, user, self.base.address, amount)

    def act(self, at: int) -> None:
        user, roll = account(f"{self.csu_id} user {self.chance.randrange(5)}"), self.chance.random()
        if roll < 0.4:
            self.supply(at, user, self.base, self.base.amount(self.chance.uniform(1_000, 40_000)))
        elif roll < 0.7:
            c = self.chance.choice(list(self.collaterals.values()))
            self.supply(at, user, c.token, c.token.amount(self.chance.uniform(1_000, 30_000)))
        else:
            self.borrow(at, user, self.cash * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, collaterals: int = 1, usd: float = 12_000.0, accounts: int = 1) -> None:
        """Borrowers with several collaterals are absorbed in one transaction: n + 1 logs for each."""
        victims = [(self.borrower(), self._position(at, collaterals, usd * (1 + n))) for n in range(accounts)]
        for (user, _), n in zip(victims, range(accounts), strict=True):
            self.borrow(at, user, self.base.amount(usd * (1 + n) * 0.9))
        liquidator = self.liquidator()
        for user, parts in victims:
            for c, amount in parts:
                self.supply(at, user, c.token, amount)
        place = self.chain.send(
            liquidator, self.registry, "absorb(address,address[])", liquidator, [user for user, _ in victims]
        )
        self.accrue(at)
        for user, parts in victims:
            self._absorbed(place, liquidator, user, parts)

    def _position(self, at: int, collaterals: int, usd: float) -> list[tuple[Collateral, int]]:
        return [(c, c.token.amount(usd / collaterals)) for c in list(self.collaterals.values())[:collaterals]]

    def _absorbed(self, place: int, liquidator: str, user: str, parts: list[tuple[Collateral, int]]) -> None:
        delta = 0
        for c, amount in parts:
            worth = amount * c.feed.answer // 10**c.token.decimals
            delta += worth * SEIZED_AT // WAD
            c.total -= amount
            c.reserves += amount
            self.note(COLLATERAL, self.registry, place, borrower=user, liquidator=liquidator, collateral=c.token,
                      collateral_raw=amount, facts={"event_usd_raw": str(worth)})  # fmt: skip
        price, scale = self._base_raw(), 10**self.base.decimals
        principal = self.borrowed_by.of[user]
        owed = principal * self.borrow_index // INDEX
        kept = max(delta * scale // price - owed, 0)
        self.borrowed -= principal
        self.borrowed_by.of[user] = 0
        self.supplied += kept * INDEX // self.supply_index
        self.note(DEBT, self.registry, place, borrower=user, liquidator=liquidator, debt=self.base,
                  debt_raw=owed + kept, facts={"event_usd_raw": str((owed + kept) * price // scale)})  # fmt: skip

    def buy(self, at: int, symbol: str) -> None:
        """A sale of half of what was absorbed: not a liquidation."""
        c = self.collaterals[symbol]
        amount = c.reserves // 2
        base = self.base.amount(amount / 10**c.token.decimals * c.token.price * 0.95)
        c.reserves -= amount
        self.cash += base
        buyer = account("collateral buyer")
        function = "buyCollateral(address,uint256,uint256,address)"
        self.chain.send(buyer, self.registry, function, c.token.address, amount, base, buyer)

    def _base_raw(self) -> int:
        if self.unit == "ETH":
            return int(10**USD)
        assert self.base.feed is not None
        return self.base.feed.answer

    def _quote(self, feed: Feed | None, at: int) -> Quote:
        eth = self.market.eth_usd
        if self.unit == "USD":
            return quote(feed)
        if feed is None:  # the constant one
            return Quote("ok", 10**USD, eth.value, at)
        return quote(feed, eth.value)

    def holdings(self, at: int, block: int) -> list[Holding]:
        supply_index, borrow_index = self._indices(at)
        base_feed = None if self.unit == "ETH" else self.base.feed
        base = Holding(
            reserve_id=self.base.address,
            role="base",
            token=self.base,
            supplied=self.supplied * supply_index // INDEX,
            variable=self.borrowed * borrow_index // INDEX,
            stable=0,
            available=self.cash,
            held=self.cash,
            quote=self._quote(base_feed, at),
            facts={"unit": self.unit},
        )
        return [base] + [
            Holding(
                reserve_id=c.token.address,
                role="collateral",
                token=c.token,
                supplied=c.total,
                variable=0,
                stable=0,
                available=None,
                held=c.total + c.reserves,
                quote=self._quote(c.feed, at),
                facts={"unit": self.unit},
            )
            for c in self.collaterals.values()
        ]
