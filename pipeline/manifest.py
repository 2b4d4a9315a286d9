"""The run manifest: what was run on what, so that anyone can run it again and know whether the result is the same.

Everything but the last two sections depends only on the recording and the chain. ``run`` and ``timings`` say how this one run went.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from dataclasses import asdict, dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from pipeline.chain import Chain
from pipeline.errors import BitspikeError
from pipeline.layout import settled

FORMAT = "bitspike run 1"


@dataclass(frozen=True)
class Manifest:
    """What is written as ``manifest.json``.

    Attributes
    ----------
    recording : dict
        Path, format, rate_hz, channels, stretch in frames, and checksum of the input.
    chain : dict
        Name, TOML text, and for every stage its parameters, inputs, proofs and the SHA-256 of its tables.
    outputs : dict
        What the run's files mean: ``spikes``, ``traces``, and under ``taps``, by label, every other output that was saved.
    counts : dict
        Frames, lost frames, spikes, units, and the same by channel group.
    run : dict
        Engine, block length, speed, and how often the run was resumed.
    timings : dict
        Seconds, times real time, and microseconds per block.
    versions : dict
        Of bitspike, Python, NumPy, Numba and the machine.
    """

    recording: dict[str, Any]
    chain: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())
    format: str = FORMAT

    def to_json(self) -> str:
        """Return the text of ``manifest.json``; the same manifest always gives the same text."""
        return json.dumps(plain(asdict(self)), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of what decides the result: the recording, the chain and its tables."""
        recording = {key: value for key, value in self.recording.items() if key != "path"}
        text = json.dumps(plain({"recording": recording, "chain": self.chain}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def parse_manifest(text: str, where: str) -> Manifest:
    """Read the text of a ``manifest.json``; `where` (its path) leads the message of the error.

    Raises
    ------
    BitspikeError
        It is not JSON, not a manifest, or one of another format version.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise BitspikeError(f"{where}: not JSON: {error}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise BitspikeError(f"{where}: format is {found!r}, expected {FORMAT!r}; replay the recording again")
    try:
        return Manifest(**document)
    except TypeError:
        raise BitspikeError(f"{where}: not a complete manifest; replay the recording again") from None


def describe_chain(chain: Chain) -> dict[str, Any]:
    """Return a chain as the manifest has it; `tables` are the bytes that the stages run with."""
    stages = [
        {
            "label": step.label,
            "name": step.stage.name,
            "parameters": chain.stages[step.label].parameters_dict(),
            "from": list(step.sources),
            "proofs": chain.stages[step.label].proofs,
            "tables": {"bytes": chain.stages[step.label].tables.nbytes, "sha256": digest(chain.stages[step.label].tables)},
        }
        for step in chain.plan.steps
    ]
    return {"name": chain.plan.name, "description": chain.plan.description, "text": chain.plan.text, "stages": stages}


def digest(tables: np.ndarray) -> str:
    """Return the SHA-256 (hex) of a struct's bytes, with its padding zero."""
    return hashlib.sha256(settled(tables).tobytes()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of everything that a result could depend on."""
    found = {name: metadata.version(name) for name in ("bitspike", "numpy", "numba", "scipy", "scikit-learn")}
    return {**found, "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}


def plain(value: Any) -> Any:
    """Return `value` in what JSON knows: arrays and tuples become lists, paths text, and what is not a finite number null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
