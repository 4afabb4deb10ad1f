"""The newest Aave V3 from its own sources (npm @aave-dao/aave-v3-origin), compiled here, living on a local node.

Two New York days with what the first line of V3 does not have: the pool's own book of its underlying, deficits, no
stable debt. On the second day the price oracle is replaced twice, and both old ones go on answering.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from web3 import HTTPProvider, Web3
from web3.logs import DISCARD

from simulate.chain.anvil import NodeError, anvil
from simulate.chain.chain import Chain, account
from simulate.chain.contracts import ARTIFACTS, compile_all
from simulate.lending import CONTRACTS
from tests.aave_v3_fixture import DAYS, GENESIS, HOUR, MIDNIGHTS, NOBODY
from tests.solidity import Deployer, compiled

FOLDER = Path(__file__).parent / "aave_origin"
CHAIN_ID = 31_341
ROOT = "@aave-dao/aave-v3-origin/src/contracts"
SOURCES = [
    f"{ROOT}/{name}.sol"
    for name in (
        "instances/PoolInstance", "instances/PoolConfiguratorInstance", "instances/ATokenInstance",
        "instances/VariableDebtTokenInstance", "helpers/AaveProtocolDataProvider", "misc/AaveOracle",
        "misc/DefaultReserveInterestRateStrategyV2", "protocol/configuration/PoolAddressesProvider",
        "protocol/configuration/ACLManager", "mocks/testnet-helpers/TestnetERC20",
    )
]  # fmt: skip
REMAPPINGS = [
    "solidity-utils/=@bgd-labs/solidity-utils/src/",
    "openzeppelin-contracts/contracts/=@openzeppelin/contracts/",
    "openzeppelin-contracts-upgradeable/contracts/=@openzeppelin/contracts-upgradeable/",
]
DEPLOYER, TREASURY = account("origin deployer"), account("origin treasury")
ALICE, BOB, CAROL = (account(f"origin {name}") for name in ("alice", "bob", "carol"))
TOKENS = (("USDX", 6, 10**8), ("WETX", 18, 4_000 * 10**8), ("LOST", 18, 0))  # symbol, decimals, price; 0: no source
CRASHES = (2_900 * 10**8, 2_500 * 10**8, 1_500 * 10**8)  # of WETX, by each oracle of the second day
INIT = "initReserves((address,address,address,string,string,string,string,bytes,bytes)[])"
CALL = "liquidationCall(address,address,address,uint256,bool)"


@dataclass(frozen=True)
class RealOrigin:
    """Where it is, and what a panel must find, read through the contracts' own ABI with web3."""

    rpc_url: str
    chain_id: int
    registry: str
    assets: dict[str, str]
    oracles: list[str]
    start_block: int
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict)  # day -> block, reserves
    liquidations: list[dict[str, Any]] = field(default_factory=list)  # by the oracle of their own block


@pytest.fixture(scope="session")
def real_origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealOrigin]:
    """Three reserves, three users, three oracles on one day, two liquidations, one of them with a deficit."""
    try:
        contracts = compiled(FOLDER, "shanghai", REMAPPINGS, SOURCES)
        with anvil(CHAIN_ID, GENESIS, tmp_path_factory.mktemp("origin_states")) as rpc:
            yield _Life(Chain(rpc, GENESIS), contracts).lived()
    except NodeError as error:
        pytest.skip(f"the real Aave V3 (origin) cannot be had here: {error}")


class _Life:
    """Its deployment, its users, its day of three oracles."""

    def __init__(self, chain: Chain, contracts: dict[str, Any]) -> None:
        self.chain, self.of = chain, Deployer(chain, DEPLOYER, contracts)
        self.own = compile_all(ARTIFACTS, CONTRACTS)
        self.oracles: list[str] = []
        self.places: list[int] = []

    def lived(self) -> RealOrigin:
        self.chain.place_multicall3()
        self._deploy()
        self._list()
        start_block = self.chain.mine(GENESIS + 3 * HOUR)
        self._deposit_and_borrow()
        blocks = {DAYS[0]: self.chain.mine(MIDNIGHTS[1] - 7)}
        self._three_oracles()
        blocks[DAYS[1]] = self.chain.mine(MIDNIGHTS[2] - 7)
        for seconds in (0, 12, 600):
            self.chain.mine(MIDNIGHTS[2] + seconds)
        self.chain.check()
        truth = _Truth(self.chain.rpc.url, self.provider, self.of)
        return RealOrigin(
            self.chain.rpc.url, CHAIN_ID, self.provider, self.assets, self.oracles, start_block,
            {day: truth.snapshot(block) for day, block in blocks.items()},
            [truth.liquidation(self.chain.hashes[place]) for place in self.places],
        )  # fmt: skip

    def _deploy(self) -> None:
        make, do = self.of.make, self.of.do
        self.provider = make("PoolAddressesProvider", "Foreshore", DEPLOYER)
        do(self.provider, "setACLAdmin(address)", DEPLOYER)
        self.chain.mine(GENESIS + HOUR)
        acl = make("ACLManager", self.provider)
        do(self.provider, "setACLManager(address)", acl)
        do(acl, "addPoolAdmin(address)", DEPLOYER)
        self.strategy = make("DefaultReserveInterestRateStrategyV2", self.provider)
        do(self.provider, "setPoolImpl(address)", make("PoolInstance", self.provider, self.strategy))
        do(self.provider, "setPoolConfiguratorImpl(address)", make("PoolConfiguratorInstance"))
        self.chain.mine(GENESIS + HOUR + 600)
        self.pool, self.configurator = (
            "0x" + self.chain.view(self.provider, view)[-40:] for view in ("getPool()", "getPoolConfigurator()")
        )
        do(self.provider, "setPoolDataProvider(address)", make("AaveProtocolDataProvider", self.provider))

    def _list(self) -> None:
        make, do = self.of.make, self.of.do
        self.assets = {s: make("TestnetERC20", s, s, decimals, DEPLOYER) for s, decimals, _ in TOKENS}
        self._oracle({symbol: price for symbol, _, price in TOKENS if price})
        tokens = (
            make("ATokenInstance", self.pool, NOBODY, TREASURY),
            make("VariableDebtTokenInstance", self.pool, NOBODY),
        )
        rates = encode(["(uint16,uint32,uint32,uint32)"], [(8_000, 0, 400, 6_000)])
        do(self.configurator, INIT, [(*tokens, a, f"a{s}", f"a{s}", f"v{s}", f"v{s}", b"", rates)
                                     for s, a in self.assets.items()])  # fmt: skip
        for asset in self.assets.values():
            do(
                self.configurator,
                "configureReserveAsCollateral(address,uint256,uint256,uint256)",
                asset,
                8_000,
                8_250,
                10_500,
            )
            do(self.configurator, "setReserveBorrowing(address,bool)", asset, True)
            do(self.configurator, "setReserveFactor(address,uint256)", asset, 1_000)
            do(self.configurator, "setLiquidationProtocolFee(address,uint256)", asset, 1_000)

    def _oracle(self, prices: dict[str, int]) -> None:
        """A price oracle with feeds of its own; the last one keeps answering, as a replaced one does."""
        feeds = {self.assets[s]: self.chain.deploy(DEPLOYER, self.own["feed"], f"{s} / USD", 8) for s in prices}
        for symbol, price in prices.items():
            self.of.do(feeds[self.assets[symbol]], "post(int256)", price)
        sources = list(feeds), list(feeds.values())
        self.oracles.append(self.of.make("AaveOracle", self.provider, *sources, NOBODY, NOBODY, 10**8))
        self.of.do(self.provider, "setPriceOracle(address)", self.oracles[-1])

    def supply(self, user: str, symbol: str, amount: int) -> None:
        asset = self.assets[symbol]
        self._fund(user, asset, amount)
        self.of.do(self.pool, "supply(address,uint256,address,uint16)", asset, amount, user, 0, sender=user)

    def _fund(self, user: str, asset: str, amount: int) -> None:
        self.of.do(asset, "mint(address,uint256)", user, amount)
        self.of.do(asset, "approve(address,uint256)", self.pool, amount, sender=user)

    def borrow(self, user: str, symbol: str, amount: int) -> None:
        function = "borrow(address,uint256,uint256,uint16,address)"
        self.of.do(self.pool, function, self.assets[symbol], amount, 2, 0, user, sender=user)

    def _deposit_and_borrow(self) -> None:
        self.supply(ALICE, "USDX", 1_000_000 * 10**6)
        self.supply(ALICE, "LOST", 7 * 10**18)
        self.supply(BOB, "WETX", 100 * 10**18)
        self.supply(CAROL, "WETX", 10 * 10**18)
        self.chain.mine(GENESIS + 8 * HOUR)
        self.borrow(BOB, "USDX", 250_000 * 10**6)
        self.borrow(CAROL, "USDX", 30_000 * 10**6)
        self.chain.mine(GENESIS + 12 * HOUR)
        self.of.do(
            self.pool, "withdraw(address,uint256,address)", self.assets["USDX"], 5_000 * 10**6, ALICE, sender=ALICE
        )
        self.chain.mine(GENESIS + 13 * HOUR)

    def _three_oracles(self) -> None:
        """Each oracle of the day sees a deeper crash; a liquidation falls under each of the first two."""
        usdx = self.assets["USDX"]
        for i, price in enumerate(CRASHES):
            self._oracle({"USDX": 10**8, "WETX": price})
            self.chain.mine(MIDNIGHTS[1] + (4 + 6 * i) * HOUR)
            if i < len(CRASHES) - 1:
                user, amount = ((BOB, 60_000 * 10**6), (CAROL, 40_000 * 10**6))[i]
                liquidator = account(f"origin liquidator {i}")
                self._fund(liquidator, usdx, amount)
                place = self.of.do(self.pool, CALL, self.assets["WETX"], usdx, user, amount, i == 1, sender=liquidator)
                self.places.append(place)
                self.chain.mine(MIDNIGHTS[1] + (5 + 6 * i) * HOUR)
        self._fund(ALICE, usdx, 1_000 * 10**6)
        self.of.do(self.pool, "repay(address,uint256,uint256,address)", usdx, 1_000 * 10**6, 2, BOB, sender=ALICE)
        self.of.do(self.pool, "mintToTreasury(address[])", [usdx])
        self.of.do(usdx, "mint(address,uint256)", account("origin giver"), 123)  # a stranger's gift, in no book
        a_token = "0x" + self.chain.view(self.pool, "getReserveAToken(address)", usdx)[-40:]
        self.of.do(usdx, "transfer(address,uint256)", a_token, 123, sender=account("origin giver"))


class _Truth:
    """What the contracts say at a block, through web3 and their own ABI."""

    def __init__(self, url: str, provider: str, of: Deployer) -> None:
        self.web3, self.of = Web3(HTTPProvider(url)), of
        self.provider = self.at("PoolAddressesProvider", provider)

    def at(self, name: str, address: str) -> Any:
        return self.web3.eth.contract(address=Web3.to_checksum_address(address), abi=self.of.abi(name))

    def snapshot(self, block: int) -> dict[str, Any]:
        view = self.provider.functions
        pool = self.at("PoolInstance", view.getPool().call(block_identifier=block))
        oracle = self.at("AaveOracle", view.getPriceOracle().call(block_identifier=block))
        assets = pool.functions.getReservesList().call(block_identifier=block)
        return {"block": block, "reserves": {a.lower(): self._reserve(pool, oracle, a, block) for a in assets}}

    def _reserve(self, pool: Any, oracle: Any, asset: str, block: int) -> dict[str, Any]:
        ask = pool.functions

        def token(address: str) -> Any:
            return self.at("TestnetERC20", address).functions

        a_token = ask.getReserveAToken(asset).call(block_identifier=block)
        debt = ask.getReserveVariableDebtToken(asset).call(block_identifier=block)
        return {
            "supplied_raw": token(a_token).totalSupply().call(block_identifier=block),
            "borrowed_variable_raw": token(debt).totalSupply().call(block_identifier=block),
            "available_raw": ask.getVirtualUnderlyingBalance(asset).call(block_identifier=block),
            "held_raw": token(asset).balanceOf(a_token).call(block_identifier=block),
            "deficit_raw": ask.getReserveDeficit(asset).call(block_identifier=block),
            "decimals": token(asset).decimals().call(block_identifier=block),
            "price_raw": self._price(oracle, asset, block),
        }

    def _price(self, oracle: Any, asset: str, block: int) -> int | None:
        try:
            return int(oracle.functions.getAssetPrice(asset).call(block_identifier=block))
        except Exception:  # no source and no fallback: it reverts
            return None

    def liquidation(self, tx: str) -> dict[str, Any]:
        receipt = self.web3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
        pool = self.at("PoolInstance", self.provider.functions.getPool().call())
        [event] = pool.events.LiquidationCall().process_receipt(receipt, errors=DISCARD)
        block, told = event["blockNumber"], event["args"]
        oracle = self.at("AaveOracle", self.provider.functions.getPriceOracle().call(block_identifier=block))
        prices = {
            a: Decimal(self._price(oracle, told[a], block) or 0) / 10**8 for a in ("collateralAsset", "debtAsset")
        }
        token = self.at("ATokenInstance", pool.functions.getReserveAToken(told["collateralAsset"]).call())
        index = pool.functions.getReserveNormalizedIncome(told["collateralAsset"]).call(block_identifier=block)
        shares = [
            token.functions.scaledBalanceOf(Web3.to_checksum_address(TREASURY)).call(block_identifier=at)
            for at in (block - 1, block)
        ]
        deficits = pool.events.DeficitCreated().process_receipt(receipt, errors=DISCARD)
        return {
            "log_index": event["logIndex"],
            "block": block,
            "tx_hash": tx,
            "debt_raw": told["debtToCover"],
            "collateral_raw": told["liquidatedCollateralAmount"],
            "debt_usd": Decimal(told["debtToCover"]) / 10**6 * prices["debtAsset"],
            "collateral_usd": Decimal(told["liquidatedCollateralAmount"]) / 10**18 * prices["collateralAsset"],
            "treasury_raw": (shares[1] - shares[0]) * index // 10**27,  # what the treasury has gained
            "deficit_raw": sum(d["args"]["amountCreated"] for d in deficits),
        }
