# pragma version 0.4.3
"""An EVault of Euler V2: views include interest up to now; a liquidation moves debt and shares, and no cash."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable

interface Oracle:
    def getQuote(inAmount: uint256, base: address, quote: address) -> uint256: view

interface Vault:
    def balanceOf(owner: address) -> uint256: view
    def seize(violator: address, liquidator: address, shares: uint256): nonpayable

event Liquidate:
    liquidator: indexed(address)
    violator: indexed(address)
    collateral: address
    repayAssets: uint256
    yieldBalance: uint256

event DebtSocialized:
    account: indexed(address)
    assets: uint256

ONE: constant(uint256) = 10 ** 27
SHIFT: constant(uint256) = 2 ** 31
VIRTUAL: constant(uint256) = 10 ** 6
asset: public(immutable(address))
oracle: public(immutable(address))
unitOfAccount: public(immutable(address))
decimals: public(immutable(uint8))
interestRate: public(immutable(uint256))
symbol: public(String[16])
cash: public(uint256)
totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
owed: uint256
accumulator: uint256
updated_at: uint256
owed_by: HashMap[address, uint256]

@deploy
def __init__(symbol: String[16], asset_: address, decimals_: uint8, oracle_: address, unit: address, rate: uint256):
    self.symbol = symbol
    asset = asset_
    decimals = decimals_
    oracle = oracle_
    unitOfAccount = unit
    interestRate = rate
    self.accumulator = ONE
    self.updated_at = block.timestamp

@pure
@internal
def _power(base: uint256, exponent: uint256) -> uint256:
    """base^exponent with 27 decimals, each product rounded to the nearest."""
    result: uint256 = base if exponent % 2 == 1 else ONE
    x: uint256 = base
    n: uint256 = exponent // 2
    for _: uint256 in range(64):
        if n == 0:
            break
        x = (x * x + ONE // 2) // ONE
        if n % 2 == 1:
            result = (result * x + ONE // 2) // ONE
        n = n // 2
    return result

@view
@internal
def _now() -> (uint256, uint256):
    """Debt (in parts of a raw unit) and accumulator as of this block."""
    if block.timestamp == self.updated_at:
        return self.owed, self.accumulator
    grown: uint256 = self._power(ONE + interestRate, block.timestamp - self.updated_at) * self.accumulator // ONE
    return self.owed * grown // self.accumulator, grown

@internal
def _update():
    self.owed, self.accumulator = self._now()
    self.updated_at = block.timestamp

@view
@internal
def _borrows() -> uint256:
    owed: uint256 = 0
    grown: uint256 = 0
    owed, grown = self._now()
    return (owed + SHIFT - 1) // SHIFT

@view
@external
def totalBorrows() -> uint256:
    return self._borrows()

@view
@external
def totalAssets() -> uint256:
    return self.cash + self._borrows()

@view
@external
def interestAccumulator() -> uint256:
    owed: uint256 = 0
    grown: uint256 = 0
    owed, grown = self._now()
    return grown

@view
@internal
def _assets(shares: uint256) -> uint256:
    return shares * (self.cash + self._borrows() + VIRTUAL) // (self.totalSupply + VIRTUAL)

@view
@external
def convertToAssets(shares: uint256) -> uint256:
    return self._assets(shares)

@external
def deposit(amount: uint256, receiver: address) -> uint256:
    self._update()
    shares: uint256 = amount * (self.totalSupply + VIRTUAL) // (self.cash + self._borrows() + VIRTUAL)
    extcall Token(asset).mint(self, amount)
    self.cash += amount
    self.totalSupply += shares
    self.balanceOf[receiver] += shares
    return shares

@external
def borrow(amount: uint256, receiver: address) -> uint256:
    self._update()
    self.owed += amount * SHIFT
    self.owed_by[msg.sender] += amount
    extcall Token(asset).burn(self, amount)
    self.cash -= amount
    return amount

@external
def liquidate(violator: address, collateral: address, repayAssets: uint256, minYieldBalance: uint256):
    self._update()
    held: uint256 = staticcall Vault(collateral).balanceOf(violator)
    repaid: uint256 = staticcall Oracle(oracle).getQuote(repayAssets, asset, unitOfAccount)
    worth: uint256 = staticcall Oracle(oracle).getQuote(held, collateral, unitOfAccount)
    shares: uint256 = min(repaid * 105 // 100 * held // worth, held)
    self.owed_by[violator] -= repayAssets
    self.owed_by[msg.sender] += repayAssets
    extcall Vault(collateral).seize(violator, msg.sender, shares)
    if shares == held and self.owed_by[violator] > 0:
        lost: uint256 = self.owed_by[violator]
        self.owed_by[violator] = 0
        self.owed -= lost * SHIFT
        log DebtSocialized(account=violator, assets=lost)
    log Liquidate(
        liquidator=msg.sender, violator=violator, collateral=collateral, repayAssets=repayAssets, yieldBalance=shares
    )

@external
def seize(violator: address, liquidator: address, shares: uint256):
    self.balanceOf[violator] -= shares
    self.balanceOf[liquidator] += shares
