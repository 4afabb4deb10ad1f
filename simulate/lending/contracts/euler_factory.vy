# pragma version 0.4.3
"""GenericFactory of Euler V2: the list of vaults."""

event ProxyCreated:
    proxy: indexed(address)
    upgradeable: bool
    implementation: address
    trailingData: Bytes[96]

implementation: public(address)
proxyList: public(DynArray[address, 64])

@external
def adopt(proxy: address):
    """A vault deployed beside the factory counts as one of its own."""
    self.proxyList.append(proxy)
    log ProxyCreated(proxy=proxy, upgradeable=True, implementation=self.implementation, trailingData=b"")

@view
@external
def isProxy(proxy: address) -> bool:
    return proxy in self.proxyList

@view
@external
def getProxyListLength() -> uint256:
    return len(self.proxyList)

@view
@external
def getProxyListSlice(start: uint256, end: uint256) -> DynArray[address, 64]:
    last: uint256 = len(self.proxyList) if end == max_value(uint256) else end
    assert start <= last and last <= len(self.proxyList)
    found: DynArray[address, 64] = []
    for i: uint256 in range(last - start, bound=64):
        found.append(self.proxyList[start + i])
    return found
