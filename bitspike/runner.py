"""Replay: a recording through a chain, block by block, into a folder.

What is written depends on the recording and the chain only: not on the length of the blocks, nor on the speed, nor on whether
the run was interrupted and resumed. How this one run went stands in two sections of the manifest, ``run`` and ``timings``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bitspike import waveforms
from bitspike.engines import ENGINES, describe, engines
from bitspike.finishing import finish
from bitspike.keeper import Keeper
from bitspike.learning import prepared
from bitspike.playing import SPEEDS, known, play
from bitspike.runs import Run
from bitspike.session import Session, describe_recording, target_for
from bitspike.stretch import block_frames, stretch
from bitspike.writing import writing
from pipeline.blocks import Samples
from pipeline.chain import Chain, ChainPlan, read_chain
from pipeline.checks import example_signal
from sensors.recording import Recording, open_recording

LEARN = ("first", "online")
WARM_UP_FRAMES, WARM_UP_BLOCK = 4096, 256


def replay(
    recording: str | Path | Recording,
    chain: str | Path | ChainPlan = "probe",
    out: str | Path | None = None,
    *,
    start_s: float = 0.0,
    stop_s: float | None = None,
    block_ms: float = 10.0,
    speed: str = "max",
    on: str = "host",
    learn: str = "first",
    trained: str | Path | Run | None = None,
    resume: bool = False,
    progress: Callable[[float, float], None] | None = None,
) -> Run:
    """Replay a recording through a chain.

    Parameters
    ----------
    recording : str, pathlib.Path or Recording
        What to replay.
    chain : str, pathlib.Path or ChainPlan
        Name of a packaged chain, a TOML file, or a chain that was read.
    out : str or pathlib.Path, optional
        Folder for the result; ``out/<recording>-<chain>`` unless given. A result that is there already is replaced when the new one
        is complete; any other folder is refused, and so is the one that is not given where it has the result of another recording.
    start_s, stop_s : float, optional
        Stretch of the recording in seconds; all of it unless given.
    block_ms : float
        Length of the blocks in milliseconds; it changes timings, never results.
    speed : str
        "max", or "1x": each block is processed when it would have arrived.
    on : str
        Where the stages run: "host", "native" (the firmware's C on this machine), "cortex-m4" or "rv32imc" (emulated).
    learn : str
        When stages such as the sorter learn: "first" from the stretch's first minute, before the replay begins, so that every
        spike is sorted; "online" as the chain says, while it runs, as an implant must.
    trained : str, pathlib.Path or Run, optional
        A run or training whose tables are used: nothing is learned anew.
    resume : bool
        Continue an interrupted run of the same recording and chain; a new run where there is none.
    progress : callable, optional
        Called with the seconds done and in all, ten times a second at most.

    Returns
    -------
    Run
        The result, read from its folder.

    Raises
    ------
    BitspikeError
        The recording, the chain or an option is bad; nothing is left behind.
    KeyboardInterrupt
        It was interrupted; what is finished waits in ``<out>.partial`` for `resume`.
    """
    if not isinstance(recording, Recording):
        recording = open_recording(recording)
    plan = chain if isinstance(chain, ChainPlan) else read_chain(chain)
    for name, given, choices in (("speed", speed, SPEEDS), ("learn", learn, LEARN), ("on", on, ENGINES)):
        known(name, given, choices)
    target = target_for(out, recording.path, f"{recording.name}-{plan.name}")
    start, stop = stretch(recording, start_s, stop_s)
    size = block_frames(block_ms, recording.format.rate_hz)
    began = time.perf_counter()
    tables, learning = prepared(plan, recording, start, stop, learn, trained)
    learned = time.perf_counter()
    running = plan.build(recording.format, tables, engines(on))
    warm_up(running, size)
    spent = {"learning_s": learned - began, "warm_up_s": time.perf_counter() - learned}
    about = {"engine": describe(running, on), "block_ms": block_ms, "speed": speed, "learning": learning}
    described, keep = describe_recording(recording, start, stop), partial(Keeper, chain=running, start=start, stop=stop)
    with writing(target), Session(described, running, target, start, stop, resume, keep) as session:
        timings = play(recording, session, size, recording.format.rate_hz, speed == "1x", progress)
        checksum = recording.checksum()
        manifest = finish(session)
        manifest.recording["sha256"] = checksum
        manifest.run.update(about, resumed=session.resumed)
        manifest.timings.update(timings, **spent)
        session.publish(manifest)
    return Run(session.target)


def warm_up(chain: Chain, size: int) -> None:
    """Have every kernel of a chain compiled, or its machine code loaded, before the first block counts: with and without a gap."""
    noise, step = example_signal(WARM_UP_FRAMES, chain.signal), max(size, WARM_UP_BLOCK)
    for start in (0, 2 * WARM_UP_FRAMES):
        for a in range(0, WARM_UP_FRAMES, step):
            chain.process(Samples(start + a, noise[a : a + step]))
    chain.finish()
    chain.reset()
    waveforms.warm_up()
