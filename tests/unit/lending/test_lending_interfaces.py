"""The lending world's contracts speak the real families' interfaces: selectors and topics as on public chains."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak

from simulate.chain.contracts import ARTIFACTS, Contract, calldata, compile_all, signature
from simulate.lending import CONTRACTS

# contract -> event (i = indexed) -> topic of the real one
TOPICS = {
    "aave_pool": {
        "LiquidationCall(address i,address i,address i,uint256,uint256,address,bool)": (
            "e413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
        ),
        "DeficitCreated(address i,address i,uint256)": (
            "2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699"
        ),
    },
    "ctoken": {
        "LiquidateBorrow(address,address,uint256,address,uint256)": (
            "298637f684da70674f26509b10f07ec2fbc77a335ab1e7d6215a4b2484d8bb52"
        ),
        "AccrueInterest(uint256,uint256,uint256,uint256)": (
            "4dec04e750ca11537cabcd8a9eab06494de08da3735bc8871cd41250e190bc04"
        ),
    },
    "comet": {
        "AbsorbDebt(address i,address i,uint256,uint256)": (
            "1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f"
        ),
        "AbsorbCollateral(address i,address i,address i,uint256,uint256)": (
            "9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e"
        ),
        "BuyCollateral(address i,address i,uint256,uint256)": (
            "f891b2a411b0e66a5f0a6ff1368670fefa287a13f541eb633a386a1a9cc7046b"
        ),
    },
    "morpho": {
        "Liquidate(bytes32 i,address i,address i,uint256,uint256,uint256,uint256,uint256)": (
            "a4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41"
        ),
        "CreateMarket(bytes32 i,(address,address,address,address,uint256))": (
            "ac4b2400f169220b0c0afdde7a0b32e775ba727ea1cb30b35f935cdaab8683ac"
        ),
        "AccrueInterest(bytes32 i,uint256,uint256,uint256)": (
            "9d9bd501d0657d7dfe415f779a620a62b78bc508ddc0891fbbd8b7ac0f8fce87"
        ),
    },
    "fluid_vault": {
        "LogLiquidate(address,uint256,uint256,address)": (
            "80fd9cc6b1821f4a510e45ffce6852ea3404807b5d3d833ffa85664408afcb66"
        ),
        "LogAbsorb(uint256,uint256)": "115609402b8e0707cb9654c5da38e5c0790ccad443a92f71160fe645aa342d04",
    },
    "fluid_liquidity": {
        "LogOperate(address i,address i,int256,int256,address,address,uint256,uint256)": (
            "4d93b232a24e82b284ced7461bf4deacffe66759d5c24513e6f29e571ad78d15"
        ),
    },
    "euler_vault": {
        "Liquidate(address i,address i,address,uint256,uint256)": (
            "8246cc71ab01533b5bebc672a636df812f10637ad720797319d5741d5ebb3962"
        ),
    },
    "gearbox_facade": {
        "LiquidateCreditAccount(address i,address i,address,uint256)": (
            "7dfecd8419723a9d3954585a30c2a270165d70aafa146c11c1e1b88ae1439064"
        ),
    },
    "gearbox_pool": {
        "Repay(address i,uint256,uint256,uint256)": "2fe77b1c99aca6b022b8efc6e3e8dd1b48b30748709339b65c50ef3263443e09",
    },
    "silo_hook": {
        "LiquidationCall(address i,address i,address i,uint256,uint256,bool)": (
            "3a84f64446e8eada995aa9da2ddbfcd9b5d5d650503b19f024096d04c05ef2a9"
        ),
    },
    "silo_factory": {
        "NewSilo(address i,address i,address i,address,address,address)": (
            "3d6b896c73b628ec6ba0bdfe3cdee1356ea2af31af2a97bbd6b532ca6fa00acb"
        ),
    },
}

RATES = "(uint256,(address,uint256,uint256,uint256,uint256),(address,uint256,uint256,uint256,uint256,uint256,uint256))"
FLUID_V1 = f"({','.join(['uint256'] * 15)},{RATES})"
FLUID_V2 = f"({','.join(['uint256'] * 16)},{RATES})"

# contract -> function -> (selector of the real one, or None where none is recorded; types it returns)
VIEWS: dict[str, dict[str, tuple[str | None, str]]] = {
    "aave_provider": {
        "getPool()": ("026b1d5f", "address"),
        "getPoolDataProvider()": ("e860accb", "address"),
        "getPriceOracle()": ("fca513a8", "address"),
        "getLendingPool()": ("0261bf8b", "address"),
        "getAddress(bytes32)": ("21f8a721", "address"),
    },
    "aave_pool": {"getReservesList()": ("d1946dbc", "address[]")},
    "aave_data_provider": {
        "getReserveTokensAddresses(address)": ("d2493b6c", "address,address,address"),
        "getReserveConfigurationData(address)": (None, ",".join(["uint256"] * 5 + ["bool"] * 5)),
        "getPaused(address)": (None, "bool"),
    },
    "aave_token": {"totalSupply()": ("18160ddd", "uint256")},
    "aave_oracle": {
        "getAssetPrice(address)": ("b3596f07", "uint256"),
        "getAssetsPrices(address[])": ("9d23d9f2", "uint256[]"),
        "BASE_CURRENCY_UNIT()": ("8c89b64f", "uint256"),
        "BASE_CURRENCY()": (None, "address"),
        "getSourceOfAsset(address)": ("92bf2be0", "address"),
    },
    "comptroller": {"getAllMarkets()": ("b0772d0b", "address[]"), "oracle()": ("7dc0d1d0", "address")},
    "compound_oracle": {"getUnderlyingPrice(address)": ("fc57d4df", "uint256")},
    "ctoken": {
        "getCash()": ("3b1d21a2", "uint256"),
        "totalBorrows()": ("47bd3718", "uint256"),
        "totalReserves()": ("8f840ddd", "uint256"),
        "underlying()": ("6f307dc3", "address"),
        "exchangeRateStored()": ("182df0f5", "uint256"),
    },
    "comet": {
        "totalBorrow()": ("8285ef40", "uint256"),
        "totalSupply()": ("18160ddd", "uint256"),
        "numAssets()": ("a46fe83b", "uint8"),
        "getAssetInfo(uint8)": ("c8c7fe6b", "(uint8,address,address,uint64,uint64,uint64,uint64,uint128)"),
        "totalsCollateral(address)": ("59e017bd", "(uint128,uint128)"),
        "baseToken()": ("c55dae63", "address"),
        "baseTokenPriceFeed()": ("e7dad6bd", "address"),
        "getPrice(address)": ("41976e09", "uint256"),
    },
    "morpho": {
        "market(bytes32)": ("5c60e39a", "(uint128,uint128,uint128,uint128,uint128,uint128)"),
        "idToMarketParams(bytes32)": ("2c3c9157", "(address,address,address,address,uint256)"),
    },
    "morpho_oracle": {"price()": ("a035b1fe", "uint256")},
    "morpho_irm": {
        "borrowRateView((address,address,address,address,uint256),(uint128,uint128,uint128,uint128,uint128,uint128))": (
            "8c00bf6b",
            "uint256",
        )
    },
    "fluid_resolver": {
        "listedTokens()": (None, "address[]"),
        "getOverallTokenData(address)": (None, FLUID_V1),
        "getOverallTokensData(address[])": (None, f"{FLUID_V1}[]"),
    },
    "fluid_resolver_2": {
        "listedTokens()": (None, "address[]"),
        "getOverallTokenData(address)": (None, FLUID_V2),
        "getOverallTokensData(address[])": (None, f"{FLUID_V2}[]"),
    },
    "fluid_factory": {"totalVaults()": (None, "uint256"), "getVaultAddress(uint256)": (None, "address")},
    "fluid_vault_resolver": {"getAllVaultsAddresses()": (None, "address[]")},
    "fluid_vault": {"VAULT_ID()": ("540acabc", "uint256")},
    "euler_factory": {
        "getProxyListLength()": (None, "uint256"),
        "getProxyListSlice(uint256,uint256)": (None, "address[]"),
    },
    "euler_vault": {
        "totalAssets()": ("01e1d114", "uint256"),
        "totalBorrows()": ("47bd3718", "uint256"),
        "cash()": ("961be391", "uint256"),
        "asset()": ("38d52e0f", "address"),
        "oracle()": ("7dc0d1d0", "address"),
        "unitOfAccount()": (None, "address"),
        "convertToAssets(uint256)": ("07a2d13a", "uint256"),
    },
    "euler_oracle": {"getQuote(uint256,address,address)": (None, "uint256")},
    "silo_factory": {"getNextSiloId()": (None, "uint256"), "idToSiloConfig(uint256)": (None, "address")},
    "silo_config": {"getSilos()": (None, "address,address")},
    "silo": {
        "asset()": ("38d52e0f", "address"),
        "getTotalAssetsStorage(uint8)": (None, "uint256"),
        "getDebtAssets()": (None, "uint256"),
        "getCollateralAssets()": (None, "uint256"),
        "getLiquidity()": (None, "uint256"),
        "totalAssets()": ("01e1d114", "uint256"),
        "config()": ("79502c55", "address"),
    },
    "gearbox_provider": {"getAddressOrRevert(bytes32,uint256)": (None, "address")},
    "gearbox_register": {"getPools()": (None, "address[]"), "getCreditManagers()": (None, "address[]")},
    "gearbox_pool": {
        "expectedLiquidity()": (None, "uint256"),
        "availableLiquidity()": (None, "uint256"),
        "totalBorrowed()": (None, "uint256"),
        "underlyingToken()": (None, "address"),
    },
    "gearbox_manager": {"pool()": (None, "address"), "creditFacade()": (None, "address")},
    "gearbox_oracle": {"getPrice(address)": ("41976e09", "uint256"), "priceFeeds(address)": (None, "address")},
    "feed": {
        "latestRoundData()": ("feaf968c", "uint80,int256,uint256,uint256,uint80"),
        "latestAnswer()": ("50d25bcd", "int256"),
        "decimals()": ("313ce567", "uint8"),
    },
}


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    return compile_all(ARTIFACTS, CONTRACTS)


def _type(part: dict[str, Any]) -> str:
    inner = ",".join(_type(c) for c in part.get("components", []))
    return f"({inner})" + part["type"].removeprefix("tuple") if inner else str(part["type"])


def _event(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(_type(i) + ' i' * i['indexed'] for i in entry['inputs'])})"


def _returns(entry: dict[str, Any]) -> str:
    return ",".join(_type(output) for output in entry["outputs"])


def test_events_have_the_real_topics_and_indexed_fields(contracts: dict[str, Contract]) -> None:
    for name, events in TOPICS.items():
        own = {_event(e): signature(e) for e in contracts[name].abi if e["type"] == "event"}
        for event, topic in events.items():
            assert event in own, f"{name} has {sorted(own)}"
            assert keccak(text=own[event]).hex() == topic, event


def test_views_have_the_real_selectors_and_returns(contracts: dict[str, Contract]) -> None:
    for name, views in VIEWS.items():
        own = {signature(e): e for e in contracts[name].abi if e["type"] == "function"}
        for view, (selector, returns) in views.items():
            assert view in own, f"{name} lacks {view}"
            assert selector in (None, keccak(text=view)[:4].hex()), view
            assert _returns(own[view]) == returns, view


def test_a_token_may_lack_what_erc20_leaves_optional(contracts: dict[str, Contract]) -> None:
    names = {e["name"] for e in contracts["asset_bare"].abi if e["type"] == "function"}
    assert not names & {"decimals", "symbol", "name"} and {"balanceOf", "totalSupply"} <= names


def test_tuples_are_one_argument() -> None:
    text = "f((uint256,(address,bool))[],bytes32)"
    data = calldata(text, [(7, ("0x" + "11" * 20, True))], b"\x01" * 32)
    assert data.startswith("0x" + keccak(text=text)[:4].hex())
    words = [data[at : at + 64] for at in range(10, len(data), 64)]
    assert words[1] == "01" * 32 and words[-1].endswith("1") and words[-3].endswith("7")
