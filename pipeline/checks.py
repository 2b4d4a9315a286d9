"""Contract checks that every registered stage must pass, in the manner of scikit-learn's and river's estimator checks.

``for check in CHECKS: check(stage_class, parameters, engine)`` raises `ContractBroken` with the stage, the sample, the channel and
both values. The tests enrol every stage of the registry, on every engine that has it; nothing can opt out.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.blocks import (
    EVENT_COLUMNS,
    PARTICLE_COLUMNS,
    SPIKE_COLUMNS,
    EventFormat,
    Events,
    Particles,
    SampleFormat,
    Samples,
    Spikes,
    concatenate,
)
from pipeline.capacity import Capacity
from pipeline.errors import TooLittleError
from pipeline.layout import names, settled
from pipeline.stage import HOST, Engine, Stage

COLUMNS = {Samples: ("data", "frame_flags"), Spikes: SPIKE_COLUMNS, Events: EVENT_COLUMNS, Particles: PARTICLE_COLUMNS}


_TABLES: dict[Any, np.ndarray] = {}  # that stages have learned, by parameters, format and layout

LARGE = 1 << 20  # bytes of a state


class ContractBroken(AssertionError):
    """A stage does not keep the contract; the message says which, where and how."""


def example_format(channels: int = 6, rate_hz: float = 24_000.0, bits: int = 12) -> SampleFormat:
    """Return the format that the checks run with: two columns of sites 25 um apart, two groups, snippets of 24 frames by 3."""
    positions = tuple((25.0 * (c % 2), 25.0 * (c // 2)) for c in range(channels))
    groups = tuple(2 * c // channels for c in range(channels))
    return SampleFormat(rate_hz, channels, 0.5, bits, positions, groups, (24, 3))


def example_signal(frames: int, signal: SampleFormat, seed: int = 0) -> np.ndarray:
    """Return noise with spikes of several shapes, a step on all channels and a stretch of alternating full scale, int16."""
    rng = np.random.default_rng(seed)
    top = 2 ** (signal.bits - 1) - 1
    x = rng.normal(0, top / 60, (frames, signal.channels))
    shape = -np.diff(np.exp(-0.5 * ((np.arange(25) - 10) / 3.0) ** 2), n=1) - np.exp(-0.5 * ((np.arange(24) - 8) / 2.0) ** 2)
    for _ in range(max(1, frames // 300)):
        at, channel = int(rng.integers(0, max(1, frames - 24))), int(rng.integers(signal.channels))
        part = x[at : at + 24, channel]
        part += (shape * top * rng.uniform(0.15, 0.5))[: len(part)]
    x[frames // 2 : frames // 2 + 40] += top / 3
    x[frames // 5 : frames // 5 + 30] = top * (-1.0) ** np.arange(min(30, frames - frames // 5))[:, None]
    return np.clip(np.rint(x), -top - 1, top).astype(np.int16)


def extreme_signals(frames: int, signal: SampleFormat, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield full-scale inputs: uniform noise, alternating ends, constant ends, silence, a ramp."""
    rng = np.random.default_rng(seed)
    low, top = -(2 ** (signal.bits - 1)), 2 ** (signal.bits - 1) - 1
    shape = (frames, signal.channels)
    yield "uniform noise", rng.integers(low, top, shape, endpoint=True).astype(np.int16)
    yield "random ends", np.where(rng.integers(0, 2, shape) == 0, low, top).astype(np.int16)
    yield "alternating ends", np.broadcast_to(np.where(np.arange(frames) % 2 == 0, low, top)[:, None], shape).astype(np.int16)
    yield "slow square wave", np.broadcast_to(np.where(np.arange(frames) // 97 % 2 == 0, low, top)[:, None], shape).astype(np.int16)
    yield "silence", np.zeros(shape, np.int16)


def example_spikes(x: np.ndarray, signal: SampleFormat, needs: tuple[str, ...] = ()) -> Spikes:
    """Return the local minima below a fifth of full scale, as a detector with a delay of one frame would give them.

    Those for a stage that `needs` a waveform have one, cut from the channel and those that follow it.
    """
    level = -(2 ** (signal.bits - 1)) // 5
    inner = (x[1:-1] < level) & (x[1:-1] < x[:-2]) & (x[1:-1] <= x[2:])
    n, c = np.nonzero(inner)
    amplitude = x[n + 1, c].astype(np.int32)
    spikes = Spikes(0, len(x), (n + 1).astype(np.int64), c.astype(np.int32), amplitude, np.full(len(n), -1, np.int32))
    if "waveform" not in needs:
        return spikes
    width, neighbours = signal.snippet
    rows = n[:, None, None] + np.arange(width)[:, None]
    columns = (c[:, None, None] + np.arange(neighbours)) % signal.channels
    return replace(spikes, waveform=np.pad(x, ((width // 3, width), (0, 0)))[rows, columns])


def example_sensor(width: int = 40, height: int = 30) -> EventFormat:
    """Return the event camera that the checks run with."""
    return EventFormat(width, height, 15.0)


def example_events(us: int, sensor: EventFormat, seed: int = 0) -> Events:
    """Return events over so many microseconds: noise, hot pixels, and rings moving along x, brighter before and darker behind."""
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, (us, sensor.width, sensor.height, 2), (us // 3, 4))]
    hot = rng.integers(0, us, us // 8)
    columns.append(np.stack([hot, hot % 2 * (sensor.width - 1), hot % 2 * (sensor.height // 2), hot // 2 % 2], 1))
    for begin in range(-400, us, 700):  # the next begins before the last is gone
        t = np.sort(rng.integers(0, 800, 1200))
        angle, radius = rng.uniform(0, 2 * np.pi, len(t)), rng.normal(min(sensor.width, sensor.height) / 6, 0.7, len(t))
        x = t * sensor.width / 800 + radius * np.cos(angle)
        y = sensor.height * rng.uniform(0.3, 0.7) + radius * np.sin(angle)
        columns.append(np.stack([begin + t, np.floor(x), np.floor(y), np.cos(angle) > 0], 1).astype(np.int64))
    t, x, y, p = np.concatenate(columns).T
    inside = (t >= 0) & (t < us) & (x >= 0) & (x < sensor.width) & (y >= 0) & (y < sensor.height)
    order = np.flatnonzero(inside)[np.argsort(t[inside], kind="stable")]
    return Events(0, us, t[order], *(c[order].astype(k) for c, k in ((x, np.uint16), (y, np.uint16), (p, np.uint8))))


def extreme_events(us: int, sensor: EventFormat, seed: int = 0) -> Iterator[tuple[str, Events]]:
    """Yield hard inputs: all at one time, all on one pixel, the corners in turn, every pixel in turn, places outside the sensor."""
    rng = np.random.default_rng(seed)
    w, h = sensor.width, sensor.height
    steady, turn = np.arange(us), np.arange(us) // 2
    anywhere = rng.integers(0, (w, h), (us, 2)).T
    for what, t, x, y in (
        ("one time", np.full(us, us // 2), *anywhere),
        ("one pixel", steady, np.full(us, w - 1), np.full(us, h - 1)),
        ("corners", steady, turn % 2 * (w - 1), turn // 2 % 2 * (h - 1)),
        ("every pixel", steady, turn % w, turn // w % h),
        ("two bursts", np.where(steady < us // 2, 0, us - 1), *anywhere),
        ("outside", steady, *rng.choice([0, w - 1, w, h, 65535], (2, us))),
    ):
        p = rng.integers(0, 2, us)
        yield what, Events(0, us, t.astype(np.int64), x.astype(np.uint16), y.astype(np.uint16), p.astype(np.uint8))


def extent(x: Any) -> int:
    """Return the length of an input: frames, or microseconds of events."""
    return x.stop - x.start if isinstance(x, Events) else len(x)


def example_input(length: int, signal: Any, seed: int = 0) -> Any:
    """Return `example_signal` or `example_events`, whichever the format is for."""
    return example_events(length, signal, seed) if isinstance(signal, EventFormat) else example_signal(length, signal, seed)


def example_of(cls: type[Stage]) -> Any:
    """Return the format that a stage is checked with."""
    return example_sensor() if cls.takes[0] in (Events, Particles) else example_format()


def extremes(cls: type[Stage]) -> Iterator[tuple[str, Any, Any]]:
    """Yield hard inputs for a stage: what they are, the format, the input."""
    if cls.takes[0] in (Events, Particles):
        for width, height in ((40, 30), (9, 7), (64, 33)):
            sensor = example_sensor(width, height)
            yield from ((f"{what}, {width} x {height} pixels", sensor, x) for what, x in extreme_events(1500, sensor))
        return
    for channels in (1, 3, 17):
        signal = example_format(channels, bits=16)
        yield from ((f"{what}, {channels} channels", signal, x) for what, x in extreme_signals(1500, signal))


def cut(cls: type[Stage], x: Any, bounds: list[int], signal: Any, base: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield the stage's inputs over ``bounds``, spikes arriving with the frame after their peak.

    `x` is int16 [frames, channels], or `Events` that begin at 0; what is given begins at `base`.
    """
    if isinstance(x, Events):
        edges = np.searchsorted(x.t_us, bounds)
        for (a, b), (i, j) in zip(pairwise(bounds), pairwise(edges.tolist()), strict=True):
            yield (Events(base + a, base + b, x.t_us[i:j] + base, x.x[i:j], x.y[i:j], x.p[i:j]),)
        return
    spikes = example_spikes(x, signal, cls.needs) if Spikes in cls.takes and len(x) > 2 else Spikes(0, len(x))
    flags = np.zeros(len(x), np.uint8)
    flags[len(x) // 2 : len(x) // 2 + 40] = 2
    for a, b in pairwise(bounds):
        inputs: list[Any] = []
        for kind in cls.takes:
            if kind is Samples:
                inputs.append(Samples(base + a, np.ascontiguousarray(x[a:b]), flags[a:b]))
            else:
                known = (spikes.sample + 1 >= a) & (spikes.sample + 1 < b)
                columns = {c: v[known] for c in SPIKE_COLUMNS if len(v := getattr(spikes, c)) == len(spikes)}
                columns["sample"] = columns["sample"] + base
                inputs.append(Spikes(base + a, base + b, **columns))
        yield tuple(inputs)


def run(running: Stage, x: Any, bounds: list[int], signal: Any, base: int = 0) -> Any:
    """Return the joined output over the blocks that `bounds` cut."""
    return concatenate([running.process(*blocks) for blocks in cut(type(running), x, bounds, signal, base)])


def require_same(stage: str, what: str, got: Any, expected: Any) -> None:
    """Compare two outputs to the bit; on a difference name the place and both values."""
    for column in COLUMNS[type(expected)]:
        a, b = getattr(got, column), getattr(expected, column)
        if a.dtype != b.dtype or a.shape != b.shape:
            if not a.size and not b.size:
                continue
            raise ContractBroken(f"{stage}: {what}: {column} is {a.dtype} {a.shape}, expected {b.dtype} {b.shape}")
        if not np.array_equal(a, b):
            where = tuple(int(i) for i in np.argwhere(a != b)[0])
            place = f"sample {where[0]}, channel {where[1]}" if column == "data" else f"{column}{list(where)}"
            raise ContractBroken(f"{stage}: {what}: {place}: {a[where]}, expected {b[where]}")


def random_bounds(frames: int, rng: np.random.Generator) -> list[int]:
    """Return cuts into blocks of 0 to 400 frames, many of them tiny."""
    bounds = [0]
    while bounds[-1] < frames:
        step = int(rng.choice([0, 1, 2, 3, int(rng.integers(4, 40)), int(rng.integers(40, 400))]))
        bounds.append(min(frames, bounds[-1] + step))
    return bounds


def _fresh(cls: type[Stage], parameters: Any, engine: Engine, signal: Any = None) -> Stage:
    signal = signal or example_of(cls)
    return cls(parameters, signal, _trained(cls, parameters, signal, engine), engine=engine)


def _trained(cls: type[Stage], parameters: Any, signal: Any, engine: Engine) -> np.ndarray | None:
    """Return tables that a stage has learned from a longer stretch; None for one that cannot be fitted or learns on line."""
    if not hasattr(cls, "fit") or getattr(parameters, "learn", False):
        return None
    learning: Any = cls(parameters, signal, engine=_Wide(engine))
    key = (cls.name, parameters, signal, learning.tables.dtype)
    if key not in _TABLES:
        length = 10_000 * signal.channels
        with suppress(TooLittleError):
            learning.fit(cut(cls, example_signal(length, signal), [0, length], signal))
        _TABLES[key] = learning.tables
    return _TABLES[key]


def check_chunks(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """Any split into blocks gives the same output."""
    signal = example_of(cls)
    x = example_input(6000, signal)
    expected = run(_fresh(cls, parameters, engine), x, [0, extent(x)], signal)
    for seed in range(3):
        bounds = random_bounds(extent(x), np.random.default_rng(seed))
        require_same(cls.name, f"random blocks, seed {seed}", run(_fresh(cls, parameters, engine), x, bounds, signal), expected)


def check_reset(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """After `reset`, the stage is as new."""
    signal = example_of(cls)
    x = example_input(3000, signal)
    running = _fresh(cls, parameters, engine)
    expected = run(running, x, [0, extent(x)], signal)
    running.reset()
    require_same(cls.name, "after a reset", run(running, x, [0, extent(x)], signal), expected)


def check_checkpoint(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """A checkpoint resumes with the same bits, in another instance, on this engine or the host, and survives pickling."""
    signal = example_of(cls)
    x = example_input(6000, signal)
    whole = run(_fresh(cls, parameters, engine), x, [0, 2345, extent(x)], signal)
    first = _fresh(cls, parameters, engine)
    pieces = list(cut(cls, x, [0, 2345, extent(x)], signal))
    before = first.process(*pieces[0])
    saved = first.checkpoint()
    copy = pickle.loads(pickle.dumps(first))
    first.process(*pieces[1])
    second = _fresh(cls, parameters, engine)
    second.restore(saved)
    require_same(cls.name, "resumed from a checkpoint", concatenate([before, second.process(*pieces[1])]), whole)
    require_same(cls.name, "pickled in mid-stream", concatenate([before, copy.process(*pieces[1])]), whole)


def check_gap(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """A gap is noticed, and what follows depends only on what the stage says that it keeps."""
    signal = example_of(cls)
    x = example_input(5000, signal)
    running = _fresh(cls, parameters, engine)
    run(running, x, [0, 2500], signal)
    kept = running.kept()
    after = run(running, x, [0, 2500], signal, base=10_000)
    fresh = _fresh(cls, parameters, engine)
    fresh.keep(kept)
    require_same(cls.name, "after a gap", after, run(fresh, x, [0, 2500], signal, base=10_000))
    if running.position != 12_500:
        raise ContractBroken(f"{cls.name}: after a gap: position is {running.position}, expected 12500")


def check_full_scale(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """Full-scale input of every kind gives the same bits as on the host, however it is cut, for several widths."""
    for number, (what, signal, x) in enumerate(extremes(cls)):
        expected = run(_fresh(cls, parameters, _Wide(engine), signal), x, [0, extent(x)], signal)
        bounds = random_bounds(extent(x), np.random.default_rng(number))
        got = run(_fresh(cls, parameters, engine, signal), x, bounds, signal)
        require_same(cls.name, what, got, expected)


def check_empty(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """Empty blocks are answered with empty blocks and change nothing."""
    signal = example_of(cls)
    x = example_input(2000, signal)
    expected = run(_fresh(cls, parameters, engine), x, [0, extent(x)], signal)
    running = _fresh(cls, parameters, engine)
    result = run(running, x, [0, 0, 0, 700, 700, extent(x), extent(x)], signal)
    require_same(cls.name, "with empty blocks", result, expected)


def check_deterministic(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """The same input gives the same tables, output and state."""
    signal = example_of(cls)
    x = example_input(3000, signal)
    one, other = _fresh(cls, parameters, engine), _fresh(cls, parameters, engine)
    require_same(cls.name, "a second run", run(one, x, [0, extent(x)], signal), run(other, x, [0, extent(x)], signal))
    if settled(one.tables).tobytes() != settled(other.tables).tobytes():
        raise ContractBroken(f"{cls.name}: the same parameters gave different tables")
    if one.checkpoint() != other.checkpoint():
        raise ContractBroken(f"{cls.name}: the same input left different states")


def check_same_as_host(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """This engine and the host take turns on one state, block by block, and nothing shows it, in what they give nor in the state.

    The state layout must be the same on both, so the host is laid out for the engine's capacity.
    """
    signal = example_of(cls)
    x = example_input(6000, signal, seed=3)
    expected = run(_fresh(cls, parameters, _Wide(engine)), x, [0, extent(x)], signal)
    there, here = _fresh(cls, parameters, engine), _fresh(cls, parameters, _Wide(engine))
    if settled(there.tables).tobytes() != settled(here.tables).tobytes():
        raise ContractBroken(f"{cls.name}: tables on {engine.name} are not those on the host")
    alone = _fresh(cls, parameters, _Wide(engine))
    bounds, pieces = random_bounds(extent(x), np.random.default_rng(7)), []
    if there.state.nbytes > LARGE:
        bounds = [*bounds[:-1:5], bounds[-1]]  # handing it over takes its time
    for i, blocks in enumerate(cut(cls, x, bounds, signal)):
        one, other = (there, here) if i % 3 else (here, there)
        pieces.append(one.process(*blocks))
        other.restore(one.checkpoint())
        alone.process(*blocks)
        _require_same_state(f"{cls.name}: {one.engine.name} after block {i}", one.state, alone.state)
    require_same(cls.name, f"host and {engine.name} taking turns", concatenate(pieces), expected)


def _require_same_state(what: str, got: np.ndarray, expected: np.ndarray) -> None:
    for field in names(expected.dtype):
        a, b = np.atleast_1d(got[field]), np.atleast_1d(expected[field])
        if not np.array_equal(a, b):
            where = tuple(int(i) for i in np.argwhere(a != b)[0])
            raise ContractBroken(f"{what}: {field}{list(where)}: {a[where]}, expected {b[where]}")


class _Wide:
    """The host's kernels on the memory layout of another engine."""

    def __init__(self, engine: Engine) -> None:
        self.name, self._engine = "host", engine

    def capacity(self, needed: Capacity) -> Capacity:
        return self._engine.capacity(needed)

    def bind(self, running: Stage) -> Callable[..., int]:
        return HOST.bind(running)


CHECKS: tuple[Callable[[type[Stage], Any, Engine], None], ...] = (
    check_chunks,
    check_reset,
    check_checkpoint,
    check_gap,
    check_full_scale,
    check_empty,
    check_deterministic,
    check_same_as_host,
)
