# pragma version 0.4.3
"""VaultFactory of Fluid: a vault's address follows from its id, which is the factory's nonce."""

event VaultDeployed:
    vault: indexed(address)
    vaultId: indexed(uint256)

totalVaults: public(uint256)

@view
@internal
def _address(vaultId: uint256) -> address:
    """Ids up to 127: two bytes of RLP, the factory, the id."""
    assert vaultId <= 127
    if vaultId == 0:
        return empty(address)
    last: bytes1 = convert(convert(vaultId, uint8), bytes1)
    return convert(convert(keccak256(concat(0xd694, convert(self, bytes20), last)), uint256) % 2 ** 160, address)

@view
@external
def getVaultAddress(vaultId_: uint256) -> address:
    return self._address(vaultId_)

@external
def deployVault(vaultDeploymentLogic_: address, vaultDeploymentData_: Bytes[24576]) -> address:
    self.totalVaults += 1
    vault: address = raw_create(vaultDeploymentData_)
    assert vault == self._address(self.totalVaults)
    log VaultDeployed(vault=vault, vaultId=self.totalVaults)
    return vault
