"""Every mart and seed says what a row is and what each column means: docs, packages and the terminal read it here."""

from __future__ import annotations

from operate.definitions import definitions
from operate.project import ROOT


def test_every_mart_is_defined_with_its_columns() -> None:
    marts = {path.stem for path in (ROOT / "models" / "marts").rglob("*.sql")}
    found = definitions()
    assert len(marts) > 40 and marts <= found.keys()
    for name in marts:
        assert found[name].description, name
        assert all(found[name].columns.values()), (name, [c for c, text in found[name].columns.items() if not text])
        assert not any("{{" in text for text in found[name].columns.values()), name
    assert {path.stem for path in (ROOT / "seeds").rglob("*.csv")} <= found.keys()


def test_whoever_reads_a_mart_reads_names_beside_keys() -> None:
    """A gauge by its pool, a CSU by its protocol and chain: next to the address or key, wherever one stands."""
    found, named = definitions(), dict[str, set[str]]()
    for path in (ROOT / "models" / "marts").rglob("*.sql"):
        columns = list(found[path.stem].columns)
        for key, name in (("gauge_address", "gauge_name"), ("csu_id", "csu_name")):
            if key in columns:
                named.setdefault(name, set()).add(path.stem)
                assert name in columns[columns.index(key) :][:4], f"{path.stem} has {key} and no {name} beside it"
    assert {"preboundary_snapshots", "preboundary_backtest_votes", "gauges"} <= named["gauge_name"]
    assert {"csu_daily_panel", "csu_liquidations"} <= named["csu_name"]
