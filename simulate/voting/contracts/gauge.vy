# pragma version 0.4.3
"""A gauge: here only an address with code; emissions are not part of the world."""

pool: public(address)

@external
def setup(pool: address):
    assert self.pool == empty(address)
    self.pool = pool
