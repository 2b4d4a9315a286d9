"""Speed of the background-activity filter beside other software on the same 20 million events, and that it keeps the same ones.

dv-processing's filter keeps an event that has a neighbour of less than its duration ago; bitspike's one of at most its window ago:
with a window of one microsecond less both keep the same. dv-processing begins as if every pixel had had an event at time 0, so the
events here are later. tonic is under the GPL; nothing but this and `oracles` imports it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from benchmarks.results import Part, Requirement, Table
from pipeline.blocks import EVENT_COLUMNS, EventFormat, Events
from pipeline.events.background import Background, BackgroundParameters

SEED = 401
SENSOR = EventFormat(1280, 720)
DURATION_US = 2000
BEGIN_US = 10_000_000
PER_US = 4  # events
SEGMENT, SHORT = 1_000_000, 20_000  # events of a segment, and those of them that the slowest program is given
PIECE_US = 5000
LEAST = 3.0  # times dv-processing
HOW = {
    "bitspike": f"window {DURATION_US - 1} us, 8 neighbours",
    "dv-processing": f"duration {DURATION_US} us, 8 neighbours",
    "eventcv": f"dt {DURATION_US} us, 8 neighbours; remembers nothing from call to call: whole parts",
    "tonic": f"filter_time {DURATION_US} us, 4 neighbours; the first {SHORT} events of every part",
}


def measure(quick: bool) -> Part:
    """Measure."""
    part = Part("Background-activity filter")
    count = 3 if quick else 20
    filters: dict[str, Callable[[Any], int]] = {
        "bitspike": partial(_all, _ours()),
        "dv-processing": partial(_all, _dv_processing()),
        "eventcv": _eventcv,
        "tonic": _tonic,
    }
    compared = _ours(), _dv_processing()
    speeds: dict[str, list[float]] = {name: [] for name in filters}
    kept, differ = dict.fromkeys(filters, 0.0), 0
    for number, events in enumerate(segments(count)):
        given = {"bitspike": pieces(events), "dv-processing": stores(events), "eventcv": stream(events), "tonic": records(events)}
        first = number % len(filters)
        for name in list(filters)[first:] + list(filters)[:first]:
            size = SHORT if name == "tonic" else len(events)
            began = time.perf_counter()
            found = filters[name](given[name])
            speeds[name].append(size / (time.perf_counter() - began) / 1e6)
            kept[name] += 100 * found / size / count
        differ += sum(map(differences, map(compared[0], given["bitspike"]), map(compared[1], given["dv-processing"])))
    middle = {name: float(np.median(taken)) for name, taken in speeds.items()}
    ours, least, most = (np.quantile(np.divide(speeds["bitspike"], speeds["dv-processing"]), q) for q in (0.5, 0.1, 0.9))
    size = f"{count * SEGMENT / 1e6:g} million"
    part.requirements += [
        Requirement("Background filter on 1280 x 720 pixels, against dv-processing", float(ours), LEAST, "times"),
        Requirement(f"Events kept otherwise than by dv-processing, of {size}", float(differ), 1, at_least=False),
    ]
    part.tables.append(
        Table(
            f"The same {size} events",
            f"An edge that moves and as much noise, {PER_US} Mev/s on {SENSOR.width} x {SENSOR.height} pixels, in {count} parts. "
            f"The programs take turns, part by part; bitspike and dv-processing are given pieces of {PIECE_US / 1000:g} ms, and go "
            "on from part to part. What they keep is compared event for event. Medians; the ratio of the two "
            f"was {least:.2f} to {most:.2f} in the middle 80 % of the parts.",
            ["software", "setting", "Mev/s", "bitspike is faster by", "kept, %"],
            [[name, HOW[name], speed, middle["bitspike"] / speed, kept[name]] for name, speed in middle.items()],
        )
    )
    return part


def segments(count: int) -> Iterator[Events]:
    """Yield events in segments that follow each other: an edge that moves through the middle of the picture, noise all over it."""
    rng, start = np.random.default_rng(SEED), BEGIN_US
    for _ in range(count):
        t = start + np.cumsum(rng.random(SEGMENT) < 1 / PER_US)
        edge = rng.random(SEGMENT) < 0.5
        x = np.where(edge, t // 50 + rng.normal(0, 8, SEGMENT).astype(np.int64), rng.integers(0, SENSOR.width, SEGMENT))
        y = rng.integers(0, SENSOR.height, SEGMENT)
        y = np.where(edge, SENSOR.height // 4 + y // 2, y)
        p, stop = rng.integers(0, 2, SEGMENT, np.uint8), int(t[-1]) + 1
        yield Events(start, stop, t, (x % SENSOR.width).astype(np.uint16), y.astype(np.uint16), p)
        start = stop


def pieces(events: Events) -> list[Events]:
    """Return a segment in pieces of equal length in time."""
    starts = [*range(events.start, events.stop, PIECE_US), events.stop]
    cuts = np.searchsorted(events.t_us, starts)
    columns = [getattr(events, name) for name in EVENT_COLUMNS]
    return [
        Events(start, stop, *(column[first:last] for column in columns))
        for start, stop, first, last in zip(starts, starts[1:], cuts, cuts[1:], strict=False)
    ]


def stores(events: Events) -> list[Any]:
    """Return the same pieces as dv-processing takes them."""
    from dv_processing import EventStore

    made = []
    for piece in pieces(events):
        made.append(EventStore())
        push = made[-1].push_back
        for t, x, y, p in zip(piece.t_us.tolist(), piece.x.tolist(), piece.y.tolist(), (piece.p != 0).tolist(), strict=True):
            push(t, x, y, p)
    return made


def stream(events: Events) -> Any:
    """Return a segment as eventcv takes it."""
    import eventcv

    columns = np.stack([events.x, events.y, events.t_us, events.p], axis=1)
    return eventcv.from_numpy(columns, sensor_size=(SENSOR.width, SENSOR.height), time_unit="us")


def records(events: Events) -> np.ndarray:
    """Return the beginning of a segment as tonic takes it."""
    made = np.empty(SHORT, [("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
    for name, column in zip("txyp", EVENT_COLUMNS, strict=True):
        made[name] = getattr(events, column)[:SHORT]
    return made


def differences(ours: Events, theirs: Any) -> int:
    """Return in how many places what is kept of a piece differs."""
    mine, others = [getattr(ours, name) for name in EVENT_COLUMNS], theirs.numpy()
    count = min(len(ours), len(others))
    same = np.ones(count, bool)
    for column, name in zip(mine, others.dtype.names, strict=True):
        same &= column[:count] == others[name][:count]
    return int(np.count_nonzero(~same)) + abs(len(ours) - len(others))


def _all(run: Callable[[Any], Any], given: list[Any]) -> int:
    return sum(len(run(piece)) for piece in given)


def _ours() -> Callable[[Events], Events]:
    parameters = BackgroundParameters(DURATION_US - 1)
    Background(parameters, SENSOR).process(next(segments(1)))  # compiled, or its machine code loaded
    return Background(parameters, SENSOR).process


def _dv_processing() -> Callable[[Any], Any]:
    from dv_processing.noise import BackgroundActivityNoiseFilter

    made = BackgroundActivityNoiseFilter((SENSOR.width, SENSOR.height), timedelta(microseconds=DURATION_US))

    def run(store: Any) -> Any:
        made.accept(store)
        return made.generateEvents()

    return run


def _eventcv(given: Any) -> int:
    return int(given.background_activity_filter(DURATION_US).shape[0])


def _tonic(given: np.ndarray) -> int:
    from tonic.functional import denoise_numpy

    return len(denoise_numpy(given, filter_time=DURATION_US))
