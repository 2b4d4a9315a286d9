"""What a chain of events costs on a chip: instructions an event, the events a second that a clock is enough for, and memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitspike.costing import CLOCK_MHZ, UW_PER_MHZ
from bitspike.event_replay import stretch_us
from bitspike.generating import generate_events
from firmware.costs import CYCLES, Memory, StageCost, application_memory, measure, measure_decoder
from firmware.decoding import DECODERS
from firmware.room import twin_chain
from firmware.target import Target
from pipeline.blocks import EventFormat
from pipeline.chain import ChainPlan
from pipeline.errors import BitspikeError
from sensors.events.prophesee import read_header
from sensors.events.source import EventRecording

BLOCK_US = 1000
WARM_US = 25_000  # that are processed first and not counted: hot pixels are learned
MOST_COUNTED = 30_000  # events: every instruction of them is counted
WORD_BYTES, WARM_BYTES = 1 << 16, 1 << 13  # of the file's beginning, for the decoder


@dataclass(frozen=True)
class EventCoreCost:
    """What a chain costs on one core.

    Attributes
    ----------
    core : str
        Which.
    stages : list of StageCost
        In order; where the recording is in a format that there is a decoder for, that first.
    memory : Memory
        Of the application with this chain.
    rate_hz : float
        Events a second of the stretch that was counted.
    ram_kib : int
        What the chip has.
    """

    core: str
    stages: list[StageCost]
    memory: Memory
    rate_hz: float
    ram_kib: int

    @property
    def instructions(self) -> float:
        """Of all stages, an event of the camera."""
        return sum(stage.instructions / stage.samples for stage in self.stages)

    @property
    def cycles(self) -> float:
        """The same, in cycles, by the estimate."""
        return sum(stage.cycles / stage.samples for stage in self.stages)

    @property
    def fits(self) -> bool:
        """Whether the RAM is enough."""
        return self.memory.ram <= 1024 * self.ram_kib

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        stages = []
        for stage in self.stages:
            taken = stage.instructions / stage.spikes if stage.spikes else None
            sizes = {name: value for name, value in asdict(stage).items() if name not in ("samples", "spikes")}
            counted = {"events": stage.samples, "events_taken": stage.spikes}
            each = {"instructions_per_event": stage.instructions / stage.samples, "instructions_per_event_taken": taken}
            stages.append(sizes | counted | each)
        mhz = self.cycles * self.rate_hz / 1e6
        return {
            "core": self.core,
            "stages": stages,
            "memory": asdict(self.memory),
            "instructions_per_event": self.instructions,
            "cycles_per_event": self.cycles,
            "events_per_s": self.rate_hz,
            "mhz": mhz,
            "uw": mhz * UW_PER_MHZ,
            "events_per_s_in_25_mhz": int(1e6 * CLOCK_MHZ / self.cycles),
            "ram_kib": self.ram_kib,
            "fits": self.fits,
            "cycles_of_an_instruction": CYCLES[self.core],
        }


@dataclass(frozen=True)
class EventCost:
    """What `cost` found of a chain of events.

    Attributes
    ----------
    chain, recording : str
        The chain, and what it ran on.
    sensor : EventFormat
        Its size.
    decoder : str
        In the application.
    events : int
        Of the application's blocks, at most.
    cores : list of EventCoreCost
        One for each core.
    without : list of str
        Labels of the stages that have no C twin, and are not in the sums.
    """

    chain: str
    recording: str
    sensor: EventFormat
    decoder: str
    events: int
    cores: list[EventCoreCost]
    without: list[str]

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        about: dict[str, Any] = {"chain": self.chain, "recording": self.recording, "decoder": self.decoder}
        about |= {"width": self.sensor.width, "height": self.sensor.height, "block_events": self.events}
        return about | {"cores": [core.document() for core in self.cores], "without": self.without}


def cost_of_events(
    plan: ChainPlan,
    recording: EventRecording,
    on: Sequence[str],
    start_s: float,
    seconds: float,
    events: int,
    ram_kib: int,
    optimise: str,
) -> EventCost:
    """Count what every stage of a chain of events costs on emulated cores, and build its application for them.

    Parameters
    ----------
    plan : ChainPlan
        The chain.
    recording : EventRecording
        What to run it on: `WARM_US` that are not counted, or a fifth where there is no more, then `seconds` that are, or up to
        `MOST_COUNTED` events.
    on, optimise
        As for `costing.cost`.
    start_s, seconds : float
        Stretch of the recording.
    events : int
        Most events that the application takes at once.
    ram_kib : int
        RAM of the chip, in units of 1024 bytes.

    Raises
    ------
    BitspikeError
        As for `costing.cost`.
    """
    if not 1 <= ram_kib <= 1 << 20:
        raise BitspikeError(f"ram: {ram_kib} KiB; choose 1 to 1048576, such as 256")
    sensor = recording.format
    start, stop = stretch_us(recording, start_s, start_s + WARM_US / 1e6 + seconds)
    warm_until, blocks, counted, span = start + min(WARM_US, (stop - start) // 5), [], 0, 0
    for block in recording.blocks(BLOCK_US, start, stop):
        blocks.append(block)
        if block.stop > warm_until:
            counted, span = counted + len(block), span + block.stop - block.start
        if counted >= MOST_COUNTED:
            break
    warm = sum(block.stop <= warm_until for block in blocks)
    if counted == 0:
        raise BitspikeError(f"{recording.path}: no events in the stretch to count; choose another --start, or more --seconds")
    generated = generate_events(plan, sensor, recording.source_format, events)
    cores: list[EventCoreCost] = []
    without: list[str] = []
    for name in on:
        target = Target(name, generated.capacity, optimise=optimise)
        stages, without = measure(plan.build(sensor), twin_chain(plan, sensor, target), name, target, blocks, warm)
        if recording.source_format in DECODERS:
            words = _words(recording)
            decoded = measure_decoder(recording.source_format, sensor, words, min(WARM_BYTES, len(words) // 2), name, target)
            stages = [decoded, *stages] if decoded.samples else stages
        memory = application_memory(generated, name, optimise)
        cores.append(EventCoreCost(name, stages, memory, 1e6 * counted / span, ram_kib))
    return EventCost(plan.name, str(recording.path), sensor, generated.decoder, events, cores, without)


def _words(recording: EventRecording) -> bytes:
    """Return what the camera sent at the beginning of a recording."""
    path = Path(recording.path)
    with path.open("rb") as file:
        file.seek(read_header(path).length)
        return file.read(WORD_BYTES)
