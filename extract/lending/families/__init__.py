"""The families that can be read, by the name that the registry gives them."""

from __future__ import annotations

from collections.abc import Mapping

from extract.lending.families import aave, comet, compound_v2, euler_v2, fluid, gearbox, morpho_blue, silo_v2
from extract.lending.families.base import Family

FAMILIES: Mapping[str, Family] = {
    "aave_v2": aave.V2,
    "aave_v3": aave.V3,
    "compound_v2": compound_v2.FAMILY,
    "compound_v3": comet.FAMILY,
    "euler_v2": euler_v2.FAMILY,
    "fluid": fluid.FAMILY,
    "gearbox": gearbox.FAMILY,
    "moolah": morpho_blue.MOOLAH,
    "morpho_blue": morpho_blue.FAMILY,
    "silo_v2": silo_v2.FAMILY,
}
