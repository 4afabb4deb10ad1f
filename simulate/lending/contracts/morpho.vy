# pragma version 0.4.3
"""Morpho Blue: every market in one contract; totals are as of the last touch, so whoever reads them accrues first."""

struct MarketParams:
    loanToken: address
    collateralToken: address
    oracle: address
    irm: address
    lltv: uint256

struct Market:
    totalSupplyAssets: uint128
    totalSupplyShares: uint128
    totalBorrowAssets: uint128
    totalBorrowShares: uint128
    lastUpdate: uint128
    fee: uint128

struct Position:
    supplyShares: uint256
    borrowShares: uint128
    collateral: uint128

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable

interface Oracle:
    def price() -> uint256: view

interface Irm:
    def borrowRate(params: MarketParams, market: Market) -> uint256: nonpayable

event CreateMarket:
    id: indexed(bytes32)
    marketParams: MarketParams

event Supply:
    id: indexed(bytes32)
    caller: indexed(address)
    onBehalf: indexed(address)
    assets: uint256
    shares: uint256

event Borrow:
    id: indexed(bytes32)
    caller: address
    onBehalf: indexed(address)
    receiver: indexed(address)
    assets: uint256
    shares: uint256

event SupplyCollateral:
    id: indexed(bytes32)
    caller: indexed(address)
    onBehalf: indexed(address)
    assets: uint256

event WithdrawCollateral:
    id: indexed(bytes32)
    caller: address
    onBehalf: indexed(address)
    receiver: indexed(address)
    assets: uint256

event Liquidate:
    id: indexed(bytes32)
    caller: indexed(address)
    borrower: indexed(address)
    repaidAssets: uint256
    repaidShares: uint256
    seizedAssets: uint256
    badDebtAssets: uint256
    badDebtShares: uint256

event AccrueInterest:
    id: indexed(bytes32)
    prevBorrowRate: uint256
    interest: uint256
    feeShares: uint256

WAD: constant(uint256) = 10 ** 18
PRICE: constant(uint256) = 10 ** 36
VIRTUAL_SHARES: constant(uint256) = 10 ** 6
FEE: constant(uint256) = 10 ** 17

market: public(HashMap[bytes32, Market])
idToMarketParams: public(HashMap[bytes32, MarketParams])
position: public(HashMap[bytes32, HashMap[address, Position]])
feeRecipient: public(address)

@external
def createMarket(marketParams: MarketParams):
    id: bytes32 = keccak256(abi_encode(marketParams))
    assert self.market[id].lastUpdate == 0, "market already created"
    self.market[id].lastUpdate = convert(block.timestamp, uint128)
    self.market[id].fee = convert(FEE, uint128)
    self.idToMarketParams[id] = marketParams
    log CreateMarket(id=id, marketParams=marketParams)

@pure
@internal
def _to_shares(assets: uint256, total: uint128, shares: uint128) -> uint256:
    return assets * (convert(shares, uint256) + VIRTUAL_SHARES) // (convert(total, uint256) + 1)

@pure
@internal
def _to_shares_up(assets: uint256, total: uint128, shares: uint128) -> uint256:
    divisor: uint256 = convert(total, uint256) + 1
    return (assets * (convert(shares, uint256) + VIRTUAL_SHARES) + divisor - 1) // divisor

@pure
@internal
def _to_assets_up(owned: uint256, total: uint128, shares: uint128) -> uint256:
    divisor: uint256 = convert(shares, uint256) + VIRTUAL_SHARES
    return (owned * (convert(total, uint256) + 1) + divisor - 1) // divisor

@internal
def _accrue(id: bytes32):
    m: Market = self.market[id]
    elapsed: uint256 = block.timestamp - convert(m.lastUpdate, uint256)
    if elapsed == 0:
        return
    p: MarketParams = self.idToMarketParams[id]
    rate: uint256 = extcall Irm(p.irm).borrowRate(p, m)
    first: uint256 = rate * elapsed
    second: uint256 = first * first // (2 * WAD)
    third: uint256 = second * first // (3 * WAD)
    interest: uint256 = convert(m.totalBorrowAssets, uint256) * (first + second + third) // WAD
    m.totalBorrowAssets += convert(interest, uint128)
    m.totalSupplyAssets += convert(interest, uint128)
    fee: uint256 = interest * convert(m.fee, uint256) // WAD
    shares: uint256 = self._to_shares(fee, m.totalSupplyAssets - convert(fee, uint128), m.totalSupplyShares)
    self.position[id][self.feeRecipient].supplyShares += shares
    m.totalSupplyShares += convert(shares, uint128)
    m.lastUpdate = convert(block.timestamp, uint128)
    self.market[id] = m
    log AccrueInterest(id=id, prevBorrowRate=rate, interest=interest, feeShares=shares)

@external
def accrueInterest(marketParams: MarketParams):
    self._accrue(keccak256(abi_encode(marketParams)))

@external
def supply(marketParams: MarketParams, assets: uint256, shares: uint256, onBehalf: address, data: Bytes[32]) -> (uint256, uint256):
    id: bytes32 = keccak256(abi_encode(marketParams))
    self._accrue(id)
    minted: uint256 = self._to_shares(assets, self.market[id].totalSupplyAssets, self.market[id].totalSupplyShares)
    self.position[id][onBehalf].supplyShares += minted
    self.market[id].totalSupplyShares += convert(minted, uint128)
    self.market[id].totalSupplyAssets += convert(assets, uint128)
    log Supply(id=id, caller=msg.sender, onBehalf=onBehalf, assets=assets, shares=minted)
    extcall Token(marketParams.loanToken).mint(self, assets)
    return assets, minted

@external
def borrow(marketParams: MarketParams, assets: uint256, shares: uint256, onBehalf: address, receiver: address) -> (uint256, uint256):
    id: bytes32 = keccak256(abi_encode(marketParams))
    self._accrue(id)
    minted: uint256 = self._to_shares_up(assets, self.market[id].totalBorrowAssets, self.market[id].totalBorrowShares)
    self.position[id][onBehalf].borrowShares += convert(minted, uint128)
    self.market[id].totalBorrowShares += convert(minted, uint128)
    self.market[id].totalBorrowAssets += convert(assets, uint128)
    assert self.market[id].totalBorrowAssets <= self.market[id].totalSupplyAssets, "insufficient liquidity"
    log Borrow(id=id, caller=msg.sender, onBehalf=onBehalf, receiver=receiver, assets=assets, shares=minted)
    extcall Token(marketParams.loanToken).burn(self, assets)
    return assets, minted

@external
def supplyCollateral(marketParams: MarketParams, assets: uint256, onBehalf: address, data: Bytes[32]):
    id: bytes32 = keccak256(abi_encode(marketParams))
    self.position[id][onBehalf].collateral += convert(assets, uint128)
    log SupplyCollateral(id=id, caller=msg.sender, onBehalf=onBehalf, assets=assets)
    extcall Token(marketParams.collateralToken).mint(self, assets)

@external
def withdrawCollateral(marketParams: MarketParams, assets: uint256, onBehalf: address, receiver: address):
    id: bytes32 = keccak256(abi_encode(marketParams))
    self._accrue(id)
    self.position[id][onBehalf].collateral -= convert(assets, uint128)
    log WithdrawCollateral(id=id, caller=msg.sender, onBehalf=onBehalf, receiver=receiver, assets=assets)
    extcall Token(marketParams.collateralToken).burn(self, assets)

@external
def liquidate(marketParams: MarketParams, borrower: address, seizedAssets: uint256, repaidShares: uint256, data: Bytes[32]) -> (uint256, uint256):
    """By seized assets; the incentive is fixed at 1.05."""
    id: bytes32 = keccak256(abi_encode(marketParams))
    self._accrue(id)
    m: Market = self.market[id]
    p: Position = self.position[id][borrower]
    quoted: uint256 = (seizedAssets * staticcall Oracle(marketParams.oracle).price() + PRICE - 1) // PRICE
    incentive: uint256 = 105 * 10 ** 16
    by_price: uint256 = (quoted * WAD + incentive - 1) // incentive
    burned: uint256 = min(self._to_shares(by_price, m.totalBorrowAssets, m.totalBorrowShares), convert(p.borrowShares, uint256))
    repaid: uint256 = self._to_assets_up(burned, m.totalBorrowAssets, m.totalBorrowShares)
    p.borrowShares -= convert(burned, uint128)
    m.totalBorrowShares -= convert(burned, uint128)
    m.totalBorrowAssets -= min(convert(repaid, uint128), m.totalBorrowAssets)
    p.collateral -= convert(seizedAssets, uint128)
    bad_shares: uint256 = 0
    bad_assets: uint256 = 0
    if p.collateral == 0:
        bad_shares = convert(p.borrowShares, uint256)
        owed: uint256 = self._to_assets_up(bad_shares, m.totalBorrowAssets, m.totalBorrowShares)
        bad_assets = min(convert(m.totalBorrowAssets, uint256), owed)
        m.totalBorrowAssets -= convert(bad_assets, uint128)
        m.totalSupplyAssets -= convert(bad_assets, uint128)
        m.totalBorrowShares -= convert(bad_shares, uint128)
        p.borrowShares = 0
    self.market[id] = m
    self.position[id][borrower] = p
    extcall Token(marketParams.collateralToken).burn(self, seizedAssets)
    log Liquidate(
        id=id, caller=msg.sender, borrower=borrower, repaidAssets=repaid, repaidShares=burned,
        seizedAssets=seizedAssets, badDebtAssets=bad_assets, badDebtShares=bad_shares,
    )
    extcall Token(marketParams.loanToken).mint(self, repaid)
    return seizedAssets, repaid
