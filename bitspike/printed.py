"""Results as tables and lines for people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.runs import Run
    from bitspike.scoring import Score

MOST_ROWS = 24


def grid(title: str, columns: list[str], rows: list[list[Any]], left: int = 1) -> RenderableType:
    """Return a table; the first `left` columns are text, the others numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i < left else "right", no_wrap=i != left - 1 or left == 1)
    for row in rows:
        table.add_row(*[number(value) for value in row])
    return table


def number(value: Any) -> str:
    """Return a value as a person reads it: grouped thousands, three or four digits of a fraction, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or 0.001 <= abs(value) < 1e6:
        return f"{value:,.{max(0, 3 - len(str(int(abs(value)))))}f}" if abs(value) >= 1 else f"{value:.3g}"
    return f"{value:.3g}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(pairs: list[tuple[str, Any]]) -> RenderableType:
    """Return names and values under each other."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in pairs:
        table.add_row(Text(name, style="dim"), Text(number(value), overflow="fold"))
    return table


def run_summary(run: Run) -> list[RenderableType]:
    """Return what a person wants to know of a run: spikes and units by channel group, speed, latency, lost data."""
    manifest = run.manifest
    counts, timings = manifest.counts, manifest.timings
    lines: list[RenderableType] = []
    if "groups" in counts:
        columns = ["group", "channels", "spikes", "unsorted", "units", "spikes/s"]
        rows = [[str(g["group"]), g["channels"], g["spikes"], g["unsorted"], g["units"], g["rate_hz"]] for g in counts["groups"]]
        shown = rows if len(rows) <= MOST_ROWS else sorted(rows, key=lambda row: -row[2])[:MOST_ROWS]
        more = f", the {MOST_ROWS} busiest of {len(rows)} groups" if len(rows) > len(shown) else ""
        if len(rows) > 1:
            shown.append(["all", *[sum(row[i] for row in rows) for i in range(1, 6)]])
        lines.append(grid(f"Spikes and units{more}", columns, shown))
    if run.taps:
        rows = [
            [label, about["kind"], about["channels"], about["rate_hz"], about["uv_per_count"] or None]
            for label, about in run.taps.items()
        ]
        lines.append(grid("Saved besides", ["output", "kind", "channels", "Hz", "µV per count"], rows, left=2))
    block = timings["block_us"]
    late = f", {timings['late_blocks']:,} late" if timings["late_blocks"] else ""
    pairs: list[tuple[str, Any]] = [
        (
            "recording",
            f"{manifest.recording['path']}: {plural(manifest.recording['channels'], 'channel')}, {counts['seconds']:.2f} s",
        ),
        ("chain", f"{manifest.chain['name']}, on {manifest.run['engine']}"),
        ("speed", f"{number(float(timings['times_real_time']))} times real time"),
        (
            "block latency",
            f"{manifest.run['block_ms']:g} ms blocks: 99 % within {block['p99']:,.0f} µs, worst {block['worst']:,.0f} µs{late}",
        ),
        ("dropped data", f"{counts['lost_frames']:,} frames" if counts["lost_frames"] else "none"),
        ("result", place(run.path)),
    ]
    if counts.get("at_full_scale"):
        pairs.insert(-1, ("full scale", _full_scale(run)))
    lines.append(listed(pairs))
    return lines


def _full_scale(run: Run) -> str:
    """Return what there is to say of spikes that are as large as samples can be."""
    scale, unit = run.signal.scale
    line = (
        f"{plural(run.manifest.counts['at_full_scale'], 'spike')} at the end of the band's range, ±{number(32768 * scale)} {unit}"
    )
    filters = [step.label for step in run.plan.steps if step.stage.name == "bandpass"]
    if not filters or run.signal.input_counts >= 1:  # no fractional bits that could be given up
        return f"{line}: their peaks are cut"
    return f"{line}: their peaks are cut; replay with --set {filters[0]}.fraction_bits=0"


def training_summary(run: Run) -> list[RenderableType]:
    """Return what a person wants to know of a training: the chain, the recording, and what each stage learned."""
    recording = run.manifest.recording
    learned = []
    for label in run.manifest.run["learned"]:
        units = run.learned_units(label)
        learned.append(label if units is None else f"{label}, {plural(units, 'unit')}")
    pairs: list[tuple[str, Any]] = [
        ("recording", f"{recording['path']}: {plural(recording['channels'], 'channel')}, {run.seconds:.2f} s"),
        ("chain", run.manifest.chain["name"]),
        ("learned", "; ".join(learned)),
        ("result", place(run.path)),
    ]
    return [listed(pairs)]


def place(path: Path) -> str:
    """Return a path as it is said from here: below this folder without what leads to it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def report_line(report: Path | None) -> list[RenderableType]:
    """Return a line that says where a report is, if there is one."""
    return [listed([("report", place(report))])] if report else []


def score_summary(score: Score) -> list[RenderableType]:
    """Return a score: units, and the averages."""
    from bitspike.scoring import GOOD_SNR, mean_accuracy

    lines: list[RenderableType] = []
    if score.sorting:
        rows = [
            [str(u.unit), u.snr, u.tp + u.fn, u.partner if u.partner >= 0 else None, u.tp, u.fn, u.fp, u.accuracy]
            for u in score.sorting
        ]
        columns = ["true unit", "SNR", "spikes", "sorted as", "right", "missed", "false", "accuracy"]
        lines.append(grid("Scored spikes", columns, rows))
    d = score.detection
    counted = f"{plural(score.good_units, 'unit')} of SNR 5 and above"
    none = f"no spike of the {counted}" if score.good_units else "there is no true unit of SNR 5 and above"
    found = f"F1 {d.f1:.4f}: {d.found:,} of {d.true:,} true spikes found, {d.false:,} false ({counted})"
    pairs: list[tuple[str, Any]] = [("detection", found if d.true else f"{none}; {d.false:,} false")]
    for name, units in (
        ("sorting accuracy", score.sorting),
        ("wave_clus rules", score.wave_clus),
        ("  without overlaps", score.wave_clus_alone),
    ):
        if units:
            mean = mean_accuracy(units)
            pairs.append((name, none if math.isnan(mean) else f"{mean:.4f} on average over the {counted}"))
    good = {u.unit for u in score.sorting if not u.snr < GOOD_SNR}
    theirs = [accuracy for unit, accuracy in score.spikeinterface.items() if unit in good]
    if theirs:
        pairs.append(("  by SpikeInterface", f"{sum(theirs) / len(theirs):.4f}"))
    return [*lines, listed(pairs)]
