# pragma version 0.4.3
"""Voting power of accounts (Hydrex reads getPastVotes) and of NFTs (Velodrome reads balanceOfNFT)."""

power: public(HashMap[address, uint256])
balanceOfNFT: public(HashMap[uint256, uint256])
ownerOf: public(HashMap[uint256, address])

@external
def lock(owner: address, token_id: uint256, amount: uint256):
    self.power[owner] = amount
    self.balanceOfNFT[token_id] = amount
    self.ownerOf[token_id] = owner

@view
@external
def getPastVotes(account: address, timestamp: uint256) -> uint256:
    return self.power[account]
