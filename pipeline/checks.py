"""Contract checks that every registered stage must pass, in the manner of scikit-learn's and river's estimator checks.

``for check in CHECKS: check(stage_class, parameters, engine)`` raises `ContractBroken` with the stage, the sample, the channel and
both values. The tests enrol every stage of the registry, on every engine that has it; nothing can opt out.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat, Samples, Spikes, concatenate
from pipeline.capacity import Capacity
from pipeline.layout import names
from pipeline.stage import HOST, Engine, Stage

COLUMNS = ("sample", "channel", "amplitude", "unit", "waveform", "features")


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


def cut(cls: type[Stage], x: np.ndarray, bounds: list[int], signal: SampleFormat, base: int = 0) -> Iterator[tuple[Any, ...]]:
    """Yield the stage's inputs over ``bounds``, spikes arriving with the frame after their peak."""
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
                columns = {c: v[known] for c in COLUMNS if len(v := getattr(spikes, c)) == len(spikes)}
                columns["sample"] = columns["sample"] + base
                inputs.append(Spikes(base + a, base + b, **columns))
        yield tuple(inputs)


def run(running: Stage, x: np.ndarray, bounds: list[int], signal: SampleFormat, base: int = 0) -> Any:
    """Return the joined output over the blocks that `bounds` cut."""
    return concatenate([running.process(*blocks) for blocks in cut(type(running), x, bounds, signal, base)])


def require_same(stage: str, what: str, got: Any, expected: Any) -> None:
    """Compare two outputs to the bit; on a difference name the place and both values."""
    columns = ("data", "frame_flags") if isinstance(expected, Samples) else COLUMNS
    for column in columns:
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


def _fresh(cls: type[Stage], parameters: Any, engine: Engine, signal: SampleFormat | None = None) -> Stage:
    return cls(parameters, signal or example_format(), engine=engine)


def check_chunks(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """Any split into blocks gives the same output."""
    signal = example_format()
    x = example_signal(6000, signal)
    expected = run(_fresh(cls, parameters, engine), x, [0, len(x)], signal)
    for seed in range(3):
        bounds = random_bounds(len(x), np.random.default_rng(seed))
        require_same(cls.name, f"random blocks, seed {seed}", run(_fresh(cls, parameters, engine), x, bounds, signal), expected)


def check_reset(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """After `reset`, the stage is as new."""
    signal = example_format()
    x = example_signal(3000, signal)
    running = _fresh(cls, parameters, engine)
    expected = run(running, x, [0, len(x)], signal)
    running.reset()
    require_same(cls.name, "after a reset", run(running, x, [0, len(x)], signal), expected)


def check_checkpoint(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """A checkpoint resumes with the same bits, in another instance, on this engine or the host, and survives pickling."""
    signal = example_format()
    x = example_signal(6000, signal)
    whole = run(_fresh(cls, parameters, engine), x, [0, 2345, len(x)], signal)
    first = _fresh(cls, parameters, engine)
    pieces = list(cut(cls, x, [0, 2345, len(x)], signal))
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
    signal = example_format()
    x = example_signal(5000, signal)
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
    """Full-scale input of every kind gives the same bits as on the host, however it is cut, for several widths of channel."""
    for channels in (1, 3, 17):
        signal = example_format(channels, bits=16)
        for what, x in extreme_signals(1500, signal):
            expected = run(_fresh(cls, parameters, _Wide(engine), signal), x, [0, len(x)], signal)
            bounds = random_bounds(len(x), np.random.default_rng(channels))
            got = run(_fresh(cls, parameters, engine, signal), x, bounds, signal)
            require_same(cls.name, f"{what}, {channels} channels", got, expected)


def check_empty(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """Empty blocks are answered with empty blocks and change nothing."""
    signal = example_format()
    x = example_signal(2000, signal)
    expected = run(_fresh(cls, parameters, engine), x, [0, len(x)], signal)
    running = _fresh(cls, parameters, engine)
    result = run(running, x, [0, 0, 0, 700, 700, len(x), len(x)], signal)
    require_same(cls.name, "with empty blocks", result, expected)


def check_deterministic(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """The same input gives the same tables, output and state."""
    signal = example_format()
    x = example_signal(3000, signal)
    one, other = _fresh(cls, parameters, engine), _fresh(cls, parameters, engine)
    require_same(cls.name, "a second run", run(one, x, [0, len(x)], signal), run(other, x, [0, len(x)], signal))
    if one.tables.tobytes() != other.tables.tobytes():
        raise ContractBroken(f"{cls.name}: the same parameters gave different tables")
    if one.checkpoint() != other.checkpoint():
        raise ContractBroken(f"{cls.name}: the same input left different states")


def check_same_as_host(cls: type[Stage], parameters: Any, engine: Engine) -> None:
    """This engine and the host take turns on one state, block by block, and nothing shows it, in what they give nor in the state.

    The state layout must be the same on both, so the host is laid out for the engine's capacity.
    """
    signal = example_format()
    x = example_signal(6000, signal, seed=3)
    expected = run(_fresh(cls, parameters, _Wide(engine)), x, [0, len(x)], signal)
    there, here = _fresh(cls, parameters, engine), _fresh(cls, parameters, _Wide(engine))
    if there.tables.tobytes() != here.tables.tobytes():
        raise ContractBroken(f"{cls.name}: tables on {engine.name} are not those on the host")
    alone = _fresh(cls, parameters, _Wide(engine))
    pieces = []
    for i, blocks in enumerate(cut(cls, x, random_bounds(len(x), np.random.default_rng(7)), signal)):
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
