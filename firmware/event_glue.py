"""What the C of a chain of events is made of: which arrays every stage reads and writes, and where they lie; see `glue`.

A stage's `Stage.call` names what its ``bs_<stage>_process`` takes:

    t, x, y, p                          of the events of its input
    out_t, out_x, out_y, out_p          the events that it gives
    out_records, out_tensors            the particles that it gives: `record_fields` numbers and `tensor_bytes` bytes of each
    events, stop                        how many events it takes, and the low 32 bits of the time that they reach up to

Where nobody else needs its input, a stage writes what it gives in the place of what it takes: it may, and memory is short.
"""

from __future__ import annotations

from firmware.glue import BYTES, LONGS, NOT_FREE, PLACES, TIMES, Array, Call, Output, c_name, place
from pipeline.chain import INPUT, Chain, Step
from pipeline.errors import BitspikeError
from pipeline.stage import Stage

COLUMNS = {"t": TIMES, "x": PLACES, "y": PLACES, "p": BYTES}
OWN = "decoder decode event t y p events stop taken bytes count times places"  # names of the generated C, besides `glue.NOT_FREE`
RESERVED = NOT_FREE | set(OWN.split())


def event_calls(chain: Chain, steps: list[Step], events: int, kept: list[str]) -> tuple[list[Call], dict[str, Array]]:
    """Return the steps of a chain with all that they read and write, and the arrays of the decoder before them.

    Parameters
    ----------
    chain : Chain
        Designed for the capacity of the firmware.
    steps : list of Step
        Those to write, in order.
    events : int
        The longest block.
    kept : list of str
        Labels of the outputs that are there when the block is done.

    Raises
    ------
    BitspikeError
        A stage does not say how it is called, or a label is no free name in C.
    """
    last = {source: number for number, step in enumerate(steps) for source in step.sources}
    last |= dict.fromkeys(kept, len(steps))
    start = Output(INPUT, "events", "events", "stop", events, events, 0, {name: name for name in COLUMNS})
    made, found, taken = {INPUT: start}, list[Call](), set(RESERVED)
    decoded: dict[str, Array] = {}
    for number, step in enumerate(steps):
        running, label, (name,) = chain.stages[step.label], c_name(step.label), step.sources
        if {label, f"{label}_events"} & taken or c_name(step.label) != step.label.replace("-", "_"):
            raise BitspikeError(f"stage {step.stage.name}: label {step.label!r} is no free name in C; choose another")
        taken |= {label, f"{label}_events"}
        alone = last[name] == number and sum(name in other.sources for other in steps) == 1
        call = _call(number, step, running, label, made[name], alone)
        if name == INPUT and alone and "out_t" in running.call:
            decoded = {part: array for part in COLUMNS if isinstance(array := call.output.parts[part], Array)}
        made[step.label] = call.output
        found.append(call)
    decoded = decoded or {part: Array(kind, events, -1, last[INPUT]) for part, kind in COLUMNS.items()}
    for array in decoded.values():
        array.first = -1
    for label, output in made.items():
        for part in output.parts.values():
            if isinstance(part, Array):
                part.last = max(part.last, last.get(label, 0))
    place([*decoded.values(), *(part for call in found for part in call.output.parts.values() if isinstance(part, Array))])
    return found, decoded


def _call(number: int, step: Step, running: Stage, label: str, source: Output, alone: bool) -> Call:
    if not running.call:
        raise BitspikeError(f"stage {running.name}: does not say how it is called (Stage.call), so no chain in C can call it")
    gives = "out_t" in running.call
    most = source.most if gives else running.room(source.most, 0)
    output = Output(label, f"{label}_events", "events", "stop", most, source.most, 0)
    for name, kind in COLUMNS.items() if gives else ():
        there = source.parts[name]
        output.parts[name] = there if alone and isinstance(there, Array) else Array(kind, most, number, number)
    if not gives:
        for name, kind, each in (("records", LONGS, "record_fields"), ("tensors", BYTES, "tensor_bytes")):
            output.parts[name] = Array(kind, most * int(getattr(running, each)), number, number)
    known = {**source.parts, **{f"out_{name}": part for name, part in output.parts.items()}, "events": source.count, "stop": "stop"}
    unknown = [name for name in running.call if name not in known]
    if unknown:
        raise BitspikeError(f"stage {running.name}: takes {unknown[0]!r} of a block, which no chain in C knows")
    return Call(step, running, label, tuple(known[name] for name in running.call), output, source)
