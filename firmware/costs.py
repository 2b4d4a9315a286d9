"""What a chain costs on a processor: instructions counted, cycles estimated from them, memory from the image as it is built.

Cycles are an estimate, and an upper one, for memory without wait states. Cortex-M4: the instruction timings of ARM's technical
reference manual (DDI 0439, table 3-1), every branch that is taken with the longest refill, every division with the longest time,
and no load overlapping the next. RV32IMC: a plain core of two pipeline stages without branch prediction, as Ibex is (its
documentation, "Pipeline Details", with the single-cycle multiplier).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware.build import application
from firmware.callgraph import CallGraph
from firmware.decoding import Decoder
from firmware.event_generate import GeneratedEvents
from firmware.generate import Generated
from firmware.instructions import BRANCH, DIVIDE, LOAD, LONG, MULTIPLY, PLAIN, STORE
from firmware.machine import Counts
from firmware.target import Target
from firmware.twins import has
from pipeline.blocks import EventFormat, Events, Samples, Spikes
from pipeline.chain import Chain

FURTHER, TAKEN = "each further word", "branch taken, more"
CYCLES: dict[str, dict[str, int]] = {
    "cortex-m4": {PLAIN: 1, LOAD: 2, STORE: 2, FURTHER: 1, MULTIPLY: 1, LONG: 1, DIVIDE: 12, BRANCH: 1, TAKEN: 3},
    "rv32imc": {PLAIN: 1, LOAD: 2, STORE: 2, FURTHER: 1, MULTIPLY: 1, LONG: 2, DIVIDE: 38, BRANCH: 1, TAKEN: 2},
}
EXCEPTION_BYTES = {"cortex-m4": 32, "rv32imc": 0}  # that the processor itself puts on the stack at an interrupt


@dataclass(frozen=True)
class StageCost:
    """What one stage costs on one core.

    Attributes
    ----------
    label, stage, core : str
        Which.
    instructions, cycles : int
        Of all calls.
    samples, spikes : int
        Of the chain's input in that time, and those that the stage took; of a chain of events, events both times.
    code_bytes, table_bytes, state_bytes, stack_bytes : int
        Its functions with all that they call; its structs; stack of `process`, at most.
    """

    label: str
    stage: str
    core: str
    instructions: int
    cycles: int
    samples: int
    spikes: int
    code_bytes: int
    table_bytes: int
    state_bytes: int
    stack_bytes: int

    def document(self) -> dict[str, Any]:
        """Return everything as plain values, with the ratios."""
        per_spike = self.instructions / self.spikes if self.spikes else None
        return asdict(self) | {"instructions_per_sample": self.instructions / self.samples, "instructions_per_spike": per_spike}


@dataclass(frozen=True)
class Memory:
    """Bytes that an application needs.

    Attributes
    ----------
    flash, ram : int
        Code with tables; states, arrays between stages, rings and the stack that there is room for.
    rings : int
        Of `ram`, the two rings.
    stack, stack_room : int
        What the program and one interrupt need at most, by the call graph; what there is room for.
    """

    flash: int
    ram: int
    rings: int
    stack: int
    stack_room: int


def cycles(counts: Counts, core: str) -> int:
    """Return the estimated cycles of counted instructions."""
    table = CYCLES[core]
    total = sum(table[kind] * times for kind, times in counts.by_kind.items())
    further = counts.words - counts.by_kind.get(LOAD, 0) - counts.by_kind.get(STORE, 0)
    return total + table[FURTHER] * further + table[TAKEN] * counts.taken


def measure(
    host: Chain, there: Chain, core: str, target: Target, blocks: Sequence[Samples] | Sequence[Events], warm: int
) -> tuple[list[StageCost], list[str]]:
    """Count the instructions of every stage of a chain.

    Parameters
    ----------
    host, there : Chain
        The same on the host, and on the core for the stages that have a C twin.
    core : str
        Of `target`.
    target : Target
        Where `there` runs.
    blocks : sequence of Samples or Events
        Input; the first `warm` are processed, but not counted.

    Returns
    -------
    list of StageCost, list of str
        In order; and the labels of the stages that have no C twin.
    """
    outputs = [dict(host.process(block)) for block in blocks]
    samples = sum(block.data.size if isinstance(block, Samples) else len(block) for block in blocks[warm:])
    graph = CallGraph(target.image)
    found: list[StageCost] = []
    without: list[str] = []
    for step in host.plan.steps:
        name, running = step.stage.name, there.stages[step.label]
        if not has(name):
            without.append(step.label)
            continue
        given = [[output[source] for source in step.sources] for output in outputs]
        for inputs in given[:warm]:
            running.process(*inputs)
        with target.counting() as counts:
            for inputs in given[warm:]:
                running.process(*inputs)
        spikes = sum(len(one) for inputs in given[warm:] for one in inputs if isinstance(one, Spikes | Events))
        functions = [f"bs_{name}_{what}" for what in ("init", "process", "reset", "gap") if f"bs_{name}_{what}" in target.machine]
        sizes = graph.code_bytes(*functions), running.tables.nbytes, running.state.nbytes, graph.stack_bytes(f"bs_{name}_process")
        found.append(StageCost(step.label, name, core, counts.total, cycles(counts, core), samples, spikes, *sizes))
    return found, without


def measure_decoder(name: str, sensor: EventFormat, words: bytes, warm: int, core: str, target: Target) -> StageCost:
    """Count the instructions of the decoder of a camera's words; the first `warm` bytes of them are decoded, but not counted."""
    decoder, graph = Decoder(name, sensor, target), CallGraph(target.image)
    decoder.decode(words[:warm])
    with target.counting() as counts:
        events = len(decoder.decode(words[warm:]).t)
    functions = [f"bs_{name}_{what}" for what in ("init", "process", "reset", "clock")]
    sizes = graph.code_bytes(*functions), decoder.tables.nbytes, decoder.state.nbytes, graph.stack_bytes(f"bs_{name}_process")
    return StageCost("decoder", name, core, counts.total, cycles(counts, core), events, events, *sizes)


def application_memory(generated: Generated, core: str, optimise: str = "-O2") -> Memory:
    """Return what the application with a generated chain needs, from its image."""
    program = "events" if isinstance(generated, GeneratedEvents) else "application"
    built = application(core, generated.name, generated.files(), generated.capacity, optimise=optimise, program=program)
    sizes, symbols = _sections(built)
    graph = CallGraph(built)
    rings = sum(symbols[f"bs_application_{ring}"][1] for ring in ("input", "output"))
    stack = graph.stack_bytes("bs_reset") + EXCEPTION_BYTES[core] + graph.stack_bytes("bs_application_take")
    ram = sizes[".data"] + sizes[".bss"] + sizes[".stack"]
    return Memory(sizes[".text"] + sizes[".data"], ram, rings, stack, sizes[".stack"])


def _sections(built: Path) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """Return the sizes of an image's sections, and of its symbols address and size."""
    from elftools.elf.elffile import ELFFile

    with built.open("rb") as file:
        elf = ELFFile(file)
        table: Any = elf.get_section_by_name(".symtab")
        symbols = {s.name: (int(s["st_value"]), int(s["st_size"])) for s in table.iter_symbols() if s.name}
        return {section.name: int(section["sh_size"]) for section in elf.iter_sections()}, symbols
