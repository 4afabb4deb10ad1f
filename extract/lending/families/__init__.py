"""The families that can be read, by the name that the registry gives them."""

from __future__ import annotations

from collections.abc import Mapping

from extract.lending.families import aave, comet, compound_v2, morpho_blue
from extract.lending.families.base import Family

FAMILIES: Mapping[str, Family] = {
    "aave_v2": aave.V2,
    "aave_v3": aave.V3,
    "compound_v2": compound_v2.FAMILY,
    "compound_v3": comet.FAMILY,
    "morpho_blue": morpho_blue.FAMILY,
}
