"""Fluid as the agents know it: all tokens at Liquidity, vaults by nonce, and a resolver that is replaced one day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import NO_QUOTE, Token

PRICE = 10**12
YEAR = 31_536_000
RATE = 10**27
NATIVE = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
EVENT = "LogLiquidate(address,uint256,uint256,address)"


@dataclass
class Book:
    """One token at Liquidity: raw amounts earn interest, free ones do not."""

    token: Token
    supply_rate: int  # in 1/100 of a percent a year
    borrow_rate: int
    at: int
    supply_price: int = PRICE
    borrow_price: int = PRICE
    supply_raw: int = 0
    supply_free: int = 0
    borrow_raw: int = 0
    cash: int = 0

    def prices(self, at: int) -> tuple[int, int]:
        seconds = at - self.at
        return (
            self.supply_price + self.supply_price * self.supply_rate * seconds // (YEAR * 10_000),
            self.borrow_price + self.borrow_price * self.borrow_rate * seconds // (YEAR * 10_000),
        )

    def update(self, at: int) -> None:
        self.supply_price, self.borrow_price = self.prices(at)
        self.at = at

    def move(self, at: int, supplied: int, borrowed: int) -> None:
        """Signed amounts of one who pays and earns interest."""
        self.update(at)
        self.supply_raw += _signed(supplied, self.supply_price)
        self.borrow_raw += _signed(borrowed, self.borrow_price)
        self.cash += supplied - borrowed


@dataclass(frozen=True)
class Vault:
    address: str
    collateral: Book
    debt: Book


def _signed(amount: int, price: int) -> int:
    raw = abs(amount) * PRICE // price
    return raw if amount > 0 else -raw


class Fluid(Csu):
    """Liquidity, factory, vaults, and resolvers: `upgrade` replaces the first by one whose struct is longer."""

    family = "fluid"

    def __init__(self, csu_id: str, scene: Scene, symbols: tuple[str, ...], pairs: tuple[tuple[str, str], ...]) -> None:
        super().__init__(csu_id, scene)
        self.symbols, self.pairs = symbols, pairs
        self.vaults: list[Vault] = []
        self.eth = Token("ETH", 18, self.market.eth.price, address=NATIVE, feed=self.market.eth.feed)

    def deploy(self, at: int) -> None:
        self.registry = self.make("fluid_liquidity")
        self.factory = self.make("fluid_factory")
        resolver = self.make("fluid_resolver", self.registry)
        self.addresses = {
            "liquidity": self.registry,
            "vault_factory": self.factory,
            "vault_resolver": self.make("fluid_vault_resolver", self.factory),
            "resolvers": [{"address": resolver, "from_block": self.chain.number + 1, "words": 28}],
        }
        self.books = {
            symbol: Book(self.eth if symbol == "ETH" else self.token(symbol), 250 + 50 * n, 400 + 60 * n, at)
            for n, symbol in enumerate(self.symbols)
        }
        lister, whale = "list(address,uint256,uint256)", account(f"{self.csu_id} whale")
        saver = account(f"{self.csu_id} saver")
        calls: list[tuple[Any, ...]] = [
            (self.registry, lister, b.token.address, b.supply_rate, b.borrow_rate) for b in self.books.values()
        ]
        self.chain.together(self.admin, [*calls, (self.registry, "setInterestFree(address)", saver)])
        for collateral, debt in self.pairs:
            self._vault(self.books[collateral], self.books[debt])
        for n, book in enumerate(self.books.values()):
            self._operate(at, whale, book, book.token.amount(2_500_000 / (1 + n)))
        first = next(iter(self.books.values()))
        amount = first.token.amount(300_000)  # earns nothing
        first.supply_free += amount
        first.cash += amount
        self._send(saver, first, amount)
        for vault in self.vaults:
            user = account(f"{self.csu_id} whale")
            self._position(at, user, vault, vault.collateral.token.amount(500_000), vault.debt.token.amount(250_000))

    def _vault(self, collateral: Book, debt: Book) -> None:
        number = len(self.vaults) + 1
        address = "0x" + keccak(bytes.fromhex("d694" + self.factory[2:]) + bytes([number]))[-20:].hex()
        c, d = collateral.token, debt.token
        assert c.feed is not None and d.feed is not None
        code = self.scene.contracts["fluid_vault"].deployment(
            self.registry, number, c.address, d.address, c.decimals, d.decimals, c.feed.address, d.feed.address
        )
        logic = account("fluid vault logic")
        self.chain.send(self.admin, self.factory, "deployVault(address,bytes)", logic, bytes.fromhex(code[2:]))
        self.vaults.append(Vault(address, collateral, debt))

    def _operate(self, at: int, user: str, book: Book, supplied: int) -> None:
        book.move(at, supplied, 0)
        self._send(user, book, supplied)

    def _send(self, user: str, book: Book, supplied: int) -> None:
        function = "operate(address,int256,int256,address,address,bytes)"
        value = supplied if book.token is self.eth else 0
        self.chain.send(user, self.registry, function, book.token.address, supplied, 0, user, user, b"", value=value)

    def _position(self, at: int, user: str, vault: Vault, collateral: int, debt: int) -> None:
        vault.collateral.move(at, collateral, 0)
        vault.debt.move(at, 0, debt)
        value = collateral if vault.collateral.token is self.eth else 0
        self.chain.send(
            user, vault.address, "operate(uint256,int256,int256,address)", 1, collateral, debt, user, value=value
        )

    def upgrade(self) -> None:
        """A new resolver, and Liquidity refuses the old one."""
        new = self.make("fluid_resolver_2", self.registry)
        self.chain.send(self.admin, self.registry, "upgrade()")
        self.addresses["resolvers"].append({"address": new, "from_block": self.chain.number + 1, "words": 29})

    def act(self, at: int) -> None:
        whale = account(f"{self.csu_id} whale")
        if self.chance.random() < 0.5:
            book = self.chance.choice(list(self.books.values()))
            self._operate(at, whale, book, book.token.amount(self.chance.uniform(1_000, 50_000)))
        else:
            vault, usd = self.chance.choice(self.vaults), self.chance.uniform(2_000, 30_000)
            c, d = vault.collateral.token, vault.debt.token
            self._position(at, whale, vault, c.amount(usd), d.amount(usd / 2))

    def liquidate(self, at: int, vault: int = 0, usd: float = 11_000.0, absorb: bool = False) -> None:
        """Part of a vault's debt is paid for its collateral, of nobody in particular."""
        v, liquidator = self.vaults[vault], self.liquidator()
        c, d = v.collateral.token, v.debt.token
        assert c.feed is not None and d.feed is not None
        paid = d.amount(usd)
        rate = c.feed.answer * RATE * 10**d.decimals // (d.feed.answer * 10**c.decimals)
        seized = paid * RATE // rate * 102 // 100
        place = self.chain.send(
            liquidator, v.address, "liquidate(uint256,uint256,address,bool)", paid, 0, liquidator, absorb
        )
        v.debt.move(at, 0, -paid)
        v.collateral.move(at, -seized, 0)
        self.note(EVENT, v.address, place, borrower=None, liquidator=liquidator, collateral=c, collateral_raw=seized,
                  debt=d, debt_raw=paid)  # fmt: skip

    def holdings(self, at: int, block: int) -> list[Holding]:
        found = []
        for b in self.books.values():
            supply_price, borrow_price = b.prices(at)
            found.append(
                Holding(
                    reserve_id=b.token.address,
                    role="reserve",
                    token=b.token,
                    supplied=b.supply_raw * supply_price // PRICE + b.supply_free,
                    variable=b.borrow_raw * borrow_price // PRICE,
                    stable=0,
                    available=b.cash,
                    held=b.cash,
                    quote=NO_QUOTE,
                )
            )
        return found
