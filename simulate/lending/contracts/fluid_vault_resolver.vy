# pragma version 0.4.3
"""VaultResolver of Fluid: the list of vaults."""

interface Factory:
    def totalVaults() -> uint256: view
    def getVaultAddress(vaultId: uint256) -> address: view

FACTORY: public(immutable(address))

@deploy
def __init__(factory: address):
    FACTORY = factory

@view
@external
def getTotalVaults() -> uint256:
    return staticcall Factory(FACTORY).totalVaults()

@view
@external
def getAllVaultsAddresses() -> DynArray[address, 64]:
    total: uint256 = staticcall Factory(FACTORY).totalVaults()
    found: DynArray[address, 64] = []
    for i: uint256 in range(total, bound=64):
        found.append(staticcall Factory(FACTORY).getVaultAddress(i + 1))
    return found
