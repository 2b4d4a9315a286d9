"""A replay of events for people, and as plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitspike.printed import grid, listed, number, plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.event_runs import EventRun


def event_run_document(run: EventRun) -> dict[str, Any]:
    """Return a run of events: where it is, its counts, what its files mean, and timings."""
    manifest = run.manifest
    return {
        "out": str(run.path),
        "recording": manifest.recording,
        "chain": manifest.chain["name"],
        "counts": manifest.counts,
        "outputs": manifest.outputs,
        "run": manifest.run,
        "timings": manifest.timings,
    }


def event_run_summary(run: EventRun) -> list[RenderableType]:
    """Return what a person wants to know of a run of events: what each filter kept, particles, rates and latency."""
    manifest = run.manifest
    counts, timings, recording = manifest.counts, manifest.timings, manifest.recording
    before, rows = counts["events"], []
    for label, kept in counts["kept"].items():
        rows.append([label, before, kept, f"{100 * kept / before:.1f} %" if before else None])
        before = kept
    lines: list[RenderableType] = [grid("Events", ["stage", "given", "kept", "share"], rows)] if rows else []
    seconds, block = counts["seconds"], timings["block_us"]
    late = f", {timings['late_blocks']:,} late" if timings["late_blocks"] else ""
    damage = "; ".join(f"{count:,} {name}" for name, count in counts["damage"].items())
    pairs: list[tuple[str, Any]] = [
        ("recording", f"{recording['path']}: {recording['width']} x {recording['height']} pixels, {seconds:.3f} s"),
        ("events", f"{counts['events']:,}, {counts['events'] / seconds / 1e6:.2f} million a second"),
        ("damage", damage or "none"),
        (
            "particles",
            f"{plural(counts['particles'], 'particle')}, {counts['particles'] / seconds:.1f} a second; "
            f"{plural(counts['doublets'], 'doublet')}; {counts['sorted']:,} to sort",
        ),
        ("chain", f"{manifest.chain['name']}, on {manifest.run['engine']}"),
        (
            "speed",
            f"{timings['events_per_s'] / 1e6:.1f} million events a second, "
            f"{number(float(timings['times_real_time']))} times real time",
        ),
        (
            "block latency",
            f"{manifest.run['block_ms']:g} ms blocks: 99 % within {block['p99']:,.0f} µs, worst {block['worst']:,.0f} µs{late}",
        ),
        ("result", str(run.path)),
    ]
    return [*lines, listed(pairs)]
