"""Which CSUs there are: the `csu_registry` seed, and those that the configuration adds or takes from it.

A CSU (credit supply unit) is one lending deployment on one chain, keyed by (chain id, registry address).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from extract.config import Config
from extract.errors import ConfigError, RequestError
from extract.seeds import read_seed

PLANNED = "planned"  # as a name: every CSU of the first plan
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True)
class Csu:
    """One row of the registry. Addresses are lower-case hex; start block and date are null where not found."""

    csu_id: str
    family: str
    chain: str
    chain_id: int
    registry_address: str
    second_address: str | None = None
    start_block: int | None = None
    start_date: date | None = None
    price_unit: str = "usd"  # what its oracle counts in: usd, eth, or base (the asset that is lent)
    is_planned: bool = False

    def facts(self) -> dict[str, Any]:
        """What a partition of it depends on."""
        return asdict(self) | {"is_planned": None}


def load_registry(config: Config) -> dict[str, Csu]:
    """CSUs by id: the seed's, then `[[lending.csus]]` of the configuration. ConfigError names what is wrong."""
    found = {
        row["csu_id"]: _csu(row, "seeds/lending/csu_registry.csv")
        for row in read_seed(config.seeds, "lending/csu_registry")
    }
    for table in config.section("lending").get("csus", []):
        csu = _csu(table, f"{config.path} [[lending.csus]]")
        found[csu.csu_id] = csu
    _check_unique(found.values())
    return found


def _csu(row: Mapping[str, Any], where: str) -> Csu:
    name = row.get("csu_id") or "?"
    try:
        return Csu(
            csu_id=str(row["csu_id"]),
            family=str(row["family"]),
            chain=str(row["chain"]),
            chain_id=int(row["chain_id"]),
            registry_address=_address(row["registry_address"]),
            second_address=_address(row["second_address"]) if row.get("second_address") else None,
            start_block=int(row["start_block"]) if row.get("start_block") else None,
            start_date=date.fromisoformat(str(row["start_date"])) if row.get("start_date") else None,
            price_unit=str(row.get("price_unit") or "usd"),
            is_planned=str(row.get("is_planned", "")).lower() == "true",
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{where}: CSU {name} is not whole ({error}): see docs/lending/guide.md for its columns"
        ) from None


def _address(text: Any) -> str:
    address = str(text).lower()
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"{text!r} is not an address")
    return address


def _check_unique(csus: Iterable[Csu]) -> None:
    seen: dict[tuple[int, str], str] = {}
    for csu in csus:
        key = (csu.chain_id, csu.registry_address)
        if key in seen:
            raise ConfigError(f"CSU {csu.csu_id} has the chain and address of {seen[key]}: one deployment is one CSU")
        seen[key] = csu.csu_id


def wanted_csus(config: Config, names: Sequence[str]) -> list[Csu]:
    """The CSUs asked for, or every one whose chain is configured. RequestError names unknown ones and what is near."""
    known = load_registry(config)
    if PLANNED in names:
        names = [*(n for n in names if n != PLANNED), *(c.csu_id for c in known.values() if c.is_planned)]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RequestError(f"no CSU {unknown[0]!r}: the registry has {_near(unknown[0], known)}")
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    chains = config.section("chains")
    return [csu for csu in known.values() if csu.chain in chains]


def _near(name: str, known: Mapping[str, Csu]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 5, 0.3) or sorted(known)[:5]
    return ", ".join(near) + f" and {len(known) - len(near)} more (foreshore sql 'from csu_registry')"
