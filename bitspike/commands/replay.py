"""``bitspike replay``: a recording through a chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bitspike.commands import options as o
from bitspike.console import Result, command, progress


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="replay")(replay)


@command
@o.takes_facts
def replay(
    recording: o.RecordingPath,
    chain: o.ChainName = "probe",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Result folder; out/<recording>-<chain> unless given.")
    ] = None,
    settings: o.Settings = [],  # noqa: B006
    start: o.Start = 0.0,
    stop: o.Stop = None,
    block_ms: Annotated[
        float, typer.Option("--block-ms", metavar="MS", help="Length of a block; changes timings, never results.")
    ] = 10.0,
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
    from bitspike.printed import report_line, run_summary
    from bitspike.replies import run_document
    from bitspike.runner import replay as run_replay
    from sensors.events.opening import is_events, open_events

    if plot:
        from bitspike.plots import need_matplotlib
        from bitspike.report import write_report

        need_matplotlib()
    if not facts and is_events(recording):
        from bitspike.event_replay import replay_events
        from bitspike.event_summary import event_run_document, event_run_summary

        refuse_of_events(learn, trained, resume, plot)
        events = open_events(recording, width, height)
        with progress(f"replaying {events.name}") as advance:
            found = replay_events(
                events,
                chosen_chain("cytometry" if chain == "probe" else chain, settings),
                out,
                start_s=start,
                stop_s=stop,
                block_ms=block_ms,
                speed=speed,
                on=on,
                progress=advance,
            )
        return Result(event_run_document(found), lambda: event_run_summary(found))
    source = o.opened(recording, facts)
    with progress(f"replaying {source.name}") as advance:
        done = run_replay(
            source,
            chosen_chain(chain, settings),
            out,
            start_s=start,
            stop_s=stop,
            block_ms=block_ms,
            speed=speed,
            on=on,
            learn=learn,
            trained=trained,
            resume=resume,
            progress=advance,
        )
    report = write_report(done) if plot else None
    return Result({**run_document(done), "report": report}, lambda: [*run_summary(done), *report_line(report)])


def refuse_of_events(learn: str, trained: Path | None, resume: bool, plot: bool) -> None:
    """Refuse the options that only recordings of samples have."""
    from pipeline.errors import BitspikeError

    for name, given in (("learn", learn != "first"), ("trained", trained), ("resume", resume), ("plot", plot)):
        if given:
            raise BitspikeError(f"--{name}: not for event recordings; leave it out")
