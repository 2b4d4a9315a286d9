"""Proof on a recording, or on generated input, that firmware and host give the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import firmware
from bitspike.formats import said_format
from bitspike.learning import learners, prepared, tables_of
from bitspike.runs import Run
from bitspike.stretch import stretch
from firmware.comparing import Comparison, Tally
from firmware.room import chain_capacity
from firmware.target import Target
from pipeline.blocks import EventFormat, Format, SampleFormat, Samples
from pipeline.chain import ChainPlan, read_chain
from pipeline.checks import example_signal, extreme_signals
from pipeline.errors import BitspikeError, TooLittleError
from pipeline.stage import Engine
from pipeline.training import train
from sensors.events.opening import open_events
from sensors.events.source import EventRecording
from sensors.recording import Recording, open_recording

BLOCK_SAMPLES = 1 << 16  # of all channels, in the longest block
PIECE_FRAMES = 12_000  # of one kind of generated signal
EXTREME_FRAMES = 600
TRAINING_PIECES, TETRODE = 10, 4
TWINS = tuple(firmware.engines())


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    chain, source : str
        The chain, and what it was given.
    signal : SampleFormat or EventFormat
        Of that.
    learned : str
        Where trained tables come from, in words.
    frames : int
        Of input; of an event camera, events.
    seconds : float
        That it took.
    tallies : list of Tally
        One for each stage and engine.
    without : list of str
        Labels of the stages that have no C twin.
    """

    chain: str
    source: str
    signal: Format
    learned: str
    frames: int
    seconds: float
    tallies: list[Tally]
    without: list[str]

    @property
    def differences(self) -> int:
        """Values that were not the same."""
        return sum(tally.differences for tally in self.tallies)

    def document(self) -> dict[str, Any]:
        """Return everything as plain values."""
        signal = self.signal
        about: dict[str, Any] = {"chain": self.chain, "source": self.source, "learned": self.learned, "seconds": self.seconds}
        if isinstance(signal, EventFormat):
            about |= {"events": self.frames, "width": signal.width, "height": signal.height}
        else:
            about |= {"frames": self.frames, "channels": signal.channels, "rate_hz": signal.rate_hz}
        return about | {"differences": self.differences, "stages": [asdict(t) for t in self.tallies], "without": self.without}


def verify(
    chain: str | Path | ChainPlan,
    recording: str | Path | Recording | EventRecording | None = None,
    *,
    on: Sequence[str] = TWINS,
    start_s: float = 0.0,
    stop_s: float | None = None,
    generated: int = 0,
    seed: int = 0,
    trained: str | Path | Run | None = None,
    facts: dict[str, Any] | None = None,
    progress: Callable[[float, float], None] | None = None,
) -> Verification:
    """Run a chain on the host and on its twins, and compare every block that every stage gives, to the bit.

    Parameters
    ----------
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    recording : str, pathlib.Path, Recording or EventRecording, optional
        What to run it on.
    on : sequence of str
        The twins: "native", "cortex-m4", "rv32imc".
    start_s, stop_s : float, optional
        Stretch of the recording in seconds.
    generated : int
        Instead of what the recording holds, at least so many samples (of all channels together) in its format: spikes in noise,
        and full-scale signals of every kind, in blocks of random length; of an event camera, so many events.
    seed : int
        Of generated input.
    trained : Run, str or pathlib.Path, optional
        What that run has learned; otherwise stages learn from the beginning of the input.
    facts : dict, optional
        Without a recording: rate_hz, channels, uv_per_count and bits of generated input; width and height of an event camera.
    progress : callable, optional
        Called with the seconds done and in all.

    Raises
    ------
    BitspikeError
        There is nothing to compare, or the input, the chain or an engine does not go with the others.
    """
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    if recording is None and generated <= 0:
        raise BitspikeError("verify: name a RECORDING, or say how many samples shall be --generated")
    began = time.perf_counter()
    if plan.sensor == "events":
        return _verified_events(plan, recording, began, on, trained, start_s, stop_s, generated, seed, facts or {}, progress)
    source = open_recording(recording) if isinstance(recording, str | Path) else recording
    if isinstance(source, EventRecording):
        raise BitspikeError(f"chain {plan.name}: is for electrodes, and {source.path} is of events; choose the chain cytometry")
    signal = said_format(plan, facts or {}) if source is None else source.format
    run = trained if isinstance(trained, Run) or trained is None else Run(trained)
    rate = signal.rate_hz
    if generated > 0:
        frames = -(-generated // signal.channels)
        blocks: Iterator[Samples] = generated_blocks(signal, frames, seed)
        tables, learned = _from_generated(plan, signal, seed, run)
    else:
        assert source is not None
        start, stop = stretch(source, start_s, stop_s)
        frames = stop - start
        blocks = source.blocks(max(1, min(round(rate), BLOCK_SAMPLES // signal.channels)), start, stop)
        tables, learned = prepared(plan, source, start, stop, "first", run)
    comparison = Comparison(plan, signal, _engines(plan, signal, on), tables)
    if not comparison.tallies:
        raise BitspikeError(f"chain {plan.name}: none of its stages has a C twin; there is nothing to compare")
    done = 0
    for block in blocks:
        comparison.take(block)
        done += len(block.data)
        if progress is not None:
            progress(done / rate, frames / rate)
    seconds, name = time.perf_counter() - began, "generated input" if generated > 0 or source is None else str(source.path)
    return Verification(plan.name, name, signal, learned, done, seconds, comparison.tallies, comparison.without)


def _verified_events(
    plan: ChainPlan, recording: Any, began: float, on: Sequence[str], trained: Any, start_s: float, stop_s: float | None,
    generated: int, seed: int, facts: dict[str, Any], progress: Any,
) -> Verification:  # fmt: skip
    """Verify a chain of events."""
    from bitspike.event_verifying import verify_events

    if trained is not None:
        raise BitspikeError(f"chain {plan.name}: nothing in it is trained before; leave --trained out")
    source = open_events(recording) if isinstance(recording, str | Path) else recording
    if isinstance(source, Recording):
        raise BitspikeError(f"chain {plan.name}: is for events, and {source.path} is of electrodes; choose another chain")
    sensor, count, tallies, without = verify_events(
        plan, source, lambda signal: _engines(plan, signal, on), start_s=start_s, stop_s=stop_s, generated=generated, seed=seed,
        facts=facts, progress=progress,
    )  # fmt: skip
    name = "generated input" if generated > 0 or source is None else str(source.path)
    return Verification(plan.name, name, sensor, "on line", count, time.perf_counter() - began, tallies, without)


def generated_blocks(signal: SampleFormat, frames: int, seed: int) -> Iterator[Samples]:
    """Yield `frames` of input in blocks of random length: in turn spikes in noise, and each of the full-scale signals."""
    rng, at = np.random.default_rng(seed), 0
    longest = max(2, min(4000, BLOCK_SAMPLES // signal.channels))
    for x in _pieces(signal, rng):
        x = x[: frames - at]
        done = 0
        while done < len(x):
            size = int(rng.integers(1, 40) if rng.integers(8) == 0 else rng.integers(1, longest))
            part = np.ascontiguousarray(x[done : done + size])
            yield Samples(at + done, part)
            done += len(part)
        at += len(x)
        if at >= frames:
            return


def _pieces(signal: SampleFormat, rng: np.random.Generator) -> Iterator[np.ndarray]:
    while True:  # what stages learn from comes first
        for _ in range(TRAINING_PIECES):
            yield _spikes(signal, rng)
        for _, x in extreme_signals(EXTREME_FRAMES, signal, int(rng.integers(1 << 31))):
            yield x
            yield _spikes(signal, rng)


def _spikes(signal: SampleFormat, rng: np.random.Generator) -> np.ndarray:
    """Return spikes in noise: 80 a second at 24 kHz on any four channels."""
    plain = signal.with_(positions_um=(), groups=())
    widths = [min(TETRODE, signal.channels - c) for c in range(0, signal.channels, TETRODE)]
    parts = [example_signal(PIECE_FRAMES, plain.with_(channels=width), int(rng.integers(1 << 31))) for width in widths]
    return np.concatenate(parts, axis=1)


def _from_generated(plan: ChainPlan, signal: SampleFormat, seed: int, run: Run | None) -> tuple[dict[str, np.ndarray] | None, str]:
    """Return the tables for generated input, and in words where they come from."""
    if run is not None:
        return tables_of(run, plan.build(signal)), f"tables of {run.path}"
    if not learners(plan):
        return None, "nothing to learn"
    frames = TRAINING_PIECES * PIECE_FRAMES
    try:
        return train(plan, signal, lambda: generated_blocks(signal, frames, seed)), f"from the first {frames} frames"
    except TooLittleError as error:
        return None, f"on line: {error}"


def _engines(plan: ChainPlan, signal: Format, on: Sequence[str]) -> list[Engine]:
    """Return engines by name; the emulated ones are compiled for just this chain, as a device would be."""
    known = firmware.engines()
    for name in on:
        if name not in known:
            raise BitspikeError(f"on: {name!r}; choose one of {', '.join(known)}")
    room = chain_capacity(plan.build(signal))
    return [Target(name, room) if isinstance(known[name], Target) else known[name] for name in on]
