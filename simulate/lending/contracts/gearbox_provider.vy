# pragma version 0.4.3
"""AddressProvider V3 of Gearbox: contracts by key and version."""

addresses: HashMap[bytes32, HashMap[uint256, address]]

@external
def setAddress(key: bytes32, at: address, version: uint256):
    self.addresses[key][version] = at

@view
@external
def getAddressOrRevert(key: bytes32, _version: uint256) -> address:
    found: address = self.addresses[key][_version]
    assert found != empty(address), "AddressNotFoundException"
    return found
