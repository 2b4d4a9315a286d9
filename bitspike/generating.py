"""The firmware of a chain: its C, its tables, and what was proved about them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitspike.formats import said_format, trained_format
from bitspike.learning import tables_of
from bitspike.runs import Run
from bitspike.stretch import block_frames
from firmware.generate import Generated
from firmware.glue import size_of
from firmware.room import chain_capacity, laid_chain
from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.chain import ChainPlan, read_chain
from pipeline.errors import BitspikeError
from sensors.recording import Recording, open_recording

OUTPUT_BYTES = 56  # of a bs_output, on a processor of 32 bits


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
        """Return for each stage its label, name, bytes of tables and state, whether it is in the C, and what was proved."""
        return [
            {
                "label": label,
                "name": running.name,
                "in_c": label not in self.generated.left_out,
                "flash_bytes": running.tables.nbytes,
                "ram_bytes": running.state.nbytes,
                "report": running.report(),
            }
            for label, running in self.generated.chain.stages.items()
        ]

    def buffer_bytes(self) -> int:
        """Return the RAM that the chain needs between its stages, for blocks of the length it was generated for."""
        return sum(count * size_of(kind) for kind, count in self.generated.memory.items()) + OUTPUT_BYTES * len(self.generated.kept)

    def command(self) -> str:
        """Return a command that compiles the chain and the library, of which the linker takes what the chain calls."""
        room = " ".join(f"-DBS_MAX_{name.upper()}={least}" for name, least in self.generated.needed().limits().items() if least)
        flags = f"-std=c11 -O2 -ffunction-sections -Ifirmware/include {room}"
        return f"cc {flags} -c {self.files['source']} firmware/src/*.c"

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        signal = self.generated.chain.signal
        return {
            "chain": self.generated.chain.plan.name,
            "channels": signal.channels,
            "rate_hz": signal.rate_hz,
            "block_frames": self.generated.frames,
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
    like: str | Path | Recording | SampleFormat | None = None,
    trained: str | Path | Run | None = None,
    block_ms: float = 1.0,
    spikes: int = 256,
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
    like : str, pathlib.Path, Recording or SampleFormat, optional
        What the chain shall be designed for: a recording, or its format.
    trained : Run, str or pathlib.Path, optional
        What that run has learned goes into the tables; without `like` the chain is designed for its recording.
    block_ms : float
        Longest block that the C takes at once; the shorter, the less memory it needs.
    spikes : int
        Most spikes of a block that a sorter gives.
    explain : bool
        Draw the response of every filter, ideal and quantised (plot extra).
    facts : dict, optional
        Without either: rate_hz, channels, uv_per_count and bits of the signal.

    Returns
    -------
    Firmware
        What was generated and proved.

    Raises
    ------
    BitspikeError
        The chain cannot be designed for that signal, was trained otherwise, or cannot be written in C.
    """
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    run = trained if isinstance(trained, Run) or trained is None else Run(trained)
    signal = _signal(plan, like, run, facts or {})
    learned = tables_of(run, plan.build(signal)) if run else None
    room = chain_capacity(plan.build(signal))
    if not 1 <= spikes <= 1 << 16:
        raise BitspikeError(f"spikes: {spikes}; choose 1 to 65536")
    made = Generated(laid_chain(plan, signal, learned), room, block_frames(block_ms, signal.rate_hz), spikes)
    folder, purposes = Path(out), {".h": "header", ".c": "source", ".bin": "image"}
    files = {purposes[Path(name).suffix]: folder / name for name in made.files()}
    for name, content in made.files().items():
        write_whole(folder / name, content)
    if explain:
        from bitspike.responses import draw_responses

        files |= draw_responses(made.chain, folder, made.name)
    return Firmware(made, room, files)


def _signal(plan: ChainPlan, like: Any, run: Run | None, facts: dict[str, Any]) -> SampleFormat:
    """Return what a chain shall be designed for."""
    if plan.sensor != "electrodes":
        raise BitspikeError(f"chain {plan.name}: is for a sensor of kind {plan.sensor}; C is generated for chains of electrodes")
    if isinstance(like, SampleFormat):
        return like
    if like is not None:
        return (like if isinstance(like, Recording) else open_recording(like, **facts)).format
    return trained_format(run) if run else said_format(plan, facts)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it, so that it is whole or not there; its folder is made if need be.

    Raises
    ------
    BitspikeError
        The path is a folder, or its folder cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as aside:
            made = Path(aside) / path.name
            made.write_bytes(content)
            made.replace(path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BitspikeError(f"{error.filename}: is no folder to write to; choose another --out") from None
