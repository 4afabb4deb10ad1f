"""What pools call themselves: their symbol, and the symbols of the two tokens they hold. Decoration from strangers.

Names do not change from window to window: they are asked at the earliest window of an epoch, and a pool listed later
has its name from the next epoch on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from extract.evm.calls import Reply
from extract.evm.views import Views, address, call
from extract.voting.state import BlockState, ask

VIEWS = ("symbol()", "token0()", "token1()")


@dataclass
class PoolNames:
    """Replies by (pool, view), and each held token's `symbol()`; empty where they were not asked."""

    pools: Mapping[tuple[str, str], Reply] = field(default_factory=dict)
    tokens: Mapping[str, Reply] = field(default_factory=dict)

    def token(self, pool: str, view: str) -> str | None:
        """The address that a pool names as `token0()` or `token1()`."""
        reply = self.pools.get((pool, view))
        return address(reply) if reply else None


async def read_names(chain: Views, state: BlockState) -> PoolNames:
    """The names of all gauges' pools at one block."""
    pools = sorted(set(state.gauges.values()))
    (said,) = await ask(chain, [state], [{(pool, view): call(pool, view) for pool in pools for view in VIEWS}])
    tokens = sorted({token for key, reply in said.items() if key[1] != VIEWS[0] and (token := address(reply))})
    (symbols,) = await ask(chain, [state], [{token: call(token, "symbol()") for token in tokens}])
    return PoolNames(said, symbols)
