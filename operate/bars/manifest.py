"""The promotion contract: what a backtest says of itself, and what pre-paper takes from it and from nowhere else.

    identity {run_id, timestamp_utc, commit_hash, market_tz, contract_version, promotion_sha256}
    strategy {key, impl_version, profile_version}
    params   {rules, execution, gates}
    data     {symbol, feed, requested_tf, base_tf_used, requested_range, effective_range, inputs}
    gates    {coverage, sla}
    result   {run_status, failure_reason, failure_details, error_id, artifacts_index}

`promotion_sha256` is over strategy, params and data: a manifest that was edited by hand is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from decide.bars.backtest import Execution
from decide.bars.inside_bar import Rules, parse_record
from decide.bars.run import BarResult, BarStrategy, Gates
from decide.bars.tables import canonical_hash, params
from decide.errors import DecisionError
from extract.errors import ForeshoreError
from operate.bars.artifacts import read_json, sha256

MANIFEST = "run_manifest.json"
CONTRACT_VERSION = 1
SECTIONS = ("identity", "strategy", "params", "data", "gates", "result")


class ManifestInvalid(ForeshoreError):
    """The manifest cannot be promoted; the message says why and what to do."""


@dataclass(frozen=True)
class Promotion:
    """What a manifest binds: the strategy with every parameter, and the series it was tested on."""

    strategy: BarStrategy
    symbol: str
    feed: str
    first: date
    last: date
    inputs: Mapping[str, Any]

    @property
    def timeframe(self) -> str:
        return f"M{self.strategy.rules.timeframe_minutes}"


def build_manifest(
    promotion: Promotion,
    result: BarResult,
    artifacts: Mapping[str, str],
    *,
    error_id: str | None,
    commit: str | None,
    moment: datetime,
) -> dict[str, Any]:
    """The manifest of a run. Its run id follows from its inputs: the same run has the same folder."""
    strategy = promotion.strategy
    said = {"key": strategy.key, "impl_version": strategy.version}
    bound = {
        "strategy": {**said, "profile_version": canonical_hash(params(strategy))[:12]},
        "params": params(strategy),
        "data": {
            "symbol": promotion.symbol,
            "feed": promotion.feed,
            "requested_tf": promotion.timeframe,
            "base_tf_used": "M5",
            "requested_range": {"first": promotion.first.isoformat(), "last": promotion.last.isoformat()},
            "effective_range": result.coverage.get("effective_range"),
            "inputs": dict(promotion.inputs),
        },
    }
    digest = canonical_hash(bound)
    span = f"{promotion.first:%Y%m%d}-{promotion.last:%Y%m%d}"
    return {
        "identity": {
            "run_id": f"{_safe(promotion.symbol)}-{promotion.timeframe}-{span}-{digest[:10]}",
            "timestamp_utc": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "commit_hash": commit,
            "market_tz": strategy.rules.market_tz,
            "contract_version": CONTRACT_VERSION,
            "promotion_sha256": digest,
        },
        **bound,
        "gates": {"coverage": dict(result.coverage), "sla": dict(result.sla)},
        "result": {
            "run_status": result.status.value,
            "failure_reason": result.reason or None,
            "failure_details": result.details or None,
            "error_id": error_id,
            "artifacts_index": dict(artifacts),
        },
    }


def _safe(symbol: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in symbol)


def read_promotion(path: Path) -> tuple[Promotion, dict[str, Any]]:
    """What a manifest binds, with the manifest itself; ManifestInvalid unless it is whole, unedited and a SUCCESS."""
    manifest = read_json(path)
    if not isinstance(manifest, dict) or any(not isinstance(manifest.get(name), dict) for name in SECTIONS):
        raise ManifestInvalid(f"{path} is no run manifest: it needs the sections {', '.join(SECTIONS)}")
    version = manifest["identity"].get("contract_version")
    if version != CONTRACT_VERSION:
        raise ManifestInvalid(f"{path} has contract version {version!r}; this Foreshore reads {CONTRACT_VERSION}")
    status = manifest["result"].get("run_status")
    if status != "SUCCESS":
        reason = manifest["result"].get("failure_reason")
        raise ManifestInvalid(f"{path} is of a run that ended {status} ({reason}): only SUCCESS can be promoted")
    bound = {name: manifest[name] for name in ("strategy", "params", "data")}
    if canonical_hash(bound) != manifest["identity"].get("promotion_sha256"):
        raise ManifestInvalid(f"{path} was changed after its run: parameters come from a backtest, so run one anew")
    _check_artifacts(path, manifest["result"].get("artifacts_index", {}))
    try:
        return _promotion(manifest), manifest
    except (DecisionError, KeyError, TypeError, ValueError) as error:
        raise ManifestInvalid(f"{path} does not hold what this version needs: {error}. Run the backtest anew") from None


def _check_artifacts(path: Path, index: Mapping[str, str]) -> None:
    for name, digest in index.items():
        beside = path.parent / name
        if Path(name).name != name or not beside.is_file():
            raise ManifestInvalid(f"{path} lists {name}, which is not beside it: keep the run's folder together")
        if sha256(beside.read_bytes()) != digest:
            raise ManifestInvalid(f"{beside} was changed after its run: run the backtest anew")


def _promotion(manifest: Mapping[str, Any]) -> Promotion:
    values, data = manifest["params"], manifest["data"]
    strategy = BarStrategy(
        key=str(manifest["strategy"]["key"]),
        version=str(manifest["strategy"]["impl_version"]),
        rules=Rules.of(values["rules"]),
        execution=Execution.of(values["execution"]),
        gates=parse_record(Gates, values["gates"]),
    )
    asked = data["requested_range"]
    return Promotion(
        strategy=strategy,
        symbol=str(data["symbol"]),
        feed=str(data["feed"]),
        first=date.fromisoformat(asked["first"]),
        last=date.fromisoformat(asked["last"]),
        inputs=data["inputs"],
    )
