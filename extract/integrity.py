"""A lake that heals: which raw files are not as they were landed, whom that concerns, and how to be rid of them.

Every load package lists its files with their SHA-256 (`extract_files`). What was verified is remembered with its size
and time of change, so that a build asks for no byte of what has not changed since. A damaged load is put aside whole:
its partitions get a ledger row `damaged`, after which they count as never fetched, unless a newer load holds them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.lake import FILES_SCHEMA, FILES_TABLE, NO_LOAD, Lake, load_id_of
from extract.land import land
from extract.ledger import COMPLETE, DAMAGED, LEDGER_TABLE, LedgerRow, declare, ledger_table, now, partition_of
from extract.mirror import Stored

VERIFIED_FILE = "_verified.json"  # what was verified: load -> table -> [file, bytes, changed, sha256]
ASIDE = "_damaged"  # damaged loads are kept here, out of every reader's way
SOURCE = "repair"
LISTING_PATIENCE = (1.0, 3.0, 6.0)  # seconds between two looks at what an object store does not list
_LACKING = ("is gone", "was deleted")
_THREADS = 4
Listing = dict[str, tuple[str, int, str, str]]


@dataclass(frozen=True)
class Damage:
    """A load package that is not as it was landed: why, and the partitions that no newer load holds."""

    load_id: str
    reasons: tuple[str, ...]
    partitions: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=(), repr=False)
    lacks_files: bool = False  # something of it is not there at all

    def spoken(self) -> str:
        """One line for people."""
        why = "; ".join(self.reasons)
        if not self.partitions:
            return f"{why}: superseded by newer loads, nothing needs to be fetched again"
        shown = ", ".join(self.partitions[:5])
        more = f" and {len(self.partitions) - 5} more" if len(self.partitions) > 5 else ""
        return f"{why}: holds {shown}{more}"


def prepare(lake: Lake, tables: Mapping[str, pa.Schema]) -> list[Damage]:
    """Make a lake ready for an extraction that holds its lock: columns declared, damage put aside, loose ends swept."""
    declare(lake, tables)
    damages = audit(lake)
    put_aside(lake, damages)
    lake.sweep()
    return damages


def audit(lake: Lake, everything: bool = False) -> list[Damage]:
    """Loads that are not as they were landed, oldest first. `everything` also reads files that have not changed.

    What an object store does not list is looked for again before it counts as deleted: listings may lag.
    """
    if not lake.has_landed():
        return []
    found = _audit(lake, everything)
    for pause in () if lake.is_local else LISTING_PATIENCE:
        if not any(damage.lacks_files for damage in found):
            break
        time.sleep(pause)
        found = _audit(lake, everything)
    return found


def _audit(lake: Lake, everything: bool) -> list[Damage]:
    committed = lake.committed_loads()
    here, known = _files(lake), _verified(lake)
    for load in lake.replaced_loads():
        here.pop(load, None), known.pop(load, None)
    remembered = {} if everything else known
    doubtful = [load for load in committed if not _is_unchanged(here.get(load, {}), remembered.get(load))]
    lake.bring(file.name for load in doubtful for file in here.get(load, {}).values())
    with ThreadPoolExecutor(_THREADS) as pool:
        looked = list(pool.map(lambda load: _look(lake, load, here.get(load, {}), known.get(load)), doubtful))
    reasons = {load: why for load, (why, _) in zip(doubtful, looked, strict=True) if why}
    lost = [load for load in known if load not in set(committed)]
    reasons |= {load: ("the commit record of load " + load + " is gone",) for load in lost if load in here}
    sound = {load: listing for load, (why, listing) in zip(doubtful, looked, strict=True) if not why}
    kept = {load: listing for load, listing in known.items() if load not in lost or load in here} | sound
    if kept != known:
        lake.fs.pipe_file(lake.join(VERIFIED_FILE), json.dumps(kept, sort_keys=True).encode())
    if not reasons:
        return []
    partitions = _partitions(lake, reasons, here)
    files = {load: tuple(file.name for file in here.get(load, {}).values()) for load in reasons}
    lacking = {load for load in reasons if any(word in reason for reason in reasons[load] for word in _LACKING)}
    return [Damage(load, reasons[load], partitions[load], files[load], load in lacking) for load in sorted(reasons)]


def put_aside(lake: Lake, damages: Sequence[Damage]) -> None:
    """Take damaged loads out of the lake; call it while holding the lock. Killed anywhere, it goes on the next time."""
    if not damages:
        return
    rows = [_tombstone(name, damage) for damage in damages for name in damage.partitions]
    if rows:
        land(lake, SOURCE, {LEDGER_TABLE: ledger_table(rows)})
    for damage in damages:
        for name in damage.files:
            target = lake.join(ASIDE, damage.load_id, f"{PurePosixPath(name).parent.name}.parquet")
            lake.make_folder(str(PurePosixPath(target).parent))
            lake.fs.mv(name, target)
        for name in _commit_records(lake, damage.load_id):
            lake.fs.rm_file(name)
    gone = {damage.load_id for damage in damages}
    kept = {load: listing for load, listing in _verified(lake).items() if load not in gone}
    lake.fs.pipe_file(lake.join(VERIFIED_FILE), json.dumps(kept, sort_keys=True).encode())


def _tombstone(name: str, damage: Damage) -> LedgerRow:
    """The ledger row after which a partition counts as never fetched."""
    row = LedgerRow(partition_of(name), DAMAGED, "", SOURCE, started_at=now(), finished_at=now())
    return replace(row, error_class="Damaged", error_message=damage.spoken()[:500])


def _files(lake: Lake) -> dict[str, dict[str, Stored]]:
    """Landed files by load and table."""
    found: dict[str, dict[str, Stored]] = defaultdict(dict)
    for file in lake.files():
        table = PurePosixPath(file.name).parent.name
        if not table.startswith("_") and file.name.endswith(".parquet") and load_id_of(file.name) != NO_LOAD:
            found[load_id_of(file.name)][table] = file
    return found


def _is_unchanged(here: Mapping[str, Stored], verified: Listing | None) -> bool:
    if verified is None or here.keys() != verified.keys():
        return False
    return all((f.name, f.bytes, f.changed) == tuple(verified[table][:3]) for table, f in here.items())


def _look(
    lake: Lake, load: str, here: Mapping[str, Stored], verified: Listing | None
) -> tuple[tuple[str, ...], Listing]:
    """Why a load is damaged (empty: it is sound), and what to remember of it."""
    hashes = {table: _sha256(lake, file.name) for table, file in here.items()}
    listing = _listing(lake, here.get(FILES_TABLE))
    if listing is None:
        return (f"the list of files of load {load} (extract_files) is gone or damaged",), {}
    reasons = []
    if verified and FILES_TABLE in verified and verified[FILES_TABLE][3] != hashes[FILES_TABLE]:
        reasons.append(f"{here[FILES_TABLE].name} was edited")
    for table, wanted in listing.items():
        if table not in here:
            reasons.append(f"{table} of load {load} was deleted")
        elif hashes[table] != wanted:
            reasons.append(f"{here[table].name} was edited or damaged")
    reasons += [f"{here[table].name} was not landed" for table in here if table not in listing and table != FILES_TABLE]
    return tuple(reasons), {table: (f.name, f.bytes, f.changed, hashes[table]) for table, f in here.items()}


def _listing(lake: Lake, file: Stored | None) -> dict[str, str] | None:
    if file is None:
        return None
    try:
        rows = pq.read_table(lake.open(file.name), columns=FILES_SCHEMA.names).to_pylist()
    except (pa.ArrowException, OSError):
        return None
    return {row["table_name"]: row["sha256"] for row in rows}


def _sha256(lake: Lake, name: str) -> str:
    found = hashlib.sha256()
    with lake.open(name) as handle:
        while part := handle.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def _verified(lake: Lake) -> dict[str, Listing]:
    """What was verified before; nothing where that was never written or is itself damaged."""
    name = lake.join(VERIFIED_FILE)
    try:
        found = json.loads(lake.fs.cat_file(name)) if lake.fs.exists(name) else {}
        return {load: {table: _entry(*e) for table, e in listing.items()} for load, listing in found.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _entry(name: str, size: int, changed: str, sha256: str) -> tuple[str, int, str, str]:
    return name, size, changed, sha256


def _partitions(
    lake: Lake, damaged: Iterable[str], here: Mapping[str, Mapping[str, Stored]]
) -> dict[str, tuple[str, ...]]:
    """For each damaged load, its partitions that no other load holds newer and complete."""
    bad = set(damaged)
    order = {load: n for n, load in enumerate(lake.committed_loads())}
    newest: dict[str, int] = {}
    named: dict[str, set[str]] = {load: set() for load in bad}
    for load, files in here.items():
        for row in _ledger_rows(lake, files.get(LEDGER_TABLE)):
            if load in bad and row["status"] == COMPLETE:
                named[load].add(row["partition_id"])
            elif load in order and row["status"] in (COMPLETE, DAMAGED):
                newest[row["partition_id"]] = max(newest.get(row["partition_id"], -1), order[load])
    for load in bad:  # the ledger's own file may be what is damaged: the rows say it, too
        for table, file in here.get(load, {}).items():
            if table not in (LEDGER_TABLE, FILES_TABLE):
                named[load] |= _partition_column(lake, file.name)
    last = len(order)
    return {
        load: tuple(sorted(name for name in names if newest.get(name, -1) < order.get(load, last)))
        for load, names in named.items()
    }


def _ledger_rows(lake: Lake, file: Stored | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    try:
        found = pq.read_table(lake.open(file.name), columns=["partition_id", "status"])
        return list(found.to_pylist())
    except (pa.ArrowException, OSError):
        return []


def _partition_column(lake: Lake, name: str) -> set[str]:
    try:
        return set(pq.read_table(lake.open(name), columns=["partition_id"]).column(0).to_pylist()) - {None}
    except (pa.ArrowException, OSError):
        return set()


def _commit_records(lake: Lake, load: str) -> list[str]:
    return [name for name in lake.names("_dlt_loads") if PurePosixPath(name).name.endswith(f"__{load}.jsonl")]
