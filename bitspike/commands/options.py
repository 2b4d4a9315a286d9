"""Options that several commands share: which recording, and what its file does not say."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.console import with_options

if TYPE_CHECKING:
    from pipeline.chain import ChainPlan
    from sensors.events.source import EventRecording
    from sensors.recording import Recording

FACTS = "What the file does not say"


def _fact(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=FACTS)


RecordingPath = Annotated[
    Path, typer.Argument(metavar="RECORDING", help="Recording: a file or folder of any known format.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)]
ChainName = Annotated[
    str,
    typer.Option(
        "--chain", metavar="NAME|FILE", help="Packaged chain (probe, psoc68, implant16, field, camera, cytometry) or TOML file."
    ),
]
Start = Annotated[float, typer.Option("--start", metavar="S", help="Where to begin, in seconds.")]
Stop = Annotated[float | None, typer.Option("--stop", metavar="S", help="Where to end, in seconds.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="LABEL.PARAMETER=VALUE", help="Change a parameter of the chain; may be repeated.")
]

Width = Annotated[int | None, _fact("--width", "N", "Columns of the event camera's sensor.")]
Height = Annotated[int | None, _fact("--height", "N", "Rows of the event camera's sensor.")]

FILE_FACTS = {
    "rate_hz": Annotated[float | None, _fact("--rate", "HZ", "Sampling rate.")],
    "channels": Annotated[int | None, _fact("--channels", "N", "Interleaved channels.")],
    "dtype": Annotated[str | None, _fact("--dtype", "TYPE", "Type of the samples, such as int16 or float32.")],
    "offset": Annotated[int | None, _fact("--offset", "COUNTS", "Counts to subtract from stored integers.")],
    "skip_bytes": Annotated[int | None, _fact("--skip-bytes", "N", "Header of a raw file.")],
    "uv_per_count": Annotated[float | None, _fact("--uv-per-count", "UV", "Microvolts of one count.")],
    "bits": Annotated[int | None, _fact("--bits", "N", "Significant bits of the samples.")],
    "unit": Annotated[str | None, _fact("--unit", "V|mV|uV", "Unit of stored floats.")],
    "stream": Annotated[str | None, _fact("--stream", "NAME", "Stream of a file with several.")],
    "segment": Annotated[int | None, _fact("--segment", "N", "Segment of a file with several.")],
    "group_size": Annotated[int | None, _fact("--group-size", "N", "Channels in a row that form a group, such as 4 for tetrodes.")],
    "reader": Annotated[str | None, _fact("--reader", "NAME", "SpikeInterface extractor to use.")],
}


def takes_facts(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what a recording's file does not; it gets what was said as one dict, `facts`."""

    @wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        facts = {name: named.pop(name) for name in FILE_FACTS if name in named}
        return function(*arguments, facts={name: value for name, value in facts.items() if value is not None}, **named)

    return with_options(run, function, {name: (kind, None) for name, kind in FILE_FACTS.items()}, gone="facts")


def opened(path: Path, facts: dict[str, Any]) -> Recording:
    """Open a recording with what was said about it.

    Raises
    ------
    BitspikeError
        It cannot be opened, or its channels do not make groups of that size.
    """
    from pipeline.errors import BitspikeError
    from sensors.events.opening import is_events
    from sensors.recording import open_recording

    said = dict(facts)
    if not said and is_events(path):
        raise BitspikeError(f"{path}: is of an event camera, and this takes samples of electrodes")
    size = said.pop("group_size", None)
    recording = open_recording(path, **said)
    if size is not None:
        channels = recording.format.channels
        if size < 1 or channels % size:
            raise BitspikeError(f"{path}: group_size: {size} does not divide its {channels} channels")
        recording.format = recording.format.with_(groups=tuple(c // size for c in range(channels)))
    return recording


def said_sensor(width: int | None, height: int | None) -> dict[str, int]:
    """Return what was said about an event camera, as facts."""
    from pipeline.errors import BitspikeError

    if (width is None) != (height is None):
        raise BitspikeError("width, height: give both --width and --height, or neither")
    return {name: value for name, value in (("width", width), ("height", height)) if value is not None}


def opened_for(plan: ChainPlan, path: Path, facts: dict[str, Any]) -> Recording | EventRecording:
    """Open a recording of the kind that a chain takes."""
    from bitspike.formats import require_of_sensor

    require_of_sensor(plan, facts)
    if plan.sensor != "events":
        return opened(path, facts)
    from sensors.events.opening import open_events

    return open_events(path, facts.get("width"), facts.get("height"))
