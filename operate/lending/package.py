"""The researcher's package: the panel and all it stands on, in one folder that a thesis or a paper can attach.

One row per CSU and New York day of the whole range, days that were never asked for included; every column defined; the
registry and thresholds as used; providers by name, versions, hashes of every file, and the commands to make it again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from extract.config import Config
from extract.errors import ForeshoreError, RequestError
from extract.seeds import read_seed
from operate.definitions import definitions
from operate.warehouse import Warehouse, read_tables
from operate.whole import whole_folder

FORMATS = ("parquet", "csv", "dta")
TABLES = {  # file -> (table, order)
    "panel": ("csu_daily_panel", "csu_id, day"),
    "reserves": ("csu_reserve_daily", "csu_id, day, reserve_id"),
    "liquidations": ("csu_liquidations", "csu_id, day, block_number, log_index"),
    "flow_checks": ("csu_flow_checks", "csu_id, day, reserve_id"),
    "missing_prices": ("missing_prices", "csu_id, day, asset_address, block_number, needed_for"),
    "blocks": ("csu_snapshot_blocks", "chain, day"),
    "registry": ("csu_registry", "csu_id"),
    "assets": ("lending_assets", "chain_id, asset_address"),
    "thresholds": ("thresholds", "threshold"),
}
UNITS = {  # by the end of a column's name
    "_usd": "US dollars", "_raw": "raw integer of the asset", "_raw_text": "raw integer of the asset, exact text",
    "_seconds": "seconds", "_share": "share, 0 to 1", "_count": "count", "_block": "block number",
    "_at": "UTC, ISO 8601", "_hours": "hours", "_decimals": "decimal places", "_confidence": "share, 0 to 1",
}  # fmt: skip
VERSIONS = ("foreshore", "dbt-core", "duckdb", "pyarrow")
THRESHOLDS = "thresholds"  # a seed, not published: taken from where the build takes it
_DAYS = {"panel", "reserves", "liquidations", "flow_checks", "missing_prices", "blocks"}
_STATA_NAME = 32


@dataclass(frozen=True)
class Wanted:
    """What to pack: days both included."""

    since: date
    until: date
    format: str
    folder: Path


def pack(
    config: Config, wanted: Wanted, say: Callable[[str], None], read: Callable[..., dict[str, pa.Table]] = read_tables
) -> dict[str, Any]:
    """Write the package; returns its manifest. Errors: RequestError for a folder in use or days upside down."""
    if wanted.since > wanted.until:
        raise RequestError(f"--since {wanted.since} is after --until {wanted.until}: write the older day first")
    if wanted.folder.exists() and any(wanted.folder.iterdir()):
        raise RequestError(f"{wanted.folder} is not empty: name a new folder, so that nothing of another package stays")
    tables = read(Warehouse.of(config), _queries(wanted))
    facts = {name: tables.pop(name) for name in ("providers", "publication")}
    tables[THRESHOLDS] = pa.Table.from_pylist(read_seed(config.seeds, THRESHOLDS))
    if not tables["panel"].num_rows:
        raise RequestError("no CSU was ever extracted: run `foreshore extract lending`, then `foreshore build`")
    with whole_folder(wanted.folder) as place:
        files = {}
        for name, table in tables.items():
            path = place / f"{name}.{wanted.format}"
            _WRITERS[wanted.format](table, path)
            files[path.name] = {"rows": table.num_rows, "sha256": _sha256(path)}
            say(f"{path.name}: {table.num_rows:,} rows")
        book = place / "codebook.csv"
        _write_csv(pa.Table.from_pylist(codebook(tables, wanted.format)), book)
        files[book.name] = {"rows": sum(len(t.column_names) for t in tables.values()), "sha256": _sha256(book)}
        manifest = _manifest(wanted, tables, facts, files)
        (place / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True, default=str) + "\n")
        (place / "README.md").write_text(_readme(manifest))
    return manifest


def _queries(wanted: Wanted) -> dict[str, str]:
    between = f"day between date '{wanted.since}' and date '{wanted.until}'"
    found = {
        name: f"select * from {table} {f'where {between}' if name in _DAYS else ''} order by {order}"
        for name, (table, order) in TABLES.items()
        if name != THRESHOLDS
    }
    days = f"generate_series(date '{wanted.since}', date '{wanted.until}', interval 1 day)"
    found["panel"] = f"""
        with csus as (select csu_id, any_value(csu_name) as csu_name, any_value(family) as family,
                             any_value(chain) as chain, any_value(chain_id) as chain_id
                      from csu_daily_panel group by csu_id),
        days as (select unnest({days})::date as day)
        select panel.* replace (
            csus.csu_id as csu_id, csus.csu_name as csu_name, csus.family as family, csus.chain as chain,
            csus.chain_id as chain_id,
            days.day as day, coalesce(panel.panel_status, 'not_extracted') as panel_status,
            if(panel.csu_id is null, 'never asked for', panel.reason) as reason
        )
        from csus cross join days
        left join csu_daily_panel as panel on csus.csu_id = panel.csu_id and days.day = panel.day
        order by csus.csu_id, days.day"""
    found["providers"] = (
        f"select chain, list(distinct provider order by provider) as names from csu_snapshot_blocks where {between} group by chain order by chain"  # noqa: E501
    )
    found["publication"] = "select * from publications where unit = 'lending'"
    return found


def codebook(tables: Mapping[str, pa.Table], format_: str) -> list[dict[str, str]]:
    """One row per file and column: type, unit, definition and where it comes from."""
    defined = definitions()
    rows = []
    for name, table in tables.items():
        source = TABLES[name][0]
        for column in _shaped(table, format_).schema:
            base = column.name.removesuffix("_text") if column.name not in table.column_names else column.name
            text = defined[source].columns.get(base, "")
            unit = next((unit for end, unit in UNITS.items() if column.name.endswith(end)), "")
            if not unit and pa.types.is_floating(column.type):
                unit = "whole tokens"
            rows.append(
                {
                    "file": f"{name}.{format_}",
                    "column": column.name,
                    "type": str(column.type),
                    "unit": unit,
                    "definition": text + (" Exact text." if base != column.name else ""),
                    "source": f"table {source}",
                }
            )
    return rows


def _manifest(
    wanted: Wanted,
    tables: Mapping[str, pa.Table],
    facts: Mapping[str, pa.Table],
    files: Mapping[str, Any],
) -> dict[str, Any]:
    statuses = tables["panel"].group_by("panel_status").aggregate([("csu_id", "count")]).to_pylist()
    csus = pc.unique(tables["panel"]["csu_id"]).to_pylist()
    return {
        "title": "Daily supply, debt and liquidations of lending deployments (CSUs), New York days",
        "since": wanted.since,
        "until": wanted.until,
        "format": wanted.format,
        "csus": csus,
        "panel_rows_by_status": {row["panel_status"]: row["csu_id_count"] for row in sorted(statuses, key=str)},
        "providers": {row["chain"]: row["names"] for row in facts["providers"].to_pylist()},
        "publication": [{k: v for k, v in row.items() if k not in ("folder", "root")}
                        for row in facts["publication"].to_pylist()],
        "versions": {"python": platform.python_version()} | {name: version(name) for name in VERSIONS},
        "files": dict(files),
        "commands": [
            f"foreshore extract lending --csu {','.join(csus)} --since {wanted.since} --until {wanted.until}",
            "foreshore build",
            f"foreshore export lending --since {wanted.since} --until {wanted.until} --format {wanted.format} "
            "--out DIR",
        ],
    }  # fmt: skip


def _readme(manifest: Mapping[str, Any]) -> str:
    statuses = ", ".join(f"{count} {status}" for status, count in manifest["panel_rows_by_status"].items())
    files = "\n".join(
        f"| `{name}` | {of['rows']:,} | `{of['sha256'][:16]}` |" for name, of in manifest["files"].items()
    )
    commands = "\n".join(manifest["commands"])
    providers = ", ".join(f"{chain}: {', '.join(names)}" for chain, names in manifest["providers"].items())
    return f"""# {manifest["title"]}

{len(manifest["csus"])} CSUs, {manifest["since"]} to {manifest["until"]}; panel rows: {statuses}.
One row of the panel is one CSU and one New York day; what is not known is empty with a reason, never zero.
`codebook.csv` defines every column; `manifest.json` has full hashes and versions.

| file | rows | sha256 begins |
|---|---|---|
{files}

Asked of: {providers}.

Make it again (block data never changes, so the same rows come):

```sh
{commands}
```
"""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _shaped(table: pa.Table, format_: str) -> pa.Table:
    """The table as a format can hold it: dates and times as ISO text outside parquet; for Stata also exact integers."""
    if format_ == "parquet":
        return table
    columns: dict[str, pa.ChunkedArray] = {}
    for name in table.column_names:
        column, kind = table[name], table[name].type
        if pa.types.is_timestamp(kind):
            columns[name] = pc.strftime(column.cast(pa.timestamp("s", "UTC")), "%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_date(kind):
            columns[name] = pc.strftime(column, "%Y-%m-%d")
        elif pa.types.is_decimal(kind) and format_ == "dta":
            columns[name] = column.cast(pa.float64())
            columns[f"{name}_text"] = column.cast(pa.string())
        elif pa.types.is_decimal(kind):
            columns[name] = column.cast(pa.string())
        else:
            columns[name] = column
    return pa.table(columns)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path)


def _write_csv(table: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(_shaped(table, "csv"), path)


def _write_dta(table: pa.Table, path: Path) -> None:
    try:  # an extra: only Stata files need it
        import pandas  # noqa: F401
    except ImportError:
        raise ForeshoreError("--format dta needs pandas: pip install 'foreshore[stata]'") from None
    shaped = _shaped(table, "dta")
    long = [name for name in shaped.column_names if len(name) > _STATA_NAME]
    if long:
        raise ForeshoreError(f"Stata takes names of {_STATA_NAME} characters: {long[0]} is longer")
    frame: Any = shaped.to_pandas()
    for name in shaped.column_names:
        kind = shaped.schema.field(name).type
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            frame[name] = shaped[name].cast(pa.float64()).to_pandas()  # whole below 2^53, and may be missing
        elif pa.types.is_string(kind):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), "")
    texts = [n for n in shaped.column_names if pa.types.is_string(shaped.schema.field(n).type)]
    labels = {name: f"{path.stem}.{name}: see codebook.csv" for name in shaped.column_names}
    moment = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # the same bytes each time
    frame.to_stata(path, write_index=False, version=118, convert_strl=texts, variable_labels=labels, time_stamp=moment)


_WRITERS: Mapping[str, Callable[[pa.Table, Path], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "dta": _write_dta,
}
