# pragma version 0.4.3
"""SiloFactory of Silo V2: pairs by id, from 1."""

interface Silo:
    def asset() -> address: view

interface Config:
    def getSilos() -> (address, address): view

event NewSilo:
    implementation: indexed(address)
    token0: indexed(address)
    token1: indexed(address)
    silo0: address
    silo1: address
    siloConfig: address

getNextSiloId: public(uint256)
idToSiloConfig: public(HashMap[uint256, address])
isSilo: public(HashMap[address, bool])

@deploy
def __init__():
    self.getNextSiloId = 1

@external
def adopt(config: address):
    """A pair deployed beside the factory counts as one of its own."""
    silo0: address = empty(address)
    silo1: address = empty(address)
    silo0, silo1 = staticcall Config(config).getSilos()
    self.idToSiloConfig[self.getNextSiloId] = config
    self.getNextSiloId += 1
    self.isSilo[silo0] = True
    self.isSilo[silo1] = True
    log NewSilo(
        implementation=self, token0=staticcall Silo(silo0).asset(), token1=staticcall Silo(silo1).asset(), silo0=silo0,
        silo1=silo1, siloConfig=config,
    )
