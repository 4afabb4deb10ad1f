"""Euler V2 as the agents know it: vaults of one asset each, priced in a unit of account of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import NO_QUOTE, Holders, Quote, Token

ONE = 10**27
SHIFT = 2**31
VIRTUAL = 10**6
USD = "0x" + "0" * 37 + "348"  # ISO 4217: 840
NOBODY = "0x" + "0" * 40
EVENT = "Liquidate(address,address,address,uint256,uint256)"
SOCIALIZED = "DebtSocialized(address,uint256)"


def power(base: int, exponent: int) -> int:
    """base^exponent with 27 decimals, each product rounded to the nearest."""
    result = base if exponent % 2 else ONE
    exponent //= 2
    while exponent:
        base = (base * base + ONE // 2) // ONE
        if exponent % 2:
            result = (result * base + ONE // 2) // ONE
        exponent //= 2
    return result


@dataclass
class Vault:
    """One EVault; `unit` is USD, a token's address, or the zero address of an escrow that has no oracle."""

    token: Token
    address: str
    unit: str
    rate: int
    at: int
    cash: int = 0
    owed: int = 0
    accumulator: int = ONE
    shares: Holders = field(default_factory=Holders)
    owed_by: Holders = field(default_factory=Holders)

    def now(self, at: int) -> tuple[int, int]:
        if at == self.at:
            return self.owed, self.accumulator
        grown = power(ONE + self.rate, at - self.at) * self.accumulator // ONE
        return self.owed * grown // self.accumulator, grown

    def update(self, at: int) -> None:
        self.owed, self.accumulator = self.now(at)
        self.at = at

    def borrows(self, at: int) -> int:
        return -(-self.now(at)[0] // SHIFT)

    def assets(self, shares: int, at: int) -> int:
        return shares * (self.cash + self.borrows(at) + VIRTUAL) // (self.shares.total + VIRTUAL)


class Euler(Csu):
    """A factory and its vaults, given as (symbol, unit): unit `USD`, a symbol, or `escrow`; `unpriced` ones revert."""

    family = "euler_v2"

    def __init__(
        self, csu_id: str, scene: Scene, vaults: tuple[tuple[str, str], ...], unpriced: tuple[str, ...]
    ) -> None:
        super().__init__(csu_id, scene)
        self.kinds, self.unpriced = vaults, unpriced
        self.vaults: list[Vault] = []

    def deploy(self, at: int) -> None:
        self.registry = self.make("euler_factory")
        self.oracle = self.make("euler_oracle")
        self.addresses = {"factory": self.registry, "oracle": self.oracle}
        for symbol, unit in self.kinds:
            self.open(at, symbol, unit)

    def open(self, at: int, symbol: str, unit: str) -> None:
        """A new vault with its first deposits and loan."""
        token, n = self.token(symbol), len(self.vaults)
        address_of = {"USD": USD, "escrow": NOBODY}
        of = address_of.get(unit) or self.token(unit).address
        oracle = NOBODY if unit == "escrow" else self.oracle
        rate = ONE * (3 + n) // 100 // 31_536_000
        vault = Vault(token, "", of, rate, at)
        vault.address = self.make("euler_vault", f"e{symbol}-{n + 1}", token.address, token.decimals, oracle, of, rate)
        calls: list[tuple[Any, ...]] = [
            (self.registry, "adopt(address)", vault.address),
            (self.oracle, "govSetResolvedVault(address,bool)", vault.address, True),
        ]
        if symbol not in self.unpriced and token.feed:
            function = "govSetConfig(address,address,uint256)"
            calls.append((self.oracle, function, token.address, token.feed.address, token.decimals))
        self.chain.together(self.admin, calls)
        self.vaults.append(vault)
        whale = account(f"{self.csu_id} whale")
        self.deposit(at, whale, vault, token.amount(1_500_000 / (1 + n)))
        if unit != "escrow":
            self.borrow(at, whale, vault, token.amount(600_000 / (1 + n)))

    def deposit(self, at: int, user: str, v: Vault, amount: int) -> None:
        v.update(at)
        v.shares.add(user, amount * (v.shares.total + VIRTUAL) // (v.cash + v.borrows(at) + VIRTUAL))
        v.cash += amount
        self.chain.send(user, v.address, "deposit(uint256,address)", amount, user)

    def borrow(self, at: int, user: str, v: Vault, amount: int) -> None:
        v.update(at)
        v.owed += amount * SHIFT
        v.owed_by.add(user, amount)
        v.cash -= amount
        self.chain.send(user, v.address, "borrow(uint256,address)", amount, user)

    def act(self, at: int) -> None:
        v, user = self.chance.choice(self.vaults), account(f"{self.csu_id} user {self.chance.randrange(5)}")
        if self.chance.random() < 0.6 or v.unit == NOBODY:
            self.deposit(at, user, v, v.token.amount(self.chance.uniform(1_000, 40_000)))
        else:
            self.borrow(at, user, v, v.cash * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, debt: int = 0, collateral: int = 1, usd: float = 7_000.0, lost: bool = False) -> None:
        """Shares of the collateral's vault change hands, and the debt with them; with `lost` some is nobody's."""
        d, c, user, liquidator = self.vaults[debt], self.vaults[collateral], self.borrower(), self.liquidator()
        self.deposit(at, user, c, c.token.amount(usd * (1.02 if lost else 2.0)))
        self.borrow(at, user, d, d.token.amount(usd * 1.1))
        repaid = d.token.amount(usd)
        place = self.chain.send(
            liquidator, d.address, "liquidate(address,address,uint256,uint256)", user, c.address, repaid, 0
        )
        d.update(at)
        held = c.shares.of[user]
        worth = self._value(c.token, c.assets(held, at), d.unit)
        shares = min(self._value(d.token, repaid, d.unit) * 105 // 100 * held // worth, held)
        c.shares.add(user, -shares)
        c.shares.add(liquidator, shares)
        d.owed_by.add(user, -repaid)
        left = d.owed_by.of[user]
        if shares == held and left:
            d.owed -= left * SHIFT
            d.owed_by.add(user, -left)
            self.note(SOCIALIZED, d.address, place, borrower=user, liquidator=None, debt=d.token, bad_debt_raw=left)
        self.note(EVENT, d.address, place, borrower=user, liquidator=liquidator, collateral=c.token,
                  collateral_raw=c.assets(shares, at), debt=d.token, debt_raw=repaid,
                  facts={"seized_shares_raw": str(shares), "collateral_share_token": c.address})  # fmt: skip

    def _value(self, token: Token, amount: int, unit: str) -> int:
        """The oracle's quote of an amount."""
        if token.address == unit:
            return amount
        usd = self._usd(token, amount)
        if unit == USD:
            return usd
        other = next(t for t in self.market.tokens.values() if t.address == unit)
        one: int = 10**other.decimals
        return usd * one // self._usd(other, one)

    def _usd(self, token: Token, amount: int) -> int:
        assert token.feed is not None
        usd: int = amount * token.feed.answer * 10**10 // 10**token.decimals
        return usd

    def _quote(self, v: Vault) -> Quote:
        """What `getQuote` says of one whole token, in the vault's unit."""
        if v.unit == NOBODY:
            return NO_QUOTE
        if v.token.symbol in self.unpriced:
            return Quote("reverted")
        raw = self._value(v.token, 10**v.token.decimals, v.unit)
        assert v.token.feed is not None
        if v.unit == USD:
            return Quote("ok", raw, Fraction(raw, 10**18), v.token.feed.updated_at)
        other = next(t for t in self.market.tokens.values() if t.address == v.unit)
        assert other.feed is not None
        return Quote("ok", raw, Fraction(raw, 10**other.decimals) * other.feed.value, v.token.feed.updated_at)

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [
            Holding(
                reserve_id=v.address,
                role="reserve",
                token=v.token,
                supplied=v.cash + v.borrows(at),
                variable=v.borrows(at),
                stable=0,
                available=v.cash,
                held=v.cash,
                quote=self._quote(v),
                facts={"unit_of_account": v.unit},
            )
            for v in self.vaults
        ]
