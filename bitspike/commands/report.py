"""``bitspike report``: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="report")(report)


@command
def report(
    out: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="DIR", help="Draw passages of particles beside these frames of a real camera, PNG files."),
    ] = None,
) -> Result:
    """Draw a run's pictures and write report.html into its folder (plot extra)."""
    from bitspike.event_runs import EventRun, is_event_run
    from bitspike.printed import listed
    from bitspike.report import write_report
    from bitspike.runs import Run

    page = write_report(EventRun(out) if is_event_run(out) else Run(out), frames=frames)
    return Result({"report": page}, lambda: [listed([("report", str(page))])])
