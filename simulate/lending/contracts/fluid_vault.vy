# pragma version 0.4.3
"""A T1 vault of Fluid: one collateral, one debt, both kept at Liquidity; positions are left out."""

interface Liquidity:
    def operate(token: address, supplyAmount: int256, borrowAmount: int256, withdrawTo: address, borrowTo: address, callbackData: Bytes[32]): payable

interface Feed:
    def latestAnswer() -> int256: view

event LogOperate:
    user_: address
    nftId_: uint256
    colAmt_: int256
    debtAmt_: int256
    to_: address

event LogLiquidate:
    liquidator_: address
    colAmt_: uint256
    debtAmt_: uint256
    to_: address

event LogAbsorb:
    colAbsorbedRaw_: uint256
    debtAbsorbedRaw_: uint256

struct ConstantViews:
    liquidity: address
    factory: address
    adminImplementation: address
    secondaryImplementation: address
    supplyToken: address
    borrowToken: address
    supplyDecimals: uint8
    borrowDecimals: uint8
    vaultId: uint256
    liquiditySupplyExchangePriceSlot: bytes32
    liquidityBorrowExchangePriceSlot: bytes32
    liquidityUserSupplySlot: bytes32
    liquidityUserBorrowSlot: bytes32

NATIVE: constant(address) = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE
RATE: constant(uint256) = 10 ** 27
LIQUIDITY: immutable(address)
FACTORY: immutable(address)
VAULT_ID: public(immutable(uint256))
COLLATERAL: immutable(address)
DEBT: immutable(address)
COLLATERAL_DECIMALS: immutable(uint8)
DEBT_DECIMALS: immutable(uint8)
COLLATERAL_FEED: immutable(address)
DEBT_FEED: immutable(address)

@deploy
def __init__(liquidity: address, vault_id: uint256, collateral: address, debt: address, collateral_decimals: uint8, debt_decimals: uint8, collateral_feed: address, debt_feed: address):
    LIQUIDITY = liquidity
    FACTORY = msg.sender
    VAULT_ID = vault_id
    COLLATERAL = collateral
    DEBT = debt
    COLLATERAL_DECIMALS = collateral_decimals
    DEBT_DECIMALS = debt_decimals
    COLLATERAL_FEED = collateral_feed
    DEBT_FEED = debt_feed

@view
@external
def constantsView() -> ConstantViews:
    return ConstantViews(
        liquidity=LIQUIDITY, factory=FACTORY, adminImplementation=self, secondaryImplementation=self,
        supplyToken=COLLATERAL, borrowToken=DEBT, supplyDecimals=COLLATERAL_DECIMALS, borrowDecimals=DEBT_DECIMALS,
        vaultId=VAULT_ID, liquiditySupplyExchangePriceSlot=empty(bytes32),
        liquidityBorrowExchangePriceSlot=empty(bytes32), liquidityUserSupplySlot=empty(bytes32),
        liquidityUserBorrowSlot=empty(bytes32),
    )

@view
@internal
def _rate() -> uint256:
    """Raw debt for one raw collateral, times 1e27."""
    ours: uint256 = convert(staticcall Feed(COLLATERAL_FEED).latestAnswer(), uint256)
    theirs: uint256 = convert(staticcall Feed(DEBT_FEED).latestAnswer(), uint256)
    return ours * RATE * 10 ** convert(DEBT_DECIMALS, uint256) // (theirs * 10 ** convert(COLLATERAL_DECIMALS, uint256))

@view
@external
def rate() -> uint256:
    return self._rate()

@payable
@external
def operate(nftId_: uint256, newCol_: int256, newDebt_: int256, to_: address):
    if newCol_ != 0:
        extcall Liquidity(LIQUIDITY).operate(COLLATERAL, newCol_, 0, to_, to_, b"", value=msg.value)
    if newDebt_ != 0:
        extcall Liquidity(LIQUIDITY).operate(DEBT, 0, newDebt_, to_, to_, b"")
    log LogOperate(user_=msg.sender, nftId_=nftId_, colAmt_=newCol_, debtAmt_=newDebt_, to_=to_)

@external
def liquidate(debtAmt_: uint256, colPerUnitDebt_: uint256, to_: address, absorb_: bool) -> (uint256, uint256):
    collateral: uint256 = debtAmt_ * RATE // self._rate() * 102 // 100
    assert collateral > 0
    extcall Liquidity(LIQUIDITY).operate(DEBT, 0, -convert(debtAmt_, int256), to_, to_, b"")
    extcall Liquidity(LIQUIDITY).operate(COLLATERAL, -convert(collateral, int256), 0, to_, to_, b"")
    if absorb_:
        log LogAbsorb(colAbsorbedRaw_=collateral, debtAbsorbedRaw_=debtAmt_)
    log LogLiquidate(liquidator_=msg.sender, colAmt_=collateral, debtAmt_=debtAmt_, to_=to_)
    return debtAmt_, collateral
