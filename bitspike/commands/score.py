"""``bitspike score``: a run against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="score")(score)


@command
def score(
    out: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    truth: Annotated[
        Path | None,
        typer.Argument(metavar="TRUTH", help="truth.npz, simulated folder or wave_clus file; the recording's own unless given."),
    ] = None,
    after: Annotated[
        float, typer.Option("--after", metavar="S", help="Count from this second on, such as when learning was over.")
    ] = 0.0,
) -> Result:
    """Score a run against ground truth: detection, sorting, and the wave_clus rules."""
    from bitspike.printed import score_summary
    from bitspike.scoring import score as score_run

    found = score_run(out, truth, after_s=after)
    return Result(found.document(), lambda: score_summary(found))
