"""A run as one page: ``report.html`` with its numbers and pictures, in the run's folder; other runs may be shown on it too."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import astuple, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from bitspike.event_plots import draw_beside, draw_events, drawn_events
from bitspike.event_runs import EventRun
from bitspike.event_summary import FILTERS, event_facts, filter_rows
from bitspike.plots import draw_all
from bitspike.printed import number, plural
from bitspike.runs import Run, Unit
from bitspike.writing import NO_ROOM, write_files
from pipeline.errors import BitspikeError

if TYPE_CHECKING:
    from bitspike.scoring import Score

Facts: TypeAlias = list[tuple[str, Any]]
REPORT, PLOTS = "report.html", "plots"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .9rem .15rem 0; text-align: right; } th { border-bottom: 1px solid #9aa0a6; font-weight: 600; }
th:first-child, td:first-child { text-align: left; } img { max-width: 100%; } .scroll { max-height: 28rem; overflow: auto; }
dl { display: grid; grid-template-columns: 11rem 1fr; } dt { color: #5f6368; } dd { margin: 0; }
"""


def write_report(
    run: Run, score: Score | None = None, beside: Iterable[tuple[EventRun, Facts]] = (), frames: Path | None = None
) -> Path:
    """Draw a run's pictures and write its page.

    Parameters
    ----------
    run : Run
        A finished run, of samples or of events.
    score : Score, optional
        Its score, to be shown too.
    beside : iterable of (EventRun, list of (str, Any))
        Runs of events that are shown below, each with its score in words; it is gone through when the run's own pictures are drawn.
        What is drawn of these runs already is not drawn again.
    frames : pathlib.Path, optional
        Folder of frames of another camera, to be drawn beside the passages of a run of events.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    BitspikeError
        It is a training, or there are no frames, or nothing to draw beside them.
    MissingExtraError
        The ``plot`` extra is not installed.
    """
    run.require_replay()
    if isinstance(run, EventRun):
        pictures = draw_events(run, run.path / PLOTS)
        if frames is not None:
            pictures |= draw_beside(run, frames, run.path / PLOTS)
        body = _events(run, run.path, pictures)
    else:
        if frames is not None:
            raise BitspikeError(f"{run.path}: frames are shown beside runs of events, and this is one of samples")
        body = _samples(run, score)
    for other, found in beside:
        drawn = drawn_events(other, other.path / PLOTS) or draw_events(other, other.path / PLOTS)
        body += _events(other, run.path, drawn, found)
    title = f'<meta charset="utf-8"><title>{escape(run.name)}</title>'
    head = f'<!doctype html>\n<html lang="en"><head>{title}<style>{STYLE}</style></head>'
    page = f"{head}\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    return write_files(run.path, {REPORT: page.encode()})[REPORT]


def report_after(run: Run) -> Path:
    """Write the page of a run that was just finished; arguments and errors as for `write_report`.

    Raises
    ------
    BitspikeError
        There is no room on the disk for it.
    """
    try:
        return write_report(run)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise BitspikeError(
            f"{error.filename}: cannot be written ({error.strerror}), but the result is complete: free some space, and "
            f"'bitspike report {run.path}' makes the report"
        ) from error


def _samples(run: Run, score: Score | None) -> list[str]:
    """Return what the page says of a run of samples."""
    pictures = draw_all(run, run.path / PLOTS)
    body = [f"<h1>{escape(run.name)}</h1>", _facts(_about(run))]
    if score is not None:
        detection = score.detection
        body += ["<h2>Score</h2>", _facts([("detection F1", f"{detection.f1:.4f}"), ("sorting accuracy", number(score.accuracy))])]
    if "groups" in run.manifest.counts:
        groups = run.manifest.counts["groups"]
        body += ["<h2>Spikes and units</h2>", _table(list(groups[0]), [list(group.values()) for group in groups])]
    body += _pictures(pictures, run.path)
    if run.units:
        body += ["<h2>Units</h2>", _table([field.name for field in fields(Unit)], [list(astuple(unit)) for unit in run.units])]
    return body


def _events(run: EventRun, page: Path, pictures: dict[str, Path], score: Facts | None = None) -> list[str]:
    """Return what the page in folder `page` says of a run of events."""
    body = [f"<h1>{escape(run.name)}</h1>", _facts([*event_facts(run), ("SHA-256", run.manifest.recording["sha256"])])]
    if score is not None:
        body += ["<h2>Score</h2>", _facts(score)]
    return [*body, "<h2>Events</h2>", _table(FILTERS, filter_rows(run)), *_pictures(pictures, page)]


def _pictures(pictures: dict[str, Path], page: Path) -> list[str]:
    shown = []
    for title, path in pictures.items():
        source = Path(os.path.relpath(path, page)).as_posix()
        shown += [f"<h2>{escape(title)}</h2>", f'<img src="{escape(source)}" alt="{escape(title)}">']
    return shown


def _about(run: Run) -> list[tuple[str, Any]]:
    manifest = run.manifest
    recording, timings = manifest.recording, manifest.timings
    return [
        ("recording", f"{recording['path']} ({recording['format']})"),
        (
            "signal",
            f"{plural(recording['channels'], 'channel')} at {recording['rate_hz']:g} Hz, {manifest.counts['seconds']:.2f} s",
        ),
        ("chain", f"{manifest.chain['name']}: {manifest.chain['description']}"),
        ("speed", f"{number(float(timings['times_real_time']))} times real time on {manifest.run['engine']}"),
        ("worst block", f"{timings['block_us']['worst']:,.0f} µs for {manifest.run['block_ms']:g} ms"),
        ("dropped data", f"{manifest.counts['lost_frames']:,} frames"),
        ("SHA-256", recording["sha256"]),
    ]


def _facts(pairs: Facts) -> str:
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs) + "</dl>"


def _table(columns: list[str], rows: list[list[Any]]) -> str:
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    lines = ("<tr>" + "".join(f"<td>{escape(number(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'
