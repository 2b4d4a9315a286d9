"""``bitspike replay``: a recording through a chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command, progress, say

if TYPE_CHECKING:
    from bitspike.runs import Run


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="replay")(replay)


@command
@o.takes_facts
def replay(
    recording: o.RecordingPath,
    chain: Annotated[
        str | None,
        typer.Option(
            "--chain",
            metavar="NAME|FILE",
            help="Packaged chain (probe, psoc68, implant16, field; for events camera, cytometry) or TOML file. Unless given: "
            "probe, for events camera, for simulated ones cytometry.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Result folder; out/<recording>-<chain> unless given.")
    ] = None,
    settings: o.Settings = [],  # noqa: B006
    start: o.Start = 0.0,
    stop: o.Stop = None,
    block_ms: Annotated[
        float | None,
        typer.Option(
            "--block-ms", metavar="MS", help="Length of a block: 10, of events 1 unless given; changes timings, never results."
        ),
    ] = None,
    speed: Annotated[str, typer.Option("--speed", metavar="max|1x", help="As fast as possible, or as it was recorded.")] = "max",
    on: Annotated[str, typer.Option("--on", metavar="ENGINE", help="host, native, cortex-m4 or rv32imc.")] = "host",
    learn: Annotated[
        str, typer.Option("--learn", metavar="first|online", help="Learn units before the replay, or while it runs.")
    ] = "first",
    trained: Annotated[Path | None, typer.Option("--trained", metavar="RUN", help="Use what that run has learned.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
    plot: Annotated[bool, typer.Option("--plot", help="Make report.html with plots.")] = False,
    width: o.Width = None,
    height: o.Height = None,
    *,
    facts: dict[str, Any],
) -> Result:
    """Replay a recording of samples or events through a chain: spikes and units, or particles, as fast as it goes."""
    from bitspike.chains import chosen_chain
    from bitspike.cytometry import events_in, usual_chain
    from bitspike.printed import report_line, run_summary
    from bitspike.replies import run_document
    from bitspike.runner import replay as run_replay
    from sensors.events.opening import is_events, open_events

    if plot:
        from bitspike.plots import need_matplotlib
        from bitspike.report import report_after

        need_matplotlib()
    file = events_in(recording)
    if not facts and is_events(file):
        from bitspike.event_replay import replay_events
        from bitspike.event_summary import event_run_document, event_run_summary

        refuse_of_events(learn, trained)
        events = open_events(file, width, height)
        events.name = recording.stem
        with progress(f"replaying {events.name}") as advance:
            found = replay_events(
                events,
                chosen_chain(chain or usual_chain(file), settings),
                out,
                start_s=start,
                stop_s=stop,
                block_ms=1.0 if block_ms is None else block_ms,
                speed=speed,
                on=on,
                resume=resume,
                progress=advance,
            )
        tell_resumed(found, resume)
        page = report_after(found) if plot else None
        return Result({**event_run_document(found), "report": page}, lambda: [*event_run_summary(found), *report_line(page)])
    source = o.opened(recording, facts)
    with progress(f"replaying {source.name}") as advance:
        done = run_replay(
            source,
            chosen_chain(chain or "probe", settings),
            out,
            start_s=start,
            stop_s=stop,
            block_ms=10.0 if block_ms is None else block_ms,
            speed=speed,
            on=on,
            learn=learn,
            trained=trained,
            resume=resume,
            progress=advance,
        )
    tell_resumed(done, resume)
    report = report_after(done) if plot else None
    return Result({**run_document(done), "report": report}, lambda: [*run_summary(done), *report_line(report)])


def tell_resumed(run: Run, asked: bool) -> None:
    """Say so where a run should be resumed and there was none."""
    if asked and not run.manifest.run["resumed"]:
        say(f"{run.path}: there was nothing to resume, so the replay began anew")


def refuse_of_events(learn: str, trained: Path | None) -> None:
    """Refuse the options that only recordings of samples have."""
    from pipeline.errors import BitspikeError

    for name, given in (("learn", learn != "first"), ("trained", trained)):
        if given:
            raise BitspikeError(f"--{name}: not for event recordings; leave it out")
