# pragma version 0.4.3
"""A pool that a gauge is for, as far as it says what it holds."""

interface Named:
    def symbol() -> String[16]: view

token0: public(immutable(address))
token1: public(immutable(address))

@deploy
def __init__(a: address, b: address):
    token0 = a
    token1 = b

@view
@external
def symbol() -> String[38]:
    return concat("vAMM-", staticcall Named(token0).symbol(), "/", staticcall Named(token1).symbol())
