# pragma version 0.4.3
"""Comet (Compound III): one base asset that is borrowed, collaterals that are not; rates are constants."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable
    def balanceOf(owner: address) -> uint256: view

interface Feed:
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view

event AbsorbDebt:
    absorber: indexed(address)
    borrower: indexed(address)
    basePaidOut: uint256
    usdValue: uint256

event AbsorbCollateral:
    absorber: indexed(address)
    borrower: indexed(address)
    asset: indexed(address)
    collateralAbsorbed: uint256
    usdValue: uint256

event Supply:
    src: indexed(address)
    dst: indexed(address)
    amount: uint256

event Withdraw:
    src: indexed(address)
    to: indexed(address)
    amount: uint256

event SupplyCollateral:
    src: indexed(address)
    dst: indexed(address)
    asset: indexed(address)
    amount: uint256

event WithdrawCollateral:
    src: indexed(address)
    to: indexed(address)
    asset: indexed(address)
    amount: uint256

event BuyCollateral:
    buyer: indexed(address)
    asset: indexed(address)
    baseAmount: uint256
    collateralAmount: uint256

struct AssetInfo:
    offset: uint8
    asset: address
    priceFeed: address
    scale: uint64
    borrowCollateralFactor: uint64
    liquidateCollateralFactor: uint64
    liquidationFactor: uint64
    supplyCap: uint128

struct TotalsCollateral:
    totalSupplyAsset: uint128
    _reserved: uint128

INDEX: constant(uint256) = 10 ** 15
FACTOR: constant(uint256) = 10 ** 18

baseToken: public(immutable(address))
baseTokenPriceFeed: public(immutable(address))
baseScale: public(immutable(uint256))
decimals: public(immutable(uint8))
SUPPLY_RATE: immutable(uint256)
BORROW_RATE: immutable(uint256)
infos: DynArray[AssetInfo, 24]
totalsCollateral: public(HashMap[address, TotalsCollateral])
userCollateral: HashMap[address, HashMap[address, uint128]]
supply_index: uint256
borrow_index: uint256
accrued_at: uint256
supply_base: uint256
borrow_base: uint256
supplied_by: HashMap[address, uint256]
borrowed_by: HashMap[address, uint256]

@deploy
def __init__(base: address, feed: address, base_decimals: uint8, supply_rate: uint256, borrow_rate: uint256):
    baseToken = base
    baseTokenPriceFeed = feed
    baseScale = 10 ** convert(base_decimals, uint256)
    decimals = base_decimals
    SUPPLY_RATE = supply_rate
    BORROW_RATE = borrow_rate
    self.supply_index = INDEX
    self.borrow_index = INDEX
    self.accrued_at = block.timestamp

@external
def addAsset(asset: address, feed: address, scale: uint64):
    self.infos.append(AssetInfo(
        offset=convert(len(self.infos), uint8), asset=asset, priceFeed=feed, scale=scale,
        borrowCollateralFactor=8 * 10 ** 17, liquidateCollateralFactor=85 * 10 ** 16, liquidationFactor=93 * 10 ** 16,
        supplyCap=max_value(uint128),
    ))

@view
@external
def numAssets() -> uint8:
    return convert(len(self.infos), uint8)

@view
@external
def getAssetInfo(i: uint8) -> AssetInfo:
    return self.infos[convert(i, uint256)]

@view
@internal
def _price(feed: address) -> uint256:
    round: uint80 = 0
    answer: int256 = 0
    started: uint256 = 0
    updated: uint256 = 0
    answered: uint80 = 0
    round, answer, started, updated, answered = staticcall Feed(feed).latestRoundData()
    assert answer > 0, "BadPrice"
    return convert(answer, uint256)

@view
@external
def getPrice(priceFeed: address) -> uint256:
    return self._price(priceFeed)

@view
@internal
def _indices() -> (uint256, uint256):
    seconds: uint256 = block.timestamp - self.accrued_at
    return (
        self.supply_index + self.supply_index * (SUPPLY_RATE * seconds) // FACTOR,
        self.borrow_index + self.borrow_index * (BORROW_RATE * seconds) // FACTOR,
    )

@internal
def _accrue():
    self.supply_index, self.borrow_index = self._indices()
    self.accrued_at = block.timestamp

@view
@external
def totalSupply() -> uint256:
    supplied: uint256 = 0
    borrowed: uint256 = 0
    supplied, borrowed = self._indices()
    return self.supply_base * supplied // INDEX

@view
@external
def totalBorrow() -> uint256:
    supplied: uint256 = 0
    borrowed: uint256 = 0
    supplied, borrowed = self._indices()
    return self.borrow_base * borrowed // INDEX

@external
def supplyTo(dst: address, asset: address, amount: uint256):
    extcall Token(asset).mint(self, amount)
    if asset == baseToken:
        self._accrue()
        principal: uint256 = amount * INDEX // self.supply_index
        self.supply_base += principal
        self.supplied_by[dst] += principal
        log Supply(src=msg.sender, dst=dst, amount=amount)
    else:
        self.totalsCollateral[asset].totalSupplyAsset += convert(amount, uint128)
        self.userCollateral[dst][asset] += convert(amount, uint128)
        log SupplyCollateral(src=msg.sender, dst=dst, asset=asset, amount=amount)

@external
def withdrawFrom(src: address, to: address, asset: address, amount: uint256):
    """Base: a borrow of `src`, who has supplied none. Collateral: taken out."""
    extcall Token(asset).burn(self, amount)
    if asset == baseToken:
        self._accrue()
        principal: uint256 = (amount * INDEX + self.borrow_index - 1) // self.borrow_index
        self.borrow_base += principal
        self.borrowed_by[src] += principal
        log Withdraw(src=src, to=to, amount=amount)
    else:
        self.totalsCollateral[asset].totalSupplyAsset -= convert(amount, uint128)
        self.userCollateral[src][asset] -= convert(amount, uint128)
        log WithdrawCollateral(src=src, to=to, asset=asset, amount=amount)

@view
@external
def getCollateralReserves(asset: address) -> uint256:
    held: uint256 = staticcall Token(asset).balanceOf(self)
    return held - convert(self.totalsCollateral[asset].totalSupplyAsset, uint256)

@external
def absorb(absorber: address, accounts: DynArray[address, 8]):
    self._accrue()
    for account: address in accounts:
        self._absorb(absorber, account)

@internal
def _absorb(absorber: address, account: address):
    """The protocol takes all collateral of an account, pays its debt, and owes it what the collateral was worth more."""
    delta: uint256 = 0
    for info: AssetInfo in self.infos:
        seized: uint128 = self.userCollateral[account][info.asset]
        if seized > 0:
            self.userCollateral[account][info.asset] = 0
            self.totalsCollateral[info.asset].totalSupplyAsset -= seized
            amount: uint256 = convert(seized, uint256)
            usd: uint256 = amount * self._price(info.priceFeed) // convert(info.scale, uint256)
            delta += usd * convert(info.liquidationFactor, uint256) // FACTOR
            log AbsorbCollateral(
                absorber=absorber, borrower=account, asset=info.asset, collateralAbsorbed=amount, usdValue=usd
            )
    price: uint256 = self._price(baseTokenPriceFeed)
    owed: uint256 = self.borrowed_by[account] * self.borrow_index // INDEX
    worth: uint256 = delta * baseScale // price
    kept: uint256 = worth - owed if worth > owed else 0
    paid: uint256 = owed + kept
    self.borrow_base -= self.borrowed_by[account]
    self.borrowed_by[account] = 0
    principal: uint256 = kept * INDEX // self.supply_index
    self.supply_base += principal
    self.supplied_by[account] += principal
    log AbsorbDebt(absorber=absorber, borrower=account, basePaidOut=paid, usdValue=paid * price // baseScale)

@external
def buyCollateral(asset: address, minAmount: uint256, baseAmount: uint256, recipient: address):
    """What the protocol absorbed is sold again: `minAmount` of it, in this world."""
    held: uint256 = staticcall Token(asset).balanceOf(self)
    assert held - convert(self.totalsCollateral[asset].totalSupplyAsset, uint256) >= minAmount
    extcall Token(baseToken).mint(self, baseAmount)
    extcall Token(asset).burn(self, minAmount)
    log BuyCollateral(buyer=msg.sender, asset=asset, baseAmount=baseAmount, collateralAmount=minAmount)
