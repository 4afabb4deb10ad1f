"""The stamp of a build: what ran in a build file and what it said, and which units of it may therefore be published.

dbt writes it (macros/audit.sql); nothing here believes anything else. A unit is a wing, or `door`: what all share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import duckdb

UNITS = ("door", "voting", "lending", "bars", "markets")
RELATIONS = {"model", "seed", "snapshot"}
TESTS = {"test", "unit_test"}
PASSING = {"success", "pass", "warn"}


@dataclass(frozen=True)
class Node:
    """A relation or test of the newest manifest with its newest result; `number` counts the file's invocations."""

    node_id: str
    kind: str
    unit: str
    schema: str
    name: str
    materialized: str | None
    is_assembled: bool
    reads: tuple[str, ...]
    status: str | None
    number: int | None

    @property
    def short(self) -> str:
        return self.node_id.split(".", 2)[2] if self.kind == "unit_test" else self.node_id.split(".")[2]


@dataclass(frozen=True)
class Stamp:
    """Everything the newest manifest lists, by id, and what the build file is bound to."""

    nodes: Mapping[str, Node]
    invocations: Mapping[int, str]
    raw_url: str | None
    raw_fingerprint: str | None
    is_simulated: bool | None

    @cached_property
    def tests(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.kind in TESTS]

    def relations(self, unit: str) -> list[Node]:
        """Tables and views of a unit; what is assembled from several units belongs to none."""
        mine = (node for node in self.nodes.values() if node.kind in RELATIONS and node.unit == unit)
        return sorted((node for node in mine if not node.is_assembled), key=lambda node: node.node_id)

    def built_in(self, unit: str) -> int:
        """The invocation that last changed a table of the unit."""
        return max((node.number or 0 for node in self.relations(unit)), default=0)

    def objections(self, unit: str) -> list[str]:
        """Why a unit may not be published; empty when everything it rests on ran, in order, and passed."""
        needed = self._upstream(node.node_id for node in self.relations(unit))
        relations = [self.nodes[name] for name in sorted(needed) if name in self.nodes]
        tests = [
            test
            for test in self.tests
            if (test.unit == unit or test.unit == "door") and not needed.isdisjoint(test.reads)
        ]
        said = (self.objection(node) for node in [*relations, *tests])
        return [reason for reason in said if reason]

    def _upstream(self, names: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.nodes[name].reads if name in self.nodes else ()
        return found

    def objection(self, node: Node) -> str | None:
        if node.materialized == "ephemeral":
            return None
        verb = "built" if node.kind in RELATIONS else "run"
        if node.number is None or node.status is None:
            return f"{node.short} was not {verb}"
        if node.status == "begun":
            return f"{node.short} was begun and not finished"
        if node.status not in PASSING:
            return f"{node.short}: {node.status}"
        newer = [name for name in node.reads if name in self.nodes and (self.nodes[name].number or 0) > node.number]
        return f"{node.short} was {verb} before {self.nodes[newer[0]].short}, which it reads" if newer else None


def read_stamp(connection: duckdb.DuckDBPyConnection, database: str) -> Stamp | None:
    """The stamp in an attached build file, None where dbt never finished or never began one there."""
    known = connection.execute(
        "select count(*) from duckdb_tables() where database_name = ? and schema_name = 'audit'", [database]
    ).fetchone()
    if known is None or known[0] < 3:
        return None
    invocations = connection.execute(
        f"select number, invocation_id, raw_url, raw_fingerprint, is_simulated from {database}.audit.invocations "
        "order by number"
    ).fetchall()
    if not invocations:
        return None
    rows = connection.execute(_NODES.format(database=database)).fetchall()
    nodes = {row[0]: Node(*row[:7], tuple(row[7] or ()), *row[8:]) for row in rows}
    return Stamp(nodes, {row[0]: row[1] for row in invocations}, *invocations[-1][2:])


# a result of an invocation that was bound to another raw zone, or ran on no rows or a sample of them, is none
_NODES = """
    with newest as (select max_by(raw_url, number) as raw_url from {database}.audit.invocations)
    select
        nodes.node_id, nodes.kind, nodes.unit, nodes.schema_name, nodes.table_name, nodes.materialized,
        nodes.is_assembled, nodes.reads,
        case
            when results.code is distinct from nodes.code then 'ran as other code'
            when not invocations.is_on_all_rows then 'ran on a part of the rows'
            when invocations.raw_url is distinct from newest.raw_url then 'ran on another raw zone'
            else results.status
        end,
        results.number
    from {database}.audit.nodes as nodes
    cross join newest
    left join {database}.audit.results as results on nodes.node_id = results.node_id
    left join {database}.audit.invocations as invocations on results.number = invocations.number
"""


def absolute_url(raw_url: str) -> str:
    """A raw zone's one name: a local folder's absolute path, any other URL as it is."""
    return raw_url.rstrip("/") if "://" in raw_url else str(Path(raw_url).resolve())
