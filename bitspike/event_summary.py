"""A replay of events for people, and as plain values for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bitspike.printed import grid, listed, number, place
from sensors.events.source import DAMAGE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.event_runs import EventRun

FILTERS = ["stage", "given", "kept", "share"]


def event_run_document(run: EventRun) -> dict[str, Any]:
    """Return a run of events: where it is, its counts and rates, what its files mean, and timings."""
    manifest, counts, seconds = run.manifest, run.manifest.counts, run.seconds
    return {
        "out": str(run.path),
        "recording": manifest.recording,
        "chain": manifest.chain["name"],
        "counts": counts,
        "rates": {f"{name}_per_s": counts[name] / seconds for name in ("events", "particles") if name in counts},
        "outputs": manifest.outputs,
        "run": manifest.run,
        "timings": manifest.timings,
    }


def event_run_summary(run: EventRun) -> list[RenderableType]:
    """Return what a person wants to know of a run of events: what each filter kept, particles, rates and latency."""
    rows = filter_rows(run)
    lines: list[RenderableType] = [grid("Events", FILTERS, rows)] if rows else []
    return [*lines, listed([*event_facts(run), ("result", place(run.path))])]


def filter_rows(run: EventRun) -> list[list[Any]]:
    """Return a row for each filter, as `FILTERS` names its columns."""
    before, rows = run.manifest.counts["events"], []
    for label, kept in run.manifest.counts["kept"].items():
        rows.append([label, before, kept, f"{100 * kept / before:.1f} %" if before else None])
        before = kept
    return rows


def event_facts(run: EventRun) -> list[tuple[str, Any]]:
    """Return a run of events in words: recording, events, damage, particles, chain, speed and latency."""
    manifest, seconds = run.manifest, run.seconds
    counts, timings, recording = manifest.counts, manifest.timings, manifest.recording
    length = f"{seconds:.3f} s" if seconds >= 0.1 else f"{1000 * seconds:.3f} ms"
    return [
        ("recording", f"{recording['path']}: {recording['width']} x {recording['height']} pixels, {length}"),
        ("events", f"{counts['events']:,}, {number(counts['events'] / seconds / 1e6)} million a second"),
        ("damage", "; ".join(f"{count:,} {DAMAGE[name]}" for name, count in counts["damage"].items()) or "none"),
        *_particles(run),
        ("chain", f"{manifest.chain['name']}, on {manifest.run['engine']}"),
        (
            "speed",
            f"{number(timings['events_per_s'] / 1e6)} million events a second, "
            f"{number(float(timings['times_real_time']))} times real time",
        ),
        ("latency", _latency(run)),
    ]


def _particles(run: EventRun) -> list[tuple[str, Any]]:
    counts = run.manifest.counts
    if "particles" not in counts:
        return [("particles", "not looked for; --chain cytometry does")]
    return [
        (
            "particles",
            f"{counts['particles']:,}, {number(counts['particles'] / run.seconds)} a second; {counts['sorted']:,} to sort",
        ),
        ("doublets", f"{counts['doublets']:,}"),
    ]


def _latency(run: EventRun) -> str:
    manifest = run.manifest
    block, late = manifest.timings["block_us"], manifest.timings["late_blocks"]
    return (
        f"of {manifest.run['block_ms']:g} ms batches: median {block['median']:,.0f} µs, 99 % within {block['p99']:,.0f} µs, "
        f"worst {block['worst']:,.0f} µs" + (f", {late:,} late" if late else "")
    )
