"""Publication in the lake: a note of the snapshot at which a unit stood when its builder's stamp vouched for it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import duckdb

from operate.lake.catalog import BUILD, PUBLICATIONS, LakeError, attached, setting
from operate.stamp import Node, Stamp, read_stamp

_MADE = f"""
    create schema if not exists lake.audit;
    create table if not exists {PUBLICATIONS} (
        unit varchar, snapshot_id bigint, published_at timestamptz, invocation_id varchar,
        tables varchar, assembled varchar
    )
"""


def publish(unit: str) -> int | None:
    """The snapshot at which a unit stands, noted; None where the stamp of this builder does not vouch for it."""
    with duckdb.connect(setting(BUILD), read_only=True) as built:
        [(name,)] = built.execute("select current_database()").fetchall()
        stamp = read_stamp(built, name)
    if stamp is None:
        raise LakeError(f"{setting(BUILD)} has no stamp: nothing was built")
    if wrong := objections(stamp, unit):
        print(f"held back {unit}: {'; '.join(wrong[:3])}", file=sys.stderr)
        return None
    tables = [_name(node) for node in stamp.relations(unit) if node.materialized in ("table", "seed")]
    # views over several units, and what they read
    assembled = {
        _name(node): [_name(stamp.nodes[part]) for part in node.reads]
        for node in stamp.nodes.values()
        if node.is_assembled
    }
    with attached() as connection:
        connection.execute(_MADE)
        [(snapshot,)] = connection.execute("select max(snapshot_id) from lake.snapshots()").fetchall()
        row = [unit, snapshot, datetime.now(UTC), stamp.invocations[stamp.built_in(unit)]]
        row += [json.dumps(tables), json.dumps(assembled)]
        connection.execute(f"insert into {PUBLICATIONS} values (?, ?, ?, ?, ?, ?)", row)
    print(f"published {unit}: {len(tables)} tables at snapshot {snapshot}", file=sys.stderr)
    return int(snapshot)


def objections(stamp: Stamp, unit: str) -> list[str]:
    """Why the stamp of this builder does not vouch for a unit; what the unit reads of the door, the door's does."""
    mine, door = ({node.node_id for node in stamp.relations(name)} for name in (unit, "door"))
    tests = [test for test in stamp.tests if not mine.isdisjoint(test.reads) and mine | door >= set(test.reads)]
    return [why for node in [*stamp.relations(unit), *tests] if (why := stamp.objection(node))]


def _name(node: Node) -> str:
    return f'"{node.schema}"."{node.name}"'
