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
