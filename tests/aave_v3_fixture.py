"""The real Aave V3, compiled by its authors (npm @aave/core-v3, pinned with integrity), living on a local node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider, Web3

from simulate.chain.anvil import NodeError, anvil, install
from simulate.chain.chain import Chain, account
from simulate.chain.contracts import ARTIFACTS, Contract, compile_all
from simulate.lending import CONTRACTS

FOLDER = Path(__file__).parent / "aave_v3"
COMPILED = FOLDER / "node_modules" / "@aave" / "core-v3" / "artifacts" / "contracts"
CHAIN_ID = 31_339
GENESIS = 1_761_969_600  # 2025-11-01 04:00 UTC, a New York midnight
DAYS = ("2025-11-01", "2025-11-02")  # 24 and 25 hours
MIDNIGHTS = (GENESIS, GENESIS + 86_400, GENESIS + 86_400 + 25 * 3_600)
HOUR = 3_600
RAY = 10**27
NOBODY = "0x" + "0" * 40
DEPLOYER, TREASURY = account("aave deployer"), account("aave treasury")
ALICE, BOB, CAROL = (account(f"aave {name}") for name in ("alice", "bob", "carol"))
INIT = (
    "initReserves((address,address,address,uint8,address,address,address,address,"
    "string,string,string,string,string,string,bytes)[])"
)
LIBRARIES = ("BorrowLogic", "SupplyLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic",
             "ConfiguratorLogic", "FlashLoanLogic")  # fmt: skip
TOKENS = (("USDX", 6, 10**8), ("WETX", 18, 4_000 * 10**8), ("WBTX", 8, 110_000 * 10**8))  # symbol, decimals, price
CRASH = 2_900 * 10**8  # of WETX, on the second day


@dataclass(frozen=True)
class RealAave:
    """Where it is, and what a panel must find: everything read through the contracts' own ABI with web3."""

    rpc_url: str
    chain_id: int
    registry: str
    pool: str
    data_provider: str
    oracle: str
    assets: dict[str, str]  # symbol -> address
    feeds: dict[str, str]  # asset -> its aggregator
    start_block: int
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)  # day -> block, timestamp, reserves
    liquidation: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session")
def real_aave(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAave]:
    """Three reserves, three users, two New York days, a price that falls, and a liquidation in the 25th hour."""
    try:
        install(FOLDER)
        with anvil(CHAIN_ID, GENESIS, tmp_path_factory.mktemp("aave_states")) as rpc:
            yield _Deployment(Chain(rpc, GENESIS)).lived()
    except NodeError as error:
        pytest.skip(f"the real Aave V3 cannot be installed here: {error}")


@cache
def _artifact(name: str) -> dict[str, Any]:
    path = next(COMPILED.rglob(f"{name}.sol/{name}.json"))
    return dict(json.loads(path.read_text()))


class _Deployment:
    """The steps of Aave's own deployment, in order."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.libraries: dict[str, str] = {}
        self.own = compile_all(ARTIFACTS, CONTRACTS)

    def lived(self) -> RealAave:
        self._deploy()
        self._list()
        start_block = self.chain.mine(GENESIS + 3 * HOUR)
        self._deposit_and_borrow()
        blocks = {DAYS[0]: self._to(MIDNIGHTS[1])}
        liquidated = self._crash_and_liquidate()
        blocks[DAYS[1]] = self._to(MIDNIGHTS[2])
        for seconds in (0, 12, 24, 600, 1_200, 1_800):  # the next day begins exactly at midnight
            self.chain.mine(MIDNIGHTS[2] + seconds)
        self.chain.check()
        truth = _Truth(self.chain.rpc.url, self.provider)
        return RealAave(
            rpc_url=self.chain.rpc.url,
            chain_id=CHAIN_ID,
            registry=self.provider,
            pool=self.pool,
            data_provider=self.data_provider,
            oracle=self.oracle,
            assets=self.assets,
            feeds=self.feeds,
            start_block=start_block,
            snapshots={day: truth.snapshot(block) for day, block in blocks.items()},
            liquidation=truth.liquidation(self.chain.hashes[liquidated]),
        )

    def make(self, name: str, *arguments: Any) -> str:
        """Queue a contract of Aave's, linked with the libraries made so far."""
        found = _artifact(name)
        code = found["bytecode"]
        for inside in found["linkReferences"].values():
            for library, places in inside.items():
                for place in places:
                    at = 2 + 2 * place["start"]
                    code = code[:at] + self.libraries[library][2:] + code[at + 40 :]
        return self.chain.deploy(DEPLOYER, Contract(name, found["abi"], code), *arguments)

    def do(self, to: str, function: str, *arguments: Any) -> int:
        return self.chain.send(DEPLOYER, to, function, *arguments)

    def _deploy(self) -> None:
        for name in LIBRARIES:
            self.libraries[name] = self.make(name)
        self.provider = self.make("PoolAddressesProvider", "Foreshore", DEPLOYER)
        self.do(self.provider, "setACLAdmin(address)", DEPLOYER)
        self.chain.mine(GENESIS + HOUR)
        acl = self.make("ACLManager", self.provider)
        self.do(self.provider, "setACLManager(address)", acl)
        self.do(acl, "addPoolAdmin(address)", DEPLOYER)
        self.data_provider = self.make("AaveProtocolDataProvider", self.provider)
        self.do(self.provider, "setPoolDataProvider(address)", self.data_provider)
        self.do(self.provider, "setPoolImpl(address)", self.make("Pool", self.provider))
        self.do(self.provider, "setPoolConfiguratorImpl(address)", self.make("PoolConfigurator"))
        self.chain.mine(GENESIS + HOUR + 600)
        self.pool, self.configurator = (
            "0x" + self.chain.view(self.provider, view)[-40:] for view in ("getPool()", "getPoolConfigurator()")
        )

    def _list(self) -> None:
        """Tokens, feeds, oracle, reserves."""
        self.assets = {s: self.make("MintableERC20", s, s, decimals) for s, decimals, _ in TOKENS}
        made = {s: self.chain.deploy(DEPLOYER, self.own["feed"], f"{s} / USD", 8) for s in self.assets}
        self.feeds = {self.assets[symbol]: feed for symbol, feed in made.items()}
        for symbol, _, price in TOKENS:
            self.do(made[symbol], "post(int256)", price)
        sources = list(self.feeds), list(self.feeds.values())
        self.oracle = self.make("AaveOracle", self.provider, *sources, NOBODY, NOBODY, 10**8)
        self.do(self.provider, "setPriceOracle(address)", self.oracle)
        tokens = [self.make(name, self.pool) for name in ("AToken", "StableDebtToken", "VariableDebtToken")]
        percent = RAY // 100
        rates = [80, 0, 4, 60, 2, 60, 2, 5, 20]
        strategy = self.make("DefaultReserveInterestRateStrategy", self.provider, *(percent * rate for rate in rates))
        reserves = [
            (*tokens, decimals, strategy, self.assets[s], TREASURY, NOBODY,
             f"a{s}", f"a{s}", f"v{s}", f"v{s}", f"s{s}", f"s{s}", b"")
            for s, decimals, _ in TOKENS
        ]  # fmt: skip
        self.do(self.configurator, INIT, reserves)
        collateral = "configureReserveAsCollateral(address,uint256,uint256,uint256)"
        for asset in self.assets.values():
            self.do(self.configurator, collateral, asset, 8_000, 8_250, 10_500)
            self.do(self.configurator, "setReserveBorrowing(address,bool)", asset, True)
            self.do(self.configurator, "setReserveFactor(address,uint256)", asset, 1_000)
        self.do(self.configurator, "setReserveStableRateBorrowing(address,bool)", self.assets["USDX"], True)

    def supply(self, user: str, symbol: str, amount: int) -> None:
        asset = self.assets[symbol]
        self.do(asset, "mint(address,uint256)", user, amount)
        self.chain.send(user, asset, "approve(address,uint256)", self.pool, amount)
        self.chain.send(user, self.pool, "supply(address,uint256,address,uint16)", asset, amount, user, 0)

    def borrow(self, user: str, symbol: str, amount: int, mode: int = 2) -> None:
        function = "borrow(address,uint256,uint256,uint16,address)"
        self.chain.send(user, self.pool, function, self.assets[symbol], amount, mode, 0, user)

    def _deposit_and_borrow(self) -> None:
        self.supply(ALICE, "USDX", 1_000_000 * 10**6)
        self.supply(ALICE, "WBTX", 5 * 10**8)
        self.supply(BOB, "WETX", 100 * 10**18)
        self.supply(CAROL, "WETX", 50 * 10**18)
        self.chain.mine(GENESIS + 8 * HOUR)
        self.borrow(BOB, "USDX", 300_000 * 10**6)
        self.borrow(CAROL, "USDX", 20_000 * 10**6, mode=1)  # at a stable rate
        self.borrow(ALICE, "WETX", 12 * 10**18)
        self.chain.mine(GENESIS + 12 * HOUR)

    def _crash_and_liquidate(self) -> int:
        """WETX falls on the second day; Bob is liquidated in its 25th hour. Returns the transaction's place."""
        self.chain.mine(MIDNIGHTS[1] + 9 * HOUR)
        self.do(self.feeds[self.assets["WETX"]], "post(int256)", CRASH)
        self.chain.mine(MIDNIGHTS[1] + 20 * HOUR)
        liquidator, debt = account("aave liquidator"), self.assets["USDX"]
        amount = 60_000 * 10**6
        self.do(debt, "mint(address,uint256)", liquidator, amount)
        self.chain.send(liquidator, debt, "approve(address,uint256)", self.pool, amount)
        function = "liquidationCall(address,address,address,uint256,bool)"
        place = self.chain.send(liquidator, self.pool, function, self.assets["WETX"], debt, BOB, amount, False)
        self.chain.mine(MIDNIGHTS[2] - HOUR // 2)
        return place

    def _to(self, midnight: int) -> int:
        """The last block before a midnight."""
        return self.chain.mine(midnight - 7)


class _Truth:
    """What the contracts say at a block, through web3 and their own ABI."""

    def __init__(self, url: str, provider: str) -> None:
        self.web3 = Web3(HTTPProvider(url))
        self.provider = self._at("PoolAddressesProvider", provider)

    def _at(self, name: str, address: str) -> Any:
        return self.web3.eth.contract(address=Web3.to_checksum_address(address), abi=_artifact(name)["abi"])

    def snapshot(self, block: int) -> dict[str, Any]:
        view = self.provider.functions
        pool = self._at("Pool", view.getPool().call(block_identifier=block))
        oracle = self._at("AaveOracle", view.getPriceOracle().call(block_identifier=block))
        data = self._at("AaveProtocolDataProvider", view.getPoolDataProvider().call(block_identifier=block))
        reserves = {
            asset.lower(): self._reserve(data, oracle, asset, block)
            for asset in pool.functions.getReservesList().call(block_identifier=block)
        }
        header = self.web3.eth.get_block(block)
        return {"block": block, "timestamp": int(header["timestamp"]), "reserves": reserves}

    def _reserve(self, data: Any, oracle: Any, asset: str, block: int) -> dict[str, Any]:
        tokens = data.functions.getReserveTokensAddresses(asset).call(block_identifier=block)
        erc20 = [self._at("MintableERC20", address).functions for address in (asset, *tokens)]
        supplied, stable, variable = (token.totalSupply().call(block_identifier=block) for token in erc20[1:])
        available = erc20[0].balanceOf(tokens[0]).call(block_identifier=block)
        price = oracle.functions.getAssetPrice(asset).call(block_identifier=block)
        decimals = erc20[0].decimals().call(block_identifier=block)
        usd = Decimal(price) / 10 ** (8 + decimals)
        return {
            "supplied_raw": supplied,
            "borrowed_variable_raw": variable,
            "borrowed_stable_raw": stable,
            "available_raw": available,
            "decimals": decimals,
            "oracle_price_raw": price,
            "supplied_usd": supplied * usd,
            "borrowed_usd": (variable + stable) * usd,
            "net_usd": (supplied - variable - stable) * usd,
        }

    def liquidation(self, tx: str) -> dict[str, Any]:
        """The event of the liquidation, decoded by web3 with the pool's ABI."""
        receipt = self.web3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
        pool = self._at("Pool", self.provider.functions.getPool().call())
        from web3.logs import DISCARD

        event = pool.events.LiquidationCall().process_receipt(receipt, errors=DISCARD)[0]
        oracle = self._at("AaveOracle", self.provider.functions.getPriceOracle().call())
        block, told = event["blockNumber"], event["args"]

        def usd(asset: str, raw: int) -> Decimal:
            price = oracle.functions.getAssetPrice(asset).call(block_identifier=block)
            decimals = self._at("MintableERC20", asset).functions.decimals().call()
            return Decimal(raw * price) / 10 ** (8 + decimals)

        return {
            "tx_hash": tx,
            "log_index": event["logIndex"],
            "block": block,
            "timestamp": int(self.web3.eth.get_block(block)["timestamp"]),
            "date": DAYS[1],
            "borrower": told["user"].lower(),
            "liquidator": told["liquidator"].lower(),
            "collateral_asset": told["collateralAsset"].lower(),
            "debt_asset": told["debtAsset"].lower(),
            "collateral_raw": told["liquidatedCollateralAmount"],
            "debt_raw": told["debtToCover"],
            "collateral_usd": usd(told["collateralAsset"], told["liquidatedCollateralAmount"]),
            "debt_usd": usd(told["debtAsset"], told["debtToCover"]),
        }
