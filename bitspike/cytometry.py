"""What the simulated cytometer shows on the command line: its figures beside those of a real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bitspike.printed import grid, listed, number
from pipeline.errors import BitspikeError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sensors.cytometry.recording import SimulatedCytometry


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
