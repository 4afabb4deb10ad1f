"""The run ledger's schema: the migrations of this repository, applied in order and once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from operate.markets.engines import Engine, LedgerError, Run

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> list[str]:
    """Apply the repository's migrations that this ledger lacks; returns their names."""
    files = {path.stem: path for path in sorted(MIGRATIONS.glob("*.sql"))}

    def work(run: Run) -> list[str]:
        engine.lock_migrations(run)
        run("create table if not exists ledger_migrations (name text primary key, applied_at timestamptz not null)")
        applied = {row[0] for row in run("select name from ledger_migrations")}
        if unknown := sorted(applied - set(files)):
            raise LedgerError(f"the ledger has migrations {', '.join(unknown)} of a newer Foreshore: update this one")
        missing = [name for name in files if name not in applied]
        for name in missing:
            for statement in statements(files[name].read_text().replace("{json}", engine.json)):
                run(statement)
            run("insert into ledger_migrations values (?, ?)", (name, datetime.now(UTC)))
        return missing

    return engine.transaction(work)


def statements(text: str) -> list[str]:
    """The statements of a migration, without its comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";") if part.strip()]
