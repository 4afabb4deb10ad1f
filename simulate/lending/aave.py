"""Aave V2 and V3 as the agents know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from simulate.chain.chain import account
from simulate.chain.contracts import MULTICALL3
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import ETH, Feed, Holders, Quote, Token, quote

RAY = 10**27
YEAR = 31_536_000
BONUS = 10_500
FEE = 1_000  # the protocol's share of the bonus, in basis points (V3)
TREASURY = "0x7000000000000000000000000000000000000007"
NOBODY = "0x" + "0" * 40
STABLE_RATE = RAY * 7 // 100
CALL = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
DEFICIT = "DeficitCreated(address,address,uint256)"


def ray_mul(a: int, b: int) -> int:
    return (a * b + RAY // 2) // RAY


def ray_div(a: int, b: int) -> int:
    return (a * RAY + b // 2) // b


def compounded(rate: int, seconds: int) -> int:
    """Three terms of (1 + rate/year)^seconds, in rays."""
    if seconds == 0:
        return RAY
    power_two = ray_mul(rate, rate) // (YEAR * YEAR)
    power_three = ray_mul(power_two, rate) // YEAR
    second = seconds * (seconds - 1) * power_two // 2
    third = seconds * (seconds - 1) * max(seconds - 2, 0) * power_three // 6
    return RAY + rate * seconds // YEAR + second + third


@dataclass
class Reserve:
    """One reserve, as the pool and its tokens keep it."""

    token: Token
    feed: Feed | None
    supply_rate: int
    borrow_rate: int
    tokens: tuple[str, str, str]  # aToken, stable debt, variable debt
    at: int
    income_index: int = RAY
    debt_index: int = RAY
    cash: int = 0
    supplied: Holders = field(default_factory=Holders)  # scaled
    borrowed: Holders = field(default_factory=Holders)  # scaled
    stable: int = 0
    stable_at: int = 0
    deficit: int = 0
    is_frozen: bool = False
    is_paused: bool = False

    def income(self, at: int) -> int:
        return ray_mul(RAY + self.supply_rate * (at - self.at) // YEAR, self.income_index)

    def debt(self, at: int) -> int:
        return ray_mul(compounded(self.borrow_rate, at - self.at), self.debt_index)

    def stable_debt(self, at: int) -> int:
        return ray_mul(self.stable, compounded(STABLE_RATE, at - self.stable_at)) if self.stable else 0

    def update(self, at: int) -> None:
        self.income_index, self.debt_index, self.at = self.income(at), self.debt(at), at


class Aave(Csu):
    """A pool with its provider, data provider and oracle. `generation` 2, 3, or 32 (no stable debt any more)."""

    def __init__(self, csu_id: str, scene: Scene, generation: int, symbols: tuple[str, ...]) -> None:
        super().__init__(csu_id, scene)
        self.generation, self.symbols = generation, symbols
        self.family = "aave_v2" if generation == 2 else "aave_v3"
        self.reserves: dict[str, Reserve] = {}

    @property
    def is_v3(self) -> bool:
        return self.generation != 2

    def deploy(self, at: int) -> None:
        weth = self.token("WETX").address
        base, unit = (NOBODY, 10**8) if self.is_v3 else (weth, 10**18)
        self.registry = self.make("aave_provider", self.is_v3)
        self.oracle = self.make("aave_oracle", self.is_v3, base, unit, self.make("aave_fallback"))
        self.pool = self.make("aave_pool", self.is_v3, self.oracle)
        provider = self.make("aave_data_provider", self.is_v3, self.registry, self.pool)
        self.addresses = {"pool": self.pool, "data_provider": provider, "oracle": self.oracle}
        self.chain.together(
            self.admin, [(self.registry, "set(address,address,address)", self.pool, provider, self.oracle)]
        )
        for symbol in self.symbols:
            self.list_reserve(at, symbol)

    def list_reserve(self, at: int, symbol: str) -> None:
        """A new reserve, with its first deposits and loans."""
        token, n = self.token(symbol), len(self.reserves)
        reserve = Reserve(
            token, self._source(token), RAY * (2 + n) // 100, RAY * (4 + n) // 100, self._tokens(token), at
        )
        a, stable, variable = reserve.tokens
        calls: list[tuple[Any, ...]] = [
            (
                self.pool, "initReserve(address,address,address,address,uint256,uint256,uint256)",
                token.address, a, stable, variable, token.decimals, reserve.supply_rate, reserve.borrow_rate,
            )
        ]  # fmt: skip
        if reserve.feed:
            calls.append((self.oracle, "setAssetSources(address[],address[])", [token.address], [reserve.feed.address]))
        self.chain.together(self.admin, calls)
        self.reserves[symbol] = reserve
        self.supply(at, account(f"{self.csu_id} whale"), symbol, token.amount(4_000_000 / (1 + n)))
        self.borrow(at, account(f"{self.csu_id} whale"), symbol, token.amount(1_500_000 / (1 + n)))
        if self.generation != 32 and symbol.startswith("USD"):
            self.borrow(at, account(f"{self.csu_id} whale"), symbol, token.amount(100_000), stable=True)

    def _source(self, token: Token) -> Feed | None:
        """The oracle's own feed: the public one, unless the token's story needs another."""
        if not self.is_v3:
            is_base = token.symbol == "WETX"
            name = f"{token.symbol} / ETH"
            return None if is_base else self.market.feeds.get(name) or self.market.feed(token, name, ETH, in_eth=True)
        return self.market.feeds.get(f"{token.symbol} / USD source") or token.feed

    def _tokens(self, token: Token) -> tuple[str, str, str]:
        def make(kind: int, rate: int = 0) -> str:
            return self.make("aave_token", self.pool, token.address, token.decimals, kind, rate)

        return make(0), NOBODY if self.generation == 32 else make(2, STABLE_RATE), make(1)

    def supply(self, at: int, user: str, symbol: str, amount: int) -> None:
        r, verb = self.reserves[symbol], "supply" if self.is_v3 else "deposit"
        r.update(at)
        r.cash += amount
        r.supplied.add(user, ray_div(amount, r.income_index))
        self.chain.send(user, self.pool, f"{verb}(address,uint256,address,uint16)", r.token.address, amount, user, 0)

    def borrow(self, at: int, user: str, symbol: str, amount: int, stable: bool = False) -> None:
        r, mode = self.reserves[symbol], 1 if stable else 2
        r.update(at)
        r.cash -= amount
        if stable:
            r.stable, r.stable_at = r.stable_debt(at) + amount, at
        else:
            r.borrowed.add(user, ray_div(amount, r.debt_index))
        self.chain.send(
            user, self.pool, "borrow(address,uint256,uint256,uint16,address)", r.token.address, amount, mode, 0, user
        )

    def freeze(self, symbol: str) -> None:
        self.reserves[symbol].is_frozen = True
        self.chain.send(
            self.admin, self.pool, "setReserveFreeze(address,bool)", self.reserves[symbol].token.address, True
        )

    def pause(self, symbol: str) -> None:
        self.reserves[symbol].is_paused = True
        self.chain.send(
            self.admin, self.pool, "setReservePause(address,bool)", self.reserves[symbol].token.address, True
        )

    def act(self, at: int) -> None:
        symbol = self.chance.choice([s for s, r in self.reserves.items() if not r.is_frozen and not r.is_paused])
        reserve, user = self.reserves[symbol], account(f"{self.csu_id} user {self.chance.randrange(5)}")
        if self.chance.random() < 0.6:
            self.supply(at, user, symbol, reserve.token.amount(self.chance.uniform(1_000, 60_000)))
        else:
            self.borrow(at, user, symbol, reserve.cash * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, collateral: str = "WETX", debt: str = "USDX", usd: float = 20_000.0, times: int = 1,
                  receive: bool = False, deficit: bool = False) -> None:  # fmt: skip
        """A borrower appears and is liquidated `times` in one transaction; with `deficit` nothing is left of them."""
        user = self.borrower()
        c, d = self.reserves[collateral], self.reserves[debt]
        share = 1.02 if deficit else 4.0
        self.supply(at, user, collateral, c.token.amount(usd * share))
        self.borrow(at, user, debt, d.token.amount(usd * 1.3))
        function = "liquidationCall(address,address,address,uint256,bool)"
        amounts = [d.token.amount(usd / times) for _ in range(times)]
        rest = (c.token.address, d.token.address, user)
        liquidator = self.liquidator()
        if times == 1:
            place = self.chain.send(liquidator, self.pool, function, *rest, amounts[0], receive)
        else:
            place = self.chain.together(liquidator, [(self.pool, function, *rest, a, receive) for a in amounts])
            liquidator = MULTICALL3
        for amount in amounts:
            self._liquidated(at, place, liquidator, user, c, d, amount, receive)

    def _liquidated(self, at: int, place: int, liquidator: str, user: str, c: Reserve, d: Reserve, amount: int,
                    receive: bool) -> None:  # fmt: skip
        d.update(at)
        c.update(at)
        held = ray_mul(c.supplied.of[user], c.income_index)
        worth = self._raw(d) * amount * 10**c.token.decimals
        seized = min(worth // (self._raw(c) * 10**d.token.decimals) * BONUS // 10_000, held)
        fee = (seized - seized * 10_000 // BONUS) * FEE // 10_000 if self.is_v3 else 0
        received = seized - fee
        d.borrowed.add(user, -ray_div(amount, d.debt_index))
        d.cash += amount
        c.supplied.add(user, -ray_div(received, c.income_index))
        if receive:
            c.supplied.add(liquidator, ray_div(received, c.income_index))
        else:
            c.cash -= received
        moved = min(ray_div(fee, c.income_index), c.supplied.of[user])
        c.supplied.add(user, -moved)
        c.supplied.add(TREASURY, moved)
        left = ray_mul(d.borrowed.of[user], d.debt_index)
        if self.is_v3 and seized == held and left:
            d.borrowed.add(user, -ray_div(left, d.debt_index))
            d.deficit += left
            self.note(DEFICIT, self.pool, place, borrower=user, liquidator=None, debt=d.token, bad_debt_raw=left)
        self.note(CALL, self.pool, place, borrower=user, liquidator=liquidator, collateral=c.token,
                  collateral_raw=received, debt=d.token, debt_raw=amount,
                  facts={"protocol_fee_raw": str(fee)})  # fmt: skip

    def _raw(self, reserve: Reserve) -> int:
        """The oracle's answer as it is."""
        return 10**18 if reserve.feed is None else reserve.feed.answer

    def _quote(self, reserve: Reserve) -> Quote:
        eth = self.market.eth_usd
        if self.is_v3:
            return quote(reserve.feed)
        if reserve.feed is None:
            return Quote("ok", 10**18, eth.value, eth.updated_at)
        return quote(reserve.feed, Fraction(eth.answer, 10**eth.decimals))

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [
            Holding(
                reserve_id=r.token.address,
                role="reserve",
                token=r.token,
                supplied=ray_mul(r.supplied.total, r.income(at)),
                variable=ray_mul(r.borrowed.total, r.debt(at)),
                stable=r.stable_debt(at),
                available=r.cash,
                held=r.cash,
                deficit=r.deficit,
                quote=self._quote(r),
                is_frozen=r.is_frozen,
                is_paused=r.is_paused and self.is_v3,
                facts={"a_token": r.tokens[0], "stable_debt_token": r.tokens[1], "variable_debt_token": r.tokens[2]},
            )
            for r in self.reserves.values()
        ]
