"""Who is in the world: one deployment per shape of the families, with their odd reserves."""

from __future__ import annotations

from typing import Any

from simulate.chain.chain import account
from simulate.lending.aave import Aave
from simulate.lending.comet import Comet
from simulate.lending.compound import Compound
from simulate.lending.csu import Csu, Scene
from simulate.lending.euler import Euler
from simulate.lending.fluid import Fluid
from simulate.lending.gearbox import Gearbox
from simulate.lending.morpho import Morpho
from simulate.lending.silo import Silo

AAVE = ("USDX", "WETX", "WBTX", "STAL", "COLD", "GOVX", "BRKN", "LOST", "ZERO")
EULER = (("USDX", "USD"), ("WETX", "USD"), ("STEX", "WETX"), ("LOST", "USD"), ("WBTX", "escrow"))
OWN_FEEDS = ("BRKN", "LOST", "ZERO")  # tokens for which Aave has a feed of its own, not the public one


def cast(scene: Scene, is_small: bool) -> list[Csu]:
    """The deployments, small world or whole."""
    for symbol in OWN_FEEDS:
        scene.market.feed(scene.market.tokens[symbol], f"{symbol} / USD source")
    shapes: list[Csu] = [
        Aave("aave_v3_world", scene, 3, AAVE),
        Compound("compound_v2_world", scene, ("USDX", "WBTX", "ETH", "BARE")),
        Comet("comet_usdx_world", scene, "USDX", ("WETX", "WBTX", "GOVX")),
        Morpho("morpho_world", scene, (("USDX", "WETX"), ("WETX", "STEX"), ("USDX", "BARE"))),
        Compound("moon_world", scene, ("USDX", "WETX", "LOST"), unpriced=("LOST",)),
    ]
    more: list[Csu] = [
        Aave("aave_v2_world", scene, 2, ("WETX", "USDX", "WBTX")),
        Aave("spark_world", scene, 32, ("USDY", "WETX")),
        Comet("comet_wetx_world", scene, "WETX", ("STEX", "WBTX")),
        Fluid("fluid_world", scene, ("USDX", "WETX", "WBTX", "ETH"), (("WETX", "USDX"), ("WBTX", "USDX"))),
        Euler("euler_v2_world", scene, EULER, unpriced=("LOST",)),
        Silo("silo_v2_world", scene, (("STEX", "WETX"), ("WBTX", "USDX"))),
        Gearbox("gearbox_world", scene, ("USDX", "WETX")),
    ]
    return shapes if is_small else shapes + more


def ghost() -> dict[str, Any]:
    """A registry row whose address never has code."""
    return {
        "csu_id": "ghost_world",
        "family": "aave_v3",
        "registry": account("ghost registry"),
        "start_block": None,
        "start_at": None,
        "addresses": {},
    }
