# pragma version 0.4.3
"""A price router of Euler V2: shares become assets, assets become the unit of account; what it does not know reverts."""

interface Feed:
    def latestAnswer() -> int256: view

interface Vault:
    def convertToAssets(shares: uint256) -> uint256: view
    def asset() -> address: view

struct Asset:
    feed: address
    decimals: uint256

USD: constant(address) = 0x0000000000000000000000000000000000000348
name: public(String[16])
assets: HashMap[address, Asset]
is_vault: HashMap[address, bool]

@deploy
def __init__():
    self.name = "EulerRouter"

@external
def govSetConfig(asset: address, feed: address, decimals: uint256):
    self.assets[asset] = Asset(feed=feed, decimals=decimals)

@external
def govSetResolvedVault(vault: address, set: bool):
    self.is_vault[vault] = set

@view
@internal
def _usd(asset: address, amount: uint256) -> uint256:
    """USD with 18 decimals."""
    known: Asset = self.assets[asset]
    assert known.feed != empty(address), "PriceOracle_NotSupported"
    return amount * convert(staticcall Feed(known.feed).latestAnswer(), uint256) * 10 ** 10 // 10 ** known.decimals

@view
@external
def getQuote(inAmount: uint256, base: address, quote: address) -> uint256:
    amount: uint256 = inAmount
    asset: address = base
    if self.is_vault[base]:
        amount = staticcall Vault(base).convertToAssets(inAmount)
        asset = staticcall Vault(base).asset()
    if asset == quote:
        return amount
    if quote == USD:
        return self._usd(asset, amount)
    one: uint256 = 10 ** self.assets[quote].decimals
    return self._usd(asset, amount) * one // self._usd(quote, one)
