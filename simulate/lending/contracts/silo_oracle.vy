# pragma version 0.4.3
"""A Silo oracle: an amount of its base token in the quote token."""

interface Feed:
    def latestAnswer() -> int256: view

BASE: immutable(address)
BASE_FEED: immutable(address)
QUOTE_FEED: immutable(address)
BASE_DECIMALS: immutable(uint256)
QUOTE_DECIMALS: immutable(uint256)
quoteToken: public(immutable(address))

@deploy
def __init__(base: address, base_decimals: uint256, base_feed: address, quote_token: address, quote_decimals: uint256, quote_feed: address):
    BASE = base
    BASE_DECIMALS = base_decimals
    BASE_FEED = base_feed
    quoteToken = quote_token
    QUOTE_DECIMALS = quote_decimals
    QUOTE_FEED = quote_feed

@external
def beforeQuote(_baseToken: address):
    pass

@view
@external
def quote(_baseAmount: uint256, _baseToken: address) -> uint256:
    assert _baseToken == BASE, "AssetNotSupported"
    ours: uint256 = convert(staticcall Feed(BASE_FEED).latestAnswer(), uint256)
    theirs: uint256 = convert(staticcall Feed(QUOTE_FEED).latestAnswer(), uint256)
    return _baseAmount * ours * 10 ** QUOTE_DECIMALS // (theirs * 10 ** BASE_DECIMALS)
