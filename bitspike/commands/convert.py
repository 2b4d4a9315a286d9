"""``bitspike convert``: event recordings from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command, progress


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="convert")(convert)


@command
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Event recording of any known format.", show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File to make: .raw (EVT3), .dat, .aedat4, .aedat, .es, .bin (N-MNIST), .npy, .csv or .h5.",
            show_default=False,
        ),
    ],
    to: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Format, where OUT's name does not say it: evt2, dat1 and so on.")
    ] = None,
    from_zero: Annotated[bool, typer.Option("--from-zero", help="Count times from the first event.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    width: o.Width = None,
    height: o.Height = None,
    given: Annotated[
        str | None, typer.Option("--format", metavar="FORMAT", help="Format of IN, where the file does not say it.")
    ] = None,
) -> Result:
    """Write the events of a recording in another format, event for event the same."""
    from bitspike.printed import listed, plural
    from sensors.events.opening import open_events
    from sensors.events.source import DAMAGE
    from sensors.events.writing import format_of, write_events

    recording = open_events(source, width, height, format=given)
    kind, count = format_of(out, to), recording.summary().events
    with progress("converting", "million events") as advance:
        write_events(
            out, recording, kind, from_zero=from_zero, overwrite=overwrite, progress=lambda done: advance(done / 1e6, count / 1e6)
        )
    document = {"path": str(out), "format": kind, "events": count, "bytes": out.stat().st_size, "damage": recording.damage}
    damage = "; ".join(f"{n:,} {DAMAGE[name]}" for name, n in recording.damage.items())
    pairs = [("result", f"{out}: {plural(count, 'event')} as {kind}"), *([("damage in the source", damage)] if damage else [])]
    return Result(document, lambda: [listed(pairs)])
