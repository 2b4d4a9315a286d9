"""The firmware of a chain: its C, its tables, and what was proved about them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitspike.formats import said_format, trained_format
from bitspike.learning import tables_of
from bitspike.runs import Run
from bitspike.stretch import block_frames
from bitspike.writing import write_files
from firmware.decoding import DECODERS
from firmware.event_generate import GeneratedEvents
from firmware.generate import Generated
from firmware.glue import size_of
from firmware.room import chain_capacity, laid_chain
from pipeline.blocks import EventFormat, Format, SampleFormat
from pipeline.capacity import Capacity
from pipeline.chain import ChainPlan, read_chain
from pipeline.errors import BitspikeError
from sensors.events.opening import open_events
from sensors.events.source import EventRecording
from sensors.recording import Recording, open_recording


@dataclass(frozen=True)
class Firmware:
    """What was generated for a chain.

    Attributes
    ----------
    generated : Generated
        Its C and its image.
    capacity : Capacity
        What the library must be compiled for.
    files : dict of str to pathlib.Path
        By purpose: header, source, image, and with `explain` a picture for every filter.
    """

    generated: Generated
    capacity: Capacity
    files: dict[str, Path]

    def stages(self) -> list[dict[str, Any]]:
        """Return for each stage its label, name, bytes of tables and state, whether it is in the C, and what was proved.

        Of a chain of events the decoder of the camera's words comes first.
        """
        first, made = [], self.generated
        if isinstance(made, GeneratedEvents):
            sizes = {"flash_bytes": made.decoder_tables.nbytes, "ram_bytes": made.decoder_bytes()}
            first = [{"label": "decoder", "name": made.decoder, "in_c": True, **sizes, "report": {}}]
        return first + [
            {
                "label": label,
                "name": running.name,
                "in_c": label not in made.left_out,
                "flash_bytes": running.tables.nbytes,
                "ram_bytes": running.state.nbytes,
                "report": running.report(),
            }
            for label, running in made.chain.stages.items()
        ]

    def buffer_bytes(self) -> int:
        """Return the RAM that the chain needs between its stages, for blocks of the length it was generated for."""
        made = self.generated
        return sum(count * size_of(kind) for kind, count in made.memory.items()) + made.output_bytes * len(made.kept)

    def command(self) -> str:
        """Return a command that compiles the chain and the library, of which the linker takes what the chain calls."""
        room = " ".join(f"-DBS_MAX_{name.upper()}={least}" for name, least in self.generated.needed().limits().items() if least)
        flags = f"-std=c11 -O2 -ffunction-sections -Ifirmware/include {room}"
        return f"cc {flags} -c {self.files['source']} firmware/src/*.c"

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        signal, made = self.generated.chain.signal, self.generated
        if isinstance(made, GeneratedEvents):
            about = {"width": signal.width, "height": signal.height, "decoder": made.decoder, "block_events": made.frames}
        else:
            about = {"channels": signal.channels, "rate_hz": signal.rate_hz, "block_frames": made.frames}
        return {
            "chain": made.chain.plan.name,
            **about,
            "files": self.files,
            "outputs": self.generated.kept,
            "left_out": self.generated.left_out,
            "capacity": self.generated.needed().limits(),
            "stages": self.stages(),
            "buffer_bytes": self.buffer_bytes(),
            "compile": self.command(),
        }


def tables(
    chain: str | Path | ChainPlan,
    out: str | Path,
    *,
    like: str | Path | Recording | EventRecording | Format | None = None,
    trained: str | Path | Run | None = None,
    block_ms: float = 1.0,
    spikes: int = 256,
    events: int = 256,
    explain: bool = False,
    facts: dict[str, Any] | None = None,
) -> Firmware:
    """Generate the firmware of a chain: ``<chain>.h``, ``<chain>.c`` and ``<chain>.bin``.

    Parameters
    ----------
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    out : str or pathlib.Path
        Folder, made if need be; files of these names are replaced.
    like : str, pathlib.Path, Recording, EventRecording, SampleFormat or EventFormat, optional
        What the chain shall be designed for: a recording, or its format. Before a chain of events stands the decoder of a
        recording in EVT2, otherwise that of EVT3.
    trained : Run, str or pathlib.Path, optional
        What that run has learned goes into the tables; without `like` the chain is designed for its recording.
    block_ms : float
        Longest block that the C takes at once; the shorter, the less memory it needs.
    spikes : int
        Most spikes of a block that a sorter gives.
    events : int
        Most events that a chain of events takes at once.
    explain : bool
        Draw the response of every filter, ideal and quantised (plot extra).
    facts : dict, optional
        Without either: rate_hz, channels, uv_per_count and bits of the signal, or width and height of an event camera.

    Returns
    -------
    Firmware
        What was generated and proved.

    Raises
    ------
    BitspikeError
        The chain cannot be designed for that signal, was trained otherwise, or cannot be written in C; or `out` is no folder.
    """
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    run = trained if isinstance(trained, Run) or trained is None else Run(trained)
    if isinstance(like, str | Path):
        source = {name: value for name, value in (facts or {}).items() if value is not None}
        like = open_events(like, **source) if plan.sensor == "events" else open_recording(like, **source)
    made = generate(plan, _signal(plan, like, run, facts or {}), like, run, block_ms, spikes, events)
    contents, purposes = made.files(), {".h": "header", ".c": "source", ".bin": "image"}
    named = {name: purposes[Path(name).suffix] for name in contents}
    if explain:
        from bitspike.responses import draw_responses

        for label, picture in draw_responses(made.chain).items():
            contents[f"{made.name}-{label}.png"] = picture
            named[f"{made.name}-{label}.png"] = f"response of {label}"
    paths = write_files(Path(out), contents)
    return Firmware(made, made.capacity, {what: paths[name] for name, what in named.items()})


def generate(
    plan: ChainPlan, signal: Format, like: Any, run: Run | None, block_ms: float, spikes: int, events: int
) -> Generated | GeneratedEvents:
    """Return the C of a chain for a signal; arguments and errors as for `tables`."""
    if isinstance(signal, EventFormat):
        if run is not None:
            raise BitspikeError(f"chain {plan.name}: nothing in it is trained before; leave --trained out")
        return generate_events(plan, signal, like.source_format if isinstance(like, EventRecording) else "", events)
    if not 1 <= spikes <= 1 << 16:
        raise BitspikeError(f"spikes: {spikes}; choose 1 to 65536")
    room = chain_capacity(plan.build(signal))
    learned = tables_of(run, plan.build(signal)) if run else None
    return Generated(laid_chain(plan, signal, learned), room, block_frames(block_ms, signal.rate_hz), spikes)


def generate_events(plan: ChainPlan, sensor: EventFormat, sent: str, events: int) -> GeneratedEvents:
    """Return the C of a chain of events, after the decoder of what the camera sends: of EVT3, if there is none for `sent`."""
    room = chain_capacity(plan.build(sensor))
    return GeneratedEvents(laid_chain(plan, sensor), room, events, sent if sent in DECODERS else "evt3")


def _signal(plan: ChainPlan, like: Any, run: Run | None, facts: dict[str, Any]) -> Format:
    """Return what a chain shall be designed for; it refuses another sensor by itself."""
    if isinstance(like, SampleFormat | EventFormat):
        return like
    if like is not None:
        found: Format = like.format
        return found
    return trained_format(run) if run else said_format(plan, facts)
