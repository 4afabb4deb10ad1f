"""Gearbox V3 as the agents know it: pools that lend to credit accounts, whose liquidation says only what was left."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulate.chain.chain import account
from simulate.lending.books import Holding
from simulate.lending.csu import Csu, Scene
from simulate.lending.market import Token, quote

RAY = 10**27
YEAR = 31_536_000
REGISTER, ORACLE = (key.encode().ljust(32, b"\0") for key in ("CONTRACTS_REGISTER", "PRICE_ORACLE"))
ANY_VERSION, VERSION = 0, 300
EVENT = "LiquidateCreditAccount(address,address,address,uint256)"


@dataclass
class Pool:
    """One pool with its credit manager and facade."""

    token: Token
    address: str
    facade: str
    rate: int
    at: int
    expected: int = 0
    borrowed: int = 0
    cash: int = 0
    debts: dict[str, int] = field(default_factory=dict)  # principal by credit account

    def now(self, at: int) -> int:
        return self.expected + self.borrowed * (self.rate * (at - self.at) // YEAR) // RAY

    def update(self, at: int) -> None:
        self.expected, self.at = self.now(at), at


class Gearbox(Csu):
    """An address provider, a register, and a pool for each symbol."""

    family = "gearbox"

    def __init__(self, csu_id: str, scene: Scene, symbols: tuple[str, ...]) -> None:
        super().__init__(csu_id, scene)
        self.symbols = symbols
        self.pools: list[Pool] = []

    def deploy(self, at: int) -> None:
        self.registry = self.make("gearbox_provider")
        register, oracle = self.make("gearbox_register"), self.make("gearbox_oracle")
        self.addresses = {"contracts_register": register, "price_oracle": oracle, "pools": [], "facades": []}
        setter = "setAddress(bytes32,address,uint256)"
        self.chain.together(
            self.admin,
            [
                (self.registry, setter, REGISTER, register, ANY_VERSION),
                (self.registry, setter, ORACLE, oracle, VERSION),
            ],
        )
        for symbol in self.symbols:
            self._pool(at, self.token(symbol), register, oracle)

    def _pool(self, at: int, token: Token, register: str, oracle: str) -> None:
        assert token.feed is not None
        rate = RAY * (3 + 2 * len(self.pools)) // 100
        address = self.make("gearbox_pool", token.address, rate)
        manager = self.make("gearbox_manager", address, token.address)
        pool = Pool(token, address, self.make("gearbox_facade", manager), rate, at)
        self.chain.together(
            self.admin,
            [
                (address, "setCreditManager(address)", manager),
                (manager, "setCreditFacade(address)", pool.facade),
                (manager, "setPriceOracle(address)", oracle),
                (register, "add(address,address)", address, manager),
                (oracle, "setPriceFeed(address,address)", token.address, token.feed.address),
            ],
        )
        self.pools.append(pool)
        self.addresses["pools"].append(address)
        self.addresses["facades"].append(pool.facade)
        self.deposit(at, account(f"{self.csu_id} whale"), pool, token.amount(1_200_000 / len(self.pools)))
        self.open(at, pool, token.amount(500_000 / len(self.pools)))

    def deposit(self, at: int, user: str, pool: Pool, amount: int) -> None:
        pool.update(at)
        pool.expected += amount
        pool.cash += amount
        self.chain.send(user, pool.address, "deposit(uint256,address)", amount, user)

    def open(self, at: int, pool: Pool, amount: int) -> str:
        """A new credit account; returns its address."""
        made = self.borrower()
        pool.update(at)
        pool.borrowed += amount
        pool.cash -= amount
        pool.debts[made] = amount
        self.chain.send(account(f"{self.csu_id} whale"), pool.facade, "openAccount(address,uint256)", made, amount)
        return made

    def act(self, at: int) -> None:
        pool, user = self.chance.choice(self.pools), account(f"{self.csu_id} user {self.chance.randrange(5)}")
        if self.chance.random() < 0.6:
            self.deposit(at, user, pool, pool.token.amount(self.chance.uniform(1_000, 40_000)))
        else:
            self.open(at, pool, pool.cash * self.chance.randrange(1, 30) // 1_000)

    def liquidate(self, at: int, pool: int = 0, usd: float = 8_000.0, lost: bool = False) -> None:
        """A credit account is closed by force; with `lost` the pool does not get all of it back."""
        p, liquidator = self.pools[pool], self.liquidator()
        principal = p.token.amount(usd)
        closed = self.open(at, p, principal)
        profit, loss = (0, principal // 10) if lost else (principal // 1_000, 0)
        remaining = 0 if lost else principal // 50
        function = "liquidateAccount(address,address,uint256,uint256,uint256,uint256)"
        place = self.chain.send(liquidator, p.facade, function, closed, liquidator, principal, profit, loss, remaining)
        p.update(at)
        p.expected -= loss
        p.borrowed -= principal
        p.cash += principal + profit - loss
        self.note(EVENT, p.facade, place, borrower=closed, liquidator=liquidator, debt=p.token, debt_raw=principal,
                  bad_debt_raw=loss, facts={"pool": p.address, "remaining_funds_raw": str(remaining)})  # fmt: skip

    def holdings(self, at: int, block: int) -> list[Holding]:
        return [
            Holding(
                reserve_id=p.address,
                role="reserve",
                token=p.token,
                supplied=p.now(at),
                variable=p.borrowed,
                stable=0,
                available=p.cash,
                held=p.cash,
                quote=quote(p.token.feed),
            )
            for p in self.pools
        ]
