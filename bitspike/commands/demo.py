"""``bitspike demo``: the whole journey on a recording made up on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command, progress


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="demo")(demo)


@command
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the recording and the result.")] = Path(
        "out/demo"
    ),
    chain: Annotated[str, typer.Option("--chain", metavar="NAME|FILE", help="Chain to run.")] = "psoc68",
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Length of the recording.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same recording.")] = 1,
) -> Result:
    """Simulate 68 channels with known spikes and a cytometer, replay, score, and draw a report (ephys and plot extras)."""
    from bitspike.cytometry import score_words
    from bitspike.demo import run_demo
    from bitspike.event_summary import event_run_document, event_run_summary
    from bitspike.printed import listed, report_line, run_summary, score_summary
    from bitspike.replies import run_document

    with progress("demo") as advance:
        done = run_demo(out, chain, seconds, seed, advance)
    particles = {**event_run_document(done.particles), "score": done.passages.document()}
    document = {**run_document(done.run), "score": done.score.document(), "particles": particles, "report": done.report}
    return Result(
        document,
        lambda: [
            *score_summary(done.score),
            *run_summary(done.run),
            "",
            *event_run_summary(done.particles),
            listed(score_words(done.passages)),
            "",
            *report_line(done.report),
        ],
    )
