"""The real Morpho Blue from its own sources (npm @morpho-org/morpho-blue), compiled here, living on a local node.

Two New York days, three markets (one of them made on the second day, one idle), interest, a withdrawal, a repayment,
a liquidation with bad debt. Nothing prices the lent asset until somebody configures a source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from web3 import HTTPProvider, Web3

from simulate.chain.anvil import NodeError, anvil
from simulate.chain.chain import Chain, account
from simulate.chain.contracts import MULTICALL3, calldata
from tests.aave_v3_fixture import DAYS, GENESIS, HOUR, MIDNIGHTS, NOBODY
from tests.solidity import Deployer, compiled

FOLDER = Path(__file__).parent / "morpho_blue"
CHAIN_ID = 31_342
SRC = "@morpho-org/morpho-blue/src"
SOURCES = [f"{SRC}/Morpho.sol", f"{SRC}/mocks/IrmMock.sol", f"{SRC}/mocks/OracleMock.sol", "Token.sol"]
DEPLOYER = account("morpho deployer")
ALICE, BOB, CAROL, DAN = (account(f"morpho {name}") for name in ("alice", "bob", "carol", "dan"))
PARAMS = "(address,address,address,address,uint256)"
LLTV = 86 * 10**16
PRICE = 4_000 * 10**24  # of WETX in USDX: 36 + 6 - 18 decimals
CRASH = 1_500 * 10**24
Params = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class RealMorpho:
    """Where it is, and what a panel must find."""

    rpc_url: str
    chain_id: int
    singleton: str
    usdx: str
    wetx: str
    start_block: int
    stray: str  # a plain token of the same chain
    snapshots: dict[str, dict[str, tuple[int, int]]] = field(
        default_factory=dict
    )  # day -> reserve -> supplied, borrowed
    liquidation: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="session")
def real_morpho(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMorpho]:
    """Markets that live, one that is made later, one that loses money."""
    try:
        contracts = compiled(FOLDER, "paris", [], SOURCES)
        with anvil(CHAIN_ID, GENESIS, tmp_path_factory.mktemp("morpho_states")) as rpc:
            yield _Life(Chain(rpc, GENESIS), contracts).lived()
    except NodeError as error:
        pytest.skip(f"the real Morpho Blue cannot be had here: {error}")


def market_id(params: Params) -> str:
    from eth_abi.abi import encode

    return "0x" + keccak(encode([PARAMS], [params])).hex()


class _Life:
    def __init__(self, chain: Chain, contracts: dict[str, Any]) -> None:
        self.chain, self.of = chain, Deployer(chain, DEPLOYER, contracts)
        self.pledged: Counter[str] = Counter()
        self.markets: list[Params] = []

    def lived(self) -> RealMorpho:
        self.chain.place_multicall3()
        make, do = self.of.make, self.of.do
        self.usdx, self.wetx = make("Token", "USDX", 6), make("Token", "WETX", 18)
        self.chain.mine(GENESIS + HOUR)
        self.morpho = make("Morpho", DEPLOYER)
        irm, oracle = make("IrmMock"), make("OracleMock")
        do(oracle, "setPrice(uint256)", PRICE)
        for function, value in (("enableIrm(address)", irm), ("enableIrm(address)", NOBODY),
                                ("enableLltv(uint256)", LLTV), ("enableLltv(uint256)", 0)):  # fmt: skip
            do(self.morpho, function, value)
        start_block = self.chain.mine(GENESIS + 2 * HOUR)
        main: Params = (self.usdx, self.wetx, oracle, irm, LLTV)
        self._create(main)
        self._create((self.usdx, NOBODY, NOBODY, NOBODY, 0))
        self.chain.mine(GENESIS + 3 * HOUR)
        self._supply(ALICE, main, 1_000_000 * 10**6)
        self._supply(ALICE, self.markets[1], 77 * 10**6)
        self._pledge(BOB, main, 100 * 10**18)
        self._pledge(CAROL, main, 20 * 10**18)
        self._borrow(BOB, main, 120_000 * 10**6)
        self._borrow(CAROL, main, 60_000 * 10**6)
        self.chain.mine(GENESIS + 9 * HOUR)
        snapshots = {DAYS[0]: self._snapshot(self.chain.mine(MIDNIGHTS[1] - 7))}
        place = self._second_day(main, irm)
        snapshots[DAYS[1]] = self._snapshot(self.chain.mine(MIDNIGHTS[2] - 7))
        for seconds in (0, 12, 600):
            self.chain.mine(MIDNIGHTS[2] + seconds)
        self.chain.check()
        told = self._liquidated(place)
        return RealMorpho(
            self.chain.rpc.url, CHAIN_ID, self.morpho, self.usdx, self.wetx, start_block, self.usdx, snapshots, told
        )

    def _create(self, params: Params) -> None:
        self.markets.append(params)
        self.of.do(self.morpho, f"createMarket({PARAMS})", params)

    def _fund(self, user: str, token: str, amount: int) -> None:
        held = int(self.chain.view(token, "balanceOf(address)", user), 16)
        self.of.do(token, "setBalance(address,uint256)", user, held + amount)
        self.of.do(token, "approve(address,uint256)", self.morpho, 2**255, sender=user)
        self.chain.mine(self.chain.timestamp + 12)

    def _supply(self, user: str, params: Params, amount: int) -> None:
        self._fund(user, params[0], amount)
        self.of.do(
            self.morpho, f"supply({PARAMS},uint256,uint256,address,bytes)", params, amount, 0, user, b"", sender=user
        )

    def _pledge(self, user: str, params: Params, amount: int) -> None:
        self._fund(user, params[1], amount)
        function = f"supplyCollateral({PARAMS},uint256,address,bytes)"
        self.of.do(self.morpho, function, params, amount, user, b"", sender=user)
        self.pledged[market_id(params)] += amount

    def _borrow(self, user: str, params: Params, amount: int) -> None:
        function = f"borrow({PARAMS},uint256,uint256,address,address)"
        self.of.do(self.morpho, function, params, amount, 0, user, user, sender=user)

    def _second_day(self, main: Params, irm: str) -> int:
        """A new market, money out, money back, a crash, and an account that cannot pay. Place of the liquidation."""
        self.chain.mine(MIDNIGHTS[1] + 2 * HOUR)
        oracle = self.of.make("OracleMock")
        self.of.do(oracle, "setPrice(uint256)", 1_999 * 10**24)  # its maker thinks so
        late: Params = (self.usdx, self.wetx, oracle, irm, LLTV)
        self._create(late)
        self._supply(ALICE, late, 5_000 * 10**6)
        self._pledge(DAN, late, 3 * 10**18)
        self._borrow(DAN, late, 1_000 * 10**6)
        self.chain.mine(MIDNIGHTS[1] + 4 * HOUR)
        withdraw = f"withdraw({PARAMS},uint256,uint256,address,address)"
        self.of.do(self.morpho, withdraw, main, 50_000 * 10**6, 0, ALICE, ALICE, sender=ALICE)
        self._fund(BOB, self.usdx, 20_000 * 10**6)
        repay = f"repay({PARAMS},uint256,uint256,address,bytes)"
        self.of.do(self.morpho, repay, main, 20_000 * 10**6, 0, BOB, b"", sender=BOB)
        take = f"withdrawCollateral({PARAMS},uint256,address,address)"
        self.of.do(self.morpho, take, main, 10**18, BOB, BOB, sender=BOB)
        self.pledged[market_id(main)] -= 10**18
        self.chain.mine(MIDNIGHTS[1] + 9 * HOUR)
        self.of.do(main[2], "setPrice(uint256)", CRASH)
        self._fund(DAN, self.usdx, 100_000 * 10**6)
        liquidate = f"liquidate({PARAMS},address,uint256,uint256,bytes)"
        place = self.of.do(self.morpho, liquidate, main, CAROL, 20 * 10**18, 0, b"", sender=DAN)
        self.pledged[market_id(main)] -= 20 * 10**18
        self.chain.mine(MIDNIGHTS[1] + 12 * HOUR)
        return place

    def _snapshot(self, block: int) -> dict[str, tuple[int, int]]:
        """Every market as the contract itself would have it: accrued and read in one call at the block."""
        found: dict[str, tuple[int, int]] = {}
        for params in self.markets:
            name = market_id(params)
            asked = calldata(f"accrueInterest({PARAMS})", params), calldata("market(bytes32)", bytes.fromhex(name[2:]))
            calls = [(self.morpho, True, bytes.fromhex(data[2:])) for data in asked]
            data = calldata("aggregate3((address,bool,bytes)[])", calls)
            answer = self.chain.rpc.call("eth_call", {"to": MULTICALL3, "data": data}, hex(block))
            [results] = decode(["(bool,bytes)[]"], bytes.fromhex(answer[2:]))
            six = decode(["uint256"] * 6, results[1][1])
            found[f"{name}:loan"] = six[0], six[2]
            if params[1] != NOBODY:
                found[f"{name}:collateral"] = self.pledged[name], 0
        return found

    def _liquidated(self, place: int) -> dict[str, int]:
        web3 = Web3(HTTPProvider(self.chain.rpc.url))
        from web3.logs import DISCARD

        receipt = web3.eth.get_transaction_receipt(self.chain.hashes[place])  # type: ignore[arg-type]
        contract: Any = web3.eth.contract(address=Web3.to_checksum_address(self.morpho), abi=self.of.abi("EventsLib"))
        [event] = contract.events.Liquidate().process_receipt(receipt, errors=DISCARD)
        return {k: event["args"][k] for k in ("repaidAssets", "seizedAssets", "badDebtAssets")}
