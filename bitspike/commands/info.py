"""``bitspike info``: what a recording, a chain or a run is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.chain import Chain
    from sensors.events.source import EventRecording
    from sensors.recording import Recording


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="info")(info)


@command
@o.takes_facts
def info(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Recording of samples or events, chain (a name or a TOML file), or folder of a run or training.",
            show_default=False,
        ),
    ],
    chain: Annotated[
        str | None, typer.Option("--chain", metavar="NAME|FILE", help="Show that chain as designed for the recording.")
    ] = None,
    width: o.Width = None,
    height: o.Height = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Say what a recording, a chain, a run or a training is; of a chain also what its design proves and how exact it is."""
    from bitspike.cytometry import events_in
    from bitspike.event_runs import EventRun, is_event_run
    from bitspike.event_summary import event_run_document, event_run_summary
    from bitspike.formats import said_format
    from bitspike.runs import MANIFEST, Run, is_run, partial
    from pipeline.chain import packaged_chains, read_chain
    from sensors.events.opening import is_events, open_events

    path = Path(what)
    if what in packaged_chains() or path.suffix == ".toml":
        plan = read_chain(what)
        return _chain(plan.build(said_format(plan, facts)))
    if is_run(path) or (not path.exists() and (partial(path) / MANIFEST).is_file()):  # of an interrupted one the error tells
        from bitspike.printed import run_summary, training_summary
        from bitspike.replies import run_document, training_document

        if is_event_run(path):
            done = EventRun(path)
            return Result({"kind": "run", **event_run_document(done)}, lambda: event_run_summary(done))
        run = Run(path)
        if run.is_training:
            return Result({"kind": "training", **training_document(run)}, lambda: training_summary(run))
        return Result({"kind": "run", **run_document(run)}, lambda: [*run_summary(run), *_units(run.units)])
    if not facts and is_events(events_in(path)):
        events = open_events(events_in(path), width, height)
        return describe_events(events) if chain is None else _chain(read_chain(chain).build(events.format))
    recording = o.opened(path, facts)
    if chain is not None:
        return _chain(read_chain(chain).build(recording.format))
    return describe_recording(recording)


def describe_recording(recording: Recording) -> Result:
    """Return what a recording is."""
    signal, truth = recording.format, recording.truth
    document = {
        "kind": "recording",
        "path": str(recording.path),
        "format": recording.source_format,
        "frames": recording.frames,
        "seconds": recording.seconds,
        **asdict(signal),
        "truth": None if truth is None else {"units": truth.units, "spikes": len(truth), "snr": truth.snr},
    }

    def lines() -> list[RenderableType]:
        from bitspike.printed import listed

        groups = len(set(signal.groups)) or 1
        pairs: list[tuple[str, Any]] = [
            ("recording", str(recording.path)),
            ("format", recording.source_format),
            ("length", f"{recording.seconds:.3f} s, {recording.frames:,} frames at {signal.rate_hz:g} Hz"),
            ("channels", f"{signal.channels} in {groups} group{'s' if groups > 1 else ''}"),
            (
                "scale",
                f"{signal.uv_per_count:g} µV per count, {signal.bits} bits"
                if signal.uv_per_count
                else f"not known, {signal.bits} bits",
            ),
            ("electrode sites", "known" if signal.positions_um else "not known"),
            ("truth", f"{len(truth):,} spikes of {truth.units} units" if truth else "none"),
        ]
        return [listed(pairs)]

    return Result(document, lines)


def describe_events(recording: EventRecording) -> Result:
    """Return what an event recording is, after going through all of it."""
    from sensors.events.source import DAMAGE, IGNORED

    found, sensor = recording.summary(), recording.format
    ignored = {name: found.counts[name] for name in IGNORED if found.counts.get(name)}
    document = {
        "kind": "events",
        "path": str(recording.path),
        "format": recording.source_format,
        **asdict(sensor),
        "size_from": recording.size_from,
        "events": found.events,
        "brighter": found.brighter,
        "first_us": found.first_us,
        "last_us": found.last_us,
        "seconds": found.seconds,
        "rate_hz": found.rate_hz,
        "damage": found.damage,
        "ignored": ignored,
    }

    def lines() -> list[RenderableType]:
        from bitspike.printed import listed

        damage = [f"{count:,} {DAMAGE[name]}" for name, count in found.damage.items()]
        passed = [f"{count:,} {IGNORED[name]}" for name, count in ignored.items()]
        pairs: list[tuple[str, Any]] = [
            ("events", str(recording.path)),
            ("format", recording.source_format),
            ("sensor", f"{sensor.width} x {sensor.height} pixels, by {recording.size_from}"),
            ("count", f"{found.events:,}: {found.brighter:,} brighter, {found.events - found.brighter:,} darker"),
            ("time", f"{found.first_us:,} to {found.last_us:,} µs: {found.seconds:.6f} s"),
            ("rate", f"{found.rate_hz / 1e6:.3f} million events per second"),
            ("damage", "; ".join(damage) or "none"),
            *([("passed over", "; ".join(passed))] if passed else []),
        ]
        return [listed(pairs)]

    return Result(document, lines)


def _chain(chain: Chain) -> Result:
    plan, signal = chain.plan, chain.signal
    stages: list[dict[str, Any]] = [
        {
            "label": step.label,
            "name": step.stage.name,
            "from": list(step.sources),
            "saved": step.label in chain.saved,
            "parameters": chain.stages[step.label].parameters_dict(),
            "output": asdict(chain.formats[step.label]),
            "table_bytes": chain.stages[step.label].tables.nbytes,
            "state_bytes": chain.stages[step.label].state.nbytes,
            "report": chain.stages[step.label].report(),
        }
        for step in plan.steps
    ]
    document = {"kind": "chain", "name": plan.name, "description": plan.description, "signal": asdict(signal), "stages": stages}

    def lines() -> list[RenderableType]:
        from bitspike.printed import grid, listed, number

        about: list[tuple[str, Any]] = [
            ("chain", f"{plan.name}: {plan.description}"),
            ("designed for", designed_for(signal)),
            ("latency", f"{chain.latency / 1000 if plan.sensor == 'events' else 1000 * chain.latency / signal.rate_hz:.2f} ms"),
        ]
        rows = [[s["label"], s["name"], " ".join(s["from"]), _short(s["parameters"])] for s in stages]
        proofs = [[s["label"], name, number(value)] for s in stages for name, value in _found(s).items()]
        tables = [
            grid("Stages", ["label", "stage", "from", "parameters"], rows, left=4),
            grid("Proved and measured", ["label", "what", "value"], proofs, left=2),
        ]
        return [listed(about), *tables]

    return Result(document, lines)


def designed_for(signal: Any) -> str:
    """Return a format in words."""
    from bitspike.printed import plural
    from pipeline.blocks import EventFormat

    if isinstance(signal, EventFormat):
        return f"an event camera of {signal.width} x {signal.height} pixels"
    return f"{plural(signal.channels, 'channel')} at {signal.rate_hz:g} Hz, {signal.bits} bits"


def _found(stage: dict[str, Any]) -> dict[str, Any]:
    return {**stage["report"], "bytes of tables": stage["table_bytes"], "bytes of state": stage["state_bytes"]}


def _short(parameters: dict[str, Any]) -> str:
    return " ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items())


def _units(units: list[Any]) -> list[RenderableType]:
    from bitspike.printed import grid

    if not units:
        return []
    rows = [[str(u.unit), u.group, u.channel, u.spikes, u.rate_hz, u.amplitude, u.amplitude_uv, u.snr] for u in units]
    return [grid("Units", ["unit", "group", "channel", "spikes", "spikes/s", "peak, counts", "peak, µV", "SNR"], rows)]
