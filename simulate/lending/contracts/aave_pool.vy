# pragma version 0.4.3
"""Pool of Aave V2 and V3: indexes, supplies, debts and liquidations; rates are constants, health is not checked."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable
    def transferOnLiquidation(sender: address, receiver: address, amount: uint256): nonpayable
    def RESERVE_TREASURY_ADDRESS() -> address: view
    def balanceOf(owner: address) -> uint256: view

interface Oracle:
    def getAssetPrice(asset: address) -> uint256: view

event LiquidationCall:
    collateralAsset: indexed(address)
    debtAsset: indexed(address)
    user: indexed(address)
    debtToCover: uint256
    liquidatedCollateralAmount: uint256
    liquidator: address
    receiveAToken: bool

event Supply:
    reserve: indexed(address)
    user: address
    onBehalfOf: indexed(address)
    amount: uint256
    referralCode: indexed(uint16)

event Deposit:
    reserve: indexed(address)
    user: address
    onBehalfOf: indexed(address)
    amount: uint256
    referral: indexed(uint16)

event Withdraw:
    reserve: indexed(address)
    user: indexed(address)
    to: indexed(address)
    amount: uint256

event DeficitCreated:
    user: indexed(address)
    debtAsset: indexed(address)
    amountCreated: uint256

struct Reserve:
    aToken: address
    stableDebtToken: address
    variableDebtToken: address
    decimals: uint256
    liquidityRate: uint256
    variableRate: uint256
    liquidityIndex: uint256
    variableIndex: uint256
    updatedAt: uint256
    isFrozen: bool
    isPaused: bool

RAY: constant(uint256) = 10 ** 27
YEAR: constant(uint256) = 31_536_000
BONUS: constant(uint256) = 10_500
FEE: constant(uint256) = 1_000  # the protocol's share of the bonus, in basis points (V3)

IS_V3: immutable(bool)
ORACLE: immutable(address)
assets: DynArray[address, 32]
reserves: public(HashMap[address, Reserve])
deficits: HashMap[address, uint256]

@deploy
def __init__(is_v3: bool, oracle: address):
    IS_V3 = is_v3
    ORACLE = oracle

@external
def initReserve(asset: address, aToken: address, stable: address, variable: address, decimals: uint256, liquidityRate: uint256, variableRate: uint256):
    self.assets.append(asset)
    self.reserves[asset] = Reserve(
        aToken=aToken, stableDebtToken=stable, variableDebtToken=variable, decimals=decimals,
        liquidityRate=liquidityRate, variableRate=variableRate, liquidityIndex=RAY, variableIndex=RAY,
        updatedAt=block.timestamp, isFrozen=False, isPaused=False,
    )

@external
def setReserveFreeze(asset: address, frozen: bool):
    self.reserves[asset].isFrozen = frozen

@external
def setReservePause(asset: address, paused: bool):
    self.reserves[asset].isPaused = paused

@view
@external
def getReservesList() -> DynArray[address, 32]:
    return self.assets

@view
@external
def getReserveDeficit(asset: address) -> uint256:
    assert IS_V3
    return self.deficits[asset]

@pure
@internal
def _multiplied(a: uint256, b: uint256) -> uint256:
    return (a * b + RAY // 2) // RAY

@view
@internal
def _compounded(rate: uint256, since: uint256) -> uint256:
    seconds: uint256 = block.timestamp - since
    if seconds == 0:
        return RAY
    less_one: uint256 = seconds - 1
    less_two: uint256 = seconds - 2 if seconds > 2 else 0
    power_two: uint256 = self._multiplied(rate, rate) // (YEAR * YEAR)
    power_three: uint256 = self._multiplied(power_two, rate) // YEAR
    second: uint256 = seconds * less_one * power_two // 2
    third: uint256 = seconds * less_one * less_two * power_three // 6
    return RAY + rate * seconds // YEAR + second + third

@view
@external
def compounded(rate: uint256, since: uint256) -> uint256:
    return self._compounded(rate, since)

@view
@internal
def _income(asset: address) -> uint256:
    r: Reserve = self.reserves[asset]
    return self._multiplied(RAY + r.liquidityRate * (block.timestamp - r.updatedAt) // YEAR, r.liquidityIndex)

@view
@internal
def _debt(asset: address) -> uint256:
    r: Reserve = self.reserves[asset]
    return self._multiplied(self._compounded(r.variableRate, r.updatedAt), r.variableIndex)

@view
@external
def getReserveNormalizedIncome(asset: address) -> uint256:
    return self._income(asset)

@view
@external
def getReserveNormalizedVariableDebt(asset: address) -> uint256:
    return self._debt(asset)

@internal
def _update(asset: address):
    income: uint256 = self._income(asset)
    self.reserves[asset].variableIndex = self._debt(asset)
    self.reserves[asset].liquidityIndex = income
    self.reserves[asset].updatedAt = block.timestamp

@internal
def _supply(asset: address, amount: uint256, onBehalfOf: address):
    assert not self.reserves[asset].isFrozen and not self.reserves[asset].isPaused
    self._update(asset)
    extcall Token(asset).mint(self.reserves[asset].aToken, amount)
    extcall Token(self.reserves[asset].aToken).mint(onBehalfOf, amount)
    if IS_V3:
        log Supply(reserve=asset, user=msg.sender, onBehalfOf=onBehalfOf, amount=amount, referralCode=0)
    else:
        log Deposit(reserve=asset, user=msg.sender, onBehalfOf=onBehalfOf, amount=amount, referral=0)

@external
def supply(asset: address, amount: uint256, onBehalfOf: address, referralCode: uint16):
    assert IS_V3
    self._supply(asset, amount, onBehalfOf)

@external
def deposit(asset: address, amount: uint256, onBehalfOf: address, referralCode: uint16):
    self._supply(asset, amount, onBehalfOf)

@external
def withdraw(asset: address, amount: uint256, to: address) -> uint256:
    assert not self.reserves[asset].isPaused
    self._update(asset)
    extcall Token(self.reserves[asset].aToken).burn(msg.sender, amount)
    extcall Token(asset).burn(self.reserves[asset].aToken, amount)
    log Withdraw(reserve=asset, user=msg.sender, to=to, amount=amount)
    return amount

@external
def borrow(asset: address, amount: uint256, interestRateMode: uint256, referralCode: uint16, onBehalfOf: address):
    r: Reserve = self.reserves[asset]
    assert not r.isFrozen and not r.isPaused
    self._update(asset)
    extcall Token(r.stableDebtToken if interestRateMode == 1 else r.variableDebtToken).mint(onBehalfOf, amount)
    extcall Token(asset).burn(r.aToken, amount)
    # V2 and V3 differ in a type of the event, so that its topic does too
    topic: bytes32 = keccak256("Borrow(address,address,address,uint256,uint8,uint256,uint16)")
    if not IS_V3:
        topic = keccak256("Borrow(address,address,address,uint256,uint256,uint256,uint16)")
    raw_log(
        [topic, convert(asset, bytes32), convert(onBehalfOf, bytes32), empty(bytes32)],
        abi_encode(msg.sender, amount, interestRateMode, r.variableRate),
    )

@external
def repay(asset: address, amount: uint256, interestRateMode: uint256, onBehalfOf: address) -> uint256:
    r: Reserve = self.reserves[asset]
    assert not r.isPaused
    self._update(asset)
    extcall Token(r.stableDebtToken if interestRateMode == 1 else r.variableDebtToken).burn(onBehalfOf, amount)
    extcall Token(asset).mint(r.aToken, amount)
    who: bytes32 = convert(msg.sender, bytes32)
    if IS_V3:
        raw_log(
            [keccak256("Repay(address,address,address,uint256,bool)"), convert(asset, bytes32),
             convert(onBehalfOf, bytes32), who],
            abi_encode(amount, False),
        )
    else:
        raw_log(
            [keccak256("Repay(address,address,address,uint256)"), convert(asset, bytes32),
             convert(onBehalfOf, bytes32), who],
            abi_encode(amount),
        )
    return amount

@view
@internal
def _seized(collateral: address, debt: address, debtToCover: uint256) -> uint256:
    """Collateral worth the debt covered, and the bonus."""
    debt_price: uint256 = staticcall Oracle(ORACLE).getAssetPrice(debt)
    collateral_price: uint256 = staticcall Oracle(ORACLE).getAssetPrice(collateral)
    worth: uint256 = debt_price * debtToCover * 10 ** self.reserves[collateral].decimals
    return worth // (collateral_price * 10 ** self.reserves[debt].decimals) * BONUS // 10_000

@external
def liquidationCall(collateralAsset: address, debtAsset: address, user: address, debtToCover: uint256, receiveAToken: bool):
    collateral: Reserve = self.reserves[collateralAsset]
    debt: Reserve = self.reserves[debtAsset]
    self._update(debtAsset)
    self._update(collateralAsset)
    held: uint256 = staticcall Token(collateral.aToken).balanceOf(user)
    seized: uint256 = min(self._seized(collateralAsset, debtAsset, debtToCover), held)
    extcall Token(debt.variableDebtToken).burn(user, debtToCover)
    extcall Token(debtAsset).mint(debt.aToken, debtToCover)
    fee: uint256 = 0
    if IS_V3:
        fee = (seized - seized * 10_000 // BONUS) * FEE // 10_000
    received: uint256 = seized - fee
    extcall Token(collateral.aToken).burn(user, received)
    if receiveAToken:
        extcall Token(collateral.aToken).mint(msg.sender, received)
    else:
        extcall Token(collateralAsset).burn(collateral.aToken, received)
    if fee > 0:
        treasury: address = staticcall Token(collateral.aToken).RESERVE_TREASURY_ADDRESS()
        extcall Token(collateral.aToken).transferOnLiquidation(user, treasury, fee)
    if IS_V3 and seized == held:
        self._write_off(debtAsset, debt.variableDebtToken, user)
    log LiquidationCall(
        collateralAsset=collateralAsset, debtAsset=debtAsset, user=user, debtToCover=debtToCover,
        liquidatedCollateralAmount=received, liquidator=msg.sender, receiveAToken=receiveAToken,
    )

@internal
def _write_off(asset: address, token: address, user: address):
    """Nothing is left to seize: what remains of the debt is the reserve's deficit (V3.3)."""
    left: uint256 = staticcall Token(token).balanceOf(user)
    if left > 0:
        extcall Token(token).burn(user, left)
        self.deficits[asset] += left
        log DeficitCreated(user=user, debtAsset=asset, amountCreated=left)
