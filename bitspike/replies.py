"""Results as plain values for programs: what ``--json`` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitspike.runs import Run


def run_document(run: Run) -> dict[str, Any]:
    """Return a run: where it is, its counts, units and timings."""
    manifest = run.manifest
    return {
        "out": str(run.path),
        "recording": manifest.recording,
        "chain": manifest.chain["name"],
        "counts": manifest.counts,
        "units": [asdict(unit) for unit in run.units],
        "outputs": manifest.outputs,
        "run": manifest.run,
        "timings": manifest.timings,
    }


def training_document(run: Run) -> dict[str, Any]:
    """Return a training: where it is, what it learned from, and the tables of the stages that learned, by label."""
    manifest = run.manifest
    return {
        "out": str(run.path),
        "recording": manifest.recording,
        "chain": manifest.chain["name"],
        **manifest.run,
        "tables": {
            stage["label"]: {"units": run.learned_units(stage["label"]), **stage["tables"]}
            for stage in manifest.chain["stages"]
            if stage["label"] in manifest.run["learned"]
        },
        "timings": manifest.timings,
    }
