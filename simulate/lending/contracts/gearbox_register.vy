# pragma version 0.4.3
"""ContractsRegister of Gearbox: its pools and credit managers."""

pools: DynArray[address, 32]
managers: DynArray[address, 32]

@external
def add(pool: address, creditManager: address):
    self.pools.append(pool)
    self.managers.append(creditManager)

@view
@external
def getPools() -> DynArray[address, 32]:
    return self.pools

@view
@external
def getCreditManagers() -> DynArray[address, 32]:
    return self.managers
