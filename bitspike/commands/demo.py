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
    """Simulate 68 channels with known spikes, replay them, score the result, and draw a report (ephys and plot extras)."""
    from bitspike.demo import run_demo
    from bitspike.printed import report_line, run_summary, score_summary
    from bitspike.replies import run_document

    with progress("demo") as advance:
        run, score, report = run_demo(out, chain, seconds, seed, advance)
    document = {**run_document(run), "score": score.document(), "report": report}
    return Result(document, lambda: [*score_summary(score), *run_summary(run), *report_line(report)])
