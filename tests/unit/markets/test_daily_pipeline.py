"""The scheduled workflow: a linter reads it, and it holds what operating needs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
WORKFLOW = ROOT / ".github" / "workflows" / "daily-pipeline.yml"


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "actionlint"
    command = [str(program), "-no-color", "-shellcheck=", "-pyflakes=", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    done = lint(WORKFLOW)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOW.read_text().replace("inputs.run_date", "inputs.no_such_input"))
    found = lint(broken)
    assert found.returncode == 1 and "no_such_input" in found.stdout


def test_it_runs_at_07_17_alone_and_says_how_it_went() -> None:
    text = WORKFLOW.read_text()
    made = yaml.safe_load(text)
    on = made[True]  # YAML 1.1 reads the word "on" as true
    assert on["schedule"] == [{"cron": "17 7 * * *"}]
    assert set(on["workflow_dispatch"]["inputs"]) == {"run_date", "window_days", "dry_run"}
    assert made["concurrency"] == {"group": "daily-pipeline", "cancel-in-progress": False}
    job = made["jobs"]["markets"]
    assert job["timeout-minutes"] <= 120 and job["env"]["FORESHORE_ENVIRONMENT"] == "production"
    conditions = {step.get("name"): step.get("if") for step in job["steps"]}
    assert conditions["Keep the summary"] == "always()" and conditions["Notify of a failure"] == "failure()"
    for step in job["steps"]:
        assert "${{" not in step.get("run", ""), "inputs reach a shell through the environment only"
    assert not re.search(r"postgres(ql)?://\S+@", text)
