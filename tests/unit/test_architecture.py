"""The house rules as code: one-way imports, pure decisions, no Jinja blocks in models, everything described."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WINGS = ("voting", "lending", "bars", "markets")
ROOMS = {"extract", "decide", "operate", "simulate", "python_models"}
IMPURE = {"os", "sys", "time", "random", "socket", "subprocess", "pathlib", "duckdb", "requests", "aiohttp", "dlt"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def python_files(room: str) -> list[Path]:
    return sorted(p for p in (ROOT / room).rglob("*.py") if "node_modules" not in p.parts)


def test_the_walls_between_rooms_and_wings_hold() -> None:
    """The contracts stand in pyproject.toml, so that `make lint` and this test say the same."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("room", ["extract", "decide", "operate", "simulate"])
def test_what_is_installed_imports_nothing_that_is_not(room: str) -> None:
    """`python -m` finds the working folder's packages, the installed command does not."""
    for path in python_files(room):
        assert not imports(path) & {"python_models", "tests", "benchmarks", "docs"}, path


def test_python_models_call_decide_only() -> None:
    for path in python_files("python_models"):
        wrong = (imports(path) & ROOMS) - {"decide", "python_models"}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_every_room_has_its_wings_and_nothing_of_a_wing_at_the_door() -> None:
    """A reader looking for one user's line finds it under that wing's name in every room."""
    prefixes = re.compile(r"(vote|voting|lending|csu|bar|market|polymarket|pre_paper|inside_bar)s?_")
    for room in ("extract", "decide", "operate", "simulate", "benchmarks"):
        strays = [p.name for p in (ROOT / room).glob("*.py") if prefixes.match(p.name)]
        assert not strays, f"{room}: {strays} belong into a wing's folder"
    for layer in ("staging", "intermediate", "marts"):
        assert {p.name for p in (ROOT / "models" / layer).iterdir() if p.is_dir()} <= {*WINGS, "extract", "operations"}


def test_decisions_are_pure() -> None:
    for path in python_files("decide"):
        assert not imports(path) & IMPURE, path


def test_only_one_module_reads_the_wall_clock_in_extract() -> None:
    """What a row is about never comes from the clock; when it was fetched comes from one place."""
    wanted = {"extract/ledger.py", "extract/evm/transport.py"}  # the second reads Retry-After dates
    readers = {
        str(p.relative_to(ROOT))
        for p in python_files("extract")
        if re.search(r"datetime\.now|datetime\.utcnow|date\.today", p.read_text())
    }
    assert readers == wanted


def test_models_have_no_jinja_blocks() -> None:
    models = sorted((ROOT / "models").rglob("*.sql"))
    assert len(models) > 20
    assert [p.name for p in models if "{%" in p.read_text()] == []


# sums of whole numbers are the same in any order
WHOLE = re.compile(
    r"(count\(\*\)|[\w.]*(_raw|_count|_seconds)|n|label|gauges_used|submissions|.*::hugeint.*)", re.DOTALL
)
COUNTED = re.compile(r"case\s+when .* then 1\.0 .*0\.0 end", re.DOTALL)


def unordered(sql: str) -> list[str]:
    """Sums and means in a text that add fractions up in the order in which threads happen to bring them."""
    found = []
    for start in re.finditer(r"\b(avg|sum|product|fsum|favg|stddev\w*|var_\w+|corr|regr_\w+)\(", sql):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        argument = sql[start.end() : end - 1].strip()
        if " order by " not in " ".join(argument.split()) and not (
            WHOLE.fullmatch(argument) or COUNTED.fullmatch(argument)
        ):
            found.append(sql[start.start() : end])
    return found


def test_fractions_are_added_up_in_an_order() -> None:
    """Doubles added in another order differ in their last digit: the same inputs must give the same bytes."""
    assert unordered("select avg(x), sum(a * (b + 1)) from t") == ["avg(x)", "sum(a * (b + 1))"]
    assert unordered("select avg(x order by x), sum(votes_raw), sum(count(*)) over () from t") == []
    sources = [*(ROOT / "models").rglob("*.sql"), *(ROOT / "macros").rglob("*.sql")]
    assert {str(p.relative_to(ROOT)): found for p in sources if (found := unordered(p.read_text()))} == {}


def test_every_model_is_described_and_its_grain_tested() -> None:
    named = {}
    for path in (ROOT / "models").rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", []):
            named[model["name"]] = model
    for path in (ROOT / "models").rglob("*.sql"):
        model = named[path.stem]
        assert model["description"].strip().startswith("One row per"), path.stem
        tests = [next(iter(t)) if isinstance(t, dict) else t for t in model["data_tests"]]
        assert "unique_grain" in tests, path.stem


def test_every_mart_column_is_described_and_typed() -> None:
    for path in (ROOT / "models" / "marts").rglob("_marts_*.yml"):
        for model in yaml.safe_load(path.read_text())["models"]:
            for column in model["columns"]:
                assert len(column["description"]) > 10 and column["data_type"], (model["name"], column["name"])


def test_no_lock_names_a_host() -> None:
    locks = [ROOT / "requirements.lock", ROOT / "requirements-lake.lock"]
    locks += [ROOT / "simulate" / "chain" / "node" / "package-lock.json"]
    for lock in locks:
        assert lock.exists(), lock
        assert not re.search(r"https?://", lock.read_text()), lock
