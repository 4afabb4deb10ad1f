"""Where the lake is, what DuckDB loads to reach it, and who builds in it now."""

from __future__ import annotations

import importlib.util
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from extract.store import is_remote
from operate.shelf import quoted

CATALOG, DATA, BUILD = "FORESHORE_LAKE", "FORESHORE_LAKE_DATA", "FORESHORE_LAKE_BUILD"
DEFAULTS = {CATALOG: "postgres:dbname=foreshore", DATA: "data/lake/files", BUILD: "data/lake/build.duckdb"}
EXTENSIONS = ("postgres_scanner", "ducklake")
PUBLICATIONS = "lake.audit.publications"


class LakeError(RuntimeError):
    """dbt shows the message of a RuntimeError as it is."""


def setting(name: str) -> str:
    return os.environ.get(name) or DEFAULTS[name]


def load(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the extensions from their packages, nothing is fetched, and the object store's keys. Errors: LakeError."""
    if "password" in setting(CATALOG):
        raise LakeError(f"{CATALOG} holds a password: take it out, and set PGPASSWORD or ~/.pgpass instead")
    secret = _secret(setting(DATA)) if is_remote(setting(DATA)) else None
    for name in (*EXTENSIONS, "httpfs") if secret else EXTENSIONS:
        spec = importlib.util.find_spec(f"duckdb_extension_{name}")
        folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" if spec and spec.origin else None
        file = folder / f"{name}.duckdb_extension" if folder else None
        if file is None or not file.exists():
            raise LakeError(
                f"DuckDB {duckdb.__version__} has no {name} extension here: `make lake` makes an environment that has, "
                ".venv-lake"
            )
        connection.execute(f"load {quoted(file)}")
    if secret:
        connection.execute(secret)
        # httpfs has copied them from the environment into settings, which any query shows; a secret is not shown
        for name in ("s3_access_key_id", "s3_secret_access_key", "s3_session_token"):
            connection.execute(f"reset {name}")


def _secret(data: str) -> str:
    """The statement that gives one connection the store's keys. Errors: LakeError."""
    place, said = urlsplit(data), os.environ
    if place.scheme != "s3" or "@" in place.netloc or place.query:  # the catalog keeps it, for all to read
        raise LakeError(f"{DATA} is a folder or s3://bucket/path, and nothing more: keys come from the environment")
    keys = {"key_id": said.get("AWS_ACCESS_KEY_ID"), "secret": said.get("AWS_SECRET_ACCESS_KEY")}
    if not all(keys.values()):
        raise LakeError(f"{DATA} is an object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    keys |= {"session_token": said.get("AWS_SESSION_TOKEN")}
    keys |= {"region": said.get("AWS_REGION") or said.get("AWS_DEFAULT_REGION") or "us-east-1"}
    if url := said.get("AWS_ENDPOINT_URL"):
        endpoint = urlsplit(url)
        keys |= {"endpoint": endpoint.netloc, "use_ssl": str(endpoint.scheme == "https").lower(), "url_style": "path"}
    told = ", ".join(f"{name} {quoted(value)}" for name, value in keys.items() if value)
    return f"create or replace temporary secret store (type s3, scope {quoted(f's3://{place.netloc}')}, {told})"


def attached(read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """A connection in UTC with the lake as `lake`."""
    connection = duckdb.connect()
    load(connection)
    connection.execute("set TimeZone = 'UTC'")
    terms = "read_only" if read_only else f"data_path {quoted(setting(DATA))}"
    connection.execute(f"attach {quoted('ducklake:' + setting(CATALOG))} as lake ({terms})")
    return connection


@contextmanager
def held(unit: str) -> Iterator[None]:
    """Hold a unit against other builders of it, and the door, which all read, against its own; LakeError where taken.

    PostgreSQL's locks: they go with the connection, however the builder ends.
    """
    with duckdb.connect() as connection:
        load(connection)
        connection.execute(f"attach {quoted(setting(CATALOG).removeprefix('postgres:'))} as catalog (type postgres)")
        connection.execute("begin")
        for name in dict.fromkeys(("door", unit)):
            how = "pg_try_advisory_xact_lock" if name == unit else "pg_try_advisory_xact_lock_shared"
            call = f"select {how}({zlib.crc32(f'foreshore {name}'.encode())})"
            [(is_free,)] = connection.execute("from postgres_query('catalog', ?)", [call]).fetchall()
            if not is_free:
                other = name if name == unit else f"{name}, which {unit} reads,"
                raise LakeError(f"{other} is being built by another: wait for it, then run the same command again")
        yield
