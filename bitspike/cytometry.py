"""The simulated cytometer on the command line: its folder and chain, and its figures beside those of a real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitspike.printed import grid, listed, number
from pipeline.errors import BitspikeError
from sensors.cytometry.folder import EVENTS, TRUTH, is_simulated_cytometry

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bitspike.event_runs import EventRun
    from bitspike.passages import PassageScore
    from sensors.cytometry.recording import SimulatedCytometry


def events_in(path: Path) -> Path:
    """Return the file of events in a folder of the simulated cytometer's; any other path as it is."""
    return path / EVENTS if is_simulated_cytometry(path) else path


def usual_chain(path: Path) -> str:
    """Return the chain for an event recording where a person names none: a file does not say what the camera looked at."""
    return "cytometry" if is_simulated_cytometry(path.parent) else "camera"


def score_particles(run: EventRun, truth: Path | None = None) -> PassageScore:
    """Score the particles of a run of a simulated recording.

    Parameters
    ----------
    run : EventRun
        A finished run of chain cytometry or the like.
    truth : pathlib.Path, optional
        The truth, or the folder that it is in; beside the recording unless given.

    Raises
    ------
    BitspikeError
        There is no truth, or the run has no particles.
    """
    from bitspike.passages import score_passages
    from sensors.cytometry.truth import read_particle_truth

    recording = run.manifest.recording
    file = Path(recording["path"]).parent / TRUTH if truth is None else truth
    file = file / TRUTH if file.is_dir() else file
    if truth is None and not file.is_file():
        raise BitspikeError(f"{recording['path']}: has no {TRUTH} beside it; name the truth, of a simulated recording")
    return score_passages(run.particles, read_particle_truth(file), recording["start"], recording["stop"])


def score_words(score: PassageScore) -> list[tuple[str, Any]]:
    """Return a score as a person reads it."""
    return [
        ("found", f"{score.found:,} of {score.particles:,} particles"),
        ("false, split", f"{score.false:,} and {score.split:,} of {score.records:,} records"),
        ("doublets flagged", f"{score.flagged:,} of {score.shared:,} records of several particles"),
        ("singles flagged", f"{score.flagged_singles:,} of {score.singles:,} records of one particle"),
    ]


def diameters(text: str) -> tuple[float, ...]:
    """Return the diameters in a list such as ``16,20``."""
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise BitspikeError(f"classes: {text!r} is no list of diameters; write them in micrometres, such as 16,20") from None


def beside_measured(made: SimulatedCytometry) -> tuple[dict[str, Any], Callable[[], list[RenderableType]]]:
    """Return a document and the lines that say what was simulated, and each figure simulated and measured."""
    from sensors.cytometry.calibration import MEASURED

    truth, figures = made.truth, made.figures
    rows: list[list[Any]] = []
    for figure in MEASURED:
        real = number(figure.low) if figure.low == figure.high else f"{number(figure.low)} to {number(figure.high)}"
        if figure.name in figures:
            rows.append([figure.title, real, figures[figure.name], None])
        elif not figures["classes"]:
            rows.append([figure.title, real, None, None])
        for kind, found in figures["classes"].items():
            if figure.name in found:
                low, middle, high = found[figure.name]
                size = f"{made.parameters.classes[kind].diameter_um:g} um"
                rows.append([f"{figure.title}, {size}", real, middle, f"{number(low)} to {number(high)}"])
    about: dict[str, Any] = {
        "recording": str(made.recording),
        "seconds": made.parameters.seconds,
        "events": made.events,
        "particles": len(truth),
        "overlapping": int(truth.overlap.sum()),
        "run": made.parameters.run,
        "seed": made.parameters.seed,
    }
    document = {
        **about,
        "conditions": made.run.as_dict(),
        "figures": figures,
        "measured": {figure.name: [figure.low, figure.high] for figure in MEASURED},
    }
    title = f"Simulated beside measured ({figures['passages']} passages alone)"
    columns = ["figure", "measured", "median", "10 to 90 %"]
    return document, lambda: [listed(list(about.items())), grid(title, columns, rows)]
