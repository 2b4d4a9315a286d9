"""A simulated cytometer's recording on disk: a folder of events, truth, parameters and what was drawn for the run.

``recording.raw`` (EVT3), ``truth.npz`` (`ParticleTruth`), ``parameters.json`` (`read_parameters` reads it: simulating from it again
gives the same bytes) and ``info.json``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.cytometry.calibration import Meter
from sensors.cytometry.folder import EVENTS, FORMAT, INFO, PARAMETERS, TRUTH, VERSION, is_simulated_cytometry
from sensors.cytometry.parameters import CytometerParameters, ParticleClass, write_parameters
from sensors.cytometry.runs import RunConditions
from sensors.cytometry.simulator import CytometerSimulator
from sensors.cytometry.truth import ParticleTruth
from sensors.events.writing import write_events


@dataclass(frozen=True)
class SimulatedCytometry:
    """What was simulated.

    Attributes
    ----------
    path : pathlib.Path
        The folder.
    format : EventFormat
        The sensor.
    events : int
        Number of events.
    parameters : CytometerParameters
        As given.
    run : RunConditions
        What was drawn for the run.
    truth : ParticleTruth
        The particles.
    figures : dict
        Measured on the recording: see `sensors.cytometry.calibration.Meter.figures`.
    """

    path: Path
    format: EventFormat
    events: int
    parameters: CytometerParameters
    run: RunConditions
    truth: ParticleTruth
    figures: dict[str, Any]

    @property
    def recording(self) -> Path:
        """The file of events."""
        return self.path / EVENTS


def simulate_cytometry(
    path: str | Path,
    parameters: CytometerParameters | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
    **changes: Any,
) -> SimulatedCytometry:
    """Write a cytometer's recording with ground truth.

    Parameters
    ----------
    path : str or pathlib.Path
        Folder to make; it appears when all is written.
    parameters : CytometerParameters, optional
        Where to start from; the defaults unless given.
    overwrite : bool
        Replace an earlier recording of this simulator.
    progress : callable, optional
        Called with the fraction done, 0 to 1.
    **changes
        Fields of `CytometerParameters` that differ; `classes` may be mean diameters in micrometres.

    Raises
    ------
    BitspikeError
        A parameter is out of range, or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    plan = _plan(parameters or CytometerParameters(), changes)
    if path.exists() and not (overwrite and is_simulated_cytometry(path)):
        cure = "choose another name, or overwrite it" if is_simulated_cytometry(path) else "choose another name"
        raise BitspikeError(f"{path}: exists already: {cure}")
    simulator = CytometerSimulator(plan)
    meter, part = Meter(simulator.format), path.with_name(path.name + ".part")
    count = 0

    def watched() -> Iterator[Events]:
        nonlocal count
        for block in simulator.blocks():
            meter.add(block)
            count += len(block)
            yield block
            if progress is not None:
                progress(block.stop / simulator.stop_us)

    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_events(part / EVENTS, watched(), "evt3", sensor=simulator.format)
        truth = simulator.truth()
        truth.write(part / TRUTH)
        write_parameters(part / PARAMETERS, plan)
        info = {
            "format": FORMAT,
            "version": VERSION,
            "width": simulator.format.width,
            "height": simulator.format.height,
            "events": count,
            "particles": len(truth),
            "conditions": simulator.run.as_dict(),
        }
        (part / INFO).write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        if path.exists():
            shutil.rmtree(path)
        part.rename(path)
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be written: {error.strerror or error}") from error
    except BitspikeError as error:
        raise BitspikeError(str(error).replace(str(part), str(path))) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return SimulatedCytometry(path, simulator.format, count, plan, simulator.run, truth, meter.figures(truth))


def _plan(parameters: CytometerParameters, changes: dict[str, Any]) -> CytometerParameters:
    if "classes" in changes:
        classes = (ParticleClass(float(c)) if isinstance(c, int | float) else c for c in changes["classes"])
        changes = {**changes, "classes": tuple(classes)}
    try:
        return parameters.with_(**changes)
    except TypeError as error:
        known = ", ".join(CytometerParameters.__dataclass_fields__)
        raise BitspikeError(f"simulate cytometry: {error}; parameters are: {known}") from None
