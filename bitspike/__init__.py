"""Neural and event-camera signal processing in integers: the same bits on the host and in firmware.

Everything that a person needs is a name of this package; what a name needs is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitspike.costing import cost
    from bitspike.cytometry import score_particles
    from bitspike.event_replay import replay_events
    from bitspike.event_runs import EventRun
    from bitspike.export import export_nwb, export_phy, read_sorting
    from bitspike.generating import tables
    from bitspike.report import write_report
    from bitspike.runner import replay
    from bitspike.runs import Run
    from bitspike.scoring import Score, score
    from bitspike.training import train
    from bitspike.verifying import verify
    from pipeline.blocks import DOUBLET, UNSORTED, EventFormat, Events, Particles, SampleFormat, Samples, Spikes
    from pipeline.chain import Chain, ChainPlan, packaged_chains, parse_chain, read_chain
    from pipeline.errors import BitspikeError, MissingExtraError
    from sensors.cytometry.parameters import CytometerParameters
    from sensors.cytometry.recording import simulate_cytometry
    from sensors.cytometry.truth import ParticleTruth, read_particle_truth
    from sensors.datasets import catalogue, fetch
    from sensors.events.opening import open_events
    from sensors.events.source import EventRecording
    from sensors.events.writing import write_events
    from sensors.neural_simulator import simulate_neural as simulate
    from sensors.recording import Recording, open_recording
    from sensors.truth import Truth, read_truth
    from sensors.waveclus_benchmark import write_waveclus_benchmark

_HOME = {
    "DOUBLET": "pipeline.blocks",
    "UNSORTED": "pipeline.blocks",
    "BitspikeError": "pipeline.errors",
    "Chain": "pipeline.chain",
    "ChainPlan": "pipeline.chain",
    "CytometerParameters": "sensors.cytometry.parameters",
    "EventFormat": "pipeline.blocks",
    "EventRecording": "sensors.events.source",
    "EventRun": "bitspike.event_runs",
    "Events": "pipeline.blocks",
    "MissingExtraError": "pipeline.errors",
    "ParticleTruth": "sensors.cytometry.truth",
    "Recording": "sensors.recording",
    "Particles": "pipeline.blocks",
    "Run": "bitspike.runs",
    "SampleFormat": "pipeline.blocks",
    "Samples": "pipeline.blocks",
    "Score": "bitspike.scoring",
    "Spikes": "pipeline.blocks",
    "Truth": "sensors.truth",
    "catalogue": "sensors.datasets",
    "cost": "bitspike.costing",
    "export_nwb": "bitspike.export",
    "export_phy": "bitspike.export",
    "fetch": "sensors.datasets",
    "open_events": "sensors.events.opening",
    "open_recording": "sensors.recording",
    "packaged_chains": "pipeline.chain",
    "parse_chain": "pipeline.chain",
    "read_chain": "pipeline.chain",
    "read_particle_truth": "sensors.cytometry.truth",
    "read_sorting": "bitspike.export",
    "read_truth": "sensors.truth",
    "replay": "bitspike.runner",
    "replay_events": "bitspike.event_replay",
    "score": "bitspike.scoring",
    "score_particles": "bitspike.cytometry",
    "simulate": "sensors.neural_simulator:simulate_neural",
    "simulate_cytometry": "sensors.cytometry.recording",
    "tables": "bitspike.generating",
    "train": "bitspike.training",
    "verify": "bitspike.verifying",
    "write_events": "sensors.events.writing",
    "write_report": "bitspike.report",
    "write_waveclus_benchmark": "sensors.waveclus_benchmark",
}

__all__ = [
    "DOUBLET",
    "UNSORTED",
    "BitspikeError",
    "Chain",
    "ChainPlan",
    "CytometerParameters",
    "EventFormat",
    "EventRecording",
    "EventRun",
    "Events",
    "MissingExtraError",
    "ParticleTruth",
    "Particles",
    "Recording",
    "Run",
    "SampleFormat",
    "Samples",
    "Score",
    "Spikes",
    "Truth",
    "catalogue",
    "cost",
    "export_nwb",
    "export_phy",
    "fetch",
    "open_events",
    "open_recording",
    "packaged_chains",
    "parse_chain",
    "read_chain",
    "read_particle_truth",
    "read_sorting",
    "read_truth",
    "replay",
    "replay_events",
    "score",
    "score_particles",
    "simulate",
    "simulate_cytometry",
    "tables",
    "train",
    "verify",
    "write_events",
    "write_report",
    "write_waveclus_benchmark",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'bitspike' has no attribute {name!r}")
    module, _, original = _HOME[name].partition(":")
    found = getattr(import_module(module), original or name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
