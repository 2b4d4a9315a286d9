"""The whole journey on a recording made up on the spot: simulate, replay, score, report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bitspike.learning import learners
from bitspike.plots import need_matplotlib
from bitspike.report import write_report
from bitspike.runner import replay
from bitspike.runs import Run
from bitspike.scoring import Score, score
from bitspike.training import train
from pipeline.blocks import SampleFormat, Samples, Spikes
from pipeline.chain import read_chain
from pipeline.checks import example_events, example_sensor, example_signal
from sensors.neural_simulator import simulate_neural
from sensors.sites import electrode_sites

CHANNELS, RATE_HZ, LAYOUT = 68, 24_000.0, "tetrodes"
AHEAD = "import sys; from bitspike.demo import compile_last_first; compile_last_first(sys.argv[1])"


def run_demo(
    out: str | Path,
    chain: str = "psoc68",
    seconds: float = 60.0,
    seed: int = 1,
    progress: Callable[[float, float], None] | None = None,
) -> tuple[Run, Score, Path]:
    """Simulate 68 channels, replay them through a chain, score the result and draw it.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder: the recording becomes ``recording`` in it, what was learned ``learned``, the result ``result``.
    chain : str
        Name of a packaged chain or TOML file.
    seconds : float
        Length of the recording.
    seed : int
        The same seed gives the same recording, and so the same result.
    progress : callable, optional
        Called with the seconds done and in all, of the simulation and then of the replay.

    Returns
    -------
    tuple of Run, Score and pathlib.Path
        The result, its score, and its report.

    Raises
    ------
    MissingExtraError
        The ``ephys`` or the ``plot`` extra is not installed.
    """
    need_matplotlib()
    read_chain(chain)  # refuses a bad one before anything is made
    advance = progress or (lambda _done, _total: None)
    with _compiling_ahead(chain):
        recording = simulate_neural(
            Path(out) / "recording",
            channels=CHANNELS,
            rate_hz=RATE_HZ,
            seconds=seconds,
            layout=LAYOUT,
            seed=seed,
            overwrite=True,
            progress=lambda done: advance(done * seconds, seconds),
        )
        trained = train(recording, chain, Path(out) / "learned") if learners(read_chain(chain)) else None
    run = replay(recording, chain, Path(out) / "result", trained=trained, progress=progress)
    found = score(run, recording.truth)
    return run, found, write_report(run, found)


@contextmanager
def _compiling_ahead(chain: str) -> Iterator[None]:
    """Meanwhile, have a second process compile what will be needed last; on a machine that has it all, it ends at once."""
    ahead = subprocess.Popen([sys.executable, "-c", AHEAD, chain], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        ahead.wait()
    finally:
        ahead.kill()
        ahead.wait()


def compile_last_first(chain: str) -> None:
    """Have a chain's kernels compiled, the last stage first: beside a process that begins with the first ones."""
    plan = read_chain(chain)
    if plan.sensor == "events":
        sensor = example_sensor()
        plan.build(sensor).process(example_events(2000, sensor))
        return
    sites, groups = electrode_sites(LAYOUT, CHANNELS)
    signal = SampleFormat(RATE_HZ, CHANNELS, 1.0, 16, sites, groups)
    noise = Samples(0, example_signal(512, signal))
    for step in reversed(plan.steps):
        stage = step.stage(step.parameters, signal)
        stage.process(*[noise if kind is Samples else Spikes(noise.start, noise.stop) for kind in stage.takes])
