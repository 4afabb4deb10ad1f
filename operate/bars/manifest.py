"""The promotion contract: what a backtest says of itself, and what pre-paper takes from it and from nowhere else.

    identity {run_id, timestamp_utc, commit_hash, market_tz, contract_version, promotion_sha256}
    strategy {key, impl_version, profile_version}
    params   {rules, execution, gates}
    data     {symbol, feed, requested_tf, base_tf_used, requested_range, effective_range, inputs}
    gates    {coverage, sla, promotion}
    result   {run_status, failure_reason, failure_details, error_id, artifacts_index}

`promotion_sha256` is over everything but itself, `run_id` over strategy, params and data, and the index names every
file of the run's folder: a manifest that was edited, or whose files were, is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from decide.bars.promotable import NOT_PROMOTABLE, PROMOTABLE
from decide.bars.run import BarResult, BarStrategy, strategy_of
from decide.bars.tables import canonical_hash, params
from decide.errors import DecisionError
from extract.errors import ForeshoreError
from operate.bars.artifacts import read_json, sha256

MANIFEST = "run_manifest.json"
CONTRACT_VERSION = 2
NEEDED = (
    "run_result.json",
    "coverage_check.json",
    "sla_check.json",
    "params.json",
    "signals.json",
    "trades.json",
    "metrics.json",
)
BOUND = ("strategy", "params", "data")
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
    verdict: Mapping[str, Any] | None = None,
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
    manifest = {
        "identity": {
            "run_id": run_id_of(bound),
            "timestamp_utc": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
            "commit_hash": commit,
            "market_tz": strategy.rules.market_tz,
            "contract_version": CONTRACT_VERSION,
        },
        **bound,
        "gates": {"coverage": dict(result.coverage), "sla": dict(result.sla), "promotion": dict(verdict or {})},
        "result": {
            "run_status": result.status.value,
            "failure_reason": result.reason or None,
            "failure_details": result.details or None,
            "error_id": error_id,
            "artifacts_index": dict(artifacts),
        },
    }
    manifest["identity"]["promotion_sha256"] = seal(manifest)
    return manifest


def run_id_of(bound: Mapping[str, Any]) -> str:
    """The name of a run's folder, from strategy, params and data: nothing in it can be a path."""
    data = bound["data"]
    days = [date.fromisoformat(data["requested_range"][edge]) for edge in ("first", "last")]
    span = "-".join(f"{day:%Y%m%d}" for day in days)
    digest = canonical_hash({name: bound[name] for name in BOUND})
    return f"{_safe(str(data['symbol']))}-{_safe(str(data['requested_tf']))}-{span}-{digest[:10]}"


def seal(manifest: Mapping[str, Any]) -> str:
    """The hash over everything in a manifest but itself."""
    identity = {name: value for name, value in manifest["identity"].items() if name != "promotion_sha256"}
    return canonical_hash({**manifest, "identity": identity})


def _safe(symbol: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "." for c in symbol).strip(".")


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
    edited = f"{path} was changed after its run: parameters come from a backtest, so run one anew"
    if seal(manifest) != manifest["identity"].get("promotion_sha256"):
        raise ManifestInvalid(edited)
    try:
        run_id = run_id_of(manifest)
        promotion = _promotion(manifest)
    except (DecisionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ManifestInvalid(f"{path} does not hold what this version needs: {error}. Run the backtest anew") from None
    if manifest["identity"].get("run_id") != run_id:
        raise ManifestInvalid(f"{edited} (its run_id is not that of its strategy, parameters and data)")
    _check_gates(path, manifest, promotion)
    _check_artifacts(path, manifest["result"].get("artifacts_index"))
    return promotion, manifest


def _check_gates(path: Path, manifest: Mapping[str, Any], promotion: Promotion) -> None:
    """What a SUCCESS implies must stand there: bars enough, and the SLA kept."""
    coverage, sla = manifest["gates"].get("coverage"), manifest["gates"].get("sla")
    share = coverage.get("share") if isinstance(coverage, dict) else None
    least = promotion.strategy.gates.min_coverage_share
    if not isinstance(share, int | float) or share < least or coverage.get("status") != "PASS":
        raise ManifestInvalid(f"{path}: a coverage of {share!r} is below {least}: such a run is no SUCCESS")
    if not isinstance(sla, dict) or sla.get("passed") is not True:
        raise ManifestInvalid(f"{path}: its bars did not pass the SLA: such a run is no SUCCESS")
    verdict = manifest["gates"].get("promotion")
    if not isinstance(verdict, dict) or verdict.get("status") not in (PROMOTABLE, NOT_PROMOTABLE):
        raise ManifestInvalid(f"{path} has no verdict of the promotion gates: run the backtest anew")


def _check_artifacts(path: Path, index: Any) -> None:
    """The index names every file of the folder with its hash, and `run_result.json` says SUCCESS."""
    if not isinstance(index, dict) or any(not isinstance(part, str) for pair in index.items() for part in pair):
        raise ManifestInvalid(f"{path} has no artifacts_index: keep the run's folder as the backtest wrote it")
    lacking = [name for name in NEEDED if name not in index]
    if lacking:
        raise ManifestInvalid(f"{path} does not list {lacking[0]} in its artifacts_index: run the backtest anew")
    for name, digest in index.items():
        beside = path.parent / name
        if Path(name).name != name or not beside.is_file():
            raise ManifestInvalid(f"{path} lists {name}, which is not beside it: keep the run's folder together")
        if sha256(beside.read_bytes()) != digest:
            raise ManifestInvalid(f"{beside} was changed after its run: run the backtest anew")
    unlisted = sorted(p.name for p in path.parent.iterdir() if p.name not in index and p.name != path.name)
    if unlisted:
        raise ManifestInvalid(
            f"{path} does not list {unlisted[0]}, which lies beside it: take out what is not of the run"
        )
    said = read_json(path.parent / "run_result.json")
    if not isinstance(said, dict) or said.get("status") != "SUCCESS":
        raise ManifestInvalid(f"{path.parent / 'run_result.json'} does not say SUCCESS: run the backtest anew")


def _promotion(manifest: Mapping[str, Any]) -> Promotion:
    data, asked = manifest["data"], manifest["data"]["requested_range"]
    return Promotion(
        strategy=strategy_of(
            str(manifest["strategy"]["key"]), str(manifest["strategy"]["impl_version"]), manifest["params"]
        ),
        symbol=str(data["symbol"]),
        feed=str(data["feed"]),
        first=date.fromisoformat(asked["first"]),
        last=date.fromisoformat(asked["last"]),
        inputs=data["inputs"],
    )
