# pragma version 0.4.3
"""A cToken of the Compound V2 line; the native market has no `underlying` and holds the chain's own coin."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable
    def balanceOf(owner: address) -> uint256: view

interface Comptroller:
    def liquidateCalculateSeizeTokens(borrowed: address, collateral: address, repaid: uint256) -> (uint256, uint256): view

interface CToken:
    def accrueInterest() -> uint256: nonpayable
    def seize(liquidator: address, borrower: address, seizeTokens: uint256) -> uint256: nonpayable

event AccrueInterest:
    cashPrior: uint256
    interestAccumulated: uint256
    borrowIndex: uint256
    totalBorrows: uint256

event Mint:
    minter: address
    mintAmount: uint256
    mintTokens: uint256

event Borrow:
    borrower: address
    borrowAmount: uint256
    accountBorrows: uint256
    totalBorrows: uint256

event RepayBorrow:
    payer: address
    borrower: address
    repayAmount: uint256
    accountBorrows: uint256
    totalBorrows: uint256

event LiquidateBorrow:
    liquidator: address
    borrower: address
    repayAmount: uint256
    cTokenCollateral: address
    seizeTokens: uint256

event ReservesAdded:
    benefactor: address
    addAmount: uint256
    newTotalReserves: uint256

protocolSeizeShareMantissa: public(constant(uint256)) = 28 * 10 ** 15
symbol: public(String[16])
decimals: public(uint8)
comptroller: public(address)
totalSupply: public(uint256)
totalBorrows: public(uint256)
totalReserves: public(uint256)
borrowIndex: public(uint256)
accrualBlockNumber: public(uint256)
reserveFactorMantissa: public(uint256)
borrowRatePerBlock: public(uint256)
balanceOf: public(HashMap[address, uint256])
asset: address
initial_rate: uint256

@deploy
def __init__(symbol: String[16], comptroller: address, asset: address, initial_rate: uint256, borrow_rate: uint256):
    self.symbol = symbol
    self.decimals = 8
    self.comptroller = comptroller
    self.asset = asset
    self.initial_rate = initial_rate
    self.borrowRatePerBlock = borrow_rate
    self.reserveFactorMantissa = 2 * 10 ** 17
    self.borrowIndex = 10 ** 18
    self.accrualBlockNumber = block.number

@view
@external
def underlying() -> address:
    assert self.asset != empty(address)
    return self.asset

@view
@internal
def _cash(paid: uint256) -> uint256:
    if self.asset == empty(address):
        return self.balance - paid
    return staticcall Token(self.asset).balanceOf(self)

@view
@external
def getCash() -> uint256:
    return self._cash(0)

@view
@internal
def _rate(cash: uint256) -> uint256:
    if self.totalSupply == 0:
        return self.initial_rate
    return (cash + self.totalBorrows - self.totalReserves) * 10 ** 18 // self.totalSupply

@view
@external
def exchangeRateStored() -> uint256:
    return self._rate(self._cash(0))

@internal
def _accrue(cash: uint256):
    delta: uint256 = block.number - self.accrualBlockNumber
    if delta == 0:
        return
    factor: uint256 = self.borrowRatePerBlock * delta
    interest: uint256 = factor * self.totalBorrows // 10 ** 18
    self.totalBorrows += interest
    self.totalReserves += self.reserveFactorMantissa * interest // 10 ** 18
    self.borrowIndex += factor * self.borrowIndex // 10 ** 18
    self.accrualBlockNumber = block.number
    log AccrueInterest(
        cashPrior=cash, interestAccumulated=interest, borrowIndex=self.borrowIndex, totalBorrows=self.totalBorrows
    )

@external
def accrueInterest() -> uint256:
    self._accrue(self._cash(0))
    return 0

@payable
@external
def mint(amount: uint256) -> uint256:
    cash: uint256 = self._cash(msg.value)
    self._accrue(cash)
    tokens: uint256 = amount * 10 ** 18 // self._rate(cash)
    if self.asset == empty(address):
        assert msg.value == amount
    else:
        extcall Token(self.asset).mint(self, amount)
    self.totalSupply += tokens
    self.balanceOf[msg.sender] += tokens
    log Mint(minter=msg.sender, mintAmount=amount, mintTokens=tokens)
    return 0

@external
def borrow(amount: uint256) -> uint256:
    self._accrue(self._cash(0))
    self.totalBorrows += amount
    if self.asset == empty(address):
        send(msg.sender, amount)
    else:
        extcall Token(self.asset).burn(self, amount)
    log Borrow(borrower=msg.sender, borrowAmount=amount, accountBorrows=amount, totalBorrows=self.totalBorrows)
    return 0

@external
def liquidateBorrow(borrower: address, repayAmount: uint256, cTokenCollateral: address) -> uint256:
    self._accrue(self._cash(0))
    if cTokenCollateral != self:
        extcall CToken(cTokenCollateral).accrueInterest()
    self.totalBorrows -= repayAmount
    extcall Token(self.asset).mint(self, repayAmount)
    log RepayBorrow(
        payer=msg.sender, borrower=borrower, repayAmount=repayAmount, accountBorrows=0, totalBorrows=self.totalBorrows
    )
    error: uint256 = 0
    tokens: uint256 = 0
    error, tokens = staticcall Comptroller(self.comptroller).liquidateCalculateSeizeTokens(self, cTokenCollateral, repayAmount)
    extcall CToken(cTokenCollateral).seize(msg.sender, borrower, tokens)
    log LiquidateBorrow(
        liquidator=msg.sender, borrower=borrower, repayAmount=repayAmount, cTokenCollateral=cTokenCollateral,
        seizeTokens=tokens,
    )
    return 0

@external
def seize(liquidator: address, borrower: address, seizeTokens: uint256) -> uint256:
    self.balanceOf[borrower] -= seizeTokens
    kept: uint256 = seizeTokens * protocolSeizeShareMantissa // 10 ** 18
    amount: uint256 = kept * self._rate(self._cash(0)) // 10 ** 18
    self.balanceOf[liquidator] += seizeTokens - kept
    self.totalSupply -= kept
    self.totalReserves += amount
    log ReservesAdded(benefactor=self, addAmount=amount, newTotalReserves=self.totalReserves)
    return 0

@external
def garble():
    """A log with the topic of `LiquidateBorrow` and two words of data: nobody can decode it."""
    raw_log([keccak256("LiquidateBorrow(address,address,uint256,address,uint256)")], abi_encode(msg.sender, self))
