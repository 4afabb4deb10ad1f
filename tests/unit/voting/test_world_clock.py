"""The embedded chain's turn of an epoch, from wherever a night left the chain."""

from __future__ import annotations

from typing import Any

import pytest

from operate.voting.watch.world_clock import FLIP_AFTER, Node, turn

BOUNDARY = 604_800
EXCHANGES = {"one": {"admin": "0x1", "minter": "0x2"}, "two": {"admin": "0x1", "minter": "0x3"}}


class Chain(Node):
    """A node that refuses a block that is not after the one before it, as the real one does."""

    def __init__(self, now: int) -> None:
        super().__init__("http://nowhere")
        self.blocks, self.flips = [now], 0

    def ask(self, method: str, *params: Any) -> Any:
        if method == "evm_mine":
            assert params[0]["timestamp"] > self.now, "lower than the previous block's"
            self.blocks.append(params[0]["timestamp"])
        elif method == "eth_sendTransaction":
            assert self.now >= BOUNDARY
            self.flips += 1
        return {"timestamp": hex(self.blocks[-1])}


@pytest.mark.parametrize("left_at", [-1, 0, 1, 3, FLIP_AFTER - 1, FLIP_AFTER, FLIP_AFTER + 2, 60])
def test_the_epoch_turns_from_wherever_the_night_left_the_chain(left_at: int) -> None:
    chain = Chain(BOUNDARY + left_at)
    turn(chain, EXCHANGES, BOUNDARY, BOUNDARY + 40)
    assert chain.flips == 2 and chain.now >= BOUNDARY + 38
    assert sum(at >= BOUNDARY + FLIP_AFTER for at in chain.blocks[1:]) >= 14
    assert (chain.blocks[1] == BOUNDARY + 1) == (left_at <= 0)
