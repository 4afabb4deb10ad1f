"""The run ledger, the same cases on a DuckDB file and a real PostgreSQL: claims, kills, two at once, a lost server."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from decide.markets.experiments.protocol import resolved_until, sha256_of
from extract.config import Config
from extract.errors import ConfigError
from operate.markets.daily import DailyRun, Request, Summary
from operate.markets.dbt_ledger import LedgerNotReadable, attach
from operate.markets.dry import DryStore
from operate.markets.engines import DuckDbEngine, LedgerGone, PostgresEngine, Run
from operate.markets.migrating import MIGRATIONS, statements
from operate.markets.mirror import refresh
from operate.markets.rows import Claim, Failure, MarketRow, OutcomeRow
from operate.markets.settings import MarketSettings
from operate.markets.store import LeaseLost, Store
from tests.market_run_fixtures import AT, DAY, ROOT, HandMade, Room, a_snapshot, settings_in
from tests.postgres_fixtures import Pooler, Postgres

FACTS = {"code_version": "test", "config_sha256": "none"}


def claim(store: Store, owner: str, force: bool = False) -> Claim:
    return store.claim(DAY, 7, force=force, facts=FACTS, owner=owner)


def a_row(market: str = "1", price: float = 0.5, **known: object) -> MarketRow:
    snapshot = {"price": price, "condition_id": "0x1", "outcomes": ["Yes", "No"], "token_ids": ["11", "12"], **known}
    return MarketRow(market, "e", AT, price, {"snapshot": snapshot, "results": [], "contracts": []})


def test_a_run_is_claimed_once_resumed_when_partial_and_redone_by_force(room: Room) -> None:
    store = room.store()
    first = claim(store, "other-host/1/a")
    assert (first.kind, first.attempt, first.run_id) == ("new", 1, "2026-01-05-w7")
    assert claim(store, "other-host/2/b").kind == "busy"
    assert claim(store, "other-host/2/b", force=True).kind == "busy", "force does not break a lease"
    store.finish(first, "partial")
    second = claim(store, "other-host/2/b")
    assert (second.kind, second.attempt) == ("resumed", 2)
    with pytest.raises(LeaseLost):
        store.write(first, [a_row()], [])
    assert store.counts(first.run_id)["processed"] == 0
    store.finish(second, "complete")
    assert claim(store, "other-host/3/c").kind == "done"
    assert claim(store, "other-host/3/c", force=True).kind == "forced"
    store.close()


def test_a_lease_that_ran_out_can_be_taken_and_a_dead_process_holds_none(room: Room) -> None:
    store = room.store()
    store.lease = timedelta(seconds=0.2)
    claim(store, "other-host/1/a")
    time.sleep(0.3)
    assert claim(store, "other-host/2/b").kind == "resumed"
    store.lease = timedelta(seconds=600)
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    import socket

    time.sleep(0.3)
    dead = claim(store, f"{socket.gethostname()}/{ended.pid}/x")
    assert dead.kind == "resumed" and claim(store, "other-host/3/c").kind == "resumed"
    store.close()


def test_of_many_claimers_at_once_one_wins(room: Room) -> None:
    room.store().close()

    def attempt(number: int) -> str:
        store = Store.open(room.settings)
        try:
            return claim(store, f"host-{number}/1/x").kind
        finally:
            store.close()

    with ThreadPoolExecutor(10) as threads:
        kinds = list(threads.map(attempt, range(10)))
    assert sorted(kinds) == ["busy"] * 9 + ["new"]


def test_migrations_run_once_whoever_comes_first(room: Room) -> None:
    with ThreadPoolExecutor(4) as threads:
        for store in threads.map(lambda _: Store.open(room.settings), range(4)):
            assert store.migrate() == [] and store.is_migrated()
            store.close()


def test_a_newer_ledger_is_refused(room: Room) -> None:
    store = room.store()
    store.engine.transaction(lambda run: run("insert into ledger_migrations values (?, ?)", ("9999_later", AT)))
    with pytest.raises(Exception, match="9999_later of a newer Foreshore"):
        store.migrate()
    store.close()


def test_writing_again_changes_nothing_and_half_a_batch_is_never_seen(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    rows = [a_row("1"), a_row("2")]
    for _ in range(2):
        store.write(mine, rows, [Failure("3", "experiment", "ValueError", "no", "e")])
    assert store.counts(mine.run_id) == {"processed": 2, "failing": 1}
    broken = replace(a_row("5"), payload={"snapshot": {}, "x": object()})
    with pytest.raises(Exception):  # noqa: B017 - whatever it is, nothing of the batch may stay
        store.write(mine, [a_row("4"), broken], [])
    assert set(store.processed(mine.run_id)) == {"1", "2"}
    assert [row.payload_sha256 for row in store.payloads(mine.run_id)] == [row.sha256 for row in rows]
    store.close()


def test_a_result_that_is_taken_back_or_turned_is_a_new_answer_and_the_old_one_stays_on_record(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row("1", 0.3), a_row("2"), a_row("3")], [])
    day = timedelta(days=1)
    store.record_outcomes([OutcomeRow("1", "undetermined", None, None, AT + day)])
    assert [each.market_id for each in store.unresolved(30)] == ["1", "2", "3"] and store.history() == []
    store.record_outcomes(
        [OutcomeRow("1", "resolved", 1, AT + day, AT + 2 * day), OutcomeRow("2", "void", None, AT, AT + day)]
    )
    (known,) = store.history()
    assert (known.market_id, known.price, known.happened, known.known_at) == ("1", 0.3, 1, AT + 2 * day)
    assert known.superseded_at is None
    store.record_outcomes([OutcomeRow("1", "resolved", 1, AT + day, AT + 3 * day)])
    store.record_outcomes([OutcomeRow("1", "refused", None, None, AT + 3.5 * day)])
    assert store.history() == [known], "the same answer again, or one about another market, changes nothing"
    store.record_outcomes([OutcomeRow("1", "resolved", 0, AT, AT + 4 * day)])
    store.record_outcomes([OutcomeRow("1", "undetermined", None, None, AT + 5 * day)])
    store.record_outcomes([OutcomeRow("1", "resolved", 0, AT, AT + 6 * day)])
    store.record_outcomes([OutcomeRow("1", "void", None, AT, AT + 7 * day)])
    stood = [("resolved", 1, 2), ("resolved", 0, 4), ("undetermined", None, 5), ("resolved", 0, 6), ("void", None, 7)]
    assert store.answers("1") == [(status, label, AT + days * day) for status, label, days in stood]
    happened = {d: [o.happened for o in resolved_until(store.history(), AT + d * day).outcomes] for d in range(1, 9)}
    assert happened == {1: [], 2: [1], 3: [1], 4: [0], 5: [], 6: [0], 7: [], 8: []}
    store.close()


def test_what_was_known_then_does_not_show_what_became_of_it(room: Room) -> None:
    """Changing the future changes no bit of what an experiment is handed."""
    store = room.store()
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row("1", 0.3)], [])
    day = timedelta(days=1)
    store.record_outcomes([OutcomeRow("1", "resolved", 1, AT + day, AT + 2 * day)])
    before = resolved_until(store.history(), AT + 3 * day)
    store.record_outcomes([OutcomeRow("1", "resolved", 0, AT + day, AT + 4 * day)])
    after = resolved_until(store.history(), AT + 3 * day)
    assert before.outcomes == after.outcomes and before.digest == after.digest
    assert resolved_until(store.history(), AT + 4 * day).digest != before.digest
    store.close()


def test_ends_are_asked_for_by_the_scheduled_end_and_for_a_while_after_they_are_known(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    day = timedelta(days=1)
    store.write(mine, [a_row("1", end_at=AT + 400 * day), a_row("2", end_at=AT + 7 * day), a_row("3")], [])
    store.record_outcomes([OutcomeRow("2", "resolved", 1, AT + 8 * day, AT + 8 * day)])
    asked = lambda: {each.market_id for each in store.unresolved(180, 14)}  # noqa: E731
    assert asked() == {"1", "2", "3"}
    store.record_outcomes([OutcomeRow("3", "undetermined", None, None, AT + 30 * day)])
    assert asked() == {"1", "3"}, "what has been final for 22 days is settled"
    store.record_outcomes([OutcomeRow("1", "undetermined", None, None, AT + 350 * day)])
    assert asked() == {"1"}, "the one without an end was last seen 350 days ago; the other ends in 50"
    (one,) = store.unresolved(180, 14)
    assert (one.condition_id, one.outcomes, one.token_ids) == ("0x1", ("Yes", "No"), ("11", "12"))
    store.close()


def test_a_label_is_the_snapshots_whatever_the_order_of_outcomes(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    turned = store.claim(DAY + timedelta(days=1), 7, force=False, facts=FACTS, owner="h/1/y")
    store.write(mine, [a_row("1")], [])
    later = replace(a_row("1", token_ids=["12", "11"]), snapshot_at=AT + timedelta(days=1))
    end = OutcomeRow("1", "resolved", 1, AT, AT + timedelta(hours=12), winning_token_id="11")
    store.record_outcomes([end])
    assert [o.happened for o in store.history()] == [1]
    store.write(turned, [later], [])
    store.record_outcomes([replace(end, label=0, winning_token_id="12", checked_at=AT + timedelta(days=3))])
    assert [o.happened for o in store.history()] == [1, 1], "token 12 is the second outcome then, the first one later"
    store.close()


def test_two_problems_of_one_attempt_are_two_rows(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    problems = [Failure("", "ingest", "IncompleteListing", f"{what} failed") for what in ("prices", "books")]
    for _ in range(2):
        store.write(mine, [], problems)
    sql = "select message from processing_failures where run_id = ? order by 1"
    rows = store.engine.transaction(lambda run: run(sql, (mine.run_id,)))
    assert rows == [("books failed",), ("prices failed",)]
    store.close()


def test_both_ledgers_take_any_text(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    store.write(mine, [], [Failure("3", "experiment", "E\ud800", "half \ud800 and nul \x00", "x")])
    store.finish(mine, "failed", "nul \x00 \udfff")
    rows = store.engine.transaction(lambda run: run("select error_class, message from processing_failures"))
    assert rows == [("E\ufffd", "half \ufffd and nul \ufffd")]
    store.close()


def test_an_older_ledger_is_brought_up_to_date(room: Room) -> None:
    """What 0001 wrote is there after 0002, with what the new columns can know of it."""
    engine = room.store().engine
    for table in ("processing_runs", "processed_markets", "processing_failures", "market_outcomes", "market_answers"):
        engine.transaction(lambda run, table=table: run(f"drop table {table}"))
    engine.transaction(lambda run: (run("drop table model_calls"), run("delete from ledger_migrations")))
    first = (MIGRATIONS / "0001_ledger.sql").read_text().replace("{json}", engine.json)

    def old(run: Run) -> None:
        for statement in statements(first):
            run(statement)
        run("insert into ledger_migrations values ('0001_ledger', ?)", (AT,))
        text = json.dumps({"snapshot": {"end_at": AT.isoformat(), "token_ids": ["11", "12"]}, "results": []})
        cast = f"cast(? as {engine.json})"
        values = ("r", "1", "e", AT, text, AT)
        run(f"insert into processed_markets values (?, ?, ?, 1, ?, 0.5, {cast}, 'sha', ?)", values)
        run("insert into market_outcomes values ('1', 'resolved', 1, ?, ?, ?)", (AT, AT + timedelta(1), AT))
        run("insert into processing_failures values ('r', 1, '', 'ingest', '', 'E', 'm', true, false, ?)", (AT,))

    engine.transaction(old)
    store = room.store()
    assert [(o.market_id, o.happened) for o in store.history()] == [("1", 1)]
    assert store.failing("r") == {""} and store.inputs("r") == {}
    (asked,) = store.unresolved(30, 14)
    assert asked.token_ids == ("11", "12")
    store.close()


def test_amending_a_row_that_changed_meanwhile_does_nothing(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row("1")], [])
    (seen,) = store.payloads(mine.run_id)
    assert store.amend(mine.run_id, [(seen, {"new": 1})], []) == 1
    assert store.amend(mine.run_id, [(seen, {"new": 2})], []) == 0
    assert store.payloads(mine.run_id)[0].payload == {"new": 1}
    store.close()


def test_a_dry_store_reads_and_writes_nothing(room: Room) -> None:
    store = room.store()
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row("1")], [])
    store.finish(mine, "partial")
    dry = DryStore.open(room.settings)
    again = claim(dry, "h/2/y")
    dry.write(again, [a_row("2")], [Failure("3", "experiment", "E", "m")])
    assert again.kind == "resumed" and dry.counts(again.run_id) == {"processed": 2, "failing": 1}
    dry.close()
    assert store.counts(mine.run_id) == {"processed": 1, "failing": 0}
    assert store.runs()[0]["status"] == "partial"
    store.close()


# -- killed, again and again

_RUN = """
import sys
from tests.market_run_fixtures import *
from pathlib import Path
from operate.markets import daily, store
daily.ROWS_PER_COMMIT = 3
write = store.Store.write
def told(self, *given):
    write(self, *given)
    print("written", flush=True)
store.Store.write = told
settings = settings_in(Path(sys.argv[1]), sys.argv[2] or None, concurrency=1)
summary = Room(settings).run(HandMade([a_snapshot(n) for n in range(360)]))
print(summary.status, summary.processed)
sys.exit(summary.exit_code)
"""


def start(room: Room) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _RUN, str(room.settings.root), room.settings.ledger_url or ""]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."})


def test_killed_twenty_times_no_market_is_half_there_and_counts_are_exact(room: Room) -> None:
    chance, seen, counts = random.Random(7), set[str](), []
    store = room.store()
    for _ in range(20):
        process = start(room)
        assert process.stdout is not None
        for _ in range(chance.randrange(5)):  # commits of 120; the next is on its way, or the first not begun
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        rows = store.payloads("2026-01-05-w7")
        for row in rows:
            assert sha256_of(row.payload) == row.payload_sha256
            assert len(row.payload["results"]) == 8 and len(row.payload["contracts"]) == 2
        assert seen <= {row.market_id for row in rows}, "what was committed stays"
        seen = {row.market_id for row in rows}
        counts.append(len(seen))
    assert 0 < counts[-1] < 360, "kills before the first commit or after the last test nothing"
    final = start(room)
    output, _ = final.communicate(timeout=120)
    assert final.returncode == 0 and output.split()[-2:] == ["complete", "360"]
    assert store.counts("2026-01-05-w7") == {"processed": 360, "failing": 0}
    assert len({row.market_id for row in store.payloads("2026-01-05-w7")}) == 360
    store.close()


def test_two_processes_at_once_one_wins(room: Room) -> None:
    both = [start(room), start(room)]
    codes = sorted(process.wait(120) for process in both)
    for process in both:
        process.communicate()
    assert codes == [0, 3]
    store = room.store()
    assert store.counts("2026-01-05-w7") == {"processed": 360, "failing": 0}
    assert store.runs()[0]["status"] == "complete"
    store.close()


# -- a database that goes away


def test_postgres_gone_for_a_moment_is_waited_for(postgres: Postgres, tmp_path: Path) -> None:
    room = Room(settings_in(tmp_path, postgres.database()))
    store = room.store()
    mine = claim(store, "h/1/x")
    postgres.stop()
    back = threading.Timer(0.5, postgres.start)
    back.start()
    store.write(mine, [a_row("1")], [])
    back.join()
    assert store.counts(mine.run_id)["processed"] == 1
    store.close()


def test_postgres_gone_for_good_leaves_a_partial_run_that_resumes(postgres: Postgres, tmp_path: Path) -> None:
    room = Room(settings_in(tmp_path, postgres.database(), patience_seconds=0.5, lease_seconds=1.5))
    source = HandMade([a_snapshot(n) for n in range(900)])
    store, writes = room.store(), []
    write = store.write

    def failing_write(*arguments: object) -> None:
        writes.append(arguments)
        if len(writes) == 3:
            postgres.stop()
        write(*arguments)  # type: ignore[arg-type]

    store.write = failing_write  # type: ignore[method-assign]
    summary = DailyRun(room.settings, source, store, None, Request(DAY, 7)).execute()
    store.close()
    assert (summary.status, summary.exit_code) == ("partial", 2) and summary.written > 0
    assert summary.failures[-1]["error_class"] == "LedgerGone" and "has not answered" in summary.note
    postgres.start()
    time.sleep(1.5)  # in one process the holder is not dead, so its lease must run out
    again = room.run(source)
    assert (again.kind, again.status, again.processed) == ("resumed", "complete", 900)
    assert again.written == 900 - summary.written


def test_postgres_behind_a_transaction_pooler(pooler: Pooler, tmp_path: Path) -> None:
    """A real pooler that hands every transaction another connection: claims, writes, migrations, two at once."""
    room = Room(settings_in(tmp_path, pooler.database(), concurrency=2))
    with ThreadPoolExecutor(4) as threads:
        summaries = list(threads.map(lambda _: room.run(HandMade([a_snapshot(n) for n in range(60)])), range(4)))
    assert sorted(s.kind for s in summaries if s.processed) == ["new"] and sum(s.exit_code == 3 for s in summaries) == 3
    store = room.store()
    assert store.counts("2026-01-05-w7") == {"processed": 60, "failing": 0}
    store.record_outcomes([OutcomeRow("00001", "resolved", 1, AT, AT + timedelta(days=1))])
    assert len(store.history()) == 1
    store.close()
    assert pooler.mode() == "transaction"


def test_a_pooler_that_restarts_is_waited_for_and_a_lost_one_leaves_a_run_that_resumes(
    pooler: Pooler, tmp_path: Path
) -> None:
    room = Room(settings_in(tmp_path, pooler.database(), patience_seconds=10, lease_seconds=1.5))
    source = HandMade([a_snapshot(n) for n in range(900)])

    def run_and_break(at_write: int, do: Callable[[], None], patience: float) -> Summary:
        settings = replace(room.settings, patience_seconds=patience)
        store, count = Store.open(settings), [0]
        write = store.write

        def breaking(*arguments: object) -> None:
            count[0] += 1
            if count[0] == at_write:
                do()
            write(*arguments)  # type: ignore[arg-type]

        store.write = breaking  # type: ignore[method-assign]
        try:
            return DailyRun(settings, source, store, None, Request(DAY, 7, force=True)).execute()
        finally:
            store.close()

    restarted = run_and_break(3, pooler.restart, 10)
    assert (restarted.status, restarted.written) == ("complete", 900)
    lost = run_and_break(3, pooler.stop, 0.5)
    assert lost.status == "partial" and lost.failures[-1]["error_class"] == "LedgerGone"
    pooler.start()
    time.sleep(1.5)  # the holder is this very process, so its lease must run out
    again = room.run(source)
    assert (again.kind, again.status, again.processed) == ("resumed", "complete", 900)


def test_a_database_restarted_behind_the_pooler_is_waited_for(pooler: Pooler, tmp_path: Path) -> None:
    store = Store.open(settings_in(tmp_path, pooler.database()))
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row("1")], [])
    pooler.server.stop()
    back = threading.Timer(0.5, pooler.server.start)
    back.start()
    store.write(mine, [a_row("2")], [])
    back.join()
    assert store.counts(mine.run_id)["processed"] == 2
    store.close()


# -- configuration and readers


def test_production_without_a_database_is_refused(tmp_path: Path) -> None:
    config = Config(tmp_path / "foreshore.toml", {}, {})
    with pytest.raises(ConfigError, match="FORESHORE_LEDGER_URL"):
        MarketSettings.of(config, {"FORESHORE_ENVIRONMENT": "production"})
    url = "postgresql://user:secret@db/foreshore"
    made = MarketSettings.of(config, {"FORESHORE_ENVIRONMENT": "production", "FORESHORE_LEDGER_URL": url})
    assert made.ledger_url == url and "secret" not in repr(made)


def test_an_error_of_the_database_does_not_show_its_password(tmp_path: Path) -> None:
    engine = PostgresEngine("postgresql://me:hunter2@/x?host=/nonexistent", 0.1)
    with pytest.raises(LedgerGone) as caught:
        engine.transaction(lambda run: run("select 1"))
    assert "hunter2" not in str(caught.value)


@pytest.fixture
def reader() -> Iterator[object]:
    import duckdb

    with duckdb.connect() as connection:
        yield connection


def test_dbt_finds_an_empty_ledger_where_none_is(reader: object, tmp_path: Path) -> None:
    attach(reader, tmp_path / "none.duckdb", None)  # type: ignore[arg-type]
    assert reader.execute("select count(*) from ledger.main.processed_markets").fetchall() == [(0,)]  # type: ignore[attr-defined]
    assert not (tmp_path / "none.duckdb").exists()


def test_dbt_says_who_holds_the_ledger(reader: object, tmp_path: Path) -> None:
    file = tmp_path / "ledger.duckdb"
    Store(DuckDbEngine(file, 1)).migrate()
    hold = f"import duckdb, time; c = duckdb.connect({str(file)!r}); print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        with pytest.raises(LedgerNotReadable, match="being written by another process"):
            attach(reader, file, None)  # type: ignore[arg-type]
        with pytest.raises(LedgerGone, match="in use by another process"):
            Store(DuckDbEngine(file, 0.2)).migrate()
        holder.kill()
    attach(reader, file, None)  # type: ignore[arg-type]


def test_a_ledger_can_be_read_by_the_lakes_older_duckdb(reader: object, tmp_path: Path) -> None:
    file = tmp_path / "ledger.duckdb"
    Store(DuckDbEngine(file, 1)).migrate()
    attach(reader, file, None)  # type: ignore[arg-type]
    asked = "select tags['storage_version'] from duckdb_databases() where database_name = 'ledger'"
    assert reader.execute(asked).fetchall() == [("v1.2.0+",)]  # type: ignore[attr-defined]


def test_the_mirror_follows_what_was_written_since(postgres: Postgres, reader: object, tmp_path: Path) -> None:
    url = postgres.database()
    store = Store(PostgresEngine(url, 5))
    file = tmp_path / "m.mirror.duckdb"
    assert refresh(url, file) == 0, "no tables yet"
    store.migrate()
    mine = claim(store, "h/1/x")
    store.write(mine, [a_row(str(n)) for n in range(5)], [Failure("9", "experiment", "E", 'it\'s "so"', "x")])
    store.record_outcomes([OutcomeRow("1", "resolved", 1, AT, AT)])
    refresh(url, file)
    store.write(mine, [replace(a_row("1"), payload={"snapshot": {}, "later": 1.5})], [])
    refresh(url, file)
    attach(reader, tmp_path / "m.duckdb", url)  # type: ignore[arg-type]
    count = "select count(*), count(*) filter (where payload ->> '$.later' = '1.5') from ledger.main.processed_markets"
    assert reader.execute(count).fetchall() == [(5, 1)]  # type: ignore[attr-defined]
    read = reader.execute("select message, failed_at is not null from ledger.main.processing_failures").fetchall()  # type: ignore[attr-defined]
    assert read == [('it\'s "so"', True)]
    now = datetime.now(UTC)
    (claimed,) = reader.execute("select claimed_at from ledger.main.processing_runs").fetchall()[0]  # type: ignore[attr-defined]
    assert abs(now - claimed) < timedelta(minutes=5)
    store.close()
