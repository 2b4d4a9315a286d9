"""Proof on events that firmware and host give the same bits: every stage of a chain, and the decoder of the camera's words."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bitspike.event_decoding import compare_damaged, compare_decoders
from bitspike.event_replay import stretch_us
from bitspike.formats import said_format
from firmware.comparing import Comparison, Tally
from pipeline.blocks import EVENT_COLUMNS, EventFormat, Events, Format
from pipeline.chain import ChainPlan
from pipeline.checks import example_events, extreme_events
from pipeline.errors import BitspikeError
from pipeline.stage import Engine
from sensors.events.source import EventRecording

BLOCK_US = 5000
MOST_DAMAGED = 100_000  # events that are encoded, damaged and decoded
PIECE_US, EXTREME_US = 20_000, 600  # of one kind of generated events
Engines = Callable[[Format], Sequence[Engine]]


def verify_events(
    plan: ChainPlan,
    recording: EventRecording | None,
    engines: Engines,
    *,
    start_s: float,
    stop_s: float | None,
    generated: int,
    seed: int,
    facts: dict[str, int],
    progress: Callable[[float, float], None] | None,
) -> tuple[EventFormat, int, list[Tally], list[str]]:
    """Run a chain of events on the host and on twins, and compare every block that every stage gives; see `verifying.verify`.

    Returns
    -------
    EventFormat, int, list of Tally, list of str
        The sensor, how many events there were, what was compared, and the labels of the stages that have no C twin.
    """
    sensor = said_format(plan, facts) if recording is None else recording.format
    twins = engines(sensor)
    comparison = Comparison(plan, sensor, twins)
    if not comparison.tallies:
        raise BitspikeError(f"chain {plan.name}: none of its stages has a C twin; there is nothing to compare")
    if generated > 0:
        blocks, total = generated_events(sensor, generated, seed), 0.0
    else:
        assert recording is not None
        start, stop = stretch_us(recording, start_s, stop_s)
        blocks, total = recording.blocks(BLOCK_US, start, stop, long_silence=True), (stop - start) / 1e6
    began, count, end, said = 0, 0, 0, time.perf_counter()
    for block in blocks:
        began = began if count else block.start
        comparison.take(block)
        count, end = count + len(block), block.stop
        if progress is not None and total and time.perf_counter() - said > 0.1:
            said = time.perf_counter()
            progress((end - began) / 1e6, total)
    comparison.take(_silence(end, comparison.host.latency + 1))  # what is still held back
    if generated > 0:
        decoded = compare_damaged(generated_events(sensor, min(generated, MOST_DAMAGED), seed), sensor, twins, seed)
    else:
        assert recording is not None
        decoded = compare_decoders(recording, twins)
    return sensor, count, decoded + comparison.tallies, comparison.without


def generated_events(sensor: EventFormat, count: int, seed: int) -> Iterator[Events]:
    """Yield at least `count` events in blocks of random length: in turn rings and noise, and each of the hard inputs."""
    rng, at, made = np.random.default_rng(seed), 0, 0
    while made < count:
        pieces = [example_events(PIECE_US, sensor, int(rng.integers(1 << 31)))]
        pieces += [piece for _, piece in extreme_events(EXTREME_US, sensor, int(rng.integers(1 << 31)))]
        for piece in pieces:
            for block in _cut(piece, at, rng):
                if made < count:
                    made += len(block)
                    yield block
            at += piece.stop


def _cut(events: Events, at: int, rng: np.random.Generator) -> Iterator[Events]:
    """Yield events in blocks of random length, `at` microseconds later."""
    start = events.start
    while start < events.stop:
        stop = min(events.stop, start + int(rng.integers(1, 20) if rng.integers(4) == 0 else rng.integers(1, 3000)))
        inside = slice(*np.searchsorted(events.t_us, (start, stop)))
        t, *others = (getattr(events, name)[inside] for name in EVENT_COLUMNS)
        yield Events(at + start, at + stop, t + at, *others)
        start = stop


def _silence(start: int, us: int) -> Events:
    """Return a block without events."""
    return Events(start, start + us, *(np.empty(0, kind) for kind in (np.int64, np.uint16, np.uint16, np.uint8)))
