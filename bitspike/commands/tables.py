"""``bitspike tables``: the firmware of a chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.generating import Firmware


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="tables")(tables)


@command
@o.takes_facts
def tables(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="Packaged chain or TOML file.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder; build/tables-<chain> unless given.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option("--like", metavar="RECORDING", help="Design the chain for signals like this recording's.")
    ] = None,
    trained: Annotated[
        Path | None, typer.Option("--trained", metavar="RUN", help="Put in what that run has learned, for signals like its own.")
    ] = None,
    settings: o.Settings = [],  # noqa: B006
    block_ms: Annotated[
        float, typer.Option("--block-ms", metavar="MS", help="Longest block that the C takes at once; longer ones need more RAM.")
    ] = 1.0,
    spikes: Annotated[int, typer.Option("--spikes", metavar="N", help="Most sorted spikes that a block can give.")] = 256,
    events: Annotated[
        int, typer.Option("--events", metavar="N", help="Most events that the C takes at once; more need more RAM.")
    ] = 256,
    explain: Annotated[
        bool, typer.Option("--explain", help="Draw the response of every filter, ideal and quantised (plot extra).")
    ] = False,
    width: o.Width = None,
    height: o.Height = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Generate a chain's firmware: C header and source, and a binary image of its tables.

    Without --like and --trained, --rate, --channels, --uv-per-count and --bits say what the signal is; --width and --height, how
    many pixels an event camera has.
    """
    from bitspike.chains import chosen_chain
    from bitspike.generating import tables as generate

    if explain:
        from bitspike.plots import need_matplotlib

        need_matplotlib()
    plan = chosen_chain(chain, settings)
    facts |= o.said_sensor(width, height)
    source = o.opened_for(plan, like, facts) if like is not None else None
    made = generate(
        plan,
        out or Path("build") / f"tables-{plan.name}",
        like=source,
        trained=trained,
        block_ms=block_ms,
        spikes=spikes,
        events=events,
        explain=explain,
        facts=facts,
    )
    return Result(made.document(), lambda: _lines(made))


def _lines(made: Firmware) -> list[RenderableType]:
    from bitspike.printed import grid, listed, plural
    from firmware.event_generate import GeneratedEvents

    found, generated = made.stages(), made.generated
    signal = generated.chain.signal
    proofs = [[stage["label"], what, value] for stage in found for what, value in stage["report"].items()]
    sizes = [[s["label"], s["name"], s["flash_bytes"], s["ram_bytes"], "yes" if s["in_c"] else "no"] for s in found]
    sizes.append(["between stages", "", 0, made.buffer_bytes(), "yes"])
    sizes.append(["all", "", *(sum(row[i] for row in sizes) for i in (2, 3)), ""])
    name, chain = generated.name, generated.chain.plan.name
    if isinstance(generated, GeneratedEvents):
        made_for = f"{signal.width} x {signal.height} pixels, of a camera that sends {generated.decoder.upper()}"
        unit, takes = "events", f"{name}_decode for the camera's bytes or {name}_process for events"
    else:
        made_for = f"{plural(signal.channels, 'channel')} at {signal.rate_hz:g} Hz, {signal.bits} bits"
        unit, takes = "frames", f"{name}_process for each block"
    about: list[tuple[str, Any]] = [
        ("chain", f"{chain}, for {made_for}"),
        ("blocks", f"of up to {generated.frames} {unit}"),
        ("hands out", ", ".join(generated.kept)),
        ("use", f"{name}_init once, {takes}, {name}_gap after lost {unit}"),
    ]
    if generated.left_out:
        about.insert(2, ("not in C", f"{', '.join(generated.left_out)}: tables in the image only, there is no C for them yet"))
    return [
        grid("Proved: no accumulator can overflow; and measured", ["label", "what", "value"], proofs, left=2),
        grid("Bytes of tables (flash) and state (RAM)", ["label", "stage", "flash", "RAM", "in C"], sizes, left=2),
        listed(about),
        *[f"{what}: {path}" for what, path in made.files.items()],
        f"compile: {made.command()}",
    ]
