"""Readers see whole, audited wings only, and can change nothing: real dbt on a small project, really published."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from extract.errors import Busy, RequestError
from extract.lake import Lake
from operate import shelf as shelves
from operate.cli import cli
from operate.console import to_json
from operate.lock import building
from operate.rebuild import rebuild
from operate.shelf import PublicationError, Shelf
from operate.shell import run_shell
from operate.warehouse import WarehouseError, publish, query, read_tables
from tests.publication_fixtures import ROOT, ROWS, WINGS, Small, project

GOOD = {1: {(1, 200, 0)}, 2: {(2, 200, 0)}, 3: {(3, 200, 0)}}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """The small project, parsed and built once: tests work on copies."""
    folder = tmp_path_factory.mktemp("small")
    made = Small(project(folder / "project"), folder / "data")
    made.land(1)
    assert made.dbt("build")
    return made


@pytest.fixture
def built(template: Small, tmp_path: Path) -> Small:
    """The small project with version 1 published."""
    made = Small(project(tmp_path / "project"), tmp_path / "data")
    made.land(1)
    assert not made.build().held_back
    assert made.readable() == dict.fromkeys(WINGS, GOOD[1])
    return made


def test_nothing_published_says_what_to_do(small: Small) -> None:
    with pytest.raises(WarehouseError, match="foreshore extract all`, then `foreshore build"):
        query(small.warehouse, "select 1")


def test_a_bare_build_is_published_when_it_is_read(small: Small) -> None:
    small.land(1)
    assert small.dbt("build")
    assert query(small.warehouse, "select version, count(*) from voting_votes group by all") == (
        ["version", "count_star()"],
        [(1, 200)],
    )
    assert small.readable() == dict.fromkeys(WINGS, GOOD[1])
    # what did not change is not asked again: the build file need not even be readable then
    small.warehouse.build_file.chmod(0)
    assert query(small.warehouse, "select count(*) from voting_votes")[1] == [(200,)]


FLAGS = {
    "a test left out": ("build", "--exclude", "no_bad_rows_voting_votes_is_bad", "no_bad_rows_voting_powers_is_bad"),
    "tests left out": ("build", "--exclude-resource-type", "test"),
    "models only": ("build", "--resource-type", "model"),
    "no rows": ("build", "--empty"),
    "one model": ("build", "--select", "int_voting_votes+"),
    "unit tests left out": ("build", "--exclude-resource-type", "unit_test", "--select", "+voting_votes"),
    "run alone": ("run",),
}


@pytest.mark.parametrize("name", FLAGS)
def test_no_flag_lets_an_unaudited_row_out(built: Small, name: str) -> None:
    bad = () if name in ("no rows", "unit tests left out") else ("voting",)
    built.land(2, bad=bad)
    built.dbt(*FLAGS[name])
    query(built.warehouse, "select 1")
    seen = built.readable()
    # lending is untouched by what is left out of voting: where all of its own tests ran it may be new
    assert seen["voting"] == GOOD[1] and seen["lending"] in (
        (GOOD[1], GOOD[2]) if name == "a test left out" else (GOOD[1],)
    )
    # a whole build afterwards heals it
    built.land(3)
    assert not built.build().held_back
    assert built.readable() == dict.fromkeys(WINGS, GOOD[3])


def test_run_and_then_test_is_an_audit_too(built: Small) -> None:
    built.land(2)
    assert built.dbt("run")
    query(built.warehouse, "select 1")
    assert built.readable() == dict.fromkeys(WINGS, GOOD[1])
    assert built.dbt("test")
    query(built.warehouse, "select 1")
    assert built.readable() == dict.fromkeys(WINGS, GOOD[2])


def test_one_wing_is_built_and_published_alone(built: Small) -> None:
    built.land(2)
    assert built.dbt("build", "--select", "+voting_votes", "+voting_powers")
    query(built.warehouse, "select 1")
    assert built.readable() == {"lending": GOOD[1], "voting": GOOD[2]}


def test_a_failing_wing_holds_back_itself_and_nobody_else(built: Small) -> None:
    built.land(2, bad=("lending",))
    done = built.cli("build")
    assert done.returncode == 2
    assert "held back lending: no_bad_rows_lending" in done.stderr and "voting new" in done.stdout
    assert built.readable() == {"lending": GOOD[1], "voting": GOOD[2]}


def test_a_broken_model_holds_back_its_own_wing(built: Small) -> None:
    built.land(2)
    (built.folder / "models/intermediate/lending/int_lending_votes.sql").write_text(
        "select no_such_column from nowhere"
    )
    assert set(built.build().held_back) == {"lending"}
    assert built.readable() == {"lending": GOOD[1], "voting": GOOD[2]}


def test_code_that_changed_without_running_is_not_vouched_for(built: Small) -> None:
    """A test added after the build has not run; a model changed after it was not built as it stands."""
    mart = built.folder / "models/marts/lending/lending_votes.sql"
    mart.write_text(mart.read_text() + " where version > 0")
    built.land(2)
    assert built.dbt("build", "--select", "+voting_votes", "+voting_powers")
    with duckdb.connect(str(built.warehouse.build_file)) as file:
        file.execute("update audit.results set number = 99")  # as if everything had run last
    publish(built.warehouse)
    assert built.readable()["lending"] == GOOD[1]


def test_what_did_not_change_is_not_copied(built: Small) -> None:
    before = built.warehouse.shelf.units()
    built.land(2, bad=("lending",))
    built.build()
    after = built.warehouse.shelf.units()
    assert after["lending"] == before["lending"] and after["voting"].folder != before["voting"].folder
    built.land(2)
    built.build()
    again = built.warehouse.shelf.units()
    assert again["voting"].folder == after["voting"].folder and again["lending"].folder != before["lending"].folder
    assert again["voting"].invocation_id != after["voting"].invocation_id  # audited anew, by another build


def test_two_roots_do_not_meet(built: Small, tmp_path: Path) -> None:
    """A build of one raw zone is never published for another, whichever way it was pointed there."""
    other = Small(built.folder, tmp_path / "other")
    other.land(2)
    done = subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "build"],
        cwd=built.folder,
        env=built.environment() | {"FORESHORE_RAW": f"{other.root}/raw"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    with pytest.raises(PublicationError, match=r"built from .*other/raw"):
        publish(built.warehouse)
    query(built.warehouse, "select 1")
    assert built.readable() == dict.fromkeys(WINGS, GOOD[1])
    assert other.readable() == {}
    assert not other.build().held_back
    assert other.readable() == dict.fromkeys(WINGS, GOOD[2])
    assert built.readable() == dict.fromkeys(WINGS, GOOD[1])


def test_what_was_known_then_is_answered_from_what_stood_then(built: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, config = built.warehouse.shelf, built.root / "foreshore.toml"
    config.write_text(f'[storage]\nroot = "{built.root}"\n')
    for version, bad in ((2, ()), (3, ("lending",))):
        built.land(version, bad=bad)
        built.build()
    names = shelf.kept()
    moments = [shelves.published_at(name) for name in names]
    assert len(names) == 3 and moments == sorted(moments)

    def known(as_of: str) -> dict[str, int]:
        told = query(replace(built.warehouse, as_of=as_of), "select min(version), max(version) from voting_votes")[1]
        lending = query(replace(built.warehouse, as_of=as_of), "select max(version) from lending_votes")[1]
        assert told[0][0] == told[0][1]
        return {"voting": told[0][1], "lending": lending[0][0]}

    for number, name in enumerate(names):
        assert known(name) == {"voting": number + 1, "lending": min(number + 1, 2)}
        assert known(moments[number].isoformat()) == known(name)  # from that very moment on
        if number:
            just_before = (moments[number] - timedelta(microseconds=1)).isoformat()
            assert known(just_before) == known(names[number - 1])
    assert known(f"{moments[-1]:%Y-%m-%d}") == known(names[-1])  # a day means its end
    with pytest.raises(PublicationError, match=f"no publication stood at .* the oldest one kept is {names[0]}"):
        known((moments[0] - timedelta(seconds=1)).isoformat())
    with pytest.raises(PublicationError, match="is no moment"):
        known("last monday")
    monkeypatch.setenv("FORESHORE_CONFIG", str(config))
    asked = ["sql", "--as-of", names[0], "--json", "select max(version) as version from voting_votes"]
    assert json.loads(CliRunner().invoke(cli, asked).stdout)["rows"] == [[1]]
    monkeypatch.setattr(shelves, "KEEP_SECONDS", 0.0)
    shelves.prune(shelf, keep_days=0)
    assert shelf.kept() == names[-1:]
    with pytest.raises(PublicationError, match="any more"):
        known(names[0])


def test_builds_that_change_nothing_leave_no_publication_each(built: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that held the rows answers for those after it, by moment and by name; who reads one keeps it."""
    shelf = built.warehouse.shelf
    for _ in range(3):
        built.build()
    names = shelf.kept()
    assert len(names) == 4 and len(list((shelf.wings / "voting").iterdir())) == 1
    built.land(2)
    built.build()
    assert len(shelf.kept()) == 5  # a reader may be about to open one of them
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(shelf.folder / names[1] / shelves.FILE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None and holder.stdout is not None and holder.stdout.readline() == "1\n"
    monkeypatch.setattr(shelves, "SAME_SECONDS", 0.0)
    shelves.prune(shelf)
    assert shelf.kept() == [names[0], names[1], shelf.kept()[-1]]
    holder.stdin.close()
    assert holder.wait(timeout=30) == 0
    shelves.prune(shelf)
    assert shelf.kept() == [names[0], shelf.kept()[-1]]
    for name in names:
        assert query(replace(built.warehouse, as_of=name), "select max(version) from voting_votes")[1] == [(1,)]
    with pytest.raises(PublicationError, match="there is no publication"):
        query(replace(built.warehouse, as_of=f"9{names[0][1:]}"), "select 1")


def test_an_open_reader_is_never_broken_and_old_publications_go(
    built: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shelf = built.warehouse.shelf
    first = shelf.current_file()
    assert first is not None
    monkeypatch.setattr(shelves, "KEEP_SECONDS", 0.0)
    built = replace(built, keep_days=0.0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(built.root / "foreshore.duckdb")],
        cwd=tmp_path,  # the file opens from any working directory
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == "1\n"
    for version in (2, 3):
        built.land(version)
        assert not built.build().held_back
        print("go", file=holder.stdin, flush=True)
        assert holder.stdout.readline() == "1\n"
    assert built.readable() == dict.fromkeys(WINGS, GOOD[3])
    assert first.exists() and len(list((shelf.wings / "voting").iterdir())) == 2  # the second one is gone already
    holder.stdin.close()
    assert holder.wait(timeout=30) == 0
    shelves.prune(shelf, keep_days=0)
    assert not first.exists() and len(list((shelf.wings / "voting").iterdir())) == 1
    assert built.readable() == dict.fromkeys(WINGS, GOOD[3])


HOLDER = """
import sys, duckdb
reader = duckdb.connect(sys.argv[1], read_only=True)
while True:
    print(*reader.execute("select distinct version from voting_votes").fetchall()[0], flush=True)
    if not sys.stdin.readline():
        break
"""


def test_a_moved_root_says_so_and_a_build_mends_it(built: Small, tmp_path: Path) -> None:
    moved = Small(built.folder, tmp_path / "moved")
    built.root.rename(moved.root)
    with pytest.raises(WarehouseError, match="moved here: run `foreshore build`"):
        query(moved.warehouse, "select count(*) from voting_votes")
    assert not moved.build().held_back
    assert moved.readable() == dict.fromkeys(WINGS, GOOD[1])


def test_the_second_build_says_who_builds(built: Small) -> None:
    with building(built.warehouse.build_file.parent):
        done = built.cli("build")
        assert done.returncode == 1
        lines = (done.stdout + done.stderr).strip().splitlines()
        assert len(lines) == 1 and f"process {os.getpid()} (since " in lines[0] and "is building in" in lines[0]
        bare = built.run("-m", "dbt.cli.main", "build")
        assert bare.returncode != 0 and f"process {os.getpid()} (since " in bare.stdout
        assert built.readable() == dict.fromkeys(WINGS, GOOD[1])
        assert query(built.warehouse, "select count(*) from voting_votes")[1] == [(200,)]  # readers do not wait
    assert built.cli("build").returncode == 0


def test_a_read_while_another_process_builds_gets_what_was_published(built: Small) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(built.warehouse.build_file)], cwd=ROOT, stdin=subprocess.PIPE, stdout=-1
    )
    assert held.stdout is not None and held.stdout.readline()
    assert query(built.warehouse, "select count(*) from voting_votes")[1] == [(200,)]
    with pytest.raises(Busy, match=f"process {held.pid} "):
        rebuild(built.warehouse)
    held.communicate(b"\n")


BUILDER = """
import sys, duckdb
from pathlib import Path
from operate.lock import hold
hold(Path(sys.argv[1]).parent)
file = duckdb.connect(sys.argv[1])
file.execute("create table unaudited as select 1 as x")
print("holding", flush=True)
sys.stdin.readline()
"""


def test_dbt_leaves_no_variable_behind(small: Small) -> None:
    """Building with one configuration and then another in one process: neither inherits the other's paths."""
    before = dict(os.environ)
    assert small.dbt("parse")
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "statement",
    [
        "create table x as select 1",
        "delete from voting_votes",
        "copy voting_votes to 'stolen.csv'",
        "copy (select 1) to 'PUBLISHED/x.parquet'",
        "with x as (copy (select 1 as a) to 'PUBLISHED/x.parquet') from x",
        "explain analyze copy (select 1) to 'PUBLISHED/x.parquet'",
        "export database 'PUBLISHED/x'",
        "select * from read_csv('/etc/hostname')",
        "select * from read_text('PUBLISHED/../../../foreshore.toml')",
        "attach 'other.duckdb'",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "select 1; delete from voting_votes",
    ],
)
def test_queries_cannot_write_or_reach_out(published: Small, statement: str) -> None:
    folder = published.warehouse.shelf.wings
    kept = sorted(str(path) for path in folder.rglob("*"))
    with pytest.raises(RequestError, match="the query failed"):
        query(published.warehouse, statement.replace("PUBLISHED", str(folder)))
    assert sorted(str(path) for path in folder.rglob("*")) == kept and not Path("stolen.csv").exists()
    assert query(published.warehouse, "select count(*) from voting_votes")[1] == [(200,)]


@pytest.mark.parametrize(
    "statement",
    ["from voting_votes", "describe voting_votes", "summarize voting_votes", "show tables", "select 'copy'"],
)
def test_what_only_reads_is_answered(published: Small, statement: str) -> None:
    assert query(published.warehouse, statement)[1]


@pytest.fixture(scope="module")
def published(template: Small) -> Small:
    publish(template.warehouse)
    return template


def test_huge_integers_and_nested_values_survive_publication(built: Small) -> None:
    huge = 12345678901234567890123456789
    mart = built.folder / "models/marts/voting/voting_votes.sql"
    mart.write_text(mart.read_text() + f" where {huge}::hugeint > n -- wide")
    wide = f"select 1 as version, {huge}::hugeint as raw, {huge}::decimal(38, 0) as exact, [{{'a': now()}}] as seen"
    (built.folder / "models/marts/voting/voting_wide.sql").write_text(wide)
    assert not built.build().held_back
    _, rows = query(built.warehouse, "select raw, exact, seen[1].a is not null from voting_wide")
    assert rows == [(Decimal(huge), Decimal(huge), True)] and json.loads(json.dumps(to_json(rows)))[0][0] == str(huge)
    assert read_tables(built.warehouse, {"wide": "from voting_wide"})["wide"]["raw"].to_pylist() == [Decimal(huge)]


@pytest.mark.parametrize("told", [True, False, None])
def test_every_published_row_says_whether_it_was_simulated(template: Small, tmp_path: Path, told: bool | None) -> None:
    root = tmp_path / "data"
    shutil.copytree(template.root / "raw", root / "raw")
    if told is not None:
        Lake(str(root / "raw"), told).claim()
    small = Small(template.folder, root)
    assert not small.build().held_back
    for table in ("voting_votes", "lending_powers", "publications"):
        assert query(small.warehouse, f"select distinct is_simulated from {table}")[1] == [(told,)]
    found = duckdb.sql(f"select distinct is_simulated from '{root}/published/current/voting/voting_votes.parquet'")
    assert found.fetchall() == [(told,)]


def test_a_publication_of_a_release_that_knew_less_keeps_its_other_wings(built: Small) -> None:
    assert not built.build().held_back
    file = Shelf(built.root).current_file()
    assert file is not None
    with duckdb.connect(str(file)) as connection:
        connection.execute("alter table publications drop column is_simulated")
    before = {unit: row.folder for unit, row in Shelf(built.root).units().items()}
    built.land(2, bad=("voting",))
    held = built.build().held_back
    after = {unit: row.folder for unit, row in Shelf(built.root).units().items()}
    assert "voting" in held and after["voting"] == before["voting"] and after["lending"] != before["lending"]


def test_what_is_published_is_listed_and_described(built: Small) -> None:
    listed = built.cli("tables", "--json")
    assert listed.returncode == 0, listed.stderr
    assert {"voting_votes": 200, "lending_powers": 200, "publications": 3}.items() <= {
        row["table"]: row["rows"] for row in json.loads(listed.stdout)
    }.items()
    told = json.loads(built.cli("describe", "voting_votes", "--json").stdout)
    assert [column["column"] for column in told["columns"]] == ["version", "n", "is_bad", "is_simulated"]
    unknown = built.cli("describe", "voting_vote")
    assert unknown.returncode == 1 and "did you mean" in unknown.stderr and "voting_votes" in unknown.stderr


# -- a shell of DuckDB's own

CLI = """#!{python}
import sys, duckdb
*options, file = sys.argv[1:]
if "-c" in options:  # -readonly FILE -c "select 1"
    sys.exit()
connection = duckdb.connect(file, read_only=True)
connection.execute(options[options.index("-cmd") + 1])
print(connection.execute("select count(*) from voting_votes").fetchone())
try:
    connection.execute("from read_csv('/etc/hostname')")
except duckdb.Error as error:
    print(type(error).__name__)
"""


def test_an_older_duckdb_can_open_what_is_published(published: Small) -> None:
    """Command lines are older than the library that builds: the file says a version that 1.2 and later can read."""
    header = published.warehouse.published_file.read_bytes()[:20]
    assert header[8:12] == b"DUCK" and int.from_bytes(header[12:20], "little") <= 65


def test_the_shell_is_duckdbs_own_and_confined(
    published: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same switches as DuckDB's CLI (1.5.6 was tried by hand): what is published can be read, nothing else."""
    program = tmp_path / "duckdb"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RequestError, match="no program `duckdb` is on the path"):
        run_shell(published.warehouse)
    program.write_text(CLI.format(python=sys.executable))
    program.chmod(0o755)
    assert run_shell(published.warehouse) == 0
    assert capfd.readouterr().out.split("\n")[:2] == [f"({ROWS},)", "PermissionException"]
    program.write_text("#!/bin/sh\necho 'IO Error: version number 69. And more' >&2; exit 1")
    with pytest.raises(RequestError, match=r"cannot open .*: IO Error: version number 69. Install .* as new"):
        run_shell(published.warehouse)
