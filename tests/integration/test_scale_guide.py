"""docs/scale.md, "From one machine to many": its ten lines are followed on loopback as they stand.

What is put in place of what the page has: loopback for `10.0.0.5`, free ports, an S3 server's bucket, the world's days
for `--days 30`, and two workers for four. Line 6 needs an `sshd` and a second machine's environment: `test_cluster.py`.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import simulate
from operate.worlds import lending_config
from simulate import lending as lending_world
from tests.integration.test_cluster import GUIDE, dask, guide
from tests.line_fixtures import ROOT, Line
from tests.object_store import ObjectStore, running
from tests.ssh_fixtures import free_port

pytestmark = [pytest.mark.long, pytest.mark.node]


def lines() -> dict[int, str]:
    """The numbered lines of the page's first block."""
    block = GUIDE.read_text().split("```sh\n")[1].split("```")[0]
    told = [text.split("#") for text in block.splitlines()]
    return {int(comment.split()[0]): command.strip() for command, comment in told}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[simulate.RunningWorld]:
    with lending_world.running(tmp_path_factory.mktemp("lending"), days=4, small=True) as made:
        yield made


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with running() as made:
        yield made


def test_the_ten_lines(
    world: simulate.RunningWorld, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, days = lines(), [day["date"] for day in world.info["days"][1:4]]
    assert sorted(line) == list(range(1, 11))

    # 1: what `pip install` would bring for these extras is there, in the versions that are asked for
    extras = re.fullmatch(r"pip install 'foreshore\[(.*)\]'", line[1]).group(1).split(",")  # type: ignore[union-attr]
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for wanted in (Requirement(text) for extra in extras for text in offered[extra]):
        assert importlib.metadata.version(wanted.name) in wanted.specifier

    # 2: a checkout with its seeds is where the commands run; 3: this machine's keys, in its home folder
    assert "git clone" in line[2] and (ROOT / "seeds").is_dir()
    keys = Path(line[3].split()[-1].replace("~", str(tmp_path / "home")))
    keys.parent.mkdir()
    keys.write_text("".join(f"{name}={value}\n" for name, value in store.environ.items()))
    keys.chmod(0o600)
    monkeypatch.setenv("HOME", str(keys.parent))
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)

    # 4: a raw zone that every machine sees
    made = Line(None, tmp_path)  # type: ignore[arg-type]
    made.configure(lending_config(world.info))
    config = tmp_path / "foreshore.toml"
    zone = line[4].replace("s3://bucket/", "s3://lake/")
    assert zone.startswith('raw_url = "s3://')
    config.write_text(re.sub(r"^raw_url = .*$", zone, config.read_text(), flags=re.MULTILINE))

    def asked(number: int, day: str, **changes: str) -> None:
        text = line[number].replace("--days 30", f"--since {day} --until {day}")
        for old, new in {"--workers 4": "--workers 2", **changes}.items():
            text = text.replace(old, new)
        program, *arguments = text.split()
        assert program == "foreshore"
        done = made.cli(*arguments)
        assert done.returncode == 0, (text, done.stdout[-2_000:], done.stderr[-2_000:])

    asked(5, days[0])
    assert line[6].startswith("foreshore extract lending --days 30 --hosts ")
    address = f"tcp://127.0.0.1:{free_port()}"
    with dask(*guide("scheduler", address)), dask(*guide("worker", address)):
        _wait_for(address)
        asked(9, days[1], **{"tcp://10.0.0.5:8786": address})
    assert (line[7].split()[1], line[8].split()[1]) == ("scheduler", "worker")
    asked(10, "")
    rows = made.cli("sql", "select distinct day::varchar as day from csu_daily_panel order by day", "--format", "json")
    assert rows.returncode == 0, rows.stderr
    assert {row["day"] for row in json.loads(rows.stdout)} >= set(days[:2])


def _wait_for(address: str) -> None:
    """Until a scheduler listens, as whoever typed line 7 sees it say."""
    host, port = address.removeprefix("tcp://").split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
