"""``bitspike verify``: firmware and host, compared to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command, progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.verifying import Verification

DIFFERENT = 1  # exit status


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="verify")(verify)


@command
@o.takes_facts
def verify(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="Packaged chain or TOML file.", show_default=False)],
    recording: Annotated[Path | None, typer.Argument(metavar="RECORDING", help="What to run it on.", show_default=False)] = None,
    settings: o.Settings = [],  # noqa: B006
    start: o.Start = 0.0,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="So much of the recording; else all.")] = None,
    generated: Annotated[
        int,
        typer.Option(
            "--generated", metavar="N", help="Instead, N samples of spikes in noise and of full-scale signals, or events."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of generated samples.")] = 0,
    on: Annotated[
        list[str], typer.Option("--on", metavar="ENGINE", help="native, cortex-m4 or rv32imc; may be repeated. All unless given.")
    ] = [],  # noqa: B006
    trained: Annotated[Path | None, typer.Option("--trained", metavar="RUN", help="Use what that run has learned.")] = None,
    width: o.Width = None,
    height: o.Height = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Run a chain on the host, as C on this machine and on emulated processors, and compare every block of every stage.

    The exit status is 1 if there is any difference. Generated samples are in the format of the recording, or that of --rate,
    --channels and --bits; events in that of --width and --height.
    """
    from bitspike.chains import chosen_chain
    from bitspike.verifying import TWINS
    from bitspike.verifying import verify as run_verify

    plan = chosen_chain(chain, settings)
    facts |= o.said_sensor(width, height)
    source = o.opened_for(plan, recording, facts) if recording is not None else None
    with progress("verifying") as advance:
        found = run_verify(
            plan,
            source,
            on=on or TWINS,
            start_s=start,
            stop_s=None if seconds is None else start + seconds,
            generated=generated,
            seed=seed,
            trained=trained,
            facts=facts,
            progress=advance,
        )
    return Result(found.document(), lambda: _lines(found), DIFFERENT if found.differences else 0)


def _lines(found: Verification) -> list[RenderableType]:
    from bitspike.printed import grid, listed, number, plural
    from pipeline.blocks import EventFormat

    signal = found.signal
    if isinstance(signal, EventFormat):
        given = f"{found.frames:,} events of {signal.width} x {signal.height} pixels"
    else:
        given = f"{plural(found.frames, 'frame')} of {plural(signal.channels, 'channel')} at {signal.rate_hz:g} Hz"
    rows = [[t.label, t.stage, t.engine, t.samples, t.differences] for t in found.tallies]
    about: list[tuple[str, Any]] = [
        ("chain", found.chain),
        ("input", f"{found.source}: {given}"),
        ("learned", found.learned),
        ("took", f"{number(found.seconds)} s"),
        ("differences", found.differences),
    ]
    if found.without:
        about.insert(3, ("not compared", f"{', '.join(found.without)}: no C twin"))
    return [
        grid("Compared with the host", ["label", "stage", "on", "values", "differences"], rows, left=3),
        *[f"different: {t.first}" for t in found.tallies if t.first],
        listed(about),
    ]
