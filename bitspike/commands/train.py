"""``bitspike train``: what a chain learns from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command, progress


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="train")(train)


@command
@o.takes_facts
def train(
    recording: o.RecordingPath,
    chain: o.ChainName = "probe",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="RUN", help="Folder; out/<recording>-<chain>-trained unless given.")
    ] = None,
    settings: o.Settings = [],  # noqa: B006
    start: o.Start = 0.0,
    stop: o.Stop = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Let a chain learn from a recording; replay uses it with --trained."""
    from bitspike.chains import chosen_chain
    from bitspike.printed import training_summary
    from bitspike.replies import training_document
    from bitspike.training import train as run_training

    source = o.opened(recording, facts)
    with progress(f"learning from {source.name}") as advance:
        run = run_training(source, chosen_chain(chain, settings), out, start_s=start, stop_s=stop, progress=advance)
    return Result(training_document(run), lambda: training_summary(run))
