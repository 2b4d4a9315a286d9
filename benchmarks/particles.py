"""Speed of a cytometer's events from the file through the chain to finished particles, and how long single blocks take."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.material import FOLDER
from benchmarks.results import Part, Requirement, Table
from benchmarks.timing import each, interleaved
from bitspike.event_replay import warm_up
from pipeline.blocks import EVENT_COLUMNS, Events
from pipeline.chain import INPUT, Chain, read_chain
from sensors.cytometry.folder import EVENTS, is_simulated_cytometry
from sensors.cytometry.recording import simulate_cytometry
from sensors.events import EventRecording, open_events, write_events

CHAIN = "cytometry"
SEED, RATE_HZ, SECONDS, TIMES = 302, 150.0, 1.0, 3
BLOCKS_MS = (1, 10)
LEAST_MEVS, LONGEST_MS, EVEN_HZ = 20.0, 1.0, 4e6
BACKGROUND_US = 60  # as in the chain


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Particles from events")
    recording = recorded(1 if quick else TIMES)
    chain = read_chain(CHAIN).build(recording.format)
    warm_up(chain)
    throughput(part, recording, chain, 1 if quick else 3)
    part.tables.append(where(recording, chain, 3 if quick else 7))
    latency(part, recording, chain)
    return part


def recorded(times: int) -> EventRecording:
    """Return a simulated recording, so many times end to end, as EVT3; made when first needed."""
    folder = FOLDER / "recordings" / f"cytometry-{SEED}-{RATE_HZ:g}-{SECONDS:g}"
    if not is_simulated_cytometry(folder):
        shutil.rmtree(folder, ignore_errors=True)
        simulate_cytometry(folder, seed=SEED, rate=RATE_HZ, seconds=SECONDS)
    path = folder / f"{times}.raw"
    if not path.exists():
        once = open_events(folder / EVENTS)
        write_events(path, again(once.read(), times), "evt3", sensor=once.format)
    return open_events(path)


def again(events: Events, times: int) -> Iterator[Events]:
    """Yield events again and again, later by the recording's length each time."""
    for turn in range(times):
        later = turn * round(SECONDS * 1e6)
        yield Events(events.start + later, events.stop + later, events.t_us + later, events.x, events.y, events.p)


def throughput(part: Part, recording: EventRecording, chain: Chain, rounds: int) -> None:
    """Time the whole path beside eventcv's slices, filter and tracker on the same file."""
    events = recording.summary().events
    ours = {f"bitspike, blocks of {ms} ms": partial(through, recording, chain, 1000 * ms) for ms in BLOCKS_MS}
    theirs = {"eventcv, slices of 1 ms": partial(_eventcv, recording.path)}
    taken = interleaved(ours | theirs, rounds)
    rows: list[list[Any]] = []
    for name, run in (ours | theirs).items():
        speed, found = events / taken[name] / 1e6, run()
        rows.append([name, speed, taken[name] / taken[next(iter(ours))], found])
    assert len({row[-1] for row in rows[: len(ours)]}) == 1, "other particles in other blocks"
    what = f"EVT3 to particles with the chain {CHAIN}, blocks of {BLOCKS_MS[-1]} ms"
    part.requirements.append(Requirement(what, rows[len(ours) - 1][1], LEAST_MEVS, "Mev/s"))
    part.tables.append(
        Table(
            "From EVT3 to particles",
            f"{events / 1e6:.1f} million events of a simulated cytometer of {recording.format.width} x {recording.format.height} "
            f"pixels with {RATE_HZ:g} particles a second, from the file (in the system's cache) to finished records, on one core. "
            f"eventcv has no tracker of events: its slices of 1 ms go through its background filter ({BACKGROUND_US} us), are "
            "counted into a picture, and its tracker of connected parts (least area 100: the pattern of one particle is in pieces) "
            "follows those; it has no hot-pixel mask from slice to slice, no limit of the rate, and gives no record of a passage.",
            ["software", "Mev/s", "bitspike is faster by", "particles, or tracks"],
            rows,
        )
    )


def through(recording: EventRecording, chain: Chain, block_us: int) -> int:
    """Take a recording through the chain; return the number of particles."""
    chain.reset()
    last = chain.plan.steps[-1].label
    return sum(len(chain.process(block)[last]) for block in recording.blocks(block_us)) + len(chain.finish()[last])


def where(recording: EventRecording, chain: Chain, rounds: int) -> Table:
    """Return where the time goes: decoding, cutting into blocks and every stage by itself, in blocks of 1 ms."""
    chain.reset()
    given: dict[str, list[Events]] = {label: [] for label in chain.stages}
    for block in recording.blocks(1000):
        outputs: dict[str, Any] = {INPUT: block}
        for step in chain.plan.steps:
            given[step.label].append(outputs[step.sources[0]])
            outputs[step.label] = chain.stages[step.label].process(outputs[step.sources[0]])
    contenders = {"decoding": partial(_count, recording.pieces), "decoding, in blocks": partial(_count, recording.blocks, 1000)}
    stages = {label: partial(_stage, chain, label, blocks) for label, blocks in given.items()}
    taken = interleaved(contenders | stages, rounds)
    events = recording.summary().events
    reached = {label: sum(map(len, blocks)) for label, blocks in given.items()}
    rows: list[list[Any]] = [[name, seconds / events * 1e9, reached.get(name, events) / events] for name, seconds in taken.items()]
    rows.append(["sum", (sum(taken.values()) - taken["decoding"]) / events * 1e9, 1.0])
    return Table(
        f"Where the time of {CHAIN} goes",
        "Nanoseconds for an event of the recording, each part by itself in blocks of 1 ms, and the fraction that reaches it.",
        ["part", "ns", "fraction of the events"],
        rows,
    )


def latency(part: Part, recording: EventRecording, chain: Chain) -> None:
    """Time single blocks of 1 ms: the recording with its bursts, and the same events spread evenly."""
    rows: list[list[Any]] = []
    bursts = list(recording.blocks(1000))
    for name, blocks in {"as they come": bursts, "spread evenly": list(even(recording.read()))}.items():
        chain.reset()
        micros, sizes = each(chain.process, blocks), np.array([len(block) for block in blocks])
        middle, late = (float(value) for value in np.quantile(micros, [0.5, 0.99]))
        rows.append([name, float(sizes.mean() / 1000), sizes.max() / 1000, middle, late, float(micros.max())])
    what = f"Blocks of 1 ms at {rows[-1][1]:.1f} Mev/s, chain {CHAIN}: 99th percentile of processing"
    part.requirements.append(Requirement(what, rows[-1][4] / 1000, LONGEST_MS, "ms", at_least=False))
    part.tables.append(
        Table(
            "Blocks of 1 ms",
            "Microseconds of processing from a block's events to its particles. A particle's events come within half a ms, so that "
            f"some blocks have many times the mean; spread evenly, in the recording's order, all have {EVEN_HZ / 1e6:g} thousand.",
            ["events", "Mev/s", "most in a block, thousand", "us a block, median", "99th percentile", "worst"],
            rows,
        )
    )


def even(events: Events) -> Iterator[Events]:
    """Yield events in blocks of 1 ms at `EVEN_HZ`."""
    size = round(EVEN_HZ / 1000)
    for number, first in enumerate(range(0, len(events) - size, size)):
        t = 1000 * number + np.arange(size, dtype=np.int64) * 1000 // size
        columns = (getattr(events, name)[first : first + size] for name in EVENT_COLUMNS[1:])
        yield Events(1000 * number, 1000 * (number + 1), t, *columns)


def _count(run: Any, *given: Any) -> int:
    return sum(len(block) for block in run(*given))


def _stage(chain: Chain, label: str, blocks: list[Events]) -> None:
    running = chain.stages[label]
    running.reset()
    for block in blocks:
        running.process(block)


def _eventcv(path: Path) -> int:
    import eventcv

    tracker, names = eventcv.Tracker(min_area=100), set()
    for piece in eventcv.open(str(path), dt_ms=1).windows():
        names |= {one["id"] for one in tracker.update(piece.background_activity_filter(BACKGROUND_US).count())}
    return len(names)
