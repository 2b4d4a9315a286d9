"""``bitspike score``: a run against ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitspike.console import Result, command

if TYPE_CHECKING:
    from bitspike.event_runs import EventRun


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
    """Score a run against ground truth: detection, sorting, and the wave_clus rules; of events, particles and doublets."""
    from bitspike.event_runs import EventRun, is_event_run
    from bitspike.printed import score_summary
    from bitspike.scoring import score as score_run

    if is_event_run(out):
        return _particles(EventRun(out), truth, after)

    found = score_run(out, truth, after_s=after)
    return Result(found.document(), lambda: score_summary(found))


def _particles(run: EventRun, truth: Path | None, after: float) -> Result:
    from bitspike.cytometry import score_particles, score_words
    from bitspike.printed import listed
    from pipeline.errors import BitspikeError

    if after:
        raise BitspikeError("--after: not for runs of events; leave it out")
    found = score_particles(run, truth)
    return Result(found.document(), lambda: [listed(score_words(found))])
