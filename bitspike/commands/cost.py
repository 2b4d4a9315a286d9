"""``bitspike cost``: what a chain costs on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.costing import Cost
    from bitspike.event_costing import EventCost


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="cost")(cost)


@command
@o.takes_facts
def cost(
    chain: Annotated[str, typer.Argument(metavar="CHAIN", help="Packaged chain or TOML file.", show_default=False)],
    recording: o.RecordingPath,
    settings: o.Settings = [],  # noqa: B006
    start: o.Start = 0.0,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="Signal to count, after one second that is not counted.")
    ] = 0.5,
    block_ms: Annotated[float, typer.Option("--block-ms", metavar="MS", help="Block that is processed at once.")] = 1.0,
    spikes: Annotated[int, typer.Option("--spikes", metavar="N", help="Most sorted spikes that a block can give.")] = 256,
    events: Annotated[int, typer.Option("--events", metavar="N", help="Most events that the C takes at once.")] = 256,
    ram_kib: Annotated[int, typer.Option("--ram", metavar="KIB", help="RAM that a chain of events is to fit in.")] = 256,
    on: Annotated[
        list[str], typer.Option("--on", metavar="CORE", help="cortex-m4 or rv32imc; may be repeated. Both unless given.")
    ] = [],  # noqa: B006
    optimise: Annotated[str, typer.Option("--optimise", metavar="-O", help="Level of the compiler: -O0 to -O3 or -Os.")] = "-O2",
    trained: Annotated[Path | None, typer.Option("--trained", metavar="RUN", help="Use what that run has learned.")] = None,
    width: o.Width = None,
    height: o.Height = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Count what a chain costs as firmware: instructions, memory, stack, and so clock and power; cycles are an estimate."""
    from bitspike.chains import chosen_chain
    from bitspike.costing import Cost
    from bitspike.costing import cost as count
    from firmware.build import CORES

    plan = chosen_chain(chain, settings)
    found = count(
        plan,
        o.opened_for(plan, recording, facts | o.said_sensor(width, height)),
        on=on or tuple(CORES),
        start_s=start,
        seconds=seconds,
        block_ms=block_ms,
        spikes=spikes,
        events=events,
        ram_kib=ram_kib,
        trained=trained,
        optimise=optimise,
    )
    return Result(found.document(), lambda: _lines(found) if isinstance(found, Cost) else _event_lines(found))


def _lines(found: Cost) -> list[RenderableType]:
    from bitspike.costing import CLOCK_MHZ, UW_PER_MHZ
    from bitspike.printed import grid, listed, number

    lines: list[RenderableType] = []
    columns = ["label", "per sample", "per spike", "cycles a sample", "MHz"]
    for core in found.cores:
        about = core.document()
        stages = about["stages"]
        ratios = ("instructions_per_sample", "instructions_per_spike")
        rows = [[s["label"], *(s[ratio] for ratio in ratios), s["cycles"] / s["samples"], s["mhz"]] for s in stages]
        rows.append(["all", sum(row[1] for row in rows), None, sum(row[3] for row in rows), about["mhz"]])
        sizes = [[s["label"], *(s[f"{what}_bytes"] for what in ("code", "table", "state", "stack"))] for s in stages]
        lines.append(grid(f"{core.core}: instructions, counted, and cycles, estimated", columns, rows))
        lines.append(grid(f"{core.core}: bytes", ["label", "code", "tables", "state", "stack"], sizes))
        more = "; application.ld has no room for that: raise bs_stack_bytes" if core.memory.stack > core.memory.stack_room else ""
        memory, timing = core.memory, ", ".join(f"{what} {n}" for what, n in about["cycles_of_an_instruction"].items())
        pairs: list[tuple[str, Any]] = [
            ("clock", f"{number(about['mhz'])} MHz for {core.channels} channels, {number(about['mhz_per_channel'])} MHz a channel"),
            ("power", f"{number(about['uw'])} uW, {number(about['uw_per_channel'])} uW a channel, at {UW_PER_MHZ} uW/MHz"),
            (f"fit in {CLOCK_MHZ:g} MHz", f"{about['channels_in_25_mhz']} channels"),
            ("flash", f"{memory.flash:,} bytes, all of the application"),
            ("RAM", f"{memory.ram:,} bytes: {memory.rings:,} of rings, {memory.stack_room:,} of stack"),
            ("stack", f"{memory.stack:,} bytes at most, by the call graph, an interrupt included{more}"),
            ("cycles", f"an estimate: {timing}"),
        ]
        lines.append(listed(pairs))
    pairs = [
        ("chain", f"{found.chain}, in blocks of {found.frames} frames"),
        ("recording", found.recording),
        ("learned", found.learned),
    ]
    if found.without:
        pairs.append(("not counted", f"{', '.join(found.without)}: no C twin"))
    return [*lines, listed(pairs)]


def _event_lines(found: EventCost) -> list[RenderableType]:
    from bitspike.costing import CLOCK_MHZ, UW_PER_MHZ
    from bitspike.printed import grid, listed, number

    lines: list[RenderableType] = []
    for core in found.cores:
        about = core.document()
        stages, memory = about["stages"], core.memory
        ratios = ("instructions_per_event", "instructions_per_event_taken")
        rows = [[s["label"], *(s[ratio] for ratio in ratios), s["cycles"] / s["events"]] for s in stages]
        rows.append(["all", core.instructions, None, core.cycles])
        sizes = [[s["label"], *(s[f"{what}_bytes"] for what in ("code", "table", "state", "stack"))] for s in stages]
        columns = ["label", "an event", "an event that it takes", "cycles an event"]
        lines.append(grid(f"{core.core}: instructions, counted, and cycles, estimated", columns, rows))
        lines.append(grid(f"{core.core}: bytes", ["label", "code", "tables", "state", "stack"], sizes))
        cure = "; crop the sensor with the stage region: states grow with its pixels"
        fits = f"fits in {core.ram_kib} KiB" if core.fits else f"does NOT fit in {core.ram_kib} KiB{cure}"
        timing = ", ".join(f"{what} {n}" for what, n in about["cycles_of_an_instruction"].items())
        pairs: list[tuple[str, Any]] = [
            ("clock", f"{number(about['mhz'])} MHz for {core.rate_hz:,.0f} events a second, as in this recording"),
            ("power", f"{number(about['uw'])} uW, at {UW_PER_MHZ} uW/MHz"),
            (f"fit in {CLOCK_MHZ:g} MHz", f"{about['events_per_s_in_25_mhz']:,} events a second"),
            ("flash", f"{memory.flash:,} bytes, all of the application"),
            ("RAM", f"{memory.ram:,} bytes: {memory.rings:,} of rings, {memory.stack_room:,} of stack: {fits}"),
            ("stack", f"{memory.stack:,} bytes at most, by the call graph, an interrupt included"),
            ("cycles", f"an estimate: {timing}"),
        ]
        lines.append(listed(pairs))
    pairs = [
        ("chain", f"{found.chain}, in blocks of up to {found.events} events, after a decoder of {found.decoder.upper()}"),
        ("recording", f"{found.recording}, {found.sensor.width} x {found.sensor.height} pixels"),
    ]
    if found.without:
        pairs.append(("not counted", f"{', '.join(found.without)}: no C twin"))
    return [*lines, listed(pairs)]
