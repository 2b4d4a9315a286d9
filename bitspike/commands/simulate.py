"""``bitspike simulate``: recordings with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command, progress

group = typer.Typer(help="Make recordings with ground truth.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(group, name="simulate")


@group.callback()
def simulate() -> None:
    """Make recordings with ground truth."""


@group.command(name="neural")
@command
def neural(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make.", show_default=False)],
    channels: Annotated[int, typer.Option("--channels", metavar="N", help="Electrodes.")] = 64,
    rate: Annotated[float, typer.Option("--rate", metavar="HZ", help="Sampling rate.")] = 24_000.0,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", help="Length.")] = 60.0,
    units: Annotated[int, typer.Option("--units", metavar="N", help="Cells; 0 means one for every two channels.")] = 0,
    noise: Annotated[float, typer.Option("--noise", metavar="UV", help="Standard deviation of the noise, microvolts.")] = 8.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same bytes.")] = 0,
    layout: Annotated[str, typer.Option("--layout", metavar="NAME", help="probe, tetrodes or wires.")] = "probe",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier recording of bitspike's.")] = False,
) -> Result:
    """Write an electrode recording with known spikes, by SpikeInterface's generator (ephys extra)."""
    from bitspike.commands.info import describe_recording
    from sensors.neural_simulator import simulate_neural

    given = {
        "channels": channels,
        "rate_hz": rate,
        "seconds": seconds,
        "units": units,
        "noise_uv": noise,
        "seed": seed,
        "layout": layout,
    }
    with progress("simulating") as advance:
        recording = simulate_neural(out, overwrite=overwrite, progress=lambda done: advance(done * seconds, seconds), **given)
    return describe_recording(recording)


@group.command(name="waveclus")
@command
def waveclus(
    trains: Annotated[
        Path,
        typer.Argument(metavar="TRAINS", help="True spike trains of the wave_clus files, .npz.", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make the recordings in.", show_default=False)],
    names: Annotated[
        list[str],
        typer.Option("--name", metavar="NAME", help="Which, such as C_Easy1_noise005; may be repeated. All unless given."),
    ] = [],  # noqa: B006
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same bytes.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier recordings of bitspike's.")] = False,
) -> Result:
    """Lay shapes and noise of our own on the true wave_clus spike trains: not to be put beside published figures."""
    from bitspike.printed import grid
    from sensors.waveclus_benchmark import LABEL, write_waveclus_benchmark

    with progress("simulating", "%") as advance:
        made = write_waveclus_benchmark(
            trains, out, names or None, seed, overwrite=overwrite, progress=lambda done: advance(100 * done, 100)
        )
    rows = [[str(one.path), one.seconds, len(one.truth) if one.truth else 0] for one in made]
    document = {
        "label": LABEL,
        "recordings": [{"path": path, "seconds": seconds, "spikes": spikes} for path, seconds, spikes in rows],
    }
    return Result(document, lambda: [grid(LABEL, ["recording", "seconds", "true spikes"], rows)])


@group.command(name="cytometry")
@command
def cytometry(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to make.", show_default=False)],
    parameters: Annotated[
        Path | None,
        typer.Option("--parameters", metavar="FILE", help="Where to start from, .toml or .json; what is given here overrules it."),
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="Length; 1 unless said otherwise.")] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="PER_SECOND", help="Particles per second; 255 unless said otherwise.")
    ] = None,
    classes: Annotated[
        str, typer.Option("--classes", metavar="UM,UM", help="Mean diameters of the kinds of spheres; 16,20 unless said otherwise.")
    ] = "",
    run: Annotated[int | None, typer.Option("--run", metavar="R", help="Number of the run: each has drifted otherwise.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="The same seed gives the same bytes.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier recording of this simulator.")] = False,
) -> Result:
    """Write an event camera's recording of spheres in a channel with known particles, and its figures beside measured ones."""
    from bitspike.cytometry import beside_measured, diameters
    from sensors.cytometry.parameters import CytometerParameters, read_parameters
    from sensors.cytometry.recording import simulate_cytometry

    given = {"seconds": seconds, "rate": rate, "run": run, "seed": seed, "classes": diameters(classes) if classes else None}
    plan = CytometerParameters() if parameters is None else read_parameters(parameters)
    plan_seconds = plan.seconds if seconds is None else seconds
    with progress("simulating") as advance:
        made = simulate_cytometry(
            out,
            plan,
            overwrite=overwrite,
            progress=lambda done: advance(done * plan_seconds, plan_seconds),
            **{name: value for name, value in given.items() if value is not None},
        )
    return Result(*beside_measured(made))
