"""What a chain costs on a chip: cycles, clock and power for a recording, and the memory of its application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitspike.learning import prepared
from bitspike.runs import Run
from bitspike.stretch import block_frames, stretch
from firmware.build import CORES
from firmware.costs import CYCLES, Memory, StageCost, application_memory, measure
from firmware.generate import Generated
from firmware.room import chain_capacity, laid_chain, twin_chain
from firmware.target import Target
from pipeline.chain import ChainPlan, read_chain
from pipeline.errors import BitspikeError
from sensors.events.opening import open_events
from sensors.events.source import EventRecording
from sensors.recording import Recording, open_recording

if TYPE_CHECKING:
    from bitspike.event_costing import EventCost

UW_PER_MHZ, CLOCK_MHZ = 5.19, 25.0  # of the chip's processor: Guo, Weisse et al. 2024, doi 10.3389/fnins.2024.1432750
OPTIMISE = ("-O0", "-O1", "-O2", "-O3", "-Os")
WARM_S = 1.0  # in which thresholds are learned


@dataclass(frozen=True)
class CoreCost:
    """What a chain costs on one core.

    Attributes
    ----------
    core : str
        Which.
    stages : list of StageCost
        In order.
    memory : Memory
        Of the application with this chain.
    seconds : float
        Of signal that was counted.
    channels : int
        Of it.
    """

    core: str
    stages: list[StageCost]
    memory: Memory
    seconds: float
    channels: int

    @property
    def mhz(self) -> float:
        """Clock that the chain needs, by the estimate."""
        return sum(stage.cycles for stage in self.stages) / self.seconds / 1e6

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        each = self.mhz / self.channels
        return {
            "core": self.core,
            "stages": [stage.document() | {"mhz": stage.cycles / self.seconds / 1e6} for stage in self.stages],
            "memory": asdict(self.memory),
            "mhz": self.mhz,
            "mhz_per_channel": each,
            "uw": self.mhz * UW_PER_MHZ,
            "uw_per_channel": each * UW_PER_MHZ,
            "channels_in_25_mhz": int(CLOCK_MHZ / each),
            "cycles_of_an_instruction": CYCLES[self.core],
        }


@dataclass(frozen=True)
class Cost:
    """What `cost` found.

    Attributes
    ----------
    chain, recording, learned : str
        The chain, what it ran on, and where trained tables come from.
    frames : int
        Of the longest block.
    cores : list of CoreCost
        One for each core.
    without : list of str
        Labels of the stages that have no C twin, and are not in the sums.
    """

    chain: str
    recording: str
    learned: str
    frames: int
    cores: list[CoreCost]
    without: list[str]

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        about = {"chain": self.chain, "recording": self.recording, "learned": self.learned, "block_frames": self.frames}
        return about | {"cores": [core.document() for core in self.cores], "without": self.without}


def cost(
    chain: str | Path | ChainPlan,
    recording: str | Path | Recording | EventRecording,
    *,
    on: Sequence[str] = tuple(CORES),
    start_s: float = 0.0,
    seconds: float = 0.5,
    block_ms: float = 1.0,
    spikes: int = 256,
    events: int = 256,
    ram_kib: int = 256,
    trained: str | Path | Run | None = None,
    optimise: str = "-O2",
) -> Cost | EventCost:
    """Count what every stage of a chain costs on emulated cores, and build its application for them.

    Parameters
    ----------
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    recording : str, pathlib.Path, Recording or EventRecording
        What to run it on: `WARM_S` that are not counted, so that thresholds are learned, then `seconds` that are; of events, see
        `event_costing.cost_of_events`.
    on : sequence of str
        Cores.
    start_s, seconds : float
        Stretch of the recording.
    block_ms, spikes : float, int
        As for `tables`: longest block, and most sorted spikes of one.
    events : int
        As for `tables`: most events of a block.
    ram_kib : int
        RAM that a chain of events is held against, in units of 1024 bytes.
    trained : Run, str or pathlib.Path, optional
        What that run has learned; otherwise stages learn from the beginning of the recording.
    optimise : str
        The compiler's level, one of `OPTIMISE`.

    Raises
    ------
    BitspikeError
        The chain, the recording or a core does not go with the others, or the C does what no firmware may: it calls itself.
    """
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    if not 0 < seconds <= 60:
        raise BitspikeError(f"seconds: {seconds:g}; choose up to 60, of which every instruction is counted")
    if optimise not in OPTIMISE:
        raise BitspikeError(f"optimise: {optimise!r}; choose one of {', '.join(OPTIMISE)}")
    for name in on:
        if name not in CORES:
            raise BitspikeError(f"on: {name!r}; choose one of {', '.join(CORES)}")
    if plan.sensor == "events":
        from bitspike.event_costing import cost_of_events

        seen = open_events(recording) if isinstance(recording, str | Path) else recording
        if isinstance(seen, Recording):
            raise BitspikeError(f"chain {plan.name}: is for events, and {seen.path} is of electrodes; choose another chain")
        if trained is not None:
            raise BitspikeError(f"chain {plan.name}: nothing in it is trained before; leave --trained out")
        return cost_of_events(plan, seen, on, start_s, seconds, events, ram_kib, optimise)
    source = open_recording(recording) if isinstance(recording, str | Path) else recording
    if isinstance(source, EventRecording):
        raise BitspikeError(f"chain {plan.name}: is for electrodes, and {source.path} is of events; choose the chain cytometry")
    signal = source.format
    start, stop = stretch(source, start_s, start_s + WARM_S + seconds)
    size = block_frames(block_ms, signal.rate_hz)
    blocks = list(source.blocks(size, start, stop))
    warm = min(round(WARM_S * signal.rate_hz / size), len(blocks) - 1)
    tables, learned = prepared(plan, source, 0, source.frames, "first", trained)
    room = chain_capacity(plan.build(signal))
    generated = Generated(laid_chain(plan, signal, tables), room, size, spikes)
    counted = sum(len(block.data) for block in blocks[warm:]) / signal.rate_hz
    cores: list[CoreCost] = []
    without: list[str] = []
    for name in on:
        host, target = plan.build(signal, tables), Target(name, room, optimise=optimise)
        stages, without = measure(host, twin_chain(plan, signal, target, tables), name, target, blocks, warm)
        cores.append(CoreCost(name, stages, application_memory(generated, name, optimise), counted, signal.channels))
    return Cost(plan.name, str(source.path), learned, size, cores, without)
