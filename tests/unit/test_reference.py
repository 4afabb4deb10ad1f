"""The reference is what the code says today, and it holds every verb, mart, seed and error."""

from __future__ import annotations

from operate.project import ROOT
from operate.reference import FOLDER, pages

MADE = pages()


def test_the_reference_is_current() -> None:
    stale = [name for name, text in MADE.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, f"run `python -m operate.reference`: {stale}"


def test_nothing_is_left_out() -> None:
    assert all(f"### {path.stem}\n" in MADE["tables.md"] for path in (ROOT / "models" / "marts").rglob("*.sql"))
    assert all(f"### {path.stem}\n" in MADE["seeds.md"] for path in (ROOT / "seeds").rglob("*.csv"))
    for verb in ("init", "extract voting", "backtest", "backtest bars", "markets daily", "sql"):
        assert f"## foreshore {verb}\n" in MADE["verbs.md"]
    for error in ("ConfigError", "Busy", "Disagreement", "WarehouseError", "LeaseLost", "PagingError"):
        assert f"| `{error}` |" in MADE["errors.md"]
    assert "RpcError" not in MADE["errors.md"]  # the embedded world's own, which nobody is shown


def test_the_reference_names_no_machine() -> None:
    assert not [name for name, text in MADE.items() if "/root" in text or str(ROOT) in text]
