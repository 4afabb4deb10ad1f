# pragma version 0.4.3
"""Liquidity of Fluid: every token of every vault in one contract; amounts are exact here, not packed as floats."""

interface Token:
    def mint(owner: address, amount: uint256): nonpayable
    def burn(owner: address, amount: uint256): nonpayable

event LogOperate:
    user: indexed(address)
    token: indexed(address)
    supplyAmount: int256
    borrowAmount: int256
    withdrawTo: address
    borrowTo: address
    totalAmounts: uint256
    exchangePricesAndConfig: uint256

struct Book:
    supply_rate: uint256
    borrow_rate: uint256
    supply_price: uint256
    borrow_price: uint256
    supply_raw: uint256
    supply_free: uint256
    borrow_raw: uint256
    borrow_free: uint256
    updated_at: uint256

NATIVE: constant(address) = 0xEeeeeEeeeEeEeeEeEeEeeEEEeeeeEeeeeeeeEEeE
PRICE: constant(uint256) = 10 ** 12
YEAR: constant(uint256) = 31_536_000
tokens: DynArray[address, 32]
books: HashMap[address, Book]
is_free: HashMap[address, bool]
version: public(uint256)

@external
def list(token: address, supply_rate: uint256, borrow_rate: uint256):
    self.tokens.append(token)
    self.books[token] = Book(
        supply_rate=supply_rate, borrow_rate=borrow_rate, supply_price=PRICE, borrow_price=PRICE, supply_raw=0,
        supply_free=0, borrow_raw=0, borrow_free=0, updated_at=block.timestamp,
    )

@external
def setInterestFree(user: address):
    self.is_free[user] = True

@external
def upgrade():
    """A new layout: resolvers of the old one read no more."""
    self.version += 1

@view
@external
def listed() -> DynArray[address, 32]:
    return self.tokens

@view
@internal
def _now(token: address) -> Book:
    b: Book = self.books[token]
    seconds: uint256 = block.timestamp - b.updated_at
    b.supply_price += b.supply_price * b.supply_rate * seconds // (YEAR * 10_000)
    b.borrow_price += b.borrow_price * b.borrow_rate * seconds // (YEAR * 10_000)
    return b

@view
@external
def book(token: address, layout: uint256) -> Book:
    assert layout == self.version, "another layout"
    return self._now(token)

@pure
@internal
def _big(amount: uint256) -> uint256:
    """BigMath of Fluid: 56 bits of coefficient over 8 of exponent, rounded down."""
    coefficient: uint256 = amount
    exponent: uint256 = 0
    for i: uint256 in range(128):
        if coefficient < 2 ** 56:
            break
        coefficient = coefficient >> 1
        exponent += 1
    return coefficient << 8 | exponent

@view
@external
def readFromStorage(slot: bytes32) -> uint256:
    """What the real one keeps in its slots 5 (exchange prices), 7 (total amounts) and 10 (tokens), as of this block."""
    if slot == convert(10, bytes32):
        return len(self.tokens)
    index: uint256 = unsafe_sub(convert(slot, uint256), convert(keccak256(convert(10, bytes32)), uint256))
    if index < len(self.tokens):
        return convert(self.tokens[index], uint256)
    for token: address in self.tokens:
        b: Book = self._now(token)
        if slot == keccak256(concat(convert(token, bytes32), convert(5, bytes32))):
            return block.timestamp << 58 | b.supply_price << 91 | b.borrow_price << 155
        if slot == keccak256(concat(convert(token, bytes32), convert(7, bytes32))):
            supplied: uint256 = self._big(b.supply_raw) | self._big(b.supply_free) << 64
            return supplied | self._big(b.borrow_raw) << 128 | self._big(b.borrow_free) << 192
    return 0

@payable
@external
def operate(token: address, supplyAmount: int256, borrowAmount: int256, withdrawTo: address, borrowTo: address, callbackData: Bytes[32]):
    b: Book = self._now(token)
    b.updated_at = block.timestamp
    supplied: uint256 = convert(abs(supplyAmount), uint256)
    borrowed: uint256 = convert(abs(borrowAmount), uint256)
    free: bool = self.is_free[msg.sender]
    supply_price: uint256 = PRICE if free else b.supply_price
    borrow_price: uint256 = PRICE if free else b.borrow_price
    supply_raw: uint256 = supplied * PRICE // supply_price
    borrow_raw: uint256 = borrowed * PRICE // borrow_price
    if free:
        b.supply_free = b.supply_free + supply_raw if supplyAmount > 0 else b.supply_free - supply_raw
        b.borrow_free = b.borrow_free + borrow_raw if borrowAmount > 0 else b.borrow_free - borrow_raw
    else:
        b.supply_raw = b.supply_raw + supply_raw if supplyAmount > 0 else b.supply_raw - supply_raw
        b.borrow_raw = b.borrow_raw + borrow_raw if borrowAmount > 0 else b.borrow_raw - borrow_raw
    self.books[token] = b
    incoming: uint256 = (supplied if supplyAmount > 0 else 0) + (borrowed if borrowAmount < 0 else 0)
    outgoing: uint256 = supplied + borrowed - incoming
    if token == NATIVE:
        assert msg.value == incoming
        if outgoing > 0:
            send(withdrawTo if supplyAmount < 0 else borrowTo, outgoing)
    else:
        if incoming > 0:
            extcall Token(token).mint(self, incoming)
        if outgoing > 0:
            extcall Token(token).burn(self, outgoing)
    log LogOperate(
        user=msg.sender, token=token, supplyAmount=supplyAmount, borrowAmount=borrowAmount, withdrawTo=withdrawTo,
        borrowTo=borrowTo, totalAmounts=b.supply_raw, exchangePricesAndConfig=b.supply_price,
    )
