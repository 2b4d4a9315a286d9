"""What the C of a whole chain is made of: which arrays every stage reads and writes, and where they lie.

A stage says in `Stage.call` what its ``bs_<stage>_process`` takes, by the names of `pipeline.express` and these:

    unit, waveform                      of its first input that has spikes; units are `UNSORTED` where they have none
    out_waveform, out_features          of the spikes that it gives

No stage is named here. Arrays that are not needed at the same time share memory, one stretch for each type, so that no memory is
ever of two types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pipeline.blocks import Samples, Spikes
from pipeline.chain import INPUT, Chain, Step
from pipeline.errors import BitspikeError
from pipeline.stage import Stage

RESERVED = (
    "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict "
    "return short signed sizeof static struct switch typedef union unsigned void volatile while"
)
# what generated C has of its own: variables, members of the chain's struct, functions and macros
OWN = "frames first x result chain calm unsorted failed full longs shorts bytes output outputs channels init reset gap process main"
NOT_FREE = {*RESERVED.split(), *OWN.split()}
COLUMNS = ("at", "channel", "amplitude", "unit")
SHORTS, LONGS, BYTES, TIMES, PLACES = "int16_t", "int32_t", "uint8_t", "int64_t", "uint16_t"
MEMORY = {SHORTS: "shorts", LONGS: "longs", BYTES: "bytes", TIMES: "times", PLACES: "places"}
ALIGNMENT = 4  # bytes, at which every array begins
OUTPUTS = {
    "y": ("data", SHORTS),
    "y_flags": ("flags", BYTES),
    "out_waveform": ("waveform", SHORTS),
    "out_features": ("features", LONGS),
}
OUTPUTS |= {f"out_{name}": (name, LONGS) for name in COLUMNS}


@dataclass
class Array:
    """An array in the chain's memory.

    Attributes
    ----------
    kind : str
        C type of its elements.
    length : int
        Elements.
    first, last : int
        The steps from which, and until which, it is needed.
    begin : int
        Element of the memory of its type at which it begins.
    """

    kind: str
    length: int
    first: int
    last: int
    begin: int = 0

    @property
    def text(self) -> str:
        """The C expression of its address."""
        return f"chain->{MEMORY[self.kind]} + {self.begin}"


@dataclass(frozen=True)
class Output:
    """What a step gives, as C expressions.

    Attributes
    ----------
    label : str
        Of the step, as a C name.
    count : str
        Frames of samples, or spikes.
    frames, first : str
        Frames of the stretch, and the number of the first.
    most, most_frames : int
        The most that `count` and `frames` can be.
    channels : int
        Of samples; of spikes 0.
    parts : dict
        By name ("data", "flags", "at", ...), the array, or the C expression of one that is not the chain's.
    """

    label: str
    count: str
    frames: str
    first: str
    most: int
    most_frames: int
    channels: int
    parts: dict[str, Array | str] = field(default_factory=dict)

    def each(self, name: str) -> int:
        """Return how many numbers of one of the chain's arrays belong to a frame or spike; 0 if it is not there."""
        part = self.parts.get(name)
        return part.length // self.most if isinstance(part, Array) and self.most else 0


@dataclass(frozen=True)
class Call:
    """One step of the chain, ready to be written.

    Attributes
    ----------
    step : Step
        Of the plan.
    running : Stage
        Designed for the chain's capacity.
    label : str
        As a C name.
    arguments : tuple
        What `process` takes after tables and state: arrays and expressions.
    output : Output
        What it gives.
    source : Output
        Of its first input.
    room : int
        Spikes that it may give at most, where it is told so; 0 where it is not.
    """

    step: Step
    running: Stage
    label: str
    arguments: tuple[Array | str, ...]
    output: Output
    source: Output
    room: int = 0


def c_name(text: str) -> str:
    """Return a chain's name or a label as a C name."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"chain_{name}" if not name or name[0].isdigit() or name in NOT_FREE else name


def calls(chain: Chain, steps: list[Step], frames: int, spikes: int, kept: list[str]) -> list[Call]:
    """Return the steps of a chain with all that they read and write; places are given to arrays.

    Parameters
    ----------
    chain : Chain
        Designed for the capacity of the firmware.
    steps : list of Step
        Those to write, in order.
    frames : int
        The longest block.
    spikes : int
        At most so many are given in a block by a stage that can be told so.
    kept : list of str
        Labels of the outputs that are there when the block is done.

    Raises
    ------
    BitspikeError
        A stage does not say how it is called, or two labels make the same C name.
    """
    start = Output(INPUT, "frames", "frames", "chain->first", frames, frames, chain.signal.channels, {"data": "x", "flags": "calm"})
    made = {INPUT: start}
    found: list[Call] = []
    taken = set(NOT_FREE)
    for number, step in enumerate(steps):
        running, label = chain.stages[step.label], step.label.replace("-", "_")
        made_from_it = {label, *(f"{label}_{what}" for what in ("phase", "first", "frames", "spikes"))}
        if made_from_it & taken:
            raise BitspikeError(f"stage {step.stage.name}: label {step.label!r} is no free name in C; choose another")
        taken |= made_from_it
        if not running.call:
            raise BitspikeError(
                f"stage {step.stage.name}: does not say how it is called (Stage.call), so no chain in C can call it"
            )
        call = _call(number, step, running, label, [made[source] for source in step.sources], spikes)
        made[step.label] = call.output
        found.append(call)
    _prolong(found, [made[label] for label in kept])
    place([part for call in found for part in call.output.parts.values() if isinstance(part, Array)])
    return found


def _call(number: int, step: Step, running: Stage, label: str, sources: list[Output], spikes: int) -> Call:
    given = dict(zip(running.takes, sources, strict=True))
    source, samples, taken = sources[0], given.get(Samples), given.get(Spikes)
    factor, room = running.factor, 0
    if running.gives is Samples:
        most = -(-source.most_frames // factor) + 1 if factor != 1 else source.most_frames
        count, first = (f"{label}_frames", f"chain->{label}_first") if factor != 1 else (source.frames, source.first)
        output = Output(label, count, count, first, most, most, running.output.channels, dict(samples.parts) if samples else {})
    else:
        most = running.room(source.most_frames, taken.most if taken else 0) or (taken.most if taken else 0)
        most = room = min(most, spikes) if "room" in running.call else most
        count = f"{label}_spikes" if "out_at" in running.call or taken is None else taken.count
        parts = dict(taken.parts) if taken and "out_at" not in running.call else {}
        output = Output(label, count, source.frames, source.first, most, source.most_frames, 0, parts)
    snippet = running.output.snippet
    lengths = {"data": output.most * output.channels, "flags": output.most, "waveform": output.most * snippet[0] * snippet[1]}
    lengths |= dict.fromkeys(COLUMNS, output.most) | {"features": output.most * running.features_given}
    arguments: list[Array | str] = []
    for name in running.call:
        if name in OUTPUTS:
            part, kind = OUTPUTS[name]
            array = Array(kind, lengths[part], number, number)
            output.parts[part] = array
            arguments.append(array)
        else:
            arguments.append(_argument(name, running, label, source, samples, taken, room))
    return Call(step, running, label, tuple(arguments), output, source, room if "room" in running.call else 0)


def _argument(
    name: str, running: Stage, label: str, source: Output, samples: Output | None, taken: Output | None, room: int
) -> Array | str:
    """Return what a stage is given for an argument that it does not write."""
    if name in ("x", "flags") and samples is not None:
        return samples.parts["data" if name == "x" else "flags"]
    if taken is not None and name in (*COLUMNS, "waveform"):
        return taken.parts.get(name, "unsorted")
    numbers = {
        "frames": source.frames,
        "channels": f"{running.signal.channels}",
        "phase": f"chain->{label}_phase",
        "room": f"{room}",
    }
    numbers |= {"spikes": taken.count} if taken is not None else {}
    if name not in numbers:
        raise BitspikeError(f"stage {running.name}: takes {name!r} of a block, which no chain in C knows")
    return numbers[name]


def _prolong(found: list[Call], kept: list[Output]) -> None:
    """Let every array live until the last step that reads it, or to the end."""
    for number, call in enumerate(found):
        for argument in call.arguments:
            if isinstance(argument, Array):
                argument.last = max(argument.last, number)
    for output in kept:
        for part in output.parts.values():
            if isinstance(part, Array):
                part.last = len(found)


def place(arrays: list[Array]) -> None:
    """Give every array the first place in the memory of its type that is free while it is needed."""
    unique = list({id(array): array for array in arrays}.values())
    for number, array in enumerate(unique):
        step = max(1, ALIGNMENT // size_of(array.kind))
        others = sorted(
            (o.begin, o.begin + o.length)
            for o in unique[:number]
            if o.kind == array.kind and o.first <= array.last and array.first <= o.last
        )
        array.begin = 0
        for begin, end in others:
            if array.begin + array.length <= begin:
                break
            array.begin = max(array.begin, -(-end // step) * step)


def size_of(kind: str) -> int:
    """Return the bytes of an element."""
    return {SHORTS: 2, LONGS: 4, BYTES: 1, TIMES: 8, PLACES: 2}[kind]


def memory(arrays: list[Array]) -> dict[str, int]:
    """Return by C type how many elements of memory arrays need, which have their places."""
    needed: dict[str, int] = {}
    for array in arrays:
        needed[array.kind] = max(needed.get(array.kind, 0), array.begin + array.length)
    return needed
