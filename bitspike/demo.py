"""The whole journey on recordings made up on the spot, of electrodes and of a cytometer: simulate, replay, score, report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitspike.cytometry import score_particles, score_words
from bitspike.event_plots import draw_events
from bitspike.event_replay import replay_events
from bitspike.event_runs import EventRun
from bitspike.learning import learners
from bitspike.passages import PassageScore
from bitspike.plots import need_matplotlib
from bitspike.report import PLOTS, Facts, write_report
from bitspike.runner import replay
from bitspike.runs import Run
from bitspike.scoring import Score, score
from bitspike.training import train
from pipeline.blocks import SampleFormat, Samples, Spikes
from pipeline.chain import read_chain
from pipeline.checks import example_events, example_sensor, example_signal
from pipeline.errors import BitspikeError
from sensors.cytometry.recording import simulate_cytometry
from sensors.neural_simulator import simulate_neural
from sensors.sites import electrode_sites

CHANNELS, RATE_HZ, LAYOUT = 68, 24_000.0, "tetrodes"
CYTOMETER_S, PARTICLES_PER_S = 0.25, 300.0
COMPILED = "compiled"
SECOND = "import sys; from bitspike.demo import second; second(sys.argv[1], sys.argv[2], int(sys.argv[3]))"


@dataclass(frozen=True)
class Demo:
    """What the demonstration made: the result of each sensor, its score, and the report of both."""

    run: Run
    score: Score
    particles: EventRun
    passages: PassageScore
    report: Path


def run_demo(
    out: str | Path,
    chain: str = "psoc68",
    seconds: float = 60.0,
    seed: int = 1,
    progress: Callable[[float, float], None] | None = None,
) -> Demo:
    """Simulate 68 channels and a cytometer, replay them through a chain, score the results and draw them.

    Parameters
    ----------
    out : str or pathlib.Path
        Folder: the recording becomes ``recording`` in it, what was learned ``learned``, the result ``result``; the cytometer's are
        in ``cytometer``.
    chain : str
        Name of a packaged chain or TOML file, for the electrodes.
    seconds : float
        Length of the electrodes' recording.
    seed : int
        The same seed gives the same recordings, and so the same results.
    progress : callable, optional
        Called with the seconds done and in all, of the simulation and then of the replay.

    Raises
    ------
    MissingExtraError
        The ``ephys`` or the ``plot`` extra is not installed.
    """
    need_matplotlib()
    if read_chain(chain).sensor != "electrodes":  # refuses a bad one before anything is made
        raise BitspikeError(f"chain {chain}: is not for electrodes; the demonstration has a cytometer besides")
    advance, out = progress or (lambda _done, _total: None), Path(out)
    with _second_process(chain, out, seed) as ahead:
        recording = simulate_neural(
            out / "recording",
            channels=CHANNELS,
            rate_hz=RATE_HZ,
            seconds=seconds,
            layout=LAYOUT,
            seed=seed,
            overwrite=True,
            progress=lambda done: advance(done * seconds, seconds),
        )
        trained = train(recording, chain, out / "learned") if learners(read_chain(chain)) else None
        ahead.compiled()
        run = replay(recording, chain, out / "result", trained=trained, progress=progress)
        found = score(run, recording.truth)
        other: list[tuple[EventRun, PassageScore]] = []

        def beside() -> Iterator[tuple[EventRun, Facts]]:  # asked for when the electrodes' pictures are drawn
            particles = ahead.particles()
            other.append((particles, score_particles(particles)))
            yield particles, score_words(other[0][1])

        report = write_report(run, found, beside())
    return Demo(run, found, *other[0], report)


@dataclass(frozen=True)
class _Second:
    """A second process that compiles what will be needed last, and then does the cytometer's part."""

    process: subprocess.Popen[str]
    folder: Path

    def compiled(self) -> None:
        """Wait until it has compiled the chain; on a machine that has it all, it has done so at once."""
        if self.process.stdout is not None:
            self.process.stdout.readline()

    def particles(self) -> EventRun:
        """Wait until it is done; return the cytometer's result."""
        said = self.process.communicate()[1].strip().splitlines()
        if self.process.returncode:
            raise BitspikeError(f"{self.folder}: the cytometer's part failed: {said[-1] if said else self.process.returncode}")
        return EventRun(self.folder / "result")


@contextmanager
def _second_process(chain: str, out: Path, seed: int) -> Iterator[_Second]:
    command = [sys.executable, "-c", SECOND, chain, str(out / "cytometer"), str(seed)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        try:
            yield _Second(process, out / "cytometer")
        finally:
            process.kill()


def second(chain: str, out: str, seed: int) -> None:
    """Have a chain's kernels compiled, and say so; then simulate a cytometer in folder `out`, find the particles and draw them."""
    compile_last_first(chain)
    print(COMPILED, flush=True)
    made = simulate_cytometry(Path(out) / "recording", overwrite=True, seconds=CYTOMETER_S, rate=PARTICLES_PER_S, seed=seed)
    run = replay_events(made.recording, "cytometry", Path(out) / "result")
    draw_events(run, run.path / PLOTS)


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
