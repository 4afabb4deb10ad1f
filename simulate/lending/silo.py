"""Silo V2 as the agents know it: pairs of silos, stored totals that lag behind, liquidations by a hook."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import NO_QUOTE, Quote, Token

WAD = 10**18
FEE = 10**17
RATE = 1_268_391_679  # per second: 4 % a year
PROTECTED, COLLATERAL = 0, 1
EVENT = "LiquidationCall(address,address,address,uint256,uint256,bool)"


@dataclass
class One:
    """One silo: deposits that earn and may be lent, deposits that do not, and debt."""

    token: Token
    address: str
    at: int
    protected: int = 0
    collateral: int = 0
    debt: int = 0
    cash: int = 0

    def interest(self, at: int) -> tuple[int, int]:
        """On debt, and on deposits."""
        grown = self.debt * RATE * (at - self.at) // WAD
        return grown, grown - grown * FEE // WAD

    def accrue(self, at: int) -> None:
        owed, earned = self.interest(at)
        self.debt += owed
        self.collateral += earned
        self.at = at


@dataclass(frozen=True)
class Pair:
    first: One  # has an oracle, in the second's token
    second: One
    hook: str


class Silo(Csu):
    """A factory and its pairs, given as (collateral, debt)."""

    family = "silo_v2"

    def __init__(self, csu_id: str, scene: Scene, symbols: tuple[tuple[str, str], ...]) -> None:
        super().__init__(csu_id, scene)
        self.symbols = symbols
        self.pairs: list[Pair] = []

    def deploy(self, at: int) -> None:
        self.registry = self.make("silo_factory")
        self.addresses = {"factory": self.registry, "hooks": []}
        for first, second in self.symbols:
            self._pair(at, self.token(first), self.token(second))

    def _pair(self, at: int, first: Token, second: Token) -> None:
        assert first.feed is not None and second.feed is not None
        oracle = self.make(
            "silo_oracle", first.address, first.decimals, first.feed.address, second.address, second.decimals,
            second.feed.address,
        )  # fmt: skip
        hook = self.make("silo_hook", oracle)
        ones = [One(t, self.make("silo", t.address, self.registry, hook, RATE), at) for t in (first, second)]
        pair = Pair(ones[0], ones[1], hook)
        number = len(self.pairs) + 1
        config = self.make("silo_config", number, pair.first.address, pair.second.address, oracle, hook)
        calls: list[tuple[Any, ...]] = [
            (to, "initialize(address)", config) for to in (pair.first.address, pair.second.address, hook)
        ]
        self.chain.together(self.admin, [*calls, (self.registry, "adopt(address)", config)])
        self.pairs.append(pair)
        self.addresses["hooks"].append(hook)
        whale = account(f"{self.csu_id} whale")
        for one in ones:
            self.deposit(at, whale, one, one.token.amount(800_000 / number), COLLATERAL)
            self.deposit(at, whale, one, one.token.amount(90_000), PROTECTED)
        self.borrow(at, whale, pair.second, pair.second.token.amount(350_000 / number))

    def deposit(self, at: int, user: str, one: One, amount: int, kind: int) -> None:
        one.accrue(at)
        one.cash += amount
        if kind == PROTECTED:
            one.protected += amount
        else:
            one.collateral += amount
        self.chain.send(user, one.address, "deposit(uint256,address,uint8)", amount, user, kind)

    def borrow(self, at: int, user: str, one: One, amount: int) -> None:
        one.accrue(at)
        one.cash -= amount
        one.debt += amount
        self.chain.send(user, one.address, "borrow(uint256,address,address)", amount, user, user)

    def act(self, at: int) -> None:
        pair, user = self.chance.choice(self.pairs), account(f"{self.csu_id} user {self.chance.randrange(5)}")
        if self.chance.random() < 0.6:
            one = self.chance.choice([pair.first, pair.second])
            kind = self.chance.choice([PROTECTED, COLLATERAL, COLLATERAL])
            self.deposit(at, user, one, one.token.amount(self.chance.uniform(1_000, 30_000)), kind)
        else:
            free = pair.second.collateral - pair.second.debt
            self.borrow(at, user, pair.second, free * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, pair: int = 0, usd: float = 6_000.0, receive: bool = False) -> None:
        """Debt of the second silo is paid for collateral of the first; with `receive` only shares change hands."""
        p, user, liquidator = self.pairs[pair], self.borrower(), self.liquidator()
        first, second = p.first.token, p.second.token
        self.deposit(at, user, p.first, first.amount(usd * 1.3), COLLATERAL)
        self.borrow(at, user, p.second, second.amount(usd))
        paid = second.amount(usd * 0.7)
        function = "liquidationCall(address,address,address,uint256,bool)"
        place = self.chain.send(liquidator, p.hook, function, first.address, second.address, user, paid, receive)
        seized = paid * WAD // self._quoted(p, WAD) * 105 // 100
        p.second.accrue(at)
        p.first.accrue(at)
        p.second.debt -= paid
        p.second.cash += paid
        if not receive:
            p.first.collateral -= seized
            p.first.cash -= seized
        self.note(EVENT, p.hook, place, borrower=user, liquidator=liquidator, collateral=first, collateral_raw=seized,
                  debt=second, debt_raw=paid, facts={"debt_silo": p.second.address, "market_id": p.hook})  # fmt: skip

    def _quoted(self, pair: Pair, amount: int) -> int:
        """What the pair's oracle answers."""
        ours, theirs = pair.first.token, pair.second.token
        assert ours.feed is not None and theirs.feed is not None
        quoted: int = amount * ours.feed.answer * 10**theirs.decimals // (theirs.feed.answer * 10**ours.decimals)
        return quoted

    def _quote(self, pair: Pair) -> Quote:
        """Of the first token, in the second, which is worth what its public feed says."""
        raw, second = self._quoted(pair, 10**pair.first.token.decimals), pair.second.token
        assert second.feed is not None and pair.first.token.feed is not None
        usd = Fraction(raw, 10**second.decimals) * second.feed.value
        return Quote("ok", raw, usd, pair.first.token.feed.updated_at)

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [
            self._holding(pair, one, at, self._quote(pair) if one is pair.first else NO_QUOTE)
            for pair in self.pairs
            for one in (pair.first, pair.second)
        ]

    def _holding(self, pair: Pair, one: One, at: int, quote: Quote) -> Holding:
        """Interest included, protected deposits among the supplied."""
        owed, earned = one.interest(at)
        return Holding(
            reserve_id=one.address,
            role="reserve",
            token=one.token,
            supplied=one.collateral + earned + one.protected,
            variable=one.debt + owed,
            stable=0,
            available=one.collateral + earned - one.debt - owed,
            held=one.cash,
            quote=quote,
            facts={
                "market_id": pair.hook,
                "protected_raw": str(one.protected),
                "stored_supplied_raw": str(one.collateral + one.protected),
                "stored_borrowed_raw": str(one.debt),
            },
        )
