"""Replay of an event recording through a chain, block by block, into a folder; see `event_runs` for what is in it.

What is written depends on the recording and the chain only; how this one run went stands in the manifest's ``run`` and ``timings``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bitspike.columns import Columns
from bitspike.engines import ENGINES, describe, engines
from bitspike.event_runs import PARTICLES, EventRun
from bitspike.finishing import write_tables
from bitspike.latency import Latency
from bitspike.runs import MANIFEST
from bitspike.session import new_folder
from pipeline.blocks import DOUBLET, EVENT_COLUMNS, PARTICLE_COLUMNS, Events, Particles
from pipeline.chain import INPUT, Chain, ChainPlan, read_chain
from pipeline.checks import example_events
from pipeline.errors import BitspikeError
from pipeline.manifest import Manifest, describe_chain
from sensors.events import EventRecording, open_events

SPEEDS = ("max", "1x")
PROGRESS_EVERY_NS = 100_000_000
PENDING_ROWS = 1 << 16  # that are written at once
WARM_UP_US = 2000


def replay_events(
    recording: str | Path | EventRecording,
    chain: str | Path | ChainPlan = "cytometry",
    out: str | Path | None = None,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    block_ms: float = 1.0,
    speed: str = "max",
    on: str = "host",
    progress: Callable[[float, float], None] | None = None,
) -> EventRun:
    """Replay an event recording through a chain.

    Parameters
    ----------
    recording : str, pathlib.Path or EventRecording
        What to replay.
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    out : str or pathlib.Path, optional
        Folder for the result; ``out/<recording>-<chain>`` unless given. An earlier result there is replaced by the complete one.
    start_s, stop_s : float, optional
        Stretch in seconds from the recording's first event on; all of it unless given.
    block_ms : float
        Length of the blocks in milliseconds; it changes timings, never results.
    speed : str
        "max", or "1x": each block is processed when it would have arrived.
    on : str
        Where the stages run: "host", "native", "cortex-m4" or "rv32imc".
    progress : callable, optional
        Called with the seconds done and in all, ten times a second at most.

    Raises
    ------
    BitspikeError
        The recording, the chain or an option is bad; nothing is left behind.
    """
    if not isinstance(recording, EventRecording):
        recording = open_events(recording)
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    for name, given, known in (("speed", speed, SPEEDS), ("on", on, ENGINES)):
        if given not in known:
            raise BitspikeError(f"{name}: {given!r}; choose one of {', '.join(known)}")
    if not 0.001 <= block_ms <= 60_000:
        raise BitspikeError(f"block_ms: {block_ms:g}; give a length of 0.001 to 60000 ms, such as 1")
    running = plan.build(recording.format, None, engines(on))
    start, stop = stretch_us(recording, start_s, stop_s)
    target = (Path(out) if out is not None else Path("out") / f"{recording.name}-{plan.name}").absolute()
    manifest = Manifest(recording=_described(recording, start, stop), chain=describe_chain(running))
    began = time.perf_counter()
    warm_up(running)
    spent = {"warm_up_s": time.perf_counter() - began}
    with new_folder(target) as folder:
        columns = Columns(folder)
        try:
            keeper = _Keeper(columns, running)
            timings = _play(recording, running, keeper, (start, stop), round(1000 * block_ms), speed == "1x", progress)
        finally:
            columns.close()
        manifest.chain.update(describe_chain(running))
        write_tables(running, folder)
        manifest.outputs.update(keeper.outputs())
        manifest.counts.update(keeper.counts, seconds=(stop - start) / 1e6, damage=recording.damage)
        manifest.run.update(engine=describe(running, on), block_ms=block_ms, speed=speed)
        manifest.timings.update(timings, **spent)
        manifest.recording["sha256"] = recording.checksum()
        (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return EventRun(target)


def stretch_us(recording: EventRecording, start_s: float, stop_s: float | None) -> tuple[int, int]:
    """Return the microseconds ``[start, stop)`` of the recording's clock for a stretch in seconds from its first event on."""
    summary = recording.summary()
    if not summary.events:
        raise BitspikeError(f"{recording.path}: holds no events")
    if not 0 <= start_s <= summary.seconds:
        raise BitspikeError(f"start: {start_s:g} s is not within the recording's {summary.seconds:g} s")
    if stop_s is not None and not start_s < stop_s:
        raise BitspikeError(f"stop: {stop_s:g} s is not after the start, {start_s:g} s")
    start = summary.first_us + round(1e6 * start_s)
    stop = summary.last_us + 1 if stop_s is None else min(summary.last_us + 1, summary.first_us + round(1e6 * stop_s))
    return start, max(stop, start + 1)


def warm_up(chain: Chain) -> None:
    """Have every kernel compiled, or its machine code loaded, before the first block counts."""
    chain.process(example_events(WARM_UP_US, chain.signal))
    chain.finish()
    chain.reset()


class _Keeper:
    """Writes particles and saved events, and counts what every stage gives."""

    def __init__(self, columns: Columns, chain: Chain) -> None:
        self._columns, self._chain = columns, chain
        kinds = {step.label: step.stage.gives for step in chain.plan.steps}
        self._final = next((label for label in reversed(kinds) if kinds[label] is Particles), "")
        self._events = [label for label in chain.saved if kinds[label] is Events]
        self._pending: dict[str, list[Any]] = {}
        kept = {label: 0 for label, kind in kinds.items() if kind is Events}
        self.counts: dict[str, Any] = {"events": 0, "kept": kept, "particles": 0, "doublets": 0, "sorted": 0}

    def take(self, outputs: Any) -> None:
        """Keep what is to be kept of one block's outputs."""
        counts = self.counts
        counts["events"] += len(outputs[INPUT])
        for label in counts["kept"]:
            counts["kept"][label] += len(outputs[label])
        for label in self._events:
            self._add(label, outputs[label])
        if self._final:
            found = outputs[self._final]
            counts["particles"] += len(found)
            counts["doublets"] += int(np.count_nonzero(found.flags & DOUBLET))
            counts["sorted"] += int(np.count_nonzero(found.gate))
            self._add(self._final, found)

    def write(self) -> None:
        """Write what is still remembered; a column that nothing came for is there, and empty."""
        for label in list(self._pending):
            self._write(label)

    def outputs(self) -> dict[str, Any]:
        """Return what the files mean, for the manifest."""
        taps = {}
        for label in self._events:
            format_ = self._chain.formats[label]
            taps[label] = {"kind": "events", "width": format_.width, "height": format_.height, "pitch_um": format_.pitch_um}
        about: dict[str, Any] = {"taps": taps}
        if self._final:
            grid = self._chain.stages[self._final].parameters_dict().get("grid", ())
            about[PARTICLES] = {"stage": self._final, "grid": grid, "columns": list(PARTICLE_COLUMNS)}
        return about

    def _add(self, label: str, block: Any) -> None:
        waiting = self._pending.setdefault(label, [])
        if len(block) or not waiting:
            waiting.append(block)
        if sum(map(len, waiting)) >= PENDING_ROWS:
            self._write(label)

    def _write(self, label: str) -> None:
        folder, names = (PARTICLES, PARTICLE_COLUMNS) if label == self._final else (f"taps/{label}", EVENT_COLUMNS)
        for name in names:
            for block in self._pending[label]:
                rows = getattr(block, name)
                self._columns.column(f"{folder}/{name}", rows.dtype, rows.shape[1:]).append(rows)
        self._pending[label] = self._pending[label][:0]


def _play(
    recording: EventRecording,
    chain: Chain,
    keeper: _Keeper,
    stretch: tuple[int, int],
    block_us: int,
    paced: bool,
    progress: Callable[[float, float], None] | None,
) -> dict[str, Any]:
    """Run the stretch through the chain; return the timings."""
    clock, latency, late = time.perf_counter_ns, Latency(), 0
    start, stop = stretch
    began = reported = clock()
    for block in recording.blocks(block_us, start, stop):
        if paced:
            due = began + 1000 * (block.stop - start)
            wait = due - clock()
            if wait > 0:
                time.sleep(wait / 1e9)
            late += wait < -1000 * block_us
        before = clock()
        outputs = chain.process(block)
        now = clock()
        latency.add(now - before)
        keeper.take(outputs)
        if progress is not None and now - reported > PROGRESS_EVERY_NS:
            reported = now
            progress((block.stop - start) / 1e6, (stop - start) / 1e6)
    outputs = chain.finish()
    keeper.take(outputs)
    keeper.write()
    seconds = (clock() - began) / 1e9
    return {
        "seconds": seconds,
        "times_real_time": (stop - start) / 1e6 / seconds,
        "events_per_s": keeper.counts["events"] / seconds,
        "blocks": latency.blocks,
        "processing_s": latency.total_ns / 1e9,
        "block_us": {"median": latency.quantile_us(0.5), "p99": latency.quantile_us(0.99), "worst": latency.worst_us},
        "late_blocks": late,
    }


def _described(recording: EventRecording, start: int, stop: int) -> dict[str, Any]:
    sensor = recording.format
    return {
        "path": str(recording.path),
        "format": recording.source_format,
        "width": sensor.width,
        "height": sensor.height,
        "pitch_um": sensor.pitch_um,
        "start": start,
        "stop": stop,
    }
