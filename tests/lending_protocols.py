"""One small deployment of every family, written into a book, with what must be read of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from extract.evm.config import MULTICALL3
from extract.lending.families import FAMILIES, fluid, morpho_blue
from extract.lending.families.base import NATIVE, Family
from extract.lending.registry import Csu
from tests.lending_fakes import BLOCK, NOW, Book, a_csu, addr, address_list, words

WETH, USDC, WBTC = addr(0xE), addr(0xC), addr(0xB)
MARKET = f"0x{7:064x}"
IDLE = f"0x{8:064x}"
DECIMALS = {WETH: 18, USDC: 6, WBTC: 8, NATIVE: 18}
Amounts = dict[str, tuple[int, int, int, int]]  # supplied, borrowed, stable, available by reserve id


@dataclass(frozen=True)
class Deployment:
    """A deployment in a book."""

    family: Family
    csu: Csu
    book: Book
    amounts: Amounts
    emitters: frozenset[str]


def aave_v3() -> Deployment:
    book, registry, pool, provider, oracle = Book(), addr(1), addr(2), addr(3), addr(4)
    book.put(registry, "getPool()", gives=words(pool))
    book.put(registry, "getPriceOracle()", gives=words(oracle))
    book.put(registry, "getPoolDataProvider()", gives=words(provider))
    book.put(oracle, "BASE_CURRENCY_UNIT()", gives=words(10**8))
    book.put(oracle, "BASE_CURRENCY()", gives=words(0))
    book.put(pool, "getReservesList()", gives=address_list(WETH, USDC))
    amounts: Amounts = {WETH: (1000, 300, 20, 680), USDC: (500, 0, 0, 500)}
    for i, asset in enumerate((WETH, USDC)):
        a, stable, variable = addr(0x100 + i), addr(0x200 + i) if asset == WETH else addr(0), addr(0x300 + i)
        book.put(provider, "getReserveTokensAddresses(address)", asset, gives=words(a, stable, variable))
        config = words(18, 8000, 8250, 10500, 1000, 1, 1, 0, int(asset == WETH), int(asset == USDC))
        book.put(provider, "getReserveConfigurationData(address)", asset, gives=config)
        book.put(provider, "getPaused(address)", asset, gives=words(int(asset == WETH)))
        supplied, borrowed, stable_debt, available = amounts[asset]
        book.put(a, "totalSupply()", gives=words(supplied))
        book.put(variable, "totalSupply()", gives=words(borrowed))
        book.put(stable, "totalSupply()", gives=words(stable_debt))
        book.put(asset, "balanceOf(address)", a, gives=words(available))
    csu = a_csu("aave_v3")
    return Deployment(FAMILIES["aave_v3"], csu, book, amounts, frozenset({pool}))


def aave_v2() -> Deployment:
    of = aave_v3()
    registry, pool, provider = addr(1), addr(2), addr(3)
    book = Book({c: r for c, r in of.book.answers.items() if c.target not in (registry, addr(4))})
    book.put(registry, "getLendingPool()", gives=words(pool))
    book.put(registry, "getPriceOracle()", gives=words(addr(4)))
    book.put(registry, "getPoolDataProvider()", gives="reverted")
    book.put(registry, "getAddress(bytes32)", "0x01" + "00" * 31, gives=words(provider))
    book.put(addr(4), "BASE_CURRENCY_UNIT()", gives="reverted")
    book.put(addr(4), "BASE_CURRENCY()", gives="reverted")
    for asset in (WETH, USDC):
        book.put(provider, "getPaused(address)", asset, gives="reverted")
    book.put(pool, "paused()", gives=words(1))
    return Deployment(FAMILIES["aave_v2"], a_csu("aave_v2"), book, of.amounts, of.emitters)


def compound_v2() -> Deployment:
    book, comptroller, oracle, native, usdc = Book(), addr(1), addr(4), addr(0x10), addr(0x11)
    book.put(comptroller, "getAllMarkets()", gives=address_list(native, usdc))
    book.put(comptroller, "oracle()", gives=words(oracle))
    book.put(native, "underlying()", gives="reverted")
    book.put(usdc, "underlying()", gives=words(USDC))
    for market, cash, borrows, kept in ((native, 70, 40, 10), (usdc, 5, 900, 5)):
        book.put(market, "getCash()", gives=words(cash))
        book.put(market, "totalBorrows()", gives=words(borrows))
        book.put(market, "totalReserves()", gives=words(kept))
        book.put(comptroller, "borrowGuardianPaused(address)", market, gives=words(int(market == usdc)))
    for view, number in (("borrowRatePerBlock()", 10**13), ("accrualBlockNumber()", BLOCK - 10_000)):
        book.put(usdc, view, gives=words(number))
    book.put(usdc, "reserveFactorMantissa()", gives=words(10**17))
    book.put(MULTICALL3, "getBlockNumber()", gives=words(BLOCK))
    # 10,000 blocks at 1e-5 a block: 10 % of 900 owed, a tenth of it kept; the native market does not say its rate
    amounts: Amounts = {native: (100, 40, 0, 70), usdc: (5 + 990 - 5 - 9, 990, 0, 5)}
    return Deployment(FAMILIES["compound_v2"], a_csu("compound_v2"), book, amounts, frozenset({native, usdc}))


def compound_v3(unit: str = "usd") -> Deployment:
    book, comet = Book(), addr(1)
    for view, value in (("baseTokenPriceFeed()", addr(0x50)), ("baseToken()", WETH)):
        book.put(comet, view, gives=words(value))
    numbers = {"numAssets()": 2, "totalSupply()": 900, "totalBorrow()": 700, "isSupplyPaused()": 0}
    for view, number in numbers.items() | {"isWithdrawPaused()": 1}.items():
        book.put(comet, view, gives=words(number))
    book.put(WETH, "balanceOf(address)", comet, gives=words(250))
    for i, (asset, held) in enumerate(((USDC, 11), (WBTC, 12))):
        book.put(comet, "getAssetInfo(uint8)", i, gives=words(i, asset, addr(0x51 + i), 1, 1, 1, 1, 10**9))
        book.put(comet, "totalsCollateral(address)", asset, gives=words(held, 0))
        book.put(comet, "getCollateralReserves(address)", asset, gives=words(3 * i))
    amounts: Amounts = {
        WETH: (900, 700, 0, 250),
        f"{USDC}:collateral": (11, 0, 0, 11),
        f"{WBTC}:collateral": (12, 0, 0, 12),
    }
    csu = a_csu("compound_v3", price_unit=unit)
    return Deployment(FAMILIES["compound_v3"], csu, book, amounts, frozenset({comet}))


def morpho() -> Deployment:
    book, singleton, oracle, model = Book(), addr(1), addr(4), addr(5)
    params = (USDC, WETH, oracle, model, 860 * 10**15)
    book.put(singleton, "idToMarketParams(bytes32)", b"\0" * 32, gives=words(0, 0, 0, 0, 0))
    created = morpho_blue.CREATED
    book.emit(100, singleton, created, id=MARKET, params=params)
    book.emit(101, singleton, created, id=IDLE, params=(USDC, addr(0), addr(0), addr(0), 0))
    supply, withdraw, liquidate = morpho_blue.MOVES
    who = {"caller": addr(90), "onBehalf": addr(91)}
    book.emit(110, singleton, supply, id=MARKET, assets=10**20, **who)
    book.emit(15_000_000, singleton, withdraw, id=MARKET, receiver=addr(92), assets=3 * 10**19, **who)
    seized = {"repaidAssets": 5, "repaidShares": 6, "badDebtAssets": 0, "badDebtShares": 0}
    book.emit(
        19_999_999,
        singleton,
        liquidate,
        id=MARKET,
        caller=addr(90),
        borrower=addr(91),
        seizedAssets=10**19,
        **seized,
    )
    six = (10**12, 10**18, 8 * 10**11, 8 * 10**17, NOW - 3600, 0)
    book.put(singleton, "market(bytes32)", MARKET, gives=words(*six))
    book.put(singleton, "market(bytes32)", IDLE, gives=words(77, 77, 0, 0, NOW - 5, 0))
    rate = f"borrowRateView({morpho_blue._MARKET},{morpho_blue._TOTALS})"
    book.put(model, rate, params, six, gives=words(10**9))
    grown = 8 * 10**11 * (3600 * 10**9 + (3600 * 10**9) ** 2 // (2 * 10**18)) // 10**18
    amounts: Amounts = {
        f"{MARKET}:loan": (10**12 + grown, 8 * 10**11 + grown, 0, 2 * 10**11),
        f"{MARKET}:collateral": (6 * 10**19, 0, 0, 6 * 10**19),
        f"{IDLE}:loan": (77, 0, 0, 77),
    }
    return Deployment(
        FAMILIES["morpho_blue"], a_csu("morpho_blue", start_block=50), book, amounts, frozenset({singleton})
    )


def moolah() -> Deployment:
    """The fork whose oracle prices one token each, in dollars."""
    of = morpho()
    of.book.put(addr(4), "peek(address)", WETH, gives=words(3_000 * 10**8))
    of.book.put(addr(4), "peek(address)", USDC, gives=words(10**8))
    return replace(of, family=FAMILIES["moolah"], csu=a_csu("moolah", start_block=50))


def packed(rate: int = 0, updated: int = NOW, supply: int = 10**12, borrow: int = 10**12, **bits: int) -> int:
    """A token's `exchangePricesAndConfig`."""
    of = {"fee": 16, "utilization": 30, "supply_ratio": 219, "borrow_ratio": 234, "paused": 255}
    word = rate | updated << 58 | supply << 91 | borrow << 155
    return word | sum(value << of[name] for name, value in bits.items())


def big(value: int) -> int:
    """BigMath of 56 | 8 bits, rounded down."""
    exponent = max(value.bit_length() - 56, 0)
    return value >> exponent << 8 | exponent


def fluid_v1() -> Deployment:
    book, liquidity, factory = Book(), addr(1), addr(2)
    csu = a_csu("fluid", second_address=factory)

    def slot(number: int, value: int) -> None:
        book.put(liquidity, fluid.READ, number.to_bytes(32, "big"), gives=words(value))

    slot(10, 2)
    start = 0xC65A7BB8D6351C1CF70C95A316CC6A92839C986682D98BC35F958F4883F9D2A8  # keccak256(uint256(10))
    slot(start, int(NATIVE, 16))
    slot(start + 1, int(USDC, 16))
    slot(fluid.mapping_slot(5, NATIVE), packed(paused=1))
    slot(fluid.mapping_slot(7, NATIVE), big(10**20) | big(5) << 64 | big(4 * 10**19) << 128 | big(7) << 192)
    slot(fluid.mapping_slot(5, USDC), packed(supply=2 * 10**12, borrow=3 * 10**12))
    slot(fluid.mapping_slot(7, USDC), big(1000) | big(100) << 128)
    book.put(factory, "totalVaults()", gives=words(3))
    vaults = [addr(0x40 + i) for i in range(1, 4)]
    for i, vault in enumerate(vaults, 1):
        book.put(factory, "getVaultAddress(uint256)", i, gives=words(vault))
    one = words(liquidity, factory, addr(5), addr(6), NATIVE, USDC, 18, 6, 1, 1, 2, 3, 4)
    head = (liquidity, factory, addr(5), addr(6), addr(7), addr(8))
    two = words(*head, addr(0xD1), liquidity, WETH, WBTC, USDC, 0, 2, 20_000, 1, 2, 3, 4)
    four = words(*head, addr(0xD1), addr(0xD2), WETH, WBTC, USDC, WETH, 3, 40_000, 1, 2, 3, 4)
    for vault, constants in zip(vaults, (one, two, four), strict=True):
        book.put(vault, "constantsView()", gives=constants)
    amounts: Amounts = {
        NATIVE: (_round(10**20) + 5, _round(4 * 10**19) + 7, 0, _round(10**20) + 5 - _round(4 * 10**19) - 7),
        USDC: (2000, 300, 0, 1700),
    }
    return Deployment(FAMILIES["fluid"], csu, book, amounts, frozenset(vaults))


def _round(value: int) -> int:
    return big(value) >> 8 << (big(value) & 0xFF)


def euler() -> Deployment:
    book, factory, oracle = Book(), addr(1), addr(4)
    vaults = [addr(0x21), addr(0x22), addr(0x23)]
    book.put(factory, "getProxyListLength()", gives=words(3))
    book.put(factory, "getProxyListSlice(uint256,uint256)", 0, 3, gives=address_list(*vaults))
    of = (
        (USDC, oracle, addr(840), 500, 400, 100),
        (USDC, addr(5), addr(840), 9, 0, 9),
        (WETH, oracle, USDC, 40, 0, 40),
    )
    amounts: Amounts = {}
    for vault, (asset, prices, unit, total, debt, cash) in zip(vaults, of, strict=True):
        for view, value in (("asset()", asset), ("oracle()", prices), ("unitOfAccount()", unit)):
            book.put(vault, view, gives=words(value))
        for view, number in (("totalAssets()", total), ("totalBorrows()", debt), ("cash()", cash)):
            book.put(vault, view, gives=words(number))
        amounts[vault] = (total, debt, 0, cash)
    return Deployment(FAMILIES["euler_v2"], a_csu("euler_v2"), book, amounts, frozenset(vaults))


def silo() -> Deployment:
    book, factory, config, oracle, hook = Book(), addr(1), addr(2), addr(4), addr(5)
    silos, assets = (addr(0x31), addr(0x32)), (WETH, USDC)
    book.put(factory, "getNextSiloId()", gives=words(3))
    book.put(factory, "idToSiloConfig(uint256)", 1, gives=words(0))  # the factory began later
    book.put(factory, "idToSiloConfig(uint256)", 2, gives=words(config))
    book.put(config, "getSilos()", gives=words(*silos))
    book.put(oracle, "quoteToken()", gives=words(USDC))
    amounts: Amounts = {}
    for i, (s, asset) in enumerate(zip(silos, assets, strict=True)):
        used = oracle if i == 0 else addr(0)
        book.put(config, "getConfig(address)", s, gives=words(1, 1, s, asset, *[addr(9)] * 3, used, *[1] * 7, hook, 0))
        numbers = {"getCollateralAssets()": 100 + i, "getDebtAssets()": 60, "getLiquidity()": 40 + i}
        for view, number in numbers.items():
            book.put(s, view, gives=words(number))
        book.put(s, "asset()", gives=words(asset))
        book.put(s, "getTotalAssetsStorage(uint8)", 0, gives=words(7))
        amounts |= {s: (100 + i, 60, 0, 40 + i), f"{s}:protected": (7, 0, 0, 7)}
    return Deployment(FAMILIES["silo_v2"], a_csu("silo_v2"), book, amounts, frozenset({hook}))


def gearbox_v3() -> Deployment:
    book, registry, register, oracle = Book(), addr(1), addr(2), addr(4)
    pool, old, manager, facade = addr(0x61), addr(0x62), addr(0x63), addr(0x64)
    key = "0x" + b"CONTRACTS_REGISTER".hex()
    book.put(registry, "getAddressOrRevert(bytes32,uint256)", key, 0, gives=words(register))
    book.put(register, "getPools()", gives=address_list(pool, old))
    for of, asset, supplied, debt, free in ((pool, USDC, 1000, 600, 380), (old, WETH, 3, 0, 3)):
        book.put(of, "underlyingToken()", gives=words(asset))
        book.put(of, "expectedLiquidity()", gives=words(supplied))
        book.put(of, "totalBorrowed()", gives=words(debt))
        book.put(of, "availableLiquidity()", gives=words(free))
        book.put(of, "paused()", gives=words(0))
    book.put(pool, "creditManagers()", gives=address_list(manager))
    book.put(old, "creditManagers()", gives="reverted")
    book.put(pool, "version()", gives=words(300))
    book.put(old, "version()", gives=words(1))
    book.put(manager, "creditFacade()", gives=words(facade))
    book.put(manager, "priceOracle()", gives=words(oracle))
    amounts: Amounts = {pool: (1000, 600, 0, 380), old: (3, 0, 0, 3)}
    return Deployment(FAMILIES["gearbox"], a_csu("gearbox"), book, amounts, frozenset({pool, old, facade}))


DEPLOYMENTS: dict[str, Callable[[], Deployment]] = {
    "aave_v2": aave_v2,
    "aave_v3": aave_v3,
    "compound_v2": compound_v2,
    "compound_v3": compound_v3,
    "euler_v2": euler,
    "fluid": fluid_v1,
    "gearbox": gearbox_v3,
    "moolah": moolah,
    "morpho_blue": morpho,
    "silo_v2": silo,
}
__all__ = ["DECIMALS", "DEPLOYMENTS", "IDLE", "MARKET", "USDC", "WBTC", "WETH", "Deployment", "big", "packed"]
