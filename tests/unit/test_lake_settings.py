"""What names keys is refused before anything is loaded or reached."""

from __future__ import annotations

import duckdb
import pytest

from operate.lake.catalog import LakeError, load

KEYS = {"AWS_ACCESS_KEY_ID": "AKIDOFNOBODY", "AWS_SECRET_ACCESS_KEY": "s3cr3t"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"FORESHORE_LAKE": "postgres:dbname=lake password=s3cr3t"}, "set PGPASSWORD"),
        ({"FORESHORE_LAKE_DATA": "s3://AKIDOFNOBODY:s3cr3t@lake/path", **KEYS}, "and nothing more"),
        ({"FORESHORE_LAKE_DATA": "s3://lake/path?s3_secret_access_key=s3cr3t", **KEYS}, "and nothing more"),
        ({"FORESHORE_LAKE_DATA": "gs://lake/path", **KEYS}, "a folder or s3://bucket/path"),
        ({"FORESHORE_LAKE_DATA": "s3://lake/path"}, "set AWS_ACCESS_KEY_ID"),
        ({"FORESHORE_LAKE_DATA": "s3://lake/path", **KEYS}, "make lake"),  # no extension for this DuckDB
    ],
)
def test_settings_that_lead_to_no_lake(settings: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORESHORE_LAKE", "FORESHORE_LAKE_DATA", *KEYS):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with duckdb.connect() as connection, pytest.raises(LakeError, match=said) as refused:
        load(connection)
    assert "s3cr3t" not in str(refused.value)
