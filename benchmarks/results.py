"""What a benchmark finds: tables of figures, and requirements that are reached or missed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "spikeinterface",
    "ezmsg-sigproc",
    "mountainsort5",
    "hdbscan",
    "faery",
    "dv-processing",
    "expelliarmus",
    "eventcv",
    "tonic",
)
WHOLE, LONGEST_S = "Whole run of the benchmarks", 900.0


@dataclass(frozen=True)
class Requirement:
    """A figure that must be reached.

    Attributes
    ----------
    what : str
        In words.
    figure, limit : float
        What was measured, and what is required.
    unit : str
        Of both.
    at_least : bool
        Whether `limit` is the least; else it is the most, and must be undercut.
    """

    what: str
    figure: float
    limit: float
    unit: str = ""
    at_least: bool = True

    @property
    def reached(self) -> bool:
        """Whether it is; a figure that could not be measured (NaN) is not."""
        return self.figure >= self.limit if self.at_least else self.figure < self.limit

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "under"
        unit = f" {self.unit}" if self.unit else ""
        verdict = "PASS" if self.reached else "MISSED"
        return f"{verdict:6}  {self.what}: {number(self.figure)}{unit} (required: {sign} {self.limit:g}{unit})"


@dataclass(frozen=True)
class Table:
    """Figures in rows, with the words that explain them."""

    title: str
    text: str
    columns: list[str]
    rows: list[list[Any]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *[[number(v) for v in row] for row in self.rows]]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{self.text}\n\n{table}\n"


@dataclass
class Part:
    """One part of the benchmarks."""

    title: str
    tables: list[Table] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    seconds: float = 0.0

    def markdown(self) -> str:
        """Return the part as Markdown, its requirements first."""
        lines = [f"## {self.title}", ""]
        if self.requirements:
            lines += [f"- {one}" for one in self.requirements] + [""]
        return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in self.tables)


def number(value: Any) -> str:
    """Return a figure with three or four digits that count; words as they are."""
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value == 0 or abs(value) < 0.1 else f"{value:.4g}" if abs(value) < 1 else f"{value:.1f}"


def mean(values: Sequence[float] | np.ndarray) -> float:
    """Return the mean; NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")


def about(command: str) -> dict[str, Any]:
    """Return what a reader must know to repeat a run."""
    versions = {"python": platform.python_version(), "bitspike": metadata.version("bitspike")}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    machine = f"{os.cpu_count()} cores, {platform.machine()}{_vectors()}, {platform.system()}"
    return {"command": command, "machine": machine, "versions": versions}


def _vectors() -> str:
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8").split() if info.exists() else []
    best = next((name for flag, name in (("avx512bw", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return f" with {best}" if best else ""


def write_json(path: Path, facts: dict[str, Any], parts: dict[str, Part]) -> None:
    """Write all figures for programs."""
    document = {**facts, "parts": {}}
    for name, part in parts.items():
        document["parts"][name] = asdict(part)
        for entry, one in zip(document["parts"][name]["requirements"], part.requirements, strict=True):
            entry["reached"] = one.reached
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> tuple[dict[str, Any], dict[str, Part]]:
    """Return what `write_json` wrote: the facts, and the parts by name."""
    document = json.loads(path.read_text(encoding="utf-8"))
    parts = {}
    for name, part in document.pop("parts").items():
        tables = [Table(**table) for table in part["tables"]]
        requirements = [
            Requirement(**{key: value for key, value in one.items() if key != "reached"}) for one in part["requirements"]
        ]
        parts[name] = Part(part["title"], tables, requirements, part["seconds"])
    return document, parts


def total_s(parts: dict[str, Part]) -> float:
    """Return the seconds of all parts."""
    return sum(part.seconds for part in parts.values())


def verdicts(facts: dict[str, Any], parts: dict[str, Part]) -> list[Requirement]:
    """Return all requirements: those of the parts, and of a whole run at once that of its time."""
    every = [one for part in parts.values() for one in part.requirements]
    return every + [Requirement(WHOLE, total_s(parts), LONGEST_S, "s", at_least=False)] * bool(facts.get("whole"))


def markdown(facts: dict[str, Any], parts: dict[str, Part]) -> str:
    """Return all parts as one document."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    required = verdicts(facts, parts)
    whole = "".join(f"\n- {one}\n" for one in required if one.what == WHOLE)
    seconds = ", ".join(f"{name} {part.seconds:.0f}" for name, part in parts.items())
    again = f"; measured again by themselves since: {', '.join(facts['again'])}" if facts.get("again") else ""
    head = f"""# Benchmarks

Written by `{facts["command"]}`{again}. Machine: {facts["machine"]}; every measured process runs one thread on one core.
Versions: {versions}.

Figures of different software stand beside each other only where they come from the same data in the same run. Speeds are medians
over interleaved rounds, so that whatever else the machine does hits all alike. "Times real time" is the length of the signal over
the time that it takes. Of the {len(required)} requirements {sum(one.reached for one in required)} are reached.

Seconds of each part: {seconds}; {total_s(parts):.0f} in all.
{whole}"""
    return head + "\n" + "\n".join(part.markdown() for part in parts.values())
