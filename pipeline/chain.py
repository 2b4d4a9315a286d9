"""Chains: stages by name with their parameters, read from TOML, run block by block.

::

    name = "mine"
    description = "what it is for"

    [sensor]
    kind = "electrodes"        # or "events"
    max_channels = 68          # optional

    [[stage]]
    name = "bandpass"          # the stage
    label = "spike_band"       # optional, unique; other stages may take this output with `from`
    low_hz = 300               # everything else is a parameter

    [[stage]]
    name = "threshold"
    from = "spike_band"        # optional: the stage before, unless told; a list for several inputs; "input" is the sensor
    save = true                # optional: a run keeps this output
"""

from __future__ import annotations

import re
import struct
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata, resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from pipeline.blocks import SPIKE_COLUMNS, EventFormat, Events, Format, SampleFormat, Samples, Spikes
from pipeline.errors import BitspikeError
from pipeline.express import INPUT, MOST_SAMPLES, Express, Outputs
from pipeline.stage import HOST, REGISTRY, Engine, Stage, make_parameters, stage

LABEL = re.compile("[A-Za-z][A-Za-z0-9_-]*")
Where: TypeAlias = Engine | Callable[[type[Stage]], Engine]
SHORTEST = 256  # frames of a block that there is memory for at the least
SENSORS = {"electrodes": Samples, "events": Events}  # kinds of sensor, and what they give


@dataclass(frozen=True)
class Step:
    """One stage of a chain, as written down.

    Attributes
    ----------
    label : str
        Unique name of its output.
    stage : type of Stage
        What runs.
    parameters : Parameters
        With what.
    sources : tuple of str
        Labels of its inputs.
    save : bool
        Whether a run keeps the output.
    """

    label: str
    stage: type[Stage]
    parameters: Any
    sources: tuple[str, ...]
    save: bool = False


@dataclass(frozen=True)
class ChainPlan:
    """A chain before it knows its recording: what the TOML file says, checked."""

    name: str
    description: str
    sensor: str
    max_channels: int
    steps: tuple[Step, ...]
    text: str = ""
    where: str = ""  # it is written, for messages

    def build(self, signal: Format, tables: dict[str, np.ndarray] | None = None, engine: Where = HOST) -> Chain:
        """Design every stage for a recording's format; see `Chain`."""
        return Chain(self, signal, tables, engine)


class Chain:
    """A chain, running.

    Parameters
    ----------
    plan : ChainPlan
        From `read_chain` or `parse_chain`.
    signal : SampleFormat or EventFormat
        Of the recording.
    tables : dict of str to numpy.ndarray, optional
        Fitted tables by label, for stages that were trained.
    engine : Engine or callable, optional
        Where every stage runs, or a function that tells it of a stage's class.
    """

    def __init__(self, plan: ChainPlan, signal: Format, tables: dict[str, np.ndarray] | None = None, engine: Where = HOST) -> None:
        events = isinstance(signal, EventFormat)
        if events != (plan.sensor == "events"):
            given = "events" if events else "electrodes"
            raise BitspikeError(f"chain {plan.name}: is for {plan.sensor}, and the recording is of {given}; choose another --chain")
        if isinstance(signal, SampleFormat) and plan.max_channels and signal.channels > plan.max_channels:
            raise BitspikeError(
                f"chain {plan.name}: takes at most {plan.max_channels} channels, the recording has {signal.channels}: "
                "use --chain probe, or choose channels"
            )
        self.plan = plan
        self.signal: Any = signal
        unknown = set(tables or {}) - {step.label for step in plan.steps}
        if unknown:
            raise BitspikeError(f"chain {plan.name}: tables for {sorted(unknown)}, which it has no stage for")
        formats: dict[str, Any] = {INPUT: signal}
        self.stages: dict[str, Stage] = {}
        for step in plan.steps:
            ready = None if tables is None else tables.get(step.label)
            there = engine(step.stage) if callable(engine) else engine
            try:
                built = step.stage(step.parameters, formats[step.sources[0]], ready, there)
            except BitspikeError as error:
                raise BitspikeError(f"{plan.where or f'chain {plan.name}'}: {error}") from None
            self.stages[step.label] = built
            formats[step.label] = built.output
        self.formats = formats
        self._order = [(step.label, self.stages[step.label], step.sources) for step in plan.steps]
        self._express: Express | None = None
        self._last: np.ndarray | None = None  # samples whose last frame is the last there was
        self._position = 0

    @property
    def latency(self) -> int:
        """Frames of its input after which everything about a frame is known."""
        behind = {INPUT: 0}
        for label, running, sources in self._order:
            behind[label] = running.latency + max(behind[s] for s in sources)
        return max(behind.values())

    @property
    def saved(self) -> list[str]:
        """Labels of the outputs that a run keeps: those marked `save`, and the last."""
        labels = [step.label for step in self.plan.steps if step.save]
        last = self.plan.steps[-1].label
        return labels if last in labels else [*labels, last]

    def process(self, block: Any) -> Mapping[str, Any]:
        """Run one block through all stages; return every stage's output by label, and the block as ``"input"``.

        Blocks that follow each other go through as many stages as possible in one call (see `express`), and an output is made when
        it is asked for. While a stage learns, the stages run one after the other.
        """
        express = self._express
        if express is None or not express.takes(block):
            express = self._way(block)
        outputs: Outputs | dict[str, Any] = {INPUT: block} if express is None else express.run(block)
        order = self._order if express is None else express.rest
        for label, running, sources in order:
            outputs[label] = running.process(*[outputs[source] for source in sources])
        if type(block) is Samples and len(block.data):
            self._last = block.data
        self._position = block.stop
        return outputs

    def _way(self, block: Any) -> Express | None:
        """Return the way for a block that the present one does not take: one for longer blocks, or None."""
        if not isinstance(self.signal, SampleFormat):
            return None  # a block of events is long enough for its stages to run by themselves
        frames = len(block.data) if type(block) is Samples else 0
        if self._express is None or self._express.frames < frames <= MOST_SAMPLES // self.signal.channels:
            self._express = Express(self._order, self.signal.channels, max(frames, SHORTEST))
        if frames:
            self._express.skip(block)
        return self._express if frames and self._express.takes(block) else None

    def finish(self) -> Mapping[str, Any]:
        """Return what the stages still hold back at the end of a recording.

        The last frame is held for as long as the chain's latency; spikes in that stretch are dropped, and so are its samples. Of an
        event camera, nothing happens for that long.
        """
        end, last = self._position, self._last
        if isinstance(self.signal, EventFormat):
            nothing = (np.empty(0, kind) for kind in (np.int64, np.uint16, np.uint16, np.uint8))
            return self.process(Events(end, end + self.latency + 1, *nothing))
        if last is None:
            last = np.zeros((1, self.signal.channels), np.int16)
        held = Samples(end, np.ascontiguousarray(np.repeat(last[-1:], self.latency + 1, axis=0)))
        outputs = dict(self.process(held))
        for label, block in outputs.items():
            if isinstance(block, Spikes):
                inside = block.sample < end
                kept = {c: v[inside] if len(v := getattr(block, c)) == len(inside) else v for c in SPIKE_COLUMNS}
                outputs[label] = Spikes(end, end, **kept)
            elif isinstance(block, Samples):
                outputs[label] = Samples(end, block.data[:0], None)
        return outputs

    def reset(self) -> None:
        """Return every stage to its start."""
        self._last, self._position = None, 0
        for running in self.stages.values():
            running.reset()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_express": None, "_last": None if self._last is None else self._last[-1:]}

    def checkpoint(self) -> bytes:
        """Return the state of all stages; `restore` continues with the same bits."""
        last = b"" if self._last is None else self._last[-1:].tobytes()
        parts = [struct.pack("<qI", self._position, len(last)) + last]
        parts += [running.checkpoint() for running in self.stages.values()]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)

    def restore(self, checkpoint: bytes) -> None:
        """Continue from a `checkpoint` of the same chain."""
        parts, at = [], 0
        while at + 4 <= len(checkpoint):
            (size,) = struct.unpack_from("<I", checkpoint, at)
            parts.append(checkpoint[at + 4 : at + 4 + size])
            at += 4 + size
        if at != len(checkpoint) or len(parts) != 1 + len(self.stages):
            raise BitspikeError(f"chain {self.plan.name}: the checkpoint is damaged or of another chain; start the run anew")
        self._position, size = struct.unpack_from("<qI", parts[0])
        last = np.frombuffer(parts[0][12:], np.int16)
        self._last = last.reshape(1, -1).copy() if size else None
        for running, part in zip(self.stages.values(), parts[1:], strict=True):
            running.restore(part)


def packaged_chains() -> list[str]:
    """Return the names of the chains that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files("pipeline.chains").iterdir() if p.name.endswith(".toml"))


def read_chain(name: str | Path) -> ChainPlan:
    """Read a chain: the name of a packaged one, or the path of a TOML file.

    Raises
    ------
    BitspikeError
        It does not exist, is not TOML, or says something that the stages refuse: the message names file, stage and field.
    """
    if str(name) in packaged_chains():
        text = resources.files("pipeline.chains").joinpath(f"{name}.toml").read_text(encoding="utf-8")
        return parse_chain(text, str(name))
    path = Path(name)
    if not path.is_file():
        raise BitspikeError(f"chain {name}: no such file; packaged chains: {', '.join(packaged_chains())}")
    try:
        return parse_chain(path.read_text(encoding="utf-8"), path.stem, str(path))
    except UnicodeDecodeError:
        raise BitspikeError(f"{path}: not a text file; a chain is written in TOML") from None


def parse_chain(text: str, name: str = "chain", where: str = "") -> ChainPlan:
    """Check a chain's TOML text; `where` (a file name) leads every message."""
    where = where or f"chain {name}"
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BitspikeError(f"{where}: not TOML: {error}") from None
    try:
        return replace(_plan(document, name, text), where=where)
    except BitspikeError as error:
        raise BitspikeError(f"{where}: {error}") from None


def _plan(document: dict[str, Any], name: str, text: str) -> ChainPlan:
    _only(document, {"name", "description", "sensor", "stage"}, "the chain")
    sensor = document.get("sensor", {})
    if not isinstance(sensor, dict):
        raise BitspikeError("sensor must be a table: [sensor]")
    _only(sensor, {"kind", "max_channels"}, "[sensor]")
    kind = sensor.get("kind", "electrodes")
    if kind not in SENSORS:
        raise BitspikeError(f"sensor.kind = {kind!r}; choose one of {', '.join(SENSORS)}")
    most = sensor.get("max_channels", 0)
    if not isinstance(most, int) or isinstance(most, bool) or most < 0:
        raise BitspikeError(f"sensor.max_channels = {most!r} must be a whole number of channels")
    entries = document.get("stage", [])
    if not isinstance(entries, list) or not entries:
        raise BitspikeError("no stages; write at least one [[stage]]")
    return ChainPlan(
        str(document.get("name", name)),
        str(document.get("description", "")),
        kind,
        most,
        tuple(_steps(entries, SENSORS[kind])),
        text,
    )


def _steps(entries: list[dict[str, Any]], given_by_sensor: type) -> Iterator[Step]:
    produced: dict[str, type] = {INPUT: given_by_sensor}
    previous = INPUT
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise BitspikeError(f"[[stage]] number {number} has no name")
        given = dict(entry)
        load_stages(entry["name"])
        cls = stage(given.pop("name"))
        label, save, source = given.pop("label", cls.name), given.pop("save", False), given.pop("from", previous)
        if not isinstance(label, str) or not LABEL.fullmatch(label):
            raise BitspikeError(f"stage {cls.name}: label = {label!r} must be letters, digits, - and _, beginning with a letter")
        if not isinstance(save, bool):
            raise BitspikeError(f"stage {label}: save = {save!r} must be true or false")
        if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(one, str) for one in source)):
            raise BitspikeError(f"stage {label}: from = {source!r} must be a label, or a list of labels")
        sources = (source,) if isinstance(source, str) else tuple(source)
        if label in produced:
            raise BitspikeError(f"stage {cls.name}: two outputs are labelled {label!r}; give one of them another label")
        if len(sources) != len(cls.takes):
            kinds = ", ".join(kind.__name__ for kind in cls.takes)
            raise BitspikeError(f"stage {label}: takes {len(cls.takes)} inputs ({kinds}), from = {list(sources)}")
        for one, kind in zip(sources, cls.takes, strict=True):
            if one not in produced:
                raise BitspikeError(f"stage {label}: from = {one!r} is no earlier stage's label; there are: {', '.join(produced)}")
            if produced[one] is not kind:
                raise BitspikeError(f"stage {label}: takes {kind.__name__} where {one!r} gives {produced[one].__name__}")
        yield Step(label, cls, make_parameters(cls, given), sources, save)
        produced[label] = cls.gives
        previous = label


def load_stages(name: str = "") -> None:
    """Import the packages that register stages, the entry points of the group ``bitspike.stages``: all, or until there is one."""
    for entry in metadata.entry_points(group="bitspike.stages") if name not in REGISTRY else ():
        entry.load()
        if name in REGISTRY:
            break


def _only(table: dict[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise BitspikeError(f"{where} has no field {key!r}; it has: {', '.join(sorted(known))}")
