"""Replay of an event recording through a chain, block by block, into a folder; see `event_runs` for what is in it.

What is written depends on the recording and the chain only; how this one run went stands in the manifest's ``run`` and ``timings``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bitspike.engines import ENGINES, describe, engines
from bitspike.event_keeper import EventKeeper
from bitspike.event_runs import EventRun
from bitspike.finishing import write_tables
from bitspike.playing import SPEEDS, known, play
from bitspike.session import Session, target_for
from bitspike.stretch import stop_within
from bitspike.writing import writing
from pipeline.blocks import Events
from pipeline.chain import Chain, ChainPlan, read_chain
from pipeline.checks import example_events
from pipeline.errors import BitspikeError
from pipeline.manifest import describe_chain
from sensors.events import EventRecording, open_events

HEAD_BYTES = 1 << 20  # of a recording, by which a resumed run knows it again
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
    resume: bool = False,
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
    resume : bool
        Continue an interrupted run of the same recording and chain; a new run where there is none.
    progress : callable, optional
        Called with the seconds done and in all, ten times a second at most.

    Raises
    ------
    BitspikeError
        The recording, the chain or an option is bad; nothing is left behind.
    KeyboardInterrupt
        It was interrupted; what is finished waits in ``<out>.partial`` for `resume`.
    """
    if not isinstance(recording, EventRecording):
        recording = open_events(recording)
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    for name, given, choices in (("speed", speed, SPEEDS), ("on", on, ENGINES)):
        known(name, given, choices)
    if not 0.001 <= block_ms <= 60_000:
        raise BitspikeError(f"block_ms: {block_ms:g}; give a length of 0.001 to 60000 ms, such as 1")
    target = target_for(out, recording.path, f"{recording.name}-{plan.name}")
    running = plan.build(recording.format, None, engines(on))
    start, stop = stretch_us(recording, start_s, stop_s)
    began = time.perf_counter()
    warm_up(running)
    spent = {"warm_up_s": time.perf_counter() - began}
    described, keep = _described(recording, start, stop), partial(EventKeeper, chain=running, start=start)
    with writing(target), Session(described, running, target, start, stop, resume, keep) as session:
        keeper, manifest, before = session.keeper, session.manifest, session.keeper.counts["events"]
        timings = play(
            recording if speed == "1x" else _Unpaced(recording), session, round(1000 * block_ms), 1e6, speed == "1x", progress
        )
        timings["events_per_s"] = (keeper.counts["events"] - before) / timings["seconds"]
        manifest.outputs.update(keeper.finish(session.folder))
        session.columns.close()
        manifest.chain.update(describe_chain(running))
        write_tables(running, session.folder)
        manifest.counts.update(keeper.counts, seconds=(stop - start) / 1e6, damage=recording.damage)
        manifest.run.update(engine=describe(running, on), block_ms=block_ms, speed=speed, resumed=session.resumed)
        manifest.timings.update(timings, **spent)
        manifest.recording["sha256"] = recording.checksum()
        session.publish(manifest)
    return EventRun(target.absolute())


@dataclass(frozen=True)
class _Unpaced:
    """A recording to be played as fast as it goes: nobody waits for the blocks of a long silence."""

    recording: EventRecording

    def blocks(self, us: int, start: int, stop: int, /) -> Iterator[Events]:
        """Yield ``[start, stop)`` in blocks of `us` microseconds, a long silence as one or two."""
        return self.recording.blocks(us, start, stop, long_silence=True)


def stretch_us(recording: EventRecording, start_s: float, stop_s: float | None) -> tuple[int, int]:
    """Return the microseconds ``[start, stop)`` of the recording's clock for a stretch in seconds from its first event on."""
    summary = recording.summary()
    if not summary.events:
        raise BitspikeError(f"{recording.path}: holds no events")
    if not 0 <= start_s <= summary.seconds:
        raise BitspikeError(f"start: {start_s:g} s is not within the recording's {summary.seconds:g} s")
    start = summary.first_us + round(1e6 * start_s)
    stop = min(summary.last_us + 1, summary.first_us + round(1e6 * stop_within(start_s, stop_s, summary.seconds)))
    return start, max(stop, start + 1)


def warm_up(chain: Chain) -> None:
    """Have every kernel compiled, or its machine code loaded, before the first block counts."""
    chain.process(example_events(WARM_UP_US, chain.signal))
    chain.finish()
    chain.reset()


def _described(recording: EventRecording, start: int, stop: int) -> dict[str, Any]:
    """Return a recording as the manifest has it; `head` tells whether it is the same without reading all of it."""
    sensor, path = recording.format, recording.path
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    return {
        "path": str(path),
        "format": recording.source_format,
        "width": sensor.width,
        "height": sensor.height,
        "pitch_um": sensor.pitch_um,
        "start": start,
        "stop": stop,
        "bytes": path.stat().st_size,
        "head": {"bytes": len(head), "sha256": hashlib.sha256(head).hexdigest()},
    }
