# pragma version 0.4.3
"""A contract of nobody's: it emits liquidations that belong to no known market."""

event LiquidationCall:
    collateralAsset: indexed(address)
    debtAsset: indexed(address)
    user: indexed(address)
    debtToCover: uint256
    liquidatedCollateralAmount: uint256
    liquidator: address
    receiveAToken: bool

event LiquidateBorrow:
    liquidator: address
    borrower: address
    repayAmount: uint256
    cTokenCollateral: address
    seizeTokens: uint256

@external
def pretend(asset: address, amount: uint256):
    log LiquidationCall(
        collateralAsset=asset, debtAsset=asset, user=msg.sender, debtToCover=amount, liquidatedCollateralAmount=amount,
        liquidator=msg.sender, receiveAToken=False,
    )
    log LiquidateBorrow(
        liquidator=msg.sender, borrower=msg.sender, repayAmount=amount, cTokenCollateral=self, seizeTokens=amount
    )
